//! From what was said to what the server does: defaults, and what does not go together.

use std::{ops::RangeInclusive, path::PathBuf, time::Duration};

use jiff::SignedDuration;

use super::{AgentAuth, ConfigError, Settings};
use crate::{
    protocol::custom,
    server::{
        Options,
        accept::LoadLimits,
        fleet::presence::Windows,
        listen::{Place, Reach},
        tls::TlsFiles,
    },
    transport::tls::Version,
    wire::DEFAULT_MESSAGE_LIMIT,
};

const OPAMP_LISTEN: &str = "127.0.0.1:4320";
pub(super) const API_LISTEN: &str = "127.0.0.1:4321";
const DATA_DIR: &str = "opamp-server-data";
pub(super) const PLAIN_AGENTS: Reach = Reach::Loopback {
    danger: "others could read and change what agents and the server say",
    remedy: "give --opamp-tls-cert and --opamp-tls-key, or say --insecure-agents if the network in front of it is trusted",
};
pub(super) const OPEN_AGENTS: Reach = Reach::Loopback {
    danger: "with --agent-auth none anybody could be an agent",
    remedy: "say --agent-auth required, or --insecure-agents if everybody who reaches it is trusted",
};
const PLAIN_API: Reach = Reach::Loopback {
    danger: "others could read the token that operators send",
    remedy: "give --api-tls-cert and --api-tls-key, or say --insecure-api if the network in front of it is trusted",
};
/// How long agents' certificates live unless told otherwise.
const CLIENT_CERT_DAYS: u32 = 90;
const CLIENT_CERT_RANGE: RangeInclusive<u32> = 1..=3650;
/// The largest file of a package unless told otherwise: 1 GiB, which is what supervisors take.
pub(super) const PACKAGE_LIMIT: u64 = 1 << 30;
/// The smallest limit that lets an agent say anything at all.
pub(super) const LEAST_LIMIT: usize = 4096;
/// Silence is looked for once a second.
const LEAST_WINDOW: SignedDuration = SignedDuration::from_secs(1);

impl Settings {
    pub fn options(self) -> Result<Options, ConfigError> {
        let message_limit = self.max_message_size.unwrap_or(DEFAULT_MESSAGE_LIMIT);
        if message_limit < LEAST_LIMIT {
            return Err(ConfigError::Limit(message_limit));
        }
        let package_limit = self.max_package_size.unwrap_or(PACKAGE_LIMIT);
        if package_limit == 0 {
            return Err(ConfigError::PackageLimit);
        }
        let mut custom_capabilities = vec![custom::DISCOVERY.to_owned()];
        for name in &self.custom_capabilities {
            custom::check_name(name)?;
            if !custom_capabilities.contains(name) {
                custom_capabilities.push(name.clone());
            }
        }
        let load = self.load()?;
        let windows = self.windows()?;
        let (opamp_tls, api_tls) = self.tls()?;
        let advertise = self.opamp_advertise.as_deref().map(advertised).transpose()?;
        let days = self.client_cert_days.unwrap_or(CLIENT_CERT_DAYS);
        if !CLIENT_CERT_RANGE.contains(&days) {
            return Err(ConfigError::CertDays(days));
        }
        let insecure_agents = self.insecure_agents == Some(true);
        let secured = if opamp_tls.is_some() { AgentAuth::Required } else { AgentAuth::None };
        let agent_auth = self.agent_auth.unwrap_or(if insecure_agents { AgentAuth::None } else { secured });
        let opamp_reach = match (opamp_tls.is_some(), agent_auth) {
            _ if insecure_agents => Reach::Anywhere,
            (true, AgentAuth::Required) => Reach::Anywhere,
            (true, AgentAuth::None) => OPEN_AGENTS,
            (false, _) => PLAIN_AGENTS,
        };
        let api_reach =
            if api_tls.is_some() || self.insecure_api == Some(true) { Reach::Anywhere } else { PLAIN_API };
        Ok(Options {
            opamp: Place {
                flag: "--opamp-listen",
                reach: opamp_reach,
                address: self.opamp_listen.unwrap_or_else(|| OPAMP_LISTEN.to_owned()),
                tls: opamp_tls,
            },
            api: Place {
                flag: "--api-listen",
                reach: api_reach,
                address: self.api_listen.unwrap_or_else(|| API_LISTEN.to_owned()),
                tls: api_tls,
            },
            data_dir: self.data_dir.unwrap_or_else(|| DATA_DIR.into()),
            message_limit,
            package_limit,
            custom_capabilities,
            load,
            windows,
            agent_auth,
            advertise,
            csr_approval: self.csr_approval.unwrap_or_default(),
            client_cert_lifetime: Duration::from_secs(u64::from(days) * 86_400),
        })
    }

