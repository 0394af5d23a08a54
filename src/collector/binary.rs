//! A Collector binary: how it is called, and which file it is.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::os::{
    child::Spec,
    fs::{FileIdentity, FsError, sha256_of},
    sandbox::Confinement,
};

/// A Collector binary with everything that every call of it has in common (`agent` in supervisor.yaml).
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Binary {
    pub executable: PathBuf,
    /// `agent.args`; may carry `--config` and `--set`.
    pub args: Vec<String>,
    /// Gates that the supervisor turns on, beside those in `args`.
    pub feature_gates: Vec<String>,
    pub env: BTreeMap<String, String>,
    /// What it gives up in every run of it.
    pub confinement: Confinement,
}

/// Values of environment variables are often secrets: names only.
impl fmt::Debug for Binary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Binary")
            .field("executable", &self.executable)
            .field("args", &self.args)
            .field("feature_gates", &self.feature_gates)
            .field("env", &self.env.keys())
            .finish()
    }
}

/// The configs of one run, each as the value of a `--config` flag (a path or a URI), lowest first.
#[derive(Debug, Clone, Copy, Default)]
pub struct Configs<'a> {
    pub layers: &'a [String],
    /// What the supervisor owns; comes after everything else, also after `--config` in `agent.args`.
    pub overlay: Option<&'a str>,
}

impl Binary {
    /// A command without arguments, in the Collector's environment.
    #[must_use]
    pub fn spec(&self) -> Spec {
        let env = self.env.iter().map(|(name, value)| (name.into(), value.into()));
        let confinement = self.confinement.clone();
        Spec { env: env.collect(), confinement, ..Spec::new(&self.executable) }
    }

    /// The arguments of a run: the layers, `--config` of `agent.args`, the overlay, gates, the other args.
    #[must_use]
    pub fn run_args(&self, configs: &Configs<'_>) -> Vec<String> {
        let (own_configs, others) = split_configs(&self.args);
        let mut args = Vec::new();
        for config in configs.layers.iter().map(String::as_str).chain(own_configs).chain(configs.overlay) {
            args.extend(["--config".to_owned(), config.to_owned()]);
        }
        if !self.feature_gates.is_empty() {
            args.push(format!("--feature-gates={}", self.feature_gates.join(",")));
        }
        args.extend(others.map(str::to_owned));
        args
    }
}

/// The values of `--config` among the arguments, and the other arguments.
fn split_configs(args: &[String]) -> (Vec<&str>, impl Iterator<Item = &str>) {
    let (mut configs, mut others) = (Vec::new(), Vec::new());
    let mut args = args.iter().map(String::as_str);
    while let Some(arg) = args.next() {
        let flag = arg.strip_prefix("--").or_else(|| arg.strip_prefix('-')).unwrap_or_default();
        match (flag, flag.strip_prefix("config=")) {
            ("config", _) => configs.extend(args.next()),
            (_, Some(value)) => configs.push(value),
            _ => others.push(arg),
        }
    }
    (configs, others.into_iter())
}

/// Which file a binary is: the key under which what was learnt of it is cached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BinaryIdentity {
    /// Cheap to read; when none of it has changed, the hash has not either.
    pub file: FileIdentity,
    /// SHA-256 of the content, in hexadecimal.
    pub sha256: String,
}

impl BinaryIdentity {
    /// The identity of the file; `known` spares hashing a file that has not changed.
    pub fn of(path: &Path, known: Option<&Self>) -> Result<Self, FsError> {
        let file = FileIdentity::of(path)?;
        if let Some(known) = known.filter(|known| known.file == file) {
            return Ok(known.clone());
        }
        let sha256 = sha256_of(path)?.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { file, sha256 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_overlay_comes_after_every_other_config() {
        let args = ["--set=a=b", "--config", "x.yaml", "-config=env:Y", "--verbose"];
        let binary = Binary {
            args: args.map(str::to_owned).to_vec(),
            feature_gates: vec!["a".into(), "-b".into()],
            ..Default::default()
        };
        let layers = ["file:/l/1".to_owned(), "file:/l/2".to_owned()];
        let args = binary.run_args(&Configs { layers: &layers, overlay: Some("file:/o") });
        assert_eq!(
            args.join(" "),
            "--config file:/l/1 --config file:/l/2 --config x.yaml --config env:Y --config file:/o \
             --feature-gates=a,-b --set=a=b --verbose"
        );
    }

    #[test]
    fn the_environment_is_not_shown() {
        let binary =
            Binary { env: BTreeMap::from([("TOKEN".into(), "s3cret".into())]), ..Default::default() };
        let shown = format!("{binary:?} {:?}", binary.spec());
        assert!(shown.contains("TOKEN") && !shown.contains("s3cret"), "{shown}");
    }

    #[test]
    fn the_hash_is_made_again_when_the_file_changes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("otelcol");
        std::fs::write(&path, "one").unwrap();
        let first = BinaryIdentity::of(&path, None).unwrap();
        assert!(first.sha256.starts_with("7692c3ad3540bb803c020b3aee66cd88"), "{}", first.sha256);
        let trusted = BinaryIdentity { sha256: "cached".into(), ..first.clone() };
        assert_eq!(BinaryIdentity::of(&path, Some(&trusted)).unwrap(), trusted);
        std::fs::write(&path, "two!").unwrap();
        assert_ne!(BinaryIdentity::of(&path, Some(&trusted)).unwrap().sha256, "cached");
        assert!(BinaryIdentity::of(&dir.path().join("none"), None).is_err());
    }
}
