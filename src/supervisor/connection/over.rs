//! Offered settings laid over `server` of supervisor.yaml: what is dialled is a server as the file could have
//! named it, so everything that holds for the file holds for it too.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::supervisor::{
    config::{Pem, PemKey, Secret, ServerConfig, TlsConfig, TlsIdentity, TlsVersion},
    journal::{Settings, StoredProxy, StoredTls},
};
use crate::transport::{Proxy, tls};

/// The server that these settings and the file name together.
#[must_use]
pub fn over(file: &ServerConfig, settings: Option<&Settings>) -> ServerConfig {
    let mut server = file.clone();
    let Some(settings) = settings else { return server };
    if let Some(endpoint) = &settings.endpoint {
        if endpoint.url().host() != file.endpoint.url().host() {
            // It names the file's own server.
            server.tls.server_name_override = None;
        }
        server.endpoint = endpoint.clone();
    }
    if let Some(headers) = &settings.headers {
        server.headers = BTreeMap::new();
        for header in headers {
            server.headers.entry(header.name.clone()).or_default().push(header.value.clone());
        }
    }
    if let Some(tls) = &settings.tls {
        lay_tls(&mut server.tls, tls);
    }
    if let Some(proxy) = &settings.proxy {
        // One that was judged can be read.
        server.proxy = laid_proxy(proxy).or(server.proxy);
    }
    if let Some(certificate) = &settings.certificate {
        server.tls.identity = Some(TlsIdentity {
            cert: Pem::Text(certificate.cert_pem.clone()),
            key: PemKey::Text(certificate.key_pem.clone()),
        });
    }
    server
}

fn laid_proxy(stored: &StoredProxy) -> Option<Proxy> {
    let mut proxy = Proxy::parse(stored.url.expose()).ok()?;
    for header in &stored.connect_headers {
        proxy.connect_header(&header.name, header.value.expose()).ok()?;
    }
    Some(proxy)
}

fn lay_tls(under: &mut TlsConfig, tls: &StoredTls) {
    if let Some(ca) = &tls.ca_pem {
        under.ca = Some(Pem::Text(ca.clone()));
    }
    under.include_system_ca_certs_pool = tls.system_roots;
    // An offer can make the check stricter, never laxer.
    under.insecure_skip_verify &= tls.skip_verify;
    under.min_version = tls.min_version.as_deref().and_then(version).unwrap_or(under.min_version);
    under.max_version = tls.max_version.as_deref().and_then(version).unwrap_or(under.max_version);
    if !tls.cipher_suites.is_empty() {
        under.cipher_suites = tls.cipher_suites.iter().filter_map(|suite| suite.parse().ok()).collect();
    }
}

/// `1.2`, `TLSv1.2` and their like.
pub(in crate::supervisor) fn version(text: &str) -> Option<TlsVersion> {
    match text.trim_start_matches("TLSv").trim_start_matches("TLS ") {
        "1.2" => Some(TlsVersion::V1_2),
        "1.3" => Some(TlsVersion::V1_3),
        _ => None,
    }
}

/// Tells one `server` of the file from another: names of files count, not what is in them. What is as by default
/// leaves no trace, so that a key that a later supervisor knows does not make every file another one.
pub(in crate::supervisor) fn digest(file: &ServerConfig) -> String {
    let ServerConfig {
        endpoint,
        headers,
        proxy,
        limits: _,
        tls,
        settings_apply_timeout: _,
        request_certificate: _,
    } = file;
    let mut hash = Sha256::new();
    let mut add = |name: &str, value: &str| {
        for part in [name, value] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
    };
    add("endpoint", endpoint.url().as_str());
    for (name, values) in headers {
        values.iter().for_each(|value| add(name, value.expose()));
    }
    if let Some(proxy) = proxy {
        add("proxy_url", proxy.url().as_str());
    }
    tls.cipher_suites.iter().for_each(|suite| add("cipher_suites", &format!("{suite:?}")));
    tls.curves.iter().for_each(|curve| add("curve_preferences", &format!("{curve:?}")));
    match &tls.ca {
        Some(Pem::File(path)) => add("ca_file", &path.to_string_lossy()),
        Some(Pem::Text(text)) => add("ca_pem", text),
        None => {}
    }
    if let Some(TlsIdentity { cert, key }) = &tls.identity {
        match cert {
            Pem::File(path) => add("cert_file", &path.to_string_lossy()),
            Pem::Text(text) => add("cert_pem", text),
        }
        match key {
            PemKey::File(path) => add("key_file", &path.to_string_lossy()),
            PemKey::Text(text) => add("key_pem", text.expose()),
        }
    }
    let switches = [
        ("include_system_ca_certs_pool", tls.include_system_ca_certs_pool),
        ("insecure_skip_verify", tls.insecure_skip_verify),
        ("min_version 1.3", tls.min_version == TlsVersion::V1_3),
        ("max_version 1.2", tls.max_version == TlsVersion::V1_2),
    ];
    switches.iter().filter(|(_, on)| *on).for_each(|(name, _)| add(name, ""));
    if let Some(name) = &tls.server_name_override {
        add("server_name_override", name);
    }
    HEXLOWER.encode(&hash.finalize())
}

/// When the client certificate of this server ends, if it has one that can be read.
pub(in crate::supervisor) fn certificate_ends(server: &ServerConfig) -> Option<Timestamp> {
    let text = match &server.tls.identity.as_ref()?.cert {
        Pem::Text(text) => text.clone().into_bytes(),
        Pem::File(path) => std::fs::read(path).ok()?,
    };
    Timestamp::from_second(tls::validity(&text)?.until).ok()
}

/// The keys that a certificate that comes without one may be for: those of the connection in use.
pub(in crate::supervisor) fn own_key(server: &ServerConfig) -> Option<Secret> {
    match &server.tls.identity.as_ref()?.key {
        PemKey::Text(text) => Some(text.clone()),
        PemKey::File(path) => std::fs::read_to_string(path).ok().map(Secret::new),
    }
}