    fn load(&self) -> Result<LoadLimits, ConfigError> {
        let default = LoadLimits::default();
        let load = LoadLimits {
            max_connections: self.max_connections.unwrap_or(default.max_connections),
            connect_rate: self.connect_rate.unwrap_or(default.connect_rate),
            message_rate: self.max_message_rate.unwrap_or(default.message_rate),
        };
        match load {
            LoadLimits { max_connections: 0, .. } => Err(ConfigError::Zero("max-connections")),
            LoadLimits { connect_rate: 0, .. } => Err(ConfigError::Zero("connect-rate")),
            LoadLimits { message_rate: 0, .. } => Err(ConfigError::Zero("max-message-rate")),
            load => Ok(load),
        }
    }

    fn windows(&self) -> Result<Windows, ConfigError> {
        let least = LEAST_WINDOW;
        for (key, given) in [("stale-after", self.stale_after), ("gone-after", self.gone_after)] {
            if let Some(given) = given.filter(|given| *given < least) {
                return Err(ConfigError::Window { key, given, least });
            }
        }
        let default = Windows::default();
        Ok(Windows {
            stale_after: self.stale_after,
            gone_after: self.gone_after.unwrap_or(default.gone_after),
        })
    }

    /// The files of both planes.
    fn tls(&self) -> Result<(Option<TlsFiles>, Option<TlsFiles>), ConfigError> {
        let min_version = match self.tls_min_version.as_deref() {
            None | Some("1.2") => Version::V1_2,
            Some("1.3") => Version::V1_3,
            Some(other) => return Err(ConfigError::TlsVersion(other.to_owned())),
        };
        let files = |flags: &'static str, cert: &Option<PathBuf>, key: &Option<PathBuf>| {
            let half = |given: &str, missing: &str| ConfigError::Half {
                given: format!("{flags}-tls-{given}"),
                missing: format!("{flags}-tls-{missing}"),
            };
            match (cert.clone(), key.clone()) {
                (None, None) => Ok(None),
                (Some(_), None) => Err(half("cert", "key")),
                (None, Some(_)) => Err(half("key", "cert")),
                (Some(cert), Some(key)) => {
                    let (client_cas, own_ca) = (Vec::new(), None);
                    Ok(Some(TlsFiles { flags, cert, key, client_cas, own_ca, min_version }))
                }
            }
        };
        let mut opamp = files("--opamp", &self.opamp_tls_cert, &self.opamp_tls_key)?;
        match &mut opamp {
            Some(opamp) => opamp.client_cas.clone_from(&self.opamp_client_ca),
            None if !self.opamp_client_ca.is_empty() => return Err(ConfigError::ClientCaWithoutTls),
            None => {}
        }
        Ok((opamp, files("--api", &self.api_tls_cert, &self.api_tls_key)?))
    }
}

/// S-CS-05.
fn advertised(text: &str) -> Result<String, ConfigError> {
    let url = url::Url::parse(text).ok().filter(|url| {
        matches!(url.scheme(), "ws" | "wss" | "http" | "https")
            && url.host_str().is_some_and(|host| !host.is_empty())
    });
    url.map(String::from).ok_or_else(|| ConfigError::Advertise(text.to_owned()))
}
