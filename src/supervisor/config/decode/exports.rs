//! `telemetry.logs.processors`, `telemetry.traces` and `telemetry.metrics`: ways out over OTLP, in the form of
//! OpenTelemetry's declarative configuration.
//!
//! What is spoken here is OTLP over HTTP with protobuf. An exporter that asks for anything else is named and
//! left out; the rest of the file counts.

use std::{path::PathBuf, time::Duration};

use http::{HeaderName, HeaderValue};
use url::Url;

use super::{
    super::{
        context::{Context, boolean, item_text, short},
        export::{Batched, Export, ExportUrl, ExportsConfig, Periodic},
        model::{Pem, PemKey, TlsIdentity},
        secret::Secret,
        yaml::Value,
    },
    part::{Part, items},
    resource,
};

const EXPORTER_KEYS: [&str; 13] = [
    "protocol",
    "endpoint",
    "headers",
    "headers_list",
    "certificate",
    "client_certificate",
    "client_key",
    "insecure",
    "compression",
    "timeout",
    "encoding",
    "temporality_preference",
    "default_histogram_aggregation",
];
const BATCH_KEYS: [&str; 5] =
    ["schedule_delay", "export_timeout", "max_queue_size", "max_export_batch_size", "exporter"];

const LOGS_DELAY: u64 = 1000;
const SPANS_DELAY: u64 = 5000;
const INTERVAL: u64 = 60_000;
const TIMEOUT: u64 = 10_000;
const QUEUE: u64 = 2048;
const BATCH: u64 = 512;
/// More is not held in memory while an endpoint is away.
const MOST_QUEUED: u64 = 16_384;

pub(super) fn decode(context: &mut Context<'_>) -> ExportsConfig {
    let off = |context: &Context<'_>, key| {
        context.text(key).is_some_and(|level: &str| level.eq_ignore_ascii_case("none"))
    };
    let (no_metrics, no_traces) =
        (off(context, "telemetry.metrics.level"), off(context, "telemetry.traces.level"));
    let logs = processors(context, "telemetry.logs.processors", LOGS_DELAY, "/v1/logs");
    let spans = processors(context, "telemetry.traces.processors", SPANS_DELAY, "/v1/traces");
    let metrics = readers(context, "telemetry.metrics.readers");
    ExportsConfig {
        resource: resource::decode(context),
        logs,
        spans: if no_traces { Vec::new() } else { spans },
        metrics: if no_metrics { Vec::new() } else { metrics },
    }
}

fn processors(context: &mut Context<'_>, key: &str, delay: u64, default_path: &str) -> Vec<Batched> {
    let mut all = Vec::new();
    for (part, kind) in items(context, key) {
        let (delay, queue, batch) = match kind {
            "batch" => {
                part.only(context, &BATCH_KEYS);
                let queue = part.number(context, "max_queue_size", QUEUE, 1).min(MOST_QUEUED);
                let batch = part.number(context, "max_export_batch_size", BATCH, 1).min(queue);
                (part.millis(context, "schedule_delay", delay, 0), queue, batch)
            }
            "simple" => {
                part.only(context, &["exporter"]);
                (Duration::ZERO, QUEUE, BATCH)
            }
            _ => {
                let message = format!("{} is not a known processor; there are batch and simple", part.path);
                context.problem_at(part.at, key, message);
                continue;
            }
        };
        let timeout = part.millis(context, "export_timeout", 0, 0);
        if let Some(mut export) = exporter(context, &part, default_path) {
            if !timeout.is_zero() {
                export.timeout = export.timeout.min(timeout);
            }
            let whole = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
            all.push(Batched { export, delay, batch: whole(batch), queue: whole(queue) });
        }
    }
    all
}

fn readers(context: &mut Context<'_>, key: &str) -> Vec<Periodic> {
    let mut all = Vec::new();
    for (part, kind) in items(context, key) {
        match kind {
            "periodic" => {
                part.only(context, &["interval", "timeout", "exporter", "producers", "cardinality_limits"]);
                let interval = part.millis(context, "interval", INTERVAL, 1);
                let timeout = part.millis(context, "timeout", 30_000, 1);
                if let Some(mut export) = exporter(context, &part, "/v1/metrics") {
                    export.timeout = export.timeout.min(timeout);
                    all.push(Periodic { export, interval });
                }
            }
            "pull" => {
                part.left_out(context, "metrics are sent, not fetched; write periodic with an otlp exporter")
            }
            _ => {
                let message = format!("{} is not a known reader; there is periodic", part.path);
                context.problem_at(part.at, key, message);
            }
        }
    }
    all
}

