//! What is kept of connection settings that the server offered.
//!
//! A secret is always the value of a key named `secret`, so that whoever shows the file finds them all.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::{Map, Value};

use super::state::from_hex;

/// The section `connection` of the state.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ConnectionState {
    /// What the server was told of its last offer, or is about to be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<SettingsStatus>,
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
        from_hex(&text).map(Self).ok_or_else(|| D::Error::custom(format!("{text:?} is not hex")))
    }
}
