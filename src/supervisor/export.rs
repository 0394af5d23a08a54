//! `telemetry` of supervisor.yaml as something that can be sent: destinations, and whose telemetry it is.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use http::{HeaderMap, HeaderName, HeaderValue};

use super::config::{Attribute, Batched, Export, ExportsConfig, Pem, PemKey, ResourceConfig};
use crate::{
    os::{
        clock::{self, NoRandom},
        host,
    },
    telemetry::otlp::{
        self, Batching, Destination, Exports, Instruments, KeyValue, NoClient, Plan, list, value::Value,
    },
    transport::tls::{self, Identity, TlsError, TlsOptions},
    wire::InstanceUid,
};

/// Telemetry cannot be exported as the file says.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error("telemetry: {place}: cannot read {}: {source}", path.display())]
    File { place: String, path: PathBuf, source: io::Error },
    #[error("telemetry: {place}: {source}")]
    Tls { place: String, source: TlsError },
    #[error(transparent)]
    Client(#[from] NoClient),
    #[error(transparent)]
    NoRandom(#[from] NoRandom),
}

/// Queues and clients for all that is exported, and where the supervisor says what happens to it.
pub fn prepare(config: &ExportsConfig) -> Result<(Exports, Instruments), ExportError> {
    let batched = |all: &[Batched]| {
        all.iter()
            .map(|one| {
                let batching = Batching { delay: one.delay, most: one.batch, queue: one.queue };
                Ok((destination(&one.export)?, batching))
            })
            .collect::<Result<Vec<_>, ExportError>>()
    };
    let metrics = config.metrics.iter().map(|one| Ok((destination(&one.export)?, one.interval)));
    let plan = Plan {
        attributes: attributes(&config.resource)?,
        schema_url: config.resource.schema_url.clone(),
        logs: batched(&config.logs)?,
        spans: batched(&config.spans)?,
        metrics: metrics.collect::<Result<_, ExportError>>()?,
        of_agent: false,
    };
    let instruments = Instruments::default();
    Ok((Exports::new(plan, &instruments)?, instruments))
}

fn destination(export: &Export) -> Result<Destination, ExportError> {
    let place = || format!("{:?}", export.endpoint);
    let read = |path: &Path| {
        fs::read(path).map_err(|source| ExportError::File { place: place(), path: path.to_owned(), source })
    };
    let tls = if export.endpoint.0.scheme() == "https" {
        let identity = match &export.identity {
            None => None,
            Some(identity) => Some(Identity {
                cert_pem: match &identity.cert {
                    Pem::File(path) => read(path)?,
                    Pem::Text(text) => text.clone().into_bytes(),
                },
                key_pem: match &identity.key {
                    PemKey::File(path) => read(path)?,
                    PemKey::Text(text) => text.expose().as_bytes().to_vec(),
                },
            }),
        };
        let ca_pem = export.ca.as_deref().map(read).transpose()?;
        TlsOptions { ca_pem, identity, ..TlsOptions::default() }.build()
    } else {
        tls::unused()
    };
    let mut headers = HeaderMap::new();
    for (name, value) in &export.headers {
        // Both were checked when the file was read.
        if let (Ok(name), Ok(mut value)) =
            (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value.expose()))
        {
            value.set_sensitive(true);
            headers.append(name, value);
        }
    }
    Ok(Destination {
        url: export.endpoint.0.clone(),
        headers,
        tls: tls.map_err(|source| ExportError::Tls { place: place(), source })?,
        gzip: export.gzip,
        timeout: export.timeout,
    })
}

/// Defaults, then what is detected, then what the file says.
fn attributes(resource: &ResourceConfig) -> Result<Vec<KeyValue>, NoRandom> {
    let id = InstanceUid::v7(clock::wall_millis(), clock::random()?);
    let text = |text: &str| Value::StringValue(text.to_owned());
    let mut all = BTreeMap::from([
        ("service.name".to_owned(), text("opamp-supervisor")),
        ("service.version".to_owned(), text(env!("CARGO_PKG_VERSION"))),
        ("service.instance.id".to_owned(), text(&id.to_string())),
    ]);
    if resource.detect_host {
        all.extend(host::attributes().into_iter().map(|(name, value)| (name.to_owned(), text(&value))));
    }
    if resource.detect_process {
        all.insert("process.pid".to_owned(), Value::IntValue(std::process::id().into()));
        all.insert("process.executable.name".to_owned(), text("opamp-supervisor"));
    }
    for (name, value) in &resource.attributes {
        match value {
            None => drop(all.remove(name)),
            Some(value) => drop(all.insert(name.clone(), typed(value))),
        }
    }
    Ok(all.into_iter().map(|(name, value)| otlp::attribute(&name, value)).collect())
}

fn typed(value: &Attribute) -> Value {
    match value {
        Attribute::Text(text) => Value::StringValue(text.clone()),
        Attribute::Bool(value) => Value::BoolValue(*value),
        Attribute::Int(value) => Value::IntValue(*value),
        Attribute::Double(text) => Value::DoubleValue(text.parse().unwrap_or_default()),
        Attribute::Texts(texts) => list(texts),
    }
}
