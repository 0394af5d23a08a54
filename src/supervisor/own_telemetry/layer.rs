//! What the Collector is told: `service.telemetry` in its declarative form.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::{Outlet, OwnTelemetry, files};

/// From one report of metrics to the next (C-OT-02), in milliseconds.
const EVERY: u32 = 10_000;
/// How long one request may take. At its end a Collector sends what it has for each signal, one after the other,
/// and an endpoint that does not answer must not take it longer than it has to stop.
const WITHIN: u32 = 3_000;

/// The keys below `service.telemetry`; `dir` holds the certificates.
pub(super) fn layer(telemetry: &OwnTelemetry, dir: &Path) -> Map<String, Value> {
    let mut keys = Map::new();
    if let Some(metrics) = &telemetry.metrics {
        let reader = json!({ "interval": EVERY, "timeout": WITHIN, "exporter": exporter(metrics, dir) });
        keys.insert("metrics".to_owned(), json!({ "readers": [{ "periodic": reader }] }));
    }
    for (name, outlet) in [("traces", &telemetry.traces), ("logs", &telemetry.logs)] {
        if let Some(outlet) = outlet {
            let batch = json!({ "export_timeout": WITHIN, "exporter": exporter(outlet, dir) });
            keys.insert(name.to_owned(), json!({ "processors": [{ "batch": batch }] }));
        }
    }
    keys
}

fn exporter(outlet: &Outlet, dir: &Path) -> Value {
    let header =
        |header: &super::Header| json!({ "name": header.name, "value": escape(header.secret.expose()) });
    let mut otlp = json!({
        "protocol": "http/protobuf",
        "endpoint": escape(&outlet.endpoint),
        "timeout": WITHIN,
    });
    if !outlet.headers.is_empty() {
        otlp["headers"] = outlet.headers.iter().map(header).collect();
    }
    for (key, name) in files::names(outlet) {
        otlp[key] = json!(escape(&dir.join(name).display().to_string()));
    }
    json!({ "otlp": otlp })
}

/// The Collector expands `$`; what a server gives is meant literally.
fn escape(value: &str) -> String {
    value.replace('$', "$$")
}
