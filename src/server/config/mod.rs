//! The server's settings: from flags, from a YAML file with the same keys, and their defaults.
//!
//! - `options`: what the server makes of them

mod options;

use std::{
    io,
    path::{Path, PathBuf},
    str::FromStr,
};

use jiff::SignedDuration;
use options::{LEAST_LIMIT, PACKAGE_LIMIT};
use serde::Deserialize;

use super::identity::Approval;
use crate::{
    protocol::custom,
    telemetry::logs::{Encoding, Level, LogOptions, Output},
};

/// What was said, by flags or in a file; what was not said is `None`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Settings {
    pub opamp_listen: Option<String>,
    pub api_listen: Option<String>,
    pub data_dir: Option<PathBuf>,
    /// The certificate that agents are shown, PEM, with its chain.
    pub opamp_tls_cert: Option<PathBuf>,
    pub opamp_tls_key: Option<PathBuf>,
    /// CAs whose certificates are believed of agents.
    #[serde(default)]
    pub opamp_client_ca: Vec<PathBuf>,
    pub api_tls_cert: Option<PathBuf>,
    pub api_tls_key: Option<PathBuf>,
    /// 1.2 or 1.3, on both planes.
    pub tls_min_version: Option<String>,
    /// none or required.
    pub agent_auth: Option<AgentAuth>,
    /// What agents that enrol are told to connect to, if it is not what they dialled.
    pub opamp_advertise: Option<String>,
    /// automatic or manual.
    pub csr_approval: Option<Approval>,
    /// Of agents' certificates, in days.
    pub client_cert_days: Option<u32>,
    pub insecure_agents: Option<bool>,
    pub insecure_api: Option<bool>,
    /// In bytes, for both directions and both transports.
    pub max_message_size: Option<usize>,
    /// Of the file of a package, in bytes.
    pub max_package_size: Option<u64>,
    /// Custom capabilities that operators use, beside those of this server.
    #[serde(default)]
    pub custom_capabilities: Vec<String>,
    /// WebSockets of agents at once.
    pub max_connections: Option<usize>,
    /// Agents that may connect in a second.
    pub connect_rate: Option<u32>,
    /// Messages that an agent may send in a second over a WebSocket.
    pub max_message_rate: Option<u32>,
    /// How long an agent may be silent, such as `90s`, before it is shown as stale; and as gone.
    pub stale_after: Option<SignedDuration>,
    pub gone_after: Option<SignedDuration>,
    /// error, warn, info, debug or trace.
    pub log_level: Option<String>,
    pub log_json: Option<bool>,
}

/// Whether agents must prove who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AgentAuth {
    None,
    Required,
}

