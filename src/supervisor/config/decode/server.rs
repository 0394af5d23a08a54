//! `server`: endpoint, headers, proxy, limits, TLS.

use std::{collections::BTreeMap, time::Duration};

use http::{HeaderName, HeaderValue};

use super::{
    super::{
        context::{Context, item_text, short, split},
        endpoint::{InvalidEndpoint, ServerEndpoint},
        model::{ServerConfig, TlsConfig},
        secret::Secret,
        yaml::{Node, Value},
    },
    positive,
    tls::{Block, Source, non_empty},
};
use crate::transport::{Limits, Proxy, proxy::Speaks};

/// The largest limit of messages.
const MOST_MIB: i64 = 1024;

const SETTINGS_APPLY_TIMEOUT: Duration = Duration::from_secs(60);

pub(super) fn decode(context: &mut Context<'_>) -> Option<ServerConfig> {
    let endpoint = endpoint(context);
    let headers = headers(context, "server.headers");
    let proxy = proxy(context);
    let limits = limits(context);
    let tls = tls(context);
    let endpoint = endpoint?;
    let beyond_insecure = context.entries("server.tls").iter().any(|entry| entry.key != "insecure");
    let to_proxy = proxy.as_ref().is_some_and(|proxy| proxy.speaks() == Speaks::Https);
    if !endpoint.is_secure() && !to_proxy && beyond_insecure {
        let scheme = endpoint.url().scheme();
        let message =
            format!("server.tls has no effect with {scheme}://; it is used with wss:// and https:// only");
        context.notice("server.tls", message);
    }
    if endpoint.is_secure() && tls.insecure {
        let scheme = endpoint.url().scheme();
        let message = format!(
            "server.tls.insecure has no effect with {scheme}://; to send in plain text change the scheme of \
             server.endpoint"
        );
        context.notice("server.tls.insecure", message);
    }
    let settings_apply_timeout = positive(
        context,
        "server.settings_apply_timeout",
        "server.settings_apply_timeout must be a duration",
    );
    let settings_apply_timeout = settings_apply_timeout.unwrap_or(SETTINGS_APPLY_TIMEOUT);
    Some(ServerConfig {
        endpoint,
        headers,
        proxy,
        limits,
        tls,
        settings_apply_timeout,
        request_certificate: request_certificate(context),
    })
}

/// The answer to the request is an offer of connection settings.
fn request_certificate(context: &mut Context<'_>) -> bool {
    let key = "server.client_certificate.request";
    let wanted = context.bool(key).unwrap_or(false);
    let accepts = "capabilities.accepts_opamp_connection_settings";
    if wanted && context.bool(accepts) != Some(true) {
        let message =
            format!("{key} needs {accepts}: the certificate comes as connection settings; set it to true");
        context.problem(key, message);
    }
    wanted
}

fn endpoint(context: &mut Context<'_>) -> Option<ServerEndpoint> {
    let key = "server.endpoint";
    let text = match (context.entry(key), context.text(key)) {
        (Some(_), None) => return None,
        (_, text) => text.unwrap_or_default(),
    };
    text.parse().map_err(|error: InvalidEndpoint| context.problem(key, error.to_string())).ok()
}

fn limits(context: &mut Context<'_>) -> Limits {
    let default = Limits::default();
    let mut bytes = |key: &str, default| match context.int(key) {
        None => default,
        Some(mib @ 1..=MOST_MIB) => usize::try_from(mib).map_or(default, |mib| mib << 20),
        Some(_) => {
            let got = context.got(key);
            context.problem(key, format!("{key} must be 1 to {MOST_MIB}, in MiB, got {got}"));
            default
        }
    };
    Limits {
        receive: bytes("server.max_recv_msg_size_mib", default.receive),
        send: bytes("server.max_send_msg_size_mib", default.send),
    }
}

/// A URL may hold a password, so nothing of it is in a message.
fn proxy(context: &mut Context<'_>) -> Option<Proxy> {
    let (key, headers_key) = ("server.proxy_url", "server.proxy_connect_headers");
    let sent = headers(context, headers_key);
    let Some(text) = non_empty(context, key) else {
        if !sent.is_empty() {
            context.notice(headers_key, format!("{headers_key} has no effect without {key}"));
        }
        return None;
    };
    let mut proxy =
        Proxy::parse(text).map_err(|error| context.problem(key, format!("{key}: {error}"))).ok()?;
    if proxy.speaks() == Speaks::Socks5 && !sent.is_empty() {
        context.notice(headers_key, format!("{headers_key} has no effect: a SOCKS proxy takes no headers"));
        return Some(proxy);
    }
    for (name, values) in &sent {
        for value in values {
            // One that cannot be sent is a problem already.
            let _ = proxy.connect_header(name, value.expose());
        }
    }
    Some(proxy)
}

fn headers(context: &mut Context<'_>, key: &str) -> BTreeMap<String, Vec<Secret>> {
    let mut headers = BTreeMap::new();
    for entry in context.entries(key) {
        let name = short(&entry.key);
        let path = format!("{key}.{name}");
        if HeaderName::from_bytes(entry.key.as_bytes()).is_err() {
            let message =
                format!("{key}: {name:?} is no HTTP header name; use letters, digits and - as in X-Api-Key");
            context.problem_at(entry.at, &path, message);
        }
        let values = header_values(&entry.node);
        if values.iter().any(|value| HeaderValue::from_str(value).is_err()) {
            let message = format!(
                "{path} holds a character that an HTTP header cannot carry, such as a line break; remove it"
            );
            context.problem_at(entry.at, &path, message);
        }
        headers.insert(entry.key.clone(), values.into_iter().map(Secret::new).collect());
    }
    headers
}

fn header_values(node: &Node) -> Vec<&str> {
    match &node.value {
        Value::Scalar(scalar) => split(&scalar.text).collect(),
        Value::Seq(items) => items.iter().filter_map(item_text).collect(),
        Value::Null | Value::Map(_) => Vec::new(),
    }
}

fn tls(context: &mut Context<'_>) -> TlsConfig {
    let block = Block::SERVER;
    let ca = block.either(context, "ca_file", "ca_pem").map(Source::into_pem);
    let identity = block.identity(context);
    let (min_version, max_version) = block.versions(context);
    block.beyond_rustls(context);
    let cipher_suites = block.named(context, "cipher_suites");
    let curves = block.named(context, "curve_preferences");
    let reload = block.key("reload_interval");
    let reload_interval = match context.duration(&reload) {
        Some(0) | None => None,
        Some(_) => positive(context, &reload, "server::tls::reload_interval must be a positive time or 0"),
    };
    let insecure_skip_verify = context.bool("server.tls.insecure_skip_verify").unwrap_or(false);
    if insecure_skip_verify {
        let message = "server.tls.insecure_skip_verify is on: whoever answers is taken for the server; \
                       use server.tls.ca_file instead";
        context.notice("server.tls.insecure_skip_verify", message);
    }
    TlsConfig {
        ca,
        include_system_ca_certs_pool: context
            .bool("server.tls.include_system_ca_certs_pool")
            .unwrap_or(false),
        identity,
        min_version,
        max_version,
        insecure: context.bool("server.tls.insecure").unwrap_or(false),
        insecure_skip_verify,
        server_name_override: non_empty(context, "server.tls.server_name_override").map(str::to_owned),
        cipher_suites,
        curves,
        reload_interval,
    }
}
