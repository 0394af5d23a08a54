//! The parts of `telemetry` that leave the supervisor over OTLP, typed.

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use url::Url;

use super::{model::TlsIdentity, secret::Secret};

/// What is exported, where to, and as whose.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExportsConfig {
    pub resource: ResourceConfig,
    pub logs: Vec<Batched>,
    pub spans: Vec<Batched>,
    pub metrics: Vec<Periodic>,
}

impl ExportsConfig {
    /// Whether anything is exported.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        !(self.logs.is_empty() && self.spans.is_empty() && self.metrics.is_empty())
    }
}

/// `telemetry.resource`
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResourceConfig {
    /// `None` takes a default away.
    pub attributes: BTreeMap<String, Option<Attribute>>,
    pub schema_url: String,
    pub detect_host: bool,
    pub detect_process: bool,
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attribute {
    Text(String),
    Bool(bool),
    Int(i64),
    /// As written; it is a number.
    Double(String),
    Texts(Vec<String>),
}

/// A processor of logs or spans, and its exporter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batched {
    pub export: Export,
    /// How long the first item of a batch waits for others.
    pub delay: Duration,
    pub batch: usize,
    pub queue: usize,
}

/// A reader of metrics, and its exporter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Periodic {
    pub export: Export,
    pub interval: Duration,
}

/// An exporter of OTLP over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    pub endpoint: ExportUrl,
    pub headers: Vec<(String, Secret)>,
    pub ca: Option<PathBuf>,
    pub identity: Option<TlsIdentity>,
    pub gzip: bool,
    pub timeout: Duration,
}

/// A whole URL, path included. Its `Debug` leaves out what may hold secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct ExportUrl(pub Url);

impl fmt::Debug for ExportUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.0.scheme(), self.0.host_str().unwrap_or_default(), self.0.path())
    }
}
