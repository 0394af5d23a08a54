//! Everything that can go wrong in `opampctl`, each with its exit code.

use std::path::PathBuf;

use super::output::clean;

/// Wrong arguments (`EX_USAGE`).
pub const EXIT_USAGE: u8 = 64;
const EXIT_UNREACHABLE: u8 = 69;
/// Not over yet; ask again later (`EX_TEMPFAIL`).
const EXIT_NOT_YET: u8 = 75;
const EXIT_CONFIG: u8 = 78;

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The arguments contradict each other or the files they name.
    #[error("{0}")]
    Usage(String),
    /// The configuration file, a token file or a CA file cannot be used.
    #[error("{path}: {what}", path = path.display())]
    Config { path: PathBuf, what: String },
    /// A setting that does not come from one file is wrong.
    #[error("{0}")]
    Setting(String),
    /// No answer from the server.
    #[error("cannot reach {url}: {what}", what = innermost(source))]
    Unreachable { url: String, source: reqwest::Error },
    /// The HTTP client could not be made.
    #[error("cannot set up HTTP: {0}")]
    Http(#[source] reqwest::Error),
    /// The server answered, with a refusal.
    #[error("{method} {url}: {status} {text}")]
    Api { method: http::Method, url: String, status: u16, text: String },
    /// The server answered 401.
    #[error(
        "{url} wants a token that it knows: give --token-file FILE, OPAMPCTL_TOKEN_FILE or a context with one \
         (opamp-server writes it to <data-dir>/admin.token)"
    )]
    Unauthorized { url: String },
    /// The server answered with something that is not what was asked for.
    #[error("{url}: the answer cannot be used: {what}")]
    Answer { url: String, what: String },
    /// A file named on the command line cannot be read.
    #[error("cannot read {path}: {source}", path = path.display())]
    Read { path: PathBuf, source: std::io::Error },
    /// A file cannot be written.
    #[error("cannot write {path}: {source}", path = path.display())]
    Write { path: PathBuf, source: std::io::Error },
    /// A file named on the command line does not hold what it should.
    #[error("{origin}: {what}")]
    Content { origin: String, what: String },
    /// A config has errors: one line each, with its place.
    #[error("{0}\nnothing was sent")]
    Lint(String),
    /// Nothing by that name.
    #[error("{0}")]
    NotFound(String),
    /// The person said no.
    #[error("nothing was changed")]
    Declined,
    /// At least one agent did not take the config.
    #[error("{failed} of {total} failed, {pending} without an answer in time")]
    NotApplied { failed: usize, pending: usize, total: usize },
    /// Agents of a package offer failed; so many that it was stopped, or fewer.
    #[error("packageoffer/{name}: {failed} of {total} agents failed")]
    NotInstalled { name: String, failed: usize, total: usize },
    #[error("packageoffer/{name} was stopped: {why}")]
    Stopped { name: String, why: String },
    /// No agent of a package offer can have what is in it.
    #[error("packageoffer/{name}: {why}")]
    NotOffered { name: String, why: String },
    /// A package offer is not over yet.
    #[error("packageoffer/{name} is not over: {done} of {total} agents have what is in it")]
    NotYet { name: String, done: usize, total: usize },
    /// An agent was sent a message, and did not answer.
    #[error("agent/{agent} was sent the message; {missing} of its answers did not come within {wait:?}")]
    NoReply { agent: String, missing: usize, wait: std::time::Duration },
    /// Standard output is gone.
    #[error("cannot write to standard output: {0}")]
    Output(#[source] std::io::Error),
}

impl Error {
    /// The exit code that every program of this project uses for this kind of failure.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => EXIT_USAGE,
            Self::Unreachable { .. } => EXIT_UNREACHABLE,
            Self::Config { .. } | Self::Setting(_) => EXIT_CONFIG,
            Self::NotYet { .. } => EXIT_NOT_YET,
            _ if self.is_closed_pipe() => 0,
            _ => 1,
        }
    }

    /// What to tell the person; nothing when the reader of our output has just had enough of it.
    pub fn report(&self) -> Option<String> {
        (!self.is_closed_pipe()).then(|| clean(&self.to_string()))
    }

    fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Output(e) if e.kind() == std::io::ErrorKind::BrokenPipe)
    }
}

/// reqwest nests three layers around the reason; the reason is what helps.
fn innermost(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut reason: &dyn std::error::Error = error;
    while let Some(source) = reason.source() {
        reason = source;
    }
    let reason = reason.to_string();
    // What rustls says of an answer that is plain HTTP.
    let plain = reason.contains("InvalidContentType");
    if plain { "it does not speak TLS; is it http:// rather than https://?".to_owned() } else { reason }
}
