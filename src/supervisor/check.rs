//! Judging a config without touching what runs: first what it asks for and the text (YAML, components,
//! references), then the Collector's own `validate` on the candidate's files and on nothing else.

use std::path::PathBuf;

use super::{compose::Composed, fence::Restrictions, live::Live};
use crate::collector::{
    binary::Binary,
    components::Components,
    death,
    lint::{self, Diagnostic, Layer, Options, Severity},
    validate::{VALIDATE_DEADLINE, ValidateError, validate},
};
use crate::os::{fs::FsError, run::RunError};
use crate::wire::proto::AgentConfigMap;

/// Whether the binary itself is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskBinary {
    Yes,
    /// `agent.validate_config: false`
    No,
}

/// Why a candidate is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It will not do; this is everything a person needs to mend it.
    Unfit(String),
    /// It could not be judged.
    Unable(String),
}

/// What a check needs.
#[derive(Clone, Debug)]
pub struct Check {
    pub binary: Binary,
    pub components: Option<Components>,
    pub ask: AskBinary,
    /// What the layers of the server are held to.
    pub restrictions: Option<Restrictions>,
    /// Where the candidate's files are put for the binary to read.
    pub staging: PathBuf,
}

/// What a look at a candidate brought up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Faults of the text, each with its place; warnings too.
    pub diagnostics: Vec<Diagnostic>,
    /// What the Collector itself says against it, when it does not tell where.
    pub refusal: Option<String>,
}

impl Findings {
    /// Why the Collector cannot run it, if it cannot.
    #[must_use]
    pub fn unfit(&self) -> Option<String> {
        let errors = self.diagnostics.iter().filter(|found| found.severity == Severity::Error);
        let words: Vec<_> = errors.map(ToString::to_string).chain(self.refusal.clone()).collect();
        (!words.is_empty()).then(|| words.join("\n"))
    }
}

/// Whether a config that was taken before is still within the restrictions.
#[must_use]
pub fn is_within(restrictions: &Restrictions, config: &AgentConfigMap) -> bool {
    let objects = config.config_map.iter();
    let layers =
        objects.map(|(name, object)| Layer::from_bytes(name, &object.body)).collect::<Result<Vec<_>, _>>();
    layers.is_ok_and(|layers| restrictions.judge(&layers).is_empty())
}

impl Check {
    pub async fn judge(&self, candidate: &Composed) -> Result<(), Refusal> {
        match self.look(candidate).await?.unfit() {
            Some(why) => Err(Refusal::Unfit(why)),
            None => Ok(()),
        }
    }

    /// Everything that is found; the binary is asked only about a text without errors.
    pub async fn look(&self, candidate: &Composed) -> Result<Findings, Refusal> {
        let mut findings = Findings { diagnostics: self.read(candidate), refusal: None };
        if self.ask == AskBinary::Yes && !lint::has_errors(&findings.diagnostics) {
            let refusal = self.ask_binary(candidate).await?;
            let located = |words: &String| lint::located(&candidate.layers().ok()?, words);
            match refusal.as_ref().and_then(located) {
                Some(found) => findings.diagnostics.push(found),
                None => findings.refusal = refusal,
            }
        }
        Ok(findings)
    }

    /// What the text itself shows: what it may not ask for first, before the binary sees it and fetches what
    /// it refers to (F-81).
    fn read(&self, candidate: &Composed) -> Vec<Diagnostic> {
        let (layers, remote) = match (candidate.layers(), candidate.remote_layers()) {
            (Ok(layers), Ok(remote)) => (layers, remote),
            (Err(unreadable), _) | (_, Err(unreadable)) => return vec![unreadable],
        };
        let mut found = self.restrictions.as_ref().map_or_else(Vec::new, |rules| rules.judge(&remote));
        let linted = lint::lint(&layers, self.components.as_ref(), &Options::default());
        let more: Vec<_> = linted.into_iter().filter(|one| !found.contains(one)).collect();
        found.extend(more);
        found
    }

    async fn ask_binary(&self, candidate: &Composed) -> Result<Option<String>, Refusal> {
        let unable = |error: FsError| Refusal::Unable(format!("the config cannot be checked: {error}"));
        let staging = Live::open(&self.staging, self.binary.confinement.reader()).map_err(unable)?;
        staging.put(candidate).map_err(unable)?;
        let configs = staging.configs(candidate);
        let Err(error) = validate(&self.binary, &configs.as_configs(), VALIDATE_DEADLINE).await else {
            return Ok(None);
        };
        match error {
            ValidateError::CannotRun(RunError::Spawn(_) | RunError::Child(_)) => {
                Err(Refusal::Unable(error.to_string()))
            }
            ValidateError::CannotRun(RunError::TimedOut { .. }) | ValidateError::Died { .. } => {
                Ok(Some(error.to_string()))
            }
            ValidateError::Refused { text } if death::is_of_host(&text) => Err(Refusal::Unable(text)),
            ValidateError::Refused { .. } => Ok(Some(format!("the Collector refuses the config: {error}"))),
        }
    }
}
