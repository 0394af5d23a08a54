//! Judging a config without touching what runs: first the text (YAML, components, references), then the
//! Collector's own `validate` on the candidate's files and on nothing else.

use std::path::PathBuf;

use super::{compose::Composed, live::Live};
use crate::collector::{
    binary::Binary,
    components::Components,
    death,
    lint::{self, Options, Severity},
    validate::{VALIDATE_DEADLINE, ValidateError, validate},
};
use crate::os::{fs::FsError, run::RunError};

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
    /// Where the candidate's files are put for the binary to read.
    pub staging: PathBuf,
}

impl Check {
    pub async fn judge(&self, candidate: &Composed) -> Result<(), Refusal> {
        let layers = candidate.layers().map_err(|error| Refusal::Unfit(error.to_string()))?;
        let found = lint::lint(&layers, self.components.as_ref(), &Options::default());
        let errors: Vec<_> = found
            .iter()
            .filter(|diagnostic| diagnostic.severity == Severity::Error)
            .map(ToString::to_string)
            .collect();
        if !errors.is_empty() {
            return Err(Refusal::Unfit(errors.join("\n")));
        }
        if self.ask == AskBinary::No {
            return Ok(());
        }
        let unable = |error: FsError| Refusal::Unable(format!("the config cannot be checked: {error}"));
        let staging = Live::open(&self.staging).map_err(unable)?;
        staging.put(candidate).map_err(unable)?;
        let configs = staging.configs(candidate);
        validate(&self.binary, &configs.as_configs(), VALIDATE_DEADLINE).await.map_err(|error| match error {
            ValidateError::CannotRun(RunError::Spawn(_) | RunError::Child(_)) => {
                Refusal::Unable(error.to_string())
            }
            ValidateError::CannotRun(RunError::TimedOut { .. }) | ValidateError::Died { .. } => {
                Refusal::Unfit(error.to_string())
            }
            ValidateError::Refused { text } if death::is_of_host(&text) => Refusal::Unable(text),
            ValidateError::Refused { .. } => {
                Refusal::Unfit(format!("the Collector refuses the config: {error}"))
            }
        })
    }
}
