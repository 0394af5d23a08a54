//! `server` of supervisor.yaml as something to dial: URL, headers, TLS.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};
use url::Url;

use super::config::{Pem, PemKey, ServerConfig, TlsConfig, TlsVersion};
use crate::transport::{
    BadHeader, Proxy, Target,
    proxy::{self, BadProxy, Speaks},
    tls::{self, Identity, Tls, TlsError, TlsOptions, Verify},
};

/// The server cannot be dialled as the file says.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    #[error("server.tls: {0}")]
    Tls(#[from] TlsError),
    #[error("server.tls: cannot read {}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("server.headers: {0}")]
    Header(#[from] BadHeader),
    #[error("the environment variable {name}: {source}; correct it, unset it, or set server.proxy_url")]
    Environment { name: &'static str, source: BadProxy },
}

/// The server to dial.
pub(super) fn of(server: &ServerConfig) -> Result<Target, TargetError> {
    let mut target = Target::new(server.endpoint.url().clone());
    for (name, values) in &server.headers {
        for value in values {
            target.header(name, value.expose())?;
        }
    }
    target.limits = server.limits;
    target.proxy = match &server.proxy {
        Some(proxy) => Some(proxy.clone()),
        None => of_environment(server.endpoint.url())?,
    };
    let to_proxy = target.proxy.as_ref().is_some_and(|proxy| proxy.speaks() == Speaks::Https);
    if server.endpoint.is_secure() || to_proxy {
        target.tls = Some(tls(&server.tls)?);
    }
    if server.endpoint.is_secure() {
        target.server_name.clone_from(&server.tls.server_name_override);
    }
    Ok(target)
}

/// The proxy that the environment names for a server, if it is to be reached through one.
pub(super) fn of_environment(url: &Url) -> Result<Option<Proxy>, TargetError> {
    let found = proxy::of_environment(|name| env::var(name).ok(), url);
    found.map_err(|(name, source)| TargetError::Environment { name, source })
}

/// Tells one way to the server from another: what is in the files of `server.tls` counts, not what they are called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Fingerprint([u8; 32]);

/// The fingerprint of what [`of`] would make now. A file that cannot be read counts as empty: [`of`] names it.
pub(super) fn fingerprint(server: &ServerConfig) -> Fingerprint {
    let mut hash = Sha256::new();
    let mut add = |part: &[u8]| {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    };
    add(server.endpoint.url().as_str().as_bytes());
    for (name, values) in &server.headers {
        add(name.as_bytes());
        values.iter().for_each(|value| add(value.expose().as_bytes()));
    }
    add(format!("{:?}", server.limits).as_bytes());
    if let Some(proxy) = &server.proxy {
        add(proxy.url().as_str().as_bytes());
        for (name, value) in proxy.connect_headers() {
            add(name.as_str().as_bytes());
            add(value.as_bytes());
        }
    }
    let to_proxy = server.proxy.as_ref().is_some_and(|proxy| proxy.speaks() == Speaks::Https);
    if server.endpoint.is_secure() || to_proxy {
        let tls = &server.tls;
        let rules = (
            tls.include_system_ca_certs_pool,
            tls.insecure_skip_verify,
            tls.min_version,
            tls.max_version,
            &tls.server_name_override,
            &tls.cipher_suites,
            &tls.curves,
        );
        add(format!("{rules:?}").as_bytes());
        add(&tls.ca.as_ref().map(pem).and_then(Result::ok).unwrap_or_default());
        if let Some(identity) = &tls.identity {
            add(&pem(&identity.cert).unwrap_or_default());
            add(&key(&identity.key).unwrap_or_default());
        }
    }
    Fingerprint(hash.finalize().into())
}

/// Files are read again for each connection.
pub(super) fn tls(tls: &TlsConfig) -> Result<Tls, TargetError> {
    let options = tls_options(tls)?;
    let of_files = tls.files().next().is_some();
    if !of_files {
        return Ok(options.build()?.into());
    }
    let again = tls.clone();
    let read = move || tls_options(&again).map_err(|error| error.to_string());
    Ok(Tls::of_files(options, tls.reload_interval, read)?)
}

fn tls_options(tls: &TlsConfig) -> Result<TlsOptions, TargetError> {
    let version = |version| match version {
        TlsVersion::V1_2 => tls::Version::V1_2,
        TlsVersion::V1_3 => tls::Version::V1_3,
    };
    let identity = match &tls.identity {
        Some(identity) => Some(Identity { cert_pem: pem(&identity.cert)?, key_pem: key(&identity.key)? }),
        None => None,
    };
    Ok(TlsOptions {
        ca_pem: tls.ca.as_ref().map(pem).transpose()?,
        system_roots: tls.include_system_ca_certs_pool,
        identity,
        verify: if tls.insecure_skip_verify { Verify::Skip } else { Verify::Yes },
        min_version: version(tls.min_version),
        max_version: version(tls.max_version),
        cipher_suites: tls.cipher_suites.clone(),
        curves: tls.curves.clone(),
    })
}

fn pem(pem: &Pem) -> Result<Vec<u8>, TargetError> {
    match pem {
        Pem::File(path) => read(path),
        Pem::Text(text) => Ok(text.clone().into_bytes()),
    }
}

fn key(key: &PemKey) -> Result<Vec<u8>, TargetError> {
    match key {
        PemKey::File(path) => read(path),
        PemKey::Text(text) => Ok(text.expose().as_bytes().to_vec()),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TargetError> {
    fs::read(path).map_err(|source| TargetError::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::config::{Sources, parse};

    fn server(lines: &str) -> ServerConfig {
        let text = format!("server:\n  endpoint: 'wss://s/v1'\n{lines}agent: {{executable: /bin/c}}\n");
        let read = |path: &Path| fs::read_to_string(path);
        let sources = Sources { env: &|_| None, read: &read, stat: &|_| Ok(()) };
        parse(&text, "s.yaml", sources).unwrap().config.server
    }

    #[test]
    fn a_renewed_certificate_is_another_way_to_the_same_server_and_nothing_else_is() {
        let dir = tempfile::tempdir().unwrap();
        let ca = dir.path().join("ca.pem");
        fs::write(&ca, "one").unwrap();
        let with_ca = server(&format!("  tls: {{ca_file: '{}'}}\n", ca.display()));
        let first = fingerprint(&with_ca);
        assert_eq!(fingerprint(&with_ca), first);
        fs::write(&ca, "two").unwrap();
        assert_ne!(fingerprint(&with_ca), first);
        let plain = fingerprint(&server(""));
        assert_ne!(fingerprint(&server("  headers: {A: b}\n")), plain);
        assert_ne!(fingerprint(&server("  tls: {insecure_skip_verify: true}\n")), plain);
        assert_eq!(fingerprint(&server("  tls: {insecure_skip_verify: false}\n")), plain);
    }
}
