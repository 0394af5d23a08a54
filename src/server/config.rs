//! The server's settings: from flags, from a YAML file with the same keys, and their defaults.

use std::{
    io,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{
    Options,
    listen::{Consent, Place},
};
use crate::{
    telemetry::logs::{Encoding, Level, LogOptions, Output},
    wire::DEFAULT_MESSAGE_LIMIT,
};

const OPAMP_LISTEN: &str = "127.0.0.1:4320";
const API_LISTEN: &str = "127.0.0.1:4321";
const DATA_DIR: &str = "opamp-server-data";
/// The smallest limit that lets an agent say anything at all.
const LEAST_LIMIT: usize = 4096;

/// What was said, by flags or in a file; what was not said is `None`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Settings {
    pub opamp_listen: Option<String>,
    pub api_listen: Option<String>,
    pub data_dir: Option<PathBuf>,
    pub insecure_agents: Option<bool>,
    pub insecure_api: Option<bool>,
    /// In bytes, for both directions and both transports.
    pub max_message_size: Option<usize>,
    /// error, warn, info, debug or trace.
    pub log_level: Option<String>,
    pub log_json: Option<bool>,
}

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read the configuration {path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} is no configuration of opamp-server: {source}")]
    Parse { path: PathBuf, source: serde_yaml::Error },
    #[error("log-level {0:?} is none of error, warn, info, debug and trace")]
    LogLevel(String),
    #[error("max-message-size is {0} bytes; the least is {LEAST_LIMIT}")]
    Limit(usize),
}

impl Settings {
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        serde_yaml::from_str(&text).map_err(|source| ConfigError::Parse { path: path.to_owned(), source })
    }

    /// What is not said here is taken from `other`.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            opamp_listen: self.opamp_listen.or(other.opamp_listen),
            api_listen: self.api_listen.or(other.api_listen),
            data_dir: self.data_dir.or(other.data_dir),
            insecure_agents: self.insecure_agents.or(other.insecure_agents),
            insecure_api: self.insecure_api.or(other.insecure_api),
            max_message_size: self.max_message_size.or(other.max_message_size),
            log_level: self.log_level.or(other.log_level),
            log_json: self.log_json.or(other.log_json),
        }
    }

    /// How to log: to stderr, as text unless JSON was asked for.
    pub fn logs(&self) -> Result<LogOptions, ConfigError> {
        let level = match &self.log_level {
            None => Level::INFO,
            Some(text) => text.parse().map_err(|_| ConfigError::LogLevel(text.clone()))?,
        };
        let encoding = if self.log_json == Some(true) { Encoding::Json } else { Encoding::Console };
        Ok(LogOptions { level, encoding, outputs: vec![Output::Stderr] })
    }

    pub fn options(self) -> Result<Options, ConfigError> {
        let consent = |said: Option<bool>| match said {
            Some(true) => Consent::Anywhere,
            Some(false) | None => Consent::Loopback,
        };
        let message_limit = self.max_message_size.unwrap_or(DEFAULT_MESSAGE_LIMIT);
        if message_limit < LEAST_LIMIT {
            return Err(ConfigError::Limit(message_limit));
        }
        Ok(Options {
            opamp: Place {
                flag: "--opamp-listen",
                consent: "--insecure-agents",
                consented: consent(self.insecure_agents),
                address: self.opamp_listen.unwrap_or_else(|| OPAMP_LISTEN.to_owned()),
            },
            api: Place {
                flag: "--api-listen",
                consent: "--insecure-api",
                consented: consent(self.insecure_api),
                address: self.api_listen.unwrap_or_else(|| API_LISTEN.to_owned()),
            },
            data_dir: self.data_dir.unwrap_or_else(|| DATA_DIR.into()),
            message_limit,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_win_over_the_file_and_the_file_over_defaults() {
        let file: Settings = serde_yaml::from_str("opamp-listen: 127.0.0.1:1\ndata-dir: /x\n").unwrap();
        let flags = Settings { opamp_listen: Some("127.0.0.1:2".to_owned()), ..Default::default() };
        let options = flags.or(file).options().unwrap();
        assert_eq!(options.opamp.address, "127.0.0.1:2");
        assert_eq!(options.api.address, API_LISTEN);
        assert_eq!(options.data_dir, PathBuf::from("/x"));
        assert_eq!(options.opamp.consented, Consent::Loopback);
    }

    #[test]
    fn an_unknown_key_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("server.yaml");
        std::fs::write(&path, "api-listen: 127.0.0.1:1\nopamp_listen: x\n").unwrap();
        let refused = Settings::read(&path).unwrap_err().to_string();
        assert!(refused.contains("opamp_listen") && refused.contains("server.yaml"), "{refused}");
        let loud = Settings { log_level: Some("loud".to_owned()), ..Default::default() };
        assert!(loud.logs().unwrap_err().to_string().contains("loud"));
        assert!(Settings { max_message_size: Some(1), ..Default::default() }.options().is_err());
    }
}
