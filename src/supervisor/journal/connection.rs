//! What is kept of connection settings that the server offered.
//!
//! A secret is always the value of a key named `secret`, so that whoever shows the file finds them all.

use data_encoding::HEXLOWER_PERMISSIVE;
use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::{Map, Value};

use crate::{
    supervisor::config::{Secret, ServerEndpoint},
    wire::InstanceUid,
};

/// The section `connection` of the state.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ConnectionState {
    /// What the server was told of its last offer, or is about to be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<SettingsStatus>,
    /// What holds instead of what the file says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid: Option<Settings>,
    /// What is being tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate: Option<Candidate>,
    /// A certificate is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<CertificateRequest>,
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// How it went with one offer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingsStatus {
    pub hash: SettingsHash,
    /// One for each class that the offer has and this agent takes.
    #[serde(default)]
    pub classes: BTreeMap<Class, Taken>,
}

/// What an offer is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The connection to the server itself.
    #[serde(rename = "opamp")]
    OpAmp,
    /// Metrics, traces and logs of the agent's own.
    OwnTelemetry,
    /// Connections that the Collector makes.
    Other,
}

/// How far one class of an offer got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Taken {
    Applying,
    Applied,
    Failed {
        #[serde(default)]
        error: String,
    },
}

/// The hash of an offer: opaque bytes; on disk and for people it is hex.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct SettingsHash(pub Vec<u8>);

impl fmt::Display for SettingsHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SettingsHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for SettingsHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SettingsHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes());
        bytes.map(Self).map_err(|_| D::Error::custom(format!("{text:?} is not hex")))
    }
}

/// What of the server's offers is laid over `server` of supervisor.yaml; what is absent is as the file says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// The offer that they are of.
    #[serde(default)]
    pub offer: SettingsHash,
    /// Tells the file's `server` that they were laid over from another one.
    #[serde(default)]
    pub over: String,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "endpoint")]
    pub endpoint: Option<ServerEndpoint>,
    /// In place of all headers of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers: Option<Vec<StoredHeader>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<StoredCertificate>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<StoredTls>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<StoredProxy>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat_seconds: Option<u64>,
}

/// A header of each request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredHeader {
    pub name: String,
    #[serde(rename = "secret", with = "secret")]
    pub value: Secret,
}

/// A proxy to go through, in place of that of the file and the environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredProxy {
    /// It may hold a password.
    #[serde(rename = "secret", with = "secret")]
    pub url: Secret,
    #[serde(default)]
    pub connect_headers: Vec<StoredHeader>,
}

/// A client certificate, with its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredCertificate {
    pub cert_pem: String,
    #[serde(rename = "secret", with = "secret")]
    pub key_pem: Secret,
    /// Who asked for it by a CSR, with a key of this host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_by: Option<InstanceUid>,
}

/// The key of a certificate that is asked for, and whom that is to name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateRequest {
    #[serde(rename = "secret", with = "secret")]
    pub key_pem: Secret,
    pub uid: InstanceUid,
    /// As it is sent until something came of it: signed anew, it would be another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub csr_pem: Option<String>,
}

/// Whom to believe, and how to speak.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredTls {
    /// Absent: the CA of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_pem: Option<String>,
    #[serde(default)]
    pub system_roots: bool,
    /// Counts only where the file allows it.
    #[serde(default)]
    pub skip_verify: bool,
    /// `1.2` or `1.3`; absent: that of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_version: Option<String>,
    /// Empty: those of the file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cipher_suites: Vec<String>,
}

/// Settings that have yet to prove themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    pub settings: Settings,
    /// Lives of the supervisor that began to try them.
    #[serde(default)]
    pub entries: u32,
}

mod secret {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::supervisor::config::Secret;

    pub(super) fn serialize<S: Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(secret.expose())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
        String::deserialize(deserializer).map(Secret::new)
    }
}

/// An endpoint is written whole: user part and query may be needed to connect.
mod endpoint {
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    use crate::supervisor::config::ServerEndpoint;

    pub(super) fn serialize<S: Serializer>(
        endpoint: &Option<ServerEndpoint>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match endpoint {
            Some(endpoint) => serializer.serialize_str(endpoint.url().as_str()),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<ServerEndpoint>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| text.parse()).transpose().map_err(D::Error::custom)
    }
}
