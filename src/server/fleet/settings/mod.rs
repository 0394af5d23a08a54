//! Connection settings: what operators write of them, and what an agent is offered of it.
//! Which endpoint an agent shall use for OpAMP, where its own telemetry goes, and destinations that it knows by name.
//!
//! - this file: the settings as they are written, in Commander's shape and with more keys
//! - `check`: what is refused when they are written
//! - `offer`: the settings of one agent, from groups, from its own spec and from what the server issued to it
//! - `state`: how far an agent is with them
//!
//! Not here: whether and when an offer is sent (`protocol::server`), who issues credentials (`Agent::issued` is filled
//! by whoever does).

mod check;
mod offer;
mod state;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Deserializer, Serialize};

pub(super) use check::{headers as check_headers, parse as check_url};
pub use offer::{Issued, Unsettled, Wanted};
pub use state::SettingsState;

use crate::wire::proto::AgentCapabilities;

/// The heartbeat of an agent for which nobody wrote another. It is always said, for an offer without one would switch
/// heartbeats off.
pub const HEARTBEAT_SECONDS: u64 = 30;

/// `connectionSettings` of a group or of an agent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConnectionSettings {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opamp: Option<Destination>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_metrics: Option<Destination>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_logs: Option<Destination>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_traces: Option<Destination>,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub other_connections: BTreeMap<String, Destination>,
}

/// One connection. Which keys it may have depends on its class; `check` knows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Destination {
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub destination_endpoint: String,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Headers::is_empty")]
    pub headers: Headers,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub certificate_name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<Proxy>,
    /// Of `opamp` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat_interval_seconds: Option<u64>,
    /// Of own telemetry only: that it may go unencrypted to another host.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub insecure: bool,
    /// Of other connections only.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub other_settings: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Tls {
    pub ca_pem_contents: String,
    pub include_system_ca_certs_pool: bool,
    pub insecure_skip_verify: bool,
    pub min_version: String,
    pub max_version: String,
    pub cipher_suites: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Proxy {
    #[serde(default)]
    pub url: String,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Headers::is_empty")]
    pub connect_headers: Headers,
}

/// Headers, each with its values. They hold tokens, so `Debug` shows names only.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Headers(pub BTreeMap<String, Vec<String>>);

impl Headers {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Which connection a [`Destination`] is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    Opamp,
    OwnMetrics,
    OwnLogs,
    OwnTraces,
    Other(String),
}

impl Class {
    /// The bit of agents that take offers of this class (S-CS-01).
    #[must_use]
    pub fn bit(&self) -> AgentCapabilities {
        match self {
            Self::Opamp => AgentCapabilities::AcceptsOpAmpConnectionSettings,
            Self::OwnMetrics => AgentCapabilities::ReportsOwnMetrics,
            Self::OwnLogs => AgentCapabilities::ReportsOwnLogs,
            Self::OwnTraces => AgentCapabilities::ReportsOwnTraces,
            Self::Other(_) => AgentCapabilities::AcceptsOtherConnectionSettings,
        }
    }
}

/// As it is written in `connectionSettings`.
impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opamp => f.write_str("opamp"),
            Self::OwnMetrics => f.write_str("ownMetrics"),
            Self::OwnLogs => f.write_str("ownLogs"),
            Self::OwnTraces => f.write_str("ownTraces"),
            Self::Other(name) => write!(f, "otherConnections.{name}"),
        }
    }
}

impl ConnectionSettings {
    /// Everything that is written, by class.
    pub fn classes(&self) -> impl Iterator<Item = (Class, &Destination)> {
        let fixed = [
            (Class::Opamp, &self.opamp),
            (Class::OwnMetrics, &self.own_metrics),
            (Class::OwnLogs, &self.own_logs),
            (Class::OwnTraces, &self.own_traces),
        ];
        let fixed = fixed.into_iter().filter_map(|(class, given)| given.as_ref().map(|given| (class, given)));
        fixed.chain(self.other_connections.iter().map(|(name, given)| (Class::Other(name.clone()), given)))
    }

    /// Drops classes in which nothing is written: Commander's programs send such for those that nobody set.
    pub fn normalise(&mut self) {
        let blank = Destination::default();
        for class in [&mut self.opamp, &mut self.own_metrics, &mut self.own_logs, &mut self.own_traces] {
            if class.as_ref() == Some(&blank) {
                *class = None;
            }
        }
        self.other_connections.retain(|_, given| *given != blank);
    }
}

/// Takes `null` for what is not set.
pub(super) fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    from: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}
