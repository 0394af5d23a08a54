//! `server`: endpoint, headers, TLS.

use std::{collections::BTreeMap, path::PathBuf};

use http::{HeaderName, HeaderValue};

use super::super::{
    context::{Context, item_text, short, split},
    endpoint::{InvalidEndpoint, ServerEndpoint},
    model::{Pem, PemKey, ServerConfig, TlsConfig, TlsIdentity, TlsVersion},
    secret::Secret,
    yaml::{Node, Value},
};

pub(super) fn decode(context: &mut Context<'_>) -> Option<ServerConfig> {
    let endpoint = endpoint(context);
    let headers = headers(context);
    let tls = tls(context);
    let endpoint = endpoint?;
    let beyond_insecure = context.entries("server.tls").iter().any(|entry| entry.key != "insecure");
    if !endpoint.is_secure() && beyond_insecure {
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
    Some(ServerConfig { endpoint, headers, tls })
}

fn endpoint(context: &mut Context<'_>) -> Option<ServerEndpoint> {
    let key = "server.endpoint";
    let text = match (context.entry(key), context.text(key)) {
        (Some(_), None) => return None,
        (_, text) => text.unwrap_or_default(),
    };
    text.parse().map_err(|error: InvalidEndpoint| context.problem(key, error.to_string())).ok()
}

fn headers(context: &mut Context<'_>) -> BTreeMap<String, Vec<Secret>> {
    let key = "server.headers";
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
    let ca = either(context, "ca_file", "ca_pem").map(Source::into_pem);
    let cert = either(context, "cert_file", "cert_pem").map(Source::into_pem);
    let key = either(context, "key_file", "key_pem").map(|source| match source {
        Source::File(path) => PemKey::File(path),
        Source::Text(text) => PemKey::Text(Secret::new(text)),
    });
    let identity = match (cert, key) {
        (Some(cert), Some(key)) => Some(TlsIdentity { cert, key }),
        (None, None) => None,
        (cert, _) => {
            let (there, missing) = if cert.is_some() { ("cert", "key") } else { ("key", "cert") };
            let message = format!(
                "invalid server::tls settings: for a client certificate provide both certificate and key, or \
                 neither; add server.tls.{missing}_file or server.tls.{missing}_pem"
            );
            let file = format!("server.tls.{there}_file");
            let pem = format!("server.tls.{there}_pem");
            context.problem(if context.entry(&file).is_some() { &file } else { &pem }, message);
            None
        }
    };
    let (min_version, max_version) = versions(context);
    beyond_rustls(context);
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
    }
}

enum Source<'a> {
    File(PathBuf),
    Text(&'a str),
}

impl Source<'_> {
    fn into_pem(self) -> Pem {
        match self {
            Self::File(path) => Pem::File(path),
            Self::Text(text) => Pem::Text(text.to_owned()),
        }
    }
}

fn non_empty<'a>(context: &Context<'a>, key: &str) -> Option<&'a str> {
    context.text(key).filter(|text| !text.is_empty())
}

fn either<'a>(context: &mut Context<'a>, file: &str, pem: &str) -> Option<Source<'a>> {
    let from_file = non_empty(context, &format!("server.tls.{file}"));
    let pem_key = format!("server.tls.{pem}");
    let from_text = non_empty(context, &pem_key);
    match (from_file, from_text) {
        (Some(path), Some(_)) => {
            let message =
                format!("invalid server::tls settings: provide either {file} or {pem}, but not both");
            context.problem(&pem_key, message);
            Some(Source::File(PathBuf::from(path)))
        }
        (Some(path), None) => Some(Source::File(PathBuf::from(path))),
        (None, Some(text)) => Some(Source::Text(text)),
        (None, None) => None,
    }
}

fn versions(context: &mut Context<'_>) -> (TlsVersion, TlsVersion) {
    let (min_key, max_key) = ("server.tls.min_version", "server.tls.max_version");
    let min = match non_empty(context, min_key) {
        None | Some("1.2") => TlsVersion::V1_2,
        Some("1.3") => TlsVersion::V1_3,
        Some(old @ ("1.0" | "1.1")) => {
            let message = format!("{min_key} {old} is raised to 1.2, the lowest that is spoken here");
            context.notice(min_key, message);
            TlsVersion::V1_2
        }
        Some(_) => {
            unsupported(context, min_key);
            return (TlsVersion::V1_2, TlsVersion::V1_3);
        }
    };
    let max = match non_empty(context, max_key) {
        None | Some("1.3") => TlsVersion::V1_3,
        Some("1.2") => TlsVersion::V1_2,
        Some(_) => {
            unsupported(context, max_key);
            return (min, TlsVersion::V1_3);
        }
    };
    if min > max {
        let message = "invalid server::tls settings: min_version cannot be greater than max_version";
        context.problem(min_key, message);
    }
    (min, max)
}

fn unsupported(context: &mut Context<'_>, key: &str) {
    let name = key.rsplit('.').next().unwrap_or(key);
    let got = context.got(key);
    context.problem(
        key,
        format!("invalid server::tls settings: unsupported {name} {got}; write \"1.2\" or \"1.3\""),
    );
}

/// What a Collector's TLS block can ask for and rustls cannot do.
fn beyond_rustls(context: &mut Context<'_>) {
    for (key, instead) in [
        ("server.tls.cipher_suites", "the AEAD suites with forward secrecy of TLS 1.2 and 1.3 are offered"),
        ("server.tls.curve_preferences", "X25519, P256 and P384 are offered"),
    ] {
        if context.texts(key).is_some_and(|list| !list.is_empty()) {
            context.notice(key, format!("{key} has no effect: {instead}"));
        }
    }
    let tpm = context.entries("server.tls.tpm").iter().find(|entry| entry.key == "enabled");
    if tpm.and_then(|entry| item_text(&entry.node)).is_some_and(|text| text.eq_ignore_ascii_case("true")) {
        let message = "invalid server::tls settings: tpm is not supported: a key in a TPM cannot be used; \
                       use server.tls.key_file and set tpm.enabled to false";
        context.problem("server.tls.tpm", message);
    }
}