impl FromStr for AgentAuth {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::None),
            "required" => Ok(Self::Required),
            _ => Err("say none or required".to_owned()),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read the configuration {path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} is no configuration of opamp-server: {source}")]
    Parse { path: PathBuf, source: serde_yaml::Error },
    #[error("log-level {0:?} is none of error, warn, info, debug and trace")]
    LogLevel(String),
    #[error("{given} is given without {missing}; TLS needs both")]
    Half { given: String, missing: String },
    #[error("opamp-client-ca needs opamp-tls-cert and opamp-tls-key: agents show certificates over TLS only")]
    ClientCaWithoutTls,
    #[error("tls-min-version {0:?} is neither 1.2 nor 1.3")]
    TlsVersion(String),
    #[error("custom-capabilities: {0}")]
    Custom(#[from] custom::BadName),
    #[error("opamp-advertise {0:?} is no URL with ws, wss, http or https and a host")]
    Advertise(String),
    #[error("client-cert-days is {0}; give 1 to 3650")]
    CertDays(u32),
    #[error("max-message-size is {0} bytes; the least is {LEAST_LIMIT}")]
    Limit(usize),
    #[error("max-package-size is 0, which would let no package in; leave it out for {PACKAGE_LIMIT}")]
    PackageLimit,
    #[error("{0} is 0, which would let no agent in; the least is 1")]
    Zero(&'static str),
    #[error("{key} is {given:#}; the least is {least:#}")]
    Window { key: &'static str, given: SignedDuration, least: SignedDuration },
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
            opamp_tls_cert: self.opamp_tls_cert.or(other.opamp_tls_cert),
            opamp_tls_key: self.opamp_tls_key.or(other.opamp_tls_key),
            opamp_client_ca: if self.opamp_client_ca.is_empty() {
                other.opamp_client_ca
            } else {
                self.opamp_client_ca
            },
            api_tls_cert: self.api_tls_cert.or(other.api_tls_cert),
            api_tls_key: self.api_tls_key.or(other.api_tls_key),
            tls_min_version: self.tls_min_version.or(other.tls_min_version),
            agent_auth: self.agent_auth.or(other.agent_auth),
            opamp_advertise: self.opamp_advertise.or(other.opamp_advertise),
            csr_approval: self.csr_approval.or(other.csr_approval),
            client_cert_days: self.client_cert_days.or(other.client_cert_days),
            insecure_agents: self.insecure_agents.or(other.insecure_agents),
            insecure_api: self.insecure_api.or(other.insecure_api),
            max_message_size: self.max_message_size.or(other.max_message_size),
            max_package_size: self.max_package_size.or(other.max_package_size),
            custom_capabilities: if self.custom_capabilities.is_empty() {
                other.custom_capabilities
            } else {
                self.custom_capabilities
            },
            max_connections: self.max_connections.or(other.max_connections),
            connect_rate: self.connect_rate.or(other.connect_rate),
            max_message_rate: self.max_message_rate.or(other.max_message_rate),
            stale_after: self.stale_after.or(other.stale_after),
            gone_after: self.gone_after.or(other.gone_after),
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
}

#[cfg(test)]
mod tests {
    use super::{
        options::{API_LISTEN, OPEN_AGENTS, PLAIN_AGENTS},
        *,
    };
    use crate::server::listen::Reach;

    #[test]
    fn flags_win_over_the_file_and_the_file_over_defaults() {
        let file: Settings = serde_yaml::from_str("opamp-listen: 127.0.0.1:1\ndata-dir: /x\n").unwrap();
        let flags = Settings { opamp_listen: Some("127.0.0.1:2".to_owned()), ..Default::default() };
        let options = flags.or(file).options().unwrap();
        assert_eq!(options.opamp.address, "127.0.0.1:2");
        assert_eq!(options.api.address, API_LISTEN);
        assert_eq!(options.data_dir, PathBuf::from("/x"));
        assert_eq!((options.opamp.reach, options.agent_auth), (PLAIN_AGENTS, AgentAuth::None));
    }

    #[test]
    fn s_tc_02_agents_are_expected_at_port_4320() {
        let address = |settings: Settings| settings.options().unwrap().opamp.address;
        assert!(address(Settings::default()).ends_with(":4320"));
        let other = Settings { opamp_listen: Some("127.0.0.1:1".to_owned()), ..Default::default() };
        assert_eq!(address(other), "127.0.0.1:1");
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
        let none = Settings { max_package_size: Some(0), ..Default::default() };
        assert!(none.options().unwrap_err().to_string().contains("max-package-size is 0"));
    }

    #[test]
    fn tls_makes_agents_prove_who_they_are_unless_told_otherwise() {
        let with = |yaml: &str| {
            let tls = "opamp-tls-cert: c.pem\nopamp-tls-key: k.pem\n";
            serde_yaml::from_str::<Settings>(&format!("{tls}{yaml}")).unwrap().options().unwrap()
        };
        let tls = with("opamp-client-ca: [a.pem]");
        assert_eq!((tls.opamp.reach, tls.agent_auth), (Reach::Anywhere, AgentAuth::Required));
        assert_eq!(tls.opamp.tls.unwrap().client_cas, [PathBuf::from("a.pem")]);
        let open = with("agent-auth: none");
        assert_eq!((open.opamp.reach, open.agent_auth), (OPEN_AGENTS, AgentAuth::None));
        let consented = with("insecure-agents: true");
        assert_eq!((consented.opamp.reach, consented.agent_auth), (Reach::Anywhere, AgentAuth::None));
    }

    #[test]
    fn half_of_tls_is_refused_by_name() {
        let refused =
            |yaml: &str| serde_yaml::from_str::<Settings>(yaml).unwrap().options().unwrap_err().to_string();
        assert!(refused("opamp-tls-cert: c.pem").contains("without --opamp-tls-key"));
        assert!(refused("api-tls-key: k.pem").contains("without --api-tls-cert"));
        assert!(refused("opamp-client-ca: [a.pem]").contains("opamp-tls-cert"));
        assert!(refused("tls-min-version: \"1.1\"").contains("1.1"));
    }
}
