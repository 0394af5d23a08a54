//! What a person runs on the host, beside the daemon itself. One file per command: it finds out or asks, and
//! writes what is to be read to the writer that it is given.
//!
//! - [`args`]: the grammar; `place`: which supervisor is meant
//! - `status`: how it is; `human`: in words; `logs`: what the Collector wrote
//! - `diag`: one file for a bug report
//! - `export`: what another supervisor needs to take over
//! - `validate`: whether the files would do
//! - `orders`: what the running supervisor is told to do
//! - `reexec`: another supervisor in the place of the running one; `verify`: whether this one could take over
//! - `about`: version, completions, manual page
//!
//! Not here: the running supervisor's end (`control`, `driver`). Called by `bin/opamp-supervisor`.

mod about;
pub mod args;
mod diag;
mod export;
mod human;
mod logs;
mod orders;
mod place;
mod reexec;
mod status;
mod validate;
mod verify;

use std::{
    io::{self, Write},
    path::PathBuf,
    time::Duration,
};

use args::{Args, Command, Format};

use super::{
    config::ConfigError,
    control::{AskError, Request, ask},
    journal::JournalError,
};
use crate::os::fs::FsError;

/// Exit codes; those of 64 and above as sysexits(3) names them.
pub const OK: u8 = 0;
pub const FAILED: u8 = 1;
/// As `systemctl status` has it.
pub const NOT_RUNNING: u8 = 3;
pub const USAGE: u8 = 64;
pub const NOT_ALLOWED: u8 = 77;
pub const CONFIG: u8 = 78;

/// How long an order waits until the Collector is well.
const WELL_WITHIN: Duration = Duration::from_secs(90);

/// A command came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error(transparent)]
    File(#[from] FsError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("cannot read {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("no supervisor has kept anything in {}", .0.display())]
    NothingKept(PathBuf),
    #[error(
        "the Collector's output is passed through to the supervisor's own log (agent.passthrough_logs), which \
         telemetry.logs.output_paths names"
    )]
    PassedThrough,
    #[error("there is no output of a Collector yet: {} is not there", .0.display())]
    NoOutput(PathBuf),
    #[error("{0}")]
    Refused(String),
    #[error("it is not taken, and all runs on as before: {0}")]
    NotTaken(String),
    #[error("{done}, but the Collector is not well with it after {WELL_WITHIN:?}: {why}")]
    NotWell { done: String, why: String },
    #[error("{0}")]
    Undone(String),
    #[error("this supervisor cannot take over here: {0}")]
    CannotTakeOver(String),
    #[error("there is no command {0:?}; --help lists them")]
    NoSuchCommand(String),
    #[error("interrupted")]
    Interrupted,
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
}

impl CommandError {
    /// The exit code of the program.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::NotTaken(_) | Self::CannotTakeOver(_) => CONFIG,
            Self::NoSuchCommand(_) => USAGE,
            Self::Ask(AskError::NotRunning(_)) => NOT_RUNNING,
            Self::Ask(AskError::NotAllowed(_)) => NOT_ALLOWED,
            Self::File(FsError::Io { source, .. }) if source.kind() == io::ErrorKind::PermissionDenied => {
                NOT_ALLOWED
            }
            _ => FAILED,
        }
    }

    /// Whoever read the output has seen enough.
    #[must_use]
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

/// Runs a command; the exit code says how it went.
pub fn run(args: &Args, command: &Command, out: &mut dyn Write) -> Result<u8, CommandError> {
    match command {
        Command::Status(status) => status::run(&args.place(&status.target)?, status.output, out),
        Command::Validate(validate) => validate::run(args.config_file(), validate, out),
        Command::Rollback(back) => {
            let order = if back.package { Request::RollBackPackage } else { Request::RollBack };
            orders::roll_back(&args.place(&back.target)?, &order, out)
        }
        Command::Reload(target) => orders::give(&args.place(target)?, &Request::Reload, out),
        Command::Reexec(reexec) => {
            reexec::run(&args.place(&reexec.target)?, reexec.executable.as_deref(), out)
        }
        Command::Verify(verify) => verify::run(args.config_file(), verify.output, out),
        Command::Pause(target) => orders::give(&args.place(target)?, &Request::Pause, out),
        Command::Resume(target) => orders::give(&args.place(target)?, &Request::Resume, out),
        Command::Logs(logs) => logs::run(&args.place(&logs.target)?, logs, out),
        Command::Diag(diag) => diag::run(args, diag, out),
        Command::ExportLegacy(export) => export::run(&args.place(&export.target)?, export.to.as_deref(), out),
        Command::Version(version) => about::version(version, out),
        Command::Completions(completions) => about::completions(completions, out),
        Command::Man(man) => about::man(man, out),
    }
}

fn json(value: &impl serde::Serialize, out: &mut dyn Write) -> Result<(), CommandError> {
    serde_json::to_writer_pretty(&mut *out, value).map_err(io::Error::from)?;
    Ok(writeln!(out)?)
}
