//! `healthcheck`: where health is served, and how. Off unless the endpoint names a port.

use std::{path::PathBuf, time::Duration};

use http::{HeaderName, HeaderValue};

use super::{
    super::{
        context::{Context, item_text, short},
        error::Position,
        model::{Family, HealthcheckConfig, ServerTlsConfig},
        secret::Secret,
        yaml::Value,
    },
    positive,
    resource::field,
    tls::{Block, non_empty},
};

const READ_HEADER_TIMEOUT: Duration = Duration::from_secs(5);
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) fn decode(context: &mut Context<'_>) -> Option<HealthcheckConfig> {
    let place = place(context);
    let tls = tls(context);
    let response_headers = response_headers(context);
    // A head that takes long, a connection without a request: both are closed by the shortest of these.
    let waits = ["read_timeout", "read_header_timeout", "idle_timeout"].map(|name| timeout(context, name));
    let write_timeout = timeout(context, "write_timeout");
    let keep_alives_enabled = context.bool("healthcheck.keep_alives_enabled").unwrap_or(true);
    let (host, port) = place?;
    refuse_what_would_weaken(context);
    Some(HealthcheckConfig {
        host,
        port,
        family: match context.text("healthcheck.transport").map(str::to_ascii_lowercase).as_deref() {
            Some("tcp4") => Family::V4,
            Some("tcp6") => Family::V6,
            _ => Family::Any,
        },
        tls,
        response_headers,
        read_header_timeout: waits.into_iter().flatten().min().unwrap_or(READ_HEADER_TIMEOUT),
        write_timeout: write_timeout.unwrap_or(WRITE_TIMEOUT),
        keep_alives_enabled,
    })
}

/// Host and port; what follows the last colon is a port, and without one nothing is served.
fn place(context: &mut Context<'_>) -> Option<(String, u16)> {
    let key = "healthcheck.endpoint";
    let text = context.text(key)?;
    let Some((host, port)) = text.rsplit_once(':').filter(|(_, port)| !port.contains(']')) else {
        if !text.is_empty() {
            context
                .notice(key, "healthcheck.endpoint names no port, so health is not served; write host:port");
        }
        return None;
    };
    if let Ok(port) = port.parse() {
        return Some((host.trim_start_matches('[').trim_end_matches(']').to_owned(), port));
    }
    let port = if context.got(key).starts_with("the value of") { context.got(key) } else { port.to_owned() };
    let rule = "healthcheck::endpoint must contain a valid port number";
    context.problem(key, format!("{rule}, got {port}; write host:port with a port up to 65535"));
    None
}

/// Zero means that there is no such limit of its own.
fn timeout(context: &mut Context<'_>, name: &str) -> Option<Duration> {
    let key = format!("healthcheck.{name}");
    if context.duration(&key) == Some(0) {
        return None;
    }
    positive(context, &key, &format!("healthcheck::{name} must be positive"))
}

fn tls(context: &mut Context<'_>) -> Option<ServerTlsConfig> {
    let block = Block::HEALTHCHECK;
    context.entry("healthcheck.tls")?;
    let problems = context.problems.len();
    let identity = block.identity(context);
    let (min_version, max_version) = block.versions(context);
    block.without_choice(context);
    block.beyond_rustls(context);
    if identity.is_none() && context.problems.len() == problems {
        let message = "invalid healthcheck::tls settings: a server needs a certificate; add \
                       healthcheck.tls.cert_file and healthcheck.tls.key_file, or delete healthcheck.tls for \
                       plain HTTP";
        context.problem("healthcheck.tls", message);
    }
    let client_ca = non_empty(context, "healthcheck.tls.client_ca_file").map(PathBuf::from);
    Some(ServerTlsConfig { identity: identity?, client_ca, min_version, max_version })
}

/// Who asks for a guard at the door must not get an open one.
fn refuse_what_would_weaken(context: &mut Context<'_>) {
    let authenticated =
        context.entries("healthcheck.auth").iter().any(|entry| !matches!(entry.node.value, Value::Null));
    let guarded = matches!(
        context.entry("healthcheck.middlewares").map(|entry| &entry.node.value),
        Some(Value::Seq(items)) if !items.is_empty()
    );
    for (key, asked) in [("healthcheck.auth", authenticated), ("healthcheck.middlewares", guarded)] {
        if asked {
            let message = format!(
                "{key} is not supported: health would be served without it; delete it and restrict access \
                 with healthcheck.tls.client_ca_file or a loopback address"
            );
            context.problem(key, message);
        }
    }
}

/// A map from name to value, or a list of `name` and `value`.
fn response_headers(context: &mut Context<'_>) -> Vec<(String, Secret)> {
    let key = "healthcheck.response_headers";
    let Some(entry) = context.entry(key) else { return Vec::new() };
    let pairs: Vec<(Position, Option<&str>, Option<&str>)> = match &entry.node.value {
        Value::Map(entries) => {
            entries.iter().map(|entry| (entry.at, Some(entry.key.as_str()), item_text(&entry.node))).collect()
        }
        Value::Seq(items) => {
            items.iter().map(|item| (item.at, field(item, "name"), field(item, "value"))).collect()
        }
        Value::Null | Value::Scalar(_) => vec![(entry.at, None, None)],
    };
    let mut headers = Vec::new();
    for (at, name, value) in pairs {
        let (Some(name), Some(value)) = (name, value) else {
            let message = format!("{key} must be a map of strings, or a list of maps with name and value");
            context.problem_at(at, key, message);
            continue;
        };
        if HeaderName::from_bytes(name.as_bytes()).is_err() || HeaderValue::from_str(value).is_err() {
            let message = format!(
                "{key}: {:?} is no header that can be sent; use a name of letters, digits and -, and a value \
                 of one line",
                short(name)
            );
            context.problem_at(at, key, message);
        }
        headers.push((name.to_owned(), Secret::new(value)));
    }
    headers
}
