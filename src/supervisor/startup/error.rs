//! Why the supervisor cannot run.

use std::io;

use crate::{
    os::{clock::NoRandom, fs::FsError, lock::LockError},
    supervisor::{
        compose::ComposeError, healthcheck::HealthcheckError, journal::JournalError, owned::OwnedKey,
        sandbox::SandboxError, target::TargetError,
    },
};

/// The supervisor cannot run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("storage.directory: {}{}", .0, .0.advice())]
    Storage(#[source] FsError),
    #[error(transparent)]
    Locked(#[from] LockError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("agent.executable: {0}")]
    Executable(#[source] FsError),
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    #[error(transparent)]
    OwnedKey(#[from] OwnedKey),
    #[error(transparent)]
    LocalFiles(#[from] ComposeError),
    #[error(
        "agent.opamp_server_port: cannot listen on 127.0.0.1:{port}: {source}; free the port, or set 0 to take a free one"
    )]
    LocalPort { port: u16, source: io::Error },
    #[error(transparent)]
    Healthcheck(#[from] HealthcheckError),
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error("{0}")]
    HandedOver(String),
    #[error(transparent)]
    NoRandom(#[from] NoRandom),
    #[error("cannot listen for signals: {0}")]
    Signals(#[source] io::Error),
}

impl StartError {
    /// The exit code of the program (sysexits).
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Locked(LockError::Held { .. }) => 75,
            Self::Storage(error) if error.is_of_settings() => 78,
            Self::Executable(_) | Self::OwnedKey(_) | Self::LocalFiles(_) | Self::Sandbox(_) => 78,
            Self::LocalPort { .. } | Self::Healthcheck(_) | Self::Target(_) => 78,
            _ => 1,
        }
    }
}
