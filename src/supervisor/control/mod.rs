//! The running supervisor as seen from its own host: a socket on which administrators ask how it is and
//! tell it what to do.
//!
//! One request is one JSON line and so is its answer; one connection carries one of each. Who may connect is
//! decided by the directory (0700), the socket (0600) and the peer's uid, which must be root or the
//! supervisor's own.
//!
//! - `serve`: the task at the supervisor's end; the driver hears of a request as an `Asked`
//! - `ask`: the other end, without a runtime
//! - `status`: what is known of supervisor, server, Collector and config; `packages`: of packages
//!
//! Not here: what a request does (`driver`), what a person types and reads (`commands`).

mod ask;
mod packages;
mod serve;
mod status;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

pub use ask::{AskError, ask};
pub(super) use packages::packages_status;
pub use packages::{PackageOnHost, PackagesStatus, TrialStatus};
pub(super) use serve::serve;
pub use status::{
    AgentStatus, CollectorStatus, ConfigStatus, FILE, FailedConfig, LastOutcome, LastSuccession, OFFER,
    OnTrial, ServerStatus, Status, SupervisorStatus, Unwell, time_of,
};
pub(super) use status::{bounded, hex};

/// How long one end waits for the other one's line.
const LINE_WITHIN: Duration = Duration::from_secs(5);
/// How long the driver may take to answer; a reload that is checked takes longest.
const ANSWER_WITHIN: Duration = Duration::from_secs(120);
/// The longest line with a request, and with an answer.
const MOST_ASKED: usize = 4 * 1024 * 1024;
const MOST_ANSWERED: usize = 4 * 1024 * 1024;

/// Where the socket of a storage directory is.
#[must_use]
pub fn socket_of(storage: &Path) -> PathBuf {
    storage.join("run").join("control.sock")
}

/// What an administrator wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum Request {
    Status,
    /// Back to what was before: the Collector if one is on trial, else the config.
    RollBack,
    /// Back to the Collector before.
    RollBackPackage,
    /// Offers of the server are held, or taken again.
    Pause,
    Resume,
    /// Reads supervisor.yaml again, and waits for what comes of it.
    Reload,
    /// Another supervisor takes the place of this one: that executable, or what is now where this one was started
    /// from. Where that happens there is no answer, as who was asked is gone.
    Reexec {
        #[serde(default)]
        executable: Option<PathBuf>,
    },
    /// Gives the text back without what only the running supervisor knows to be secret.
    Mask {
        text: String,
    },
}

/// What the supervisor says to that.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    Status(Box<Status>),
    /// It is done, or begun.
    Done {
        said: String,
    },
    Masked {
        text: String,
    },
    /// What was to be taken is wrong; all is as before.
    Unfit {
        why: String,
    },
    /// It is not done; why.
    Refused {
        why: String,
    },
}

/// A request, and where its answer goes.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) request: Request,
    pub(super) reply: oneshot::Sender<Answer>,
}
