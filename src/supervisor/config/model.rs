//! The configuration as the rest of the supervisor reads it: typed, with defaults filled in.
//!
//! Everything is comparable, so that a reload can tell what changed.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{endpoint::ServerEndpoint, export::ExportsConfig, packages::PackagesConfig, secret::Secret};
use crate::{
    os::sandbox::{Capabilities as KernelCapabilities, FileAccess, Limits},
    supervisor::fence::Restrictions,
    transport::{
        Limits as MessageLimits, Proxy,
        tls::{CipherSuite, Curve},
    },
    wire::InstanceUid,
};

/// A whole `supervisor.yaml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SupervisorConfig {
    pub server: ServerConfig,
    pub agent: AgentConfig,
    pub capabilities: Capabilities,
    pub storage: StorageConfig,
    pub telemetry: TelemetryConfig,
    /// Absent: nothing is served.
    pub healthcheck: Option<HealthcheckConfig>,
    /// What remote configs are held to; nothing beyond the checks when the section is absent.
    pub restrictions: Option<Restrictions>,
    pub packages: PackagesConfig,
}

/// `server`: the OpAMP server and how to reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerConfig {
    pub endpoint: ServerEndpoint,
    /// Sent on connect; one header may have several values.
    pub headers: BTreeMap<String, Vec<Secret>>,
    /// Before what the environment says.
    pub proxy: Option<Proxy>,
    /// Of messages, on either transport.
    pub limits: MessageLimits,
    /// Used with `wss` and `https`, and with a proxy that is spoken to inside TLS.
    pub tls: TlsConfig,
    /// How long an offered connection has to prove itself.
    pub settings_apply_timeout: Duration,
    /// Whether the server is asked for a client certificate.
    pub request_certificate: bool,
}

/// `server.tls`, reduced to what rustls can honour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsConfig {
    /// Without one, the system's certificates are trusted.
    pub ca: Option<Pem>,
    /// Trust the system's certificates besides `ca`.
    pub include_system_ca_certs_pool: bool,
    pub identity: Option<TlsIdentity>,
    pub min_version: TlsVersion,
    pub max_version: TlsVersion,
    /// Plain text on a scheme that does not say; `wss` and `https` do say, so it has no effect with them.
    pub insecure: bool,
    pub insecure_skip_verify: bool,
    pub server_name_override: Option<String>,
    /// The only ones to offer; empty for all that are good.
    pub cipher_suites: Vec<CipherSuite>,
    /// The only curves to offer; empty for all.
    pub curves: Vec<Curve>,
    /// How often a standing connection looks whether the files changed.
    pub reload_interval: Option<Duration>,
}

impl TlsConfig {
    /// The files that it is made of.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let ca = self.ca.iter().filter_map(Pem::file);
        let identity = self.identity.iter().flat_map(|identity| [identity.cert.file(), identity.key.file()]);
        ca.chain(identity.flatten())
    }
}

/// Client certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsIdentity {
    pub cert: Pem,
    pub key: PemKey,
}

/// Public PEM data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pem {
    File(PathBuf),
    Text(String),
}

impl Pem {
    fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Text(_) => None,
        }
    }
}

/// A private key in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PemKey {
    File(PathBuf),
    Text(Secret),
}

impl PemKey {
    fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Text(_) => None,
        }
    }
}

/// The versions that rustls speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    V1_2,
    V1_3,
}

/// `agent`: the Collector and how it is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentConfig {
    pub executable: PathBuf,
    /// The Collector's file in a package of it, where its name does not tell (`agent.package.agent_binary`).
    pub packaged_binary: Option<String>,
    /// The identity of a first start; a stored one wins.
    pub instance_id: Option<InstanceUid>,
    pub description: AgentDescription,
    /// How long a new config has until its first healthy report; the supervisor's own default when absent.
    pub config_apply_timeout: Option<Duration>,
    pub bootstrap_timeout: Duration,
    /// Port of the local OpAMP endpoint; 0 takes a free one.
    pub opamp_server_port: u16,
    pub passthrough_logs: bool,
    /// How much of a dead Collector's output is told with its death, in bytes.
    pub crash_log_snippet: usize,
    /// Absent: SIGHUP when only contents changed, restart otherwise.
    pub use_hup_config_reload: Option<bool>,
    pub validate_config: bool,
    /// Whether a config that fails after the switch is undone.
    pub automatic_config_rollback: bool,
    /// Layers to run while the server was never reached and nothing of it is stored.
    pub startup_fallback_configs: Vec<PathBuf>,
    /// The layers in their order, each special one present.
    pub config_files: Vec<ConfigFile>,
    /// Whether a local layer that cannot be read is an error; else it is left out, and said.
    pub require_config_files: bool,
    pub args: Vec<String>,
    /// Added to the inherited environment.
    pub env: BTreeMap<String, Secret>,
    pub sandbox: SandboxConfig,
}

