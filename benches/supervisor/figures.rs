//! Figures as lines of JSON, each with the binary it belongs to.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pub(super) struct Figures {
    binary: String,
    profile: String,
    sha256: String,
    collector_bytes: u64,
}

impl Figures {
    pub(super) fn of(binary: &Path, collector: &Path) -> Result<Self> {
        let bytes = fs::read(binary).with_context(|| format!("cannot read {}", binary.display()))?;
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let profile = binary.parent().and_then(Path::file_name).unwrap_or_default();
        Ok(Self {
            binary: binary.strip_prefix(root).unwrap_or(binary).display().to_string(),
            collector_bytes: fs::metadata(collector)?.len(),
            profile: profile.to_string_lossy().into_owned(),
            sha256: Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect(),
        })
    }

    /// A figure that is taken once.
    pub(super) fn one(&self, measure: &str, value: impl Into<Value>) {
        self.print(measure, &json!({ "value": value.into() }));
    }

    /// The median and the worst of several.
    pub(super) fn spread(&self, measure: &str, took: &[Duration]) {
        let mut millis: Vec<f64> =
            took.iter().map(|time| (time.as_secs_f64() * 1e4).round() / 10.0).collect();
        millis.sort_by(f64::total_cmp);
        let (median, worst) = (millis.get(millis.len() / 2), millis.last());
        self.print(measure, &json!({ "median": median, "worst": worst, "rounds": millis.len() }));
    }

    fn print(&self, measure: &str, figure: &Value) {
        let Self { binary, profile, sha256, collector_bytes } = self;
        let mut line = json!({
            "measure": measure, "binary": binary, "profile": profile, "sha256": sha256,
            "collector_bytes": collector_bytes,
        });
        if let (Value::Object(line), Value::Object(figure)) = (&mut line, figure) {
            line.extend(figure.clone());
        }
        println!("{line}");
    }
}

/// Resident memory in KiB (VmRSS).
pub(super) fn memory(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let value = line.and_then(|line| line.split_whitespace().next()).and_then(|value| value.parse().ok());
    value.with_context(|| format!("process {pid} shows no VmRSS"))
}

/// Processor time used so far.
pub(super) fn cpu_time(pid: u32) -> Result<Duration> {
    let text = fs::read_to_string(format!("/proc/{pid}/schedstat"))?;
    let nanos = text.split(' ').next().and_then(|value| value.parse().ok());
    nanos.map(Duration::from_nanos).with_context(|| format!("process {pid} shows no schedstat"))
}
