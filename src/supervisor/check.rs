//! Judging a config without touching what runs: first the text (YAML, components, references), then the
//! Collector's own `validate` on the candidate's files and on nothing else.

use std::path::PathBuf;

use super::{compose::Composed, live::Live};
use crate::collector::{
    binary::Binary,
    components::Components,
    lint::{self, Options, Severity},
    validate::{VALIDATE_DEADLINE, validate},
};

/// Whether the binary itself is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskBinary {
    Yes,
    /// `agent.validate_config: false`
    No,
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
    /// `Err` holds everything a person needs to mend the config.
    pub async fn judge(&self, candidate: &Composed) -> Result<(), String> {
        let layers = candidate.layers().map_err(|error| error.to_string())?;
        let found = lint::lint(&layers, self.components.as_ref(), &Options::default());
        let errors: Vec<_> = found
            .iter()
            .filter(|diagnostic| diagnostic.severity == Severity::Error)
            .map(ToString::to_string)
            .collect();
        if !errors.is_empty() {
            return Err(errors.join("\n"));
        }
        if self.ask == AskBinary::No {
            return Ok(());
        }
        let staging = Live::open(&self.staging).map_err(|error| error.to_string())?;
        staging.put(candidate).map_err(|error| error.to_string())?;
        let configs = staging.configs(candidate);
        validate(&self.binary, &configs.as_configs(), VALIDATE_DEADLINE)
            .await
            .map_err(|error| format!("the Collector refuses the config: {error}"))
    }
}