fn exporter(context: &mut Context<'_>, part: &Part<'_>, default_path: &str) -> Option<Export> {
    let Some(exporter) = part.entry("exporter").and_then(|entry| part.part(context, entry)) else {
        if part.entry("exporter").is_none() {
            let message = format!("{}.exporter must be specified, for example otlp", part.path);
            context.problem_at(part.at, &part.path, message);
        }
        return None;
    };
    let [entry] = exporter.entries else {
        let message = format!("{} must have one key, which says what it is", exporter.path);
        context.problem_at(exporter.at, &exporter.path, message);
        return None;
    };
    let otlp = exporter.part(context, entry)?;
    match entry.key.as_str() {
        "otlp" | "otlp_http" => {}
        "console" => {
            otlp.left_out(context, "the supervisor's log goes to telemetry.logs.output_paths");
            return None;
        }
        _ => {
            otlp.left_out(context, "there is otlp over HTTP only; write otlp with protocol: http/protobuf");
            return None;
        }
    }
    otlp.only(context, &EXPORTER_KEYS);
    let protocol = otlp.text("protocol").unwrap_or_default();
    let spoken = protocol == "http/protobuf" || protocol.is_empty() && entry.key == "otlp_http";
    if !spoken {
        let why = format!(
            "protocol {} is not spoken here; write protocol: http/protobuf and the endpoint of OTLP over HTTP, \
             usually port 4318",
            if protocol.is_empty() { "is missing, and the default" } else { protocol }
        );
        otlp.left_out(context, &why);
        return None;
    }
    let endpoint = endpoint(context, &otlp, default_path);
    let headers = headers(context, &otlp);
    let file = |name| otlp.text(name).map(PathBuf::from);
    let identity = match (file("client_certificate"), file("client_key")) {
        (Some(cert), Some(key)) => Some(TlsIdentity { cert: Pem::File(cert), key: PemKey::File(key) }),
        (None, None) => None,
        _ => {
            let message = format!("{} needs both client_certificate and client_key, or neither", otlp.path);
            context.problem_at(otlp.at, &otlp.path, message);
            None
        }
    };
    let gzip = match otlp.text("compression") {
        None | Some("none") => false,
        Some("gzip") => true,
        Some(other) => {
            let message = format!("{}.compression must be gzip or none, got {}", otlp.path, short(other));
            context.problem_at(otlp.at, &otlp.path, message);
            false
        }
    };
    if otlp.text("temporality_preference").is_some_and(|text| text != "cumulative") {
        otlp.left_out_key(context, "temporality_preference", "sums are sent as cumulative");
    }
    let timeout = otlp.millis(context, "timeout", TIMEOUT, 1);
    Some(Export { endpoint: endpoint?, headers, ca: file("certificate"), identity, gzip, timeout })
}

/// As OpenTelemetry's own: without a scheme it is `http` (or `https` with `insecure: false`), without a path
/// that of the signal.
fn endpoint(context: &mut Context<'_>, otlp: &Part<'_>, default_path: &str) -> Option<ExportUrl> {
    let text = otlp.text("endpoint").unwrap_or("http://localhost:4318");
    let at = otlp.entry("endpoint").map_or(otlp.at, |entry| entry.at);
    let secure = otlp.entry("insecure").is_some_and(|entry| match &entry.node.value {
        Value::Scalar(scalar) => boolean(scalar) == Some(false),
        _ => false,
    });
    let whole = match text.split_once("://") {
        Some(_) => text.to_owned(),
        None => format!("{}://{text}", if secure { "https" } else { "http" }),
    };
    let mut wrong = |why: &str| {
        let message =
            format!("{}.endpoint {why}; write it as http://localhost:4318 or https://host:4318", otlp.path);
        context.problem_at(at, &otlp.path, message);
        None
    };
    let Ok(mut url) = Url::parse(&whole) else { return wrong("is no URL") };
    if !matches!(url.scheme(), "http" | "https") {
        return wrong("must begin with http:// or https://");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return wrong("holds a user or a password, which belong into headers");
    }
    if matches!(url.path(), "" | "/") {
        url.set_path(default_path);
    }
    Some(ExportUrl(url))
}

/// `headers` as a list of `name` and `value` or as a map, and `headers_list` as `name=value,…`.
fn headers(context: &mut Context<'_>, otlp: &Part<'_>) -> Vec<(String, Secret)> {
    let mut headers = Vec::new();
    let mut add = |context: &mut Context<'_>, at, name: Option<&str>, value: Option<&str>| {
        let (Some(name), Some(value)) = (name, value) else {
            let message = format!("{}.headers must be a list of maps with name and value", otlp.path);
            return context.problem_at(at, &otlp.path, message);
        };
        if HeaderName::from_bytes(name.as_bytes()).is_err() || HeaderValue::from_str(value).is_err() {
            let message = format!(
                "{}.headers: {:?} is no header that can be sent; use a name of letters, digits and -, and a \
                 value of one line",
                otlp.path,
                short(name)
            );
            return context.problem_at(at, &otlp.path, message);
        }
        headers.push((name.to_owned(), Secret::new(value)));
    };
    if let Some(list) = otlp.entry("headers_list") {
        for pair in
            item_text(&list.node).unwrap_or_default().split(',').filter(|pair| !pair.trim().is_empty())
        {
            let pair = pair.split_once('=').map(|(name, value)| (name.trim(), value.trim()));
            let Some((name, value)) = pair else {
                let message = format!("{}.headers_list must be name=value,…", otlp.path);
                context.problem_at(list.at, &otlp.path, message);
                continue;
            };
            add(context, list.at, Some(name), Some(value));
        }
    }
    let Some(entry) = otlp.entry("headers") else { return headers };
    match &entry.node.value {
        Value::Map(entries) => {
            for entry in entries {
                add(context, entry.at, Some(&entry.key), item_text(&entry.node));
            }
        }
        Value::Seq(items) => {
            for item in items {
                add(context, item.at, resource::field(item, "name"), resource::field(item, "value"));
            }
        }
        Value::Null | Value::Scalar(_) => add(context, entry.at, None, None),
    }
    headers
}