/// What the Collector gives up: `agent.run_as`, `no_new_privs`, `capabilities`, `limits`, `access_dirs`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SandboxConfig {
    /// `user` or `user:group`
    pub run_as: Option<String>,
    pub no_new_privs: bool,
    /// The only ones that stay.
    pub capabilities: Option<KernelCapabilities>,
    pub limits: Limits,
    pub access: Option<FileAccess>,
    pub access_rule: AccessRule,
}

/// What a kernel without Landlock means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AccessRule {
    /// It is said, and the Collector runs.
    #[default]
    AsFarAsTheKernelCan,
    /// The supervisor does not start.
    Required,
}

/// `agent.description`: attributes that add to or replace what the Collector says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AgentDescription {
    pub identifying_attributes: BTreeMap<String, String>,
    pub non_identifying_attributes: BTreeMap<String, String>,
    /// Whether the Collector is asked for all attributes of its resource.
    pub include_resource_attributes: bool,
}

/// One entry of `agent.config_files`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigFile {
    Path(PathBuf),
    /// `$OWN_TELEMETRY_CONFIG`
    OwnTelemetry,
    /// `$OPAMP_EXTENSION_CONFIG`
    OpampExtension,
    /// `$REMOTE_CONFIG`
    Remote,
}

/// `capabilities`: what the file allows; what is advertised is this and what is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    pub accepts_remote_config: bool,
    pub accepts_restart_command: bool,
    pub accepts_opamp_connection_settings: bool,
    pub accepts_packages: bool,
    pub reports_effective_config: bool,
    pub reports_own_metrics: bool,
    pub reports_own_logs: bool,
    pub reports_own_traces: bool,
    pub reports_health: bool,
    /// On with `accepts_remote_config` too.
    pub reports_remote_config: bool,
    pub reports_available_components: bool,
    pub reports_heartbeat: bool,
    /// What listens on the host is told to a server that asks (`discovery`).
    pub reports_services: bool,
    pub reports_connection_settings_status: bool,
}

impl Default for Capabilities {
    fn default() -> Self {
        Self {
            accepts_remote_config: false,
            accepts_restart_command: false,
            accepts_opamp_connection_settings: false,
            accepts_packages: false,
            reports_effective_config: true,
            reports_own_metrics: true,
            reports_own_logs: false,
            reports_own_traces: false,
            reports_health: true,
            reports_remote_config: false,
            reports_available_components: false,
            reports_heartbeat: true,
            reports_services: false,
            reports_connection_settings_status: false,
        }
    }
}

/// `storage`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageConfig {
    pub directory: PathBuf,
}

/// `telemetry`: of the supervisor itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TelemetryConfig {
    pub logs: LogsConfig,
    pub exports: ExportsConfig,
}

/// `telemetry.logs`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogsConfig {
    pub level: LogLevel,
    pub output_paths: Vec<LogOutput>,
    pub encoding: LogEncoding,
}

/// zap's levels; those above error are error here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    Debug,
    Info,
    Warn,
    Error,
}

impl From<LogLevel> for tracing::Level {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Debug => Self::DEBUG,
            LogLevel::Info => Self::INFO,
            LogLevel::Warn => Self::WARN,
            LogLevel::Error => Self::ERROR,
        }
    }
}

/// One entry of `telemetry.logs.output_paths`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogOutput {
    Stdout,
    Stderr,
    File(PathBuf),
}

/// How a log line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogEncoding {
    Json,
    Console,
}

/// `healthcheck`: the HTTP endpoint that tells how supervisor, Collector and server are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthcheckConfig {
    /// Empty: all addresses.
    pub host: String,
    pub port: u16,
    pub family: Family,
    pub tls: Option<ServerTlsConfig>,
    /// Added to each answer.
    pub response_headers: Vec<(String, Secret)>,
    /// How long a request's head may take to arrive.
    pub read_header_timeout: Duration,
    /// How long an answer may take to be read.
    pub write_timeout: Duration,
    pub keep_alives_enabled: bool,
}

/// `healthcheck.transport`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    Any,
    V4,
    V6,
}

/// `healthcheck.tls`, reduced to what rustls can honour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTlsConfig {
    pub identity: TlsIdentity,
    /// Who may connect; without it anybody.
    pub client_ca: Option<PathBuf>,
    pub min_version: TlsVersion,
    pub max_version: TlsVersion,
}
