//! What a binary says of itself, learnt by short runs of it: no trial run, so no port is taken.
//!
//! `components` alone leaves out every component that has a deprecated alias; `validate` of a config with
//! an unknown type in each section names all types, aliases included. The union is the list. Gates come
//! from `featuregate`. The caller caches [`Facts`] under the binary's [`BinaryIdentity`](super::binary::BinaryIdentity).

mod parse;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    slice,
    time::Duration,
};

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{
    binary::Binary,
    components::{Components, Section},
    reason,
    validate::MAX_OUTPUT,
};
use crate::os::run::{Finished, Limits, RunError, run};

/// A type that no Collector has.
const UNKNOWN: &str = "zz_unknown";

/// The types of each section that was answered for.
type Types = BTreeMap<Section, Vec<String>>;

/// What is known of a binary without running it as a Collector.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// `buildinfo.command`: the agent's `service.name` unless configured.
    pub command: String,
    pub description: String,
    pub version: String,
    pub components: Components,
    /// Ids of the feature gates the binary knows, on or off.
    pub feature_gates: Vec<String>,
    /// Its opamp extension can put all attributes of the resource into the description.
    #[serde(default)]
    pub describes_resource: bool,
}

impl Facts {
    #[must_use]
    pub fn has_gate(&self, id: &str) -> bool {
        self.feature_gates.iter().any(|gate| gate == id)
    }
}

/// Nothing could be learnt of the binary.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    #[error("cannot ask the Collector for `{command}`: {source}")]
    Run { command: &'static str, source: RunError },
    #[error("cannot learn what {} is: `components` {outcome}, and `validate` names no components; is it an OpenTelemetry Collector?", executable.display())]
    NotACollector { executable: PathBuf, outcome: String },
    #[error("cannot write {} for a validation", path.display())]
    Scratch { path: PathBuf, source: io::Error },
}

/// Learns what the binary is, within the deadline; on the main thread. `scratch` is a private directory.
pub async fn learn(binary: &Binary, scratch: &Path, deadline: Duration) -> Result<Facts, BootstrapError> {
    let learner = Learner { binary, scratch, ends: Instant::now() + deadline };
    let (components, gates, types, describes_resource) = tokio::join!(
        learner.run("components", &["components"]),
        learner.run("featuregate", &["featuregate"]),
        learner.types(&Section::ALL),
        learner.describes_resource(),
    );
    let (components, gates, types) = (components?, gates?, types?);
    let mut facts =
        if components.exit.success() { parse::components(&components.stdout) } else { Facts::default() };
    let answered = learner.rest(types).await?;
    facts.components.complete = answered.len() == Section::ALL.len();
    for (section, kinds) in answered {
        for kind in kinds {
            facts.components.insert(section, kind, None);
        }
    }
    if facts.components.is_empty() && facts.version.is_empty() {
        let executable = binary.executable.clone();
        return Err(BootstrapError::NotACollector { executable, outcome: outcome(&components) });
    }
    facts.describes_resource = describes_resource && facts.components.has(Section::Extensions, "opamp");
    if gates.exit.success() {
        facts.feature_gates = parse::gates(&gates.stdout);
    }
    if facts.version.is_empty() {
        let version = learner.run("--version", &["--version"]).await?;
        (facts.command, facts.version) = parse::version(&version.stdout);
    }
    Ok(facts)
}

struct Learner<'a> {
    binary: &'a Binary,
    scratch: &'a Path,
    ends: Instant,
}

impl Learner<'_> {
    async fn run(&self, command: &'static str, args: &[&str]) -> Result<Finished, BootstrapError> {
        let deadline = self.ends.saturating_duration_since(Instant::now());
        let finished = run(&self.binary.spec().args(args), Limits { deadline, output: MAX_OUTPUT }).await;
        finished.map_err(|source| BootstrapError::Run { command, source })
    }

    /// The types that `validate` names when it meets an unknown one in each of these sections.
    async fn types(&self, sections: &[Section]) -> Result<Types, BootstrapError> {
        let names: Vec<&str> = sections.iter().map(|section| section.as_str()).collect();
        let path = self.scratch.join(format!("unknown-{}.yaml", names.join("-")));
        let file = ScratchFile::write(path, &unknown_in(sections))?;
        let config = format!("file:{}", file.0.display());
        let finished = self.run("validate", &["validate", "--config", &config]).await?;
        Ok(parse::valid_values(&finished.stderr).chain(parse::valid_values(&finished.stdout)).collect())
    }

    /// Whether `validate` finds nothing wrong with the key that asks the opamp extension for it. One that does
    /// not answer is not asked for it.
    async fn describes_resource(&self) -> bool {
        const KEY: &str = "include_resource_attributes";
        let text = format!("extensions:\n  opamp:\n    agent_description:\n      {KEY}: true\n");
        let Ok(file) = ScratchFile::write(self.scratch.join("description.yaml"), &text) else { return false };
        let config = format!("file:{}", file.0.display());
        let Ok(finished) = self.run("validate", &["validate", "--config", &config]).await else {
            return false;
        };
        let said = [finished.stderr, finished.stdout].concat();
        !String::from_utf8_lossy(&said).contains(KEY)
    }

    /// A Collector that stops at its first unknown type is asked about the other sections one by one.
    async fn rest(&self, mut answered: Types) -> Result<Types, BootstrapError> {
        let missing = Section::ALL.iter().filter(|section| !answered.contains_key(section));
        let more = join_all(missing.map(|section| self.types(slice::from_ref(section)))).await;
        for types in more {
            answered.extend(types?);
        }
        Ok(answered)
    }
}

fn unknown_in(sections: &[Section]) -> String {
    sections.iter().map(|section| format!("{section}:\n  {UNKNOWN}:\n")).collect()
}

fn outcome(components: &Finished) -> String {
    let exit = components.exit;
    match reason::last_lines(&components.stderr, &components.stdout).as_str() {
        _ if exit.success() => "lists none".to_owned(),
        "" => format!("{exit} without a word"),
        lines => format!("{exit} ({lines})"),
    }
}

/// A config that is there for one validation.
struct ScratchFile(PathBuf);

impl ScratchFile {
    fn write(path: PathBuf, text: &str) -> Result<Self, BootstrapError> {
        let written = OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(&path);
        match written.and_then(|mut file| file.write_all(text.as_bytes())) {
            Ok(()) => Ok(Self(path)),
            Err(source) => Err(BootstrapError::Scratch { path, source }),
        }
    }
}

impl Drop for ScratchFile {
    fn drop(&mut self) {
        // A file left behind holds nothing secret and is overwritten by the next run.
        let _ = fs::remove_file(&self.0);
    }
}
