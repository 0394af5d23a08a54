//! `supervisor.yaml`: text → typed configuration, with every fault named by line and column.
//!
//! The file of the established supervisor loads unchanged. Stages: read → `yaml` (a tree with positions) →
//! `expand` (`${…}`) → `walk` against the table in `keys` (unknown keys, shapes, notices) → `decode`
//! (values, defaults, the rules of single keys). All problems are collected, not only the first.
//!
//! It opens no socket, starts nothing and logs nothing: [`load`] hands its [`Notice`]s to the caller, which is
//! `bin` at start. To add a key: a row in `keys` and in `schema::texts`, a field in `model`, a line in `decode`, a line in
//! `tests/config/samples/every-key.yaml`.

mod context;
mod decode;
mod duration;
mod endpoint;
mod error;
mod expand;
mod export;
mod keys;
mod model;
mod nearest;
mod packages;
mod schema;
mod secret;
mod storage;
mod walk;
mod yaml;

use std::{
    fs,
    io::{self, Read},
    path::Path,
};

pub use endpoint::{InvalidEndpoint, ServerEndpoint, Transport};
pub use error::{ConfigError, Notice, Position, Problem};
pub use export::{Attribute, Batched, Export, ExportUrl, ExportsConfig, Periodic, ResourceConfig};
pub use model::{
    AccessRule, AgentConfig, AgentDescription, Capabilities, ConfigFile, Family, HealthcheckConfig,
    LogEncoding, LogLevel, LogOutput, LogsConfig, Pem, PemKey, SandboxConfig, ServerConfig, ServerTlsConfig,
    StorageConfig, SupervisorConfig, TelemetryConfig, TlsConfig, TlsIdentity, TlsVersion,
};

pub use packages::{Downgrade, DownloadRules, PackageTrial, PackagesConfig, SignatureRules};
pub use schema::schema;
pub use secret::Secret;
pub use storage::storage_directory;

/// Where state is kept unless `storage.directory` says otherwise.
pub const DEFAULT_STORAGE_DIRECTORY: &str = "/var/lib/otelcol/supervisor";

/// Largest file read, `supervisor.yaml` itself or one that `${file:}` names.
const MAX_FILE: u64 = 1024 * 1024;

/// What [`parse`] may look at besides the text.
#[derive(Clone, Copy)]
pub struct Sources<'a> {
    /// An environment variable.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// The text of a file named by `${file:}`.
    pub read: &'a dyn Fn(&Path) -> io::Result<String>,
    /// Whether a path is a file that could be run.
    pub stat: &'a dyn Fn(&Path) -> io::Result<()>,
}

/// A configuration, and what its reader should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    pub config: SupervisorConfig,
    pub notices: Vec<Notice>,
}

/// Reads and checks a file.
///
/// # Errors
/// The file cannot be read, or its content is wrong.
pub fn load(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Loaded, ConfigError> {
    if path.as_os_str().is_empty() {
        return Err(ConfigError::NoPath);
    }
    let text = read_bounded(path).map_err(|source| read_failed(path, source))?;
    parse(&text, &path.display().to_string(), Sources { env, read: &read_bounded, stat: &stat })
}

/// Checks a text. `file` is its name in messages.
///
/// # Errors
/// The content is wrong: [`ConfigError::Invalid`].
pub fn parse(text: &str, file: &str, sources: Sources<'_>) -> Result<Loaded, ConfigError> {
    let invalid = |mut problems: Vec<Problem>| {
        problems.sort_by_key(|problem| problem.at);
        ConfigError::Invalid { file: file.to_owned(), problems }
    };
    let fault = |fault: yaml::Fault| {
        invalid(vec![Problem { at: fault.at, key: String::new(), message: fault.message }])
    };
    let document = yaml::parse(text).map_err(fault)?;
    let root = yaml::nest(document.root).map_err(fault)?;
    let mut expander = expand::Expander::new(&sources);
    let root = expander.node(root, "", Position::START, 0);
    let mut context = context::Context::new(&root, sources, expander.notices, expander.problems);
    if let Some(at) = document.second {
        let message = "a second YAML document starts here and is not read".to_owned();
        context.notices.push(Notice { at, key: String::new(), message });
    }
    if walk::walk(&mut context)
        && let Some(config) = decode::decode(&mut context)
        && context.problems.is_empty()
    {
        context.notices.sort_by_key(|notice| notice.at);
        return Ok(Loaded { config, notices: context.notices });
    }
    Err(invalid(context.problems))
}

fn read_failed(path: &Path, source: io::Error) -> ConfigError {
    match source.kind() {
        io::ErrorKind::InvalidData => ConfigError::NotText { path: path.to_owned() },
        io::ErrorKind::FileTooLarge => ConfigError::TooLarge { path: path.to_owned(), limit: MAX_FILE },
        _ => ConfigError::Read { path: path.to_owned(), source },
    }
}

fn read_bounded(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?.take(MAX_FILE + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("more than {MAX_FILE} bytes")));
    }
    Ok(text)
}

fn stat(path: &Path) -> io::Result<()> {
    if fs::metadata(path)?.is_file() { Ok(()) } else { Err(io::Error::other("not a regular file")) }
}
