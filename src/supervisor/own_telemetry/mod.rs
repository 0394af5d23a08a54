//! Where the agent's own telemetry goes by the server's word: metrics, traces and logs of Collector and supervisor.
//!
//! - `offer`: what of an offer can be honoured, and what is refused with its reason
//! - `layer`: what the Collector is told, in the declarative form of its `service.telemetry`
//! - `exports`: what the supervisor sends itself, as the same agent
//! - `files`: certificates and keys, as files that the Collector may read
//!
//! Not here: whether the Collector does with it, which the machine finds out (`driver::own_telemetry`).

mod exports;
mod files;
mod layer;
mod offer;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use serde_json::{Map, Value};

use super::config::{Capabilities, Secret};

pub(super) use exports::plan;
pub(super) use files::Store;
pub(super) use offer::merge;

/// Where each signal goes; without a place, where the file says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnTelemetry {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) metrics: Option<Outlet>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) traces: Option<Outlet>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) logs: Option<Outlet>,
}

/// An endpoint of OTLP over HTTP, and how to speak to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Outlet {
    /// A whole URL, its path too.
    pub(super) endpoint: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) headers: Vec<Header>,
    #[serde(default, skip_serializing_if = "Trust::is_default")]
    pub(super) trust: Trust,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) identity: Option<ClientIdentity>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) name: String,
    #[serde(serialize_with = "exposed", deserialize_with = "secret")]
    pub(super) secret: Secret,
}

/// Whom to believe.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Trust {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ca_pem: Option<String>,
    /// The system's certificates besides.
    #[serde(default)]
    pub(super) system_too: bool,
}

impl Trust {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A client certificate, PEM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ClientIdentity {
    pub(super) cert: String,
    #[serde(serialize_with = "exposed", deserialize_with = "secret")]
    pub(super) secret: Secret,
}

fn exposed<S: Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose())
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
    String::deserialize(deserializer).map(Secret::new)
}

/// Makes the Collector's part of it, as far as the host allows.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    telemetry: OwnTelemetry,
    dir: PathBuf,
}

impl Rule {
    /// `dir` holds the certificates.
    pub(super) const fn new(telemetry: OwnTelemetry, dir: PathBuf) -> Self {
        Self { telemetry, dir }
    }

    /// Keys of `service.telemetry`.
    pub(super) fn layer(&self, allowed: &Capabilities) -> Map<String, Value> {
        layer::layer(&self.telemetry.allowed(allowed), &self.dir)
    }
}

impl OwnTelemetry {
    /// What of it the host lets the server choose.
    pub(super) fn allowed(&self, by: &Capabilities) -> Self {
        Self {
            metrics: self.metrics.clone().filter(|_| by.reports_own_metrics),
            traces: self.traces.clone().filter(|_| by.reports_own_traces),
            logs: self.logs.clone().filter(|_| by.reports_own_logs),
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.metrics.is_none() && self.traces.is_none() && self.logs.is_none()
    }

    pub(super) fn outlets(&self) -> impl Iterator<Item = &Outlet> {
        [&self.metrics, &self.traces, &self.logs].into_iter().flatten()
    }

    /// Everything that no log may show.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &Secret> {
        self.outlets().flat_map(|outlet| {
            let headers = outlet.headers.iter().map(|header| &header.secret);
            headers.chain(outlet.identity.iter().map(|identity| &identity.secret))
        })
    }
}
