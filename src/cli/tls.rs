//! The TLS settings of the HTTP client: ring, the system's certificates and `--ca-file`.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use super::error::Error;

/// For `https`; with `http` no certificate is ever looked at, so none is loaded.
pub(super) fn client_config(scheme: &str, ca_file: Option<&Path>) -> Result<ClientConfig, Error> {
    let mut roots = RootCertStore::empty();
    if scheme == "https" {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    if let Some(path) = ca_file {
        add(&mut roots, path).map_err(|what| Error::Config { path: path.to_owned(), what })?;
    }
    if scheme == "https" && roots.is_empty() {
        return Err(Error::Setting("this machine has no CA certificates: give --ca-file FILE".to_owned()));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::Setting(format!("cannot set up TLS: {e}")))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

fn add(roots: &mut RootCertStore, path: &Path) -> Result<(), String> {
    let mut count = 0;
    for certificate in CertificateDer::pem_file_iter(path).map_err(|e| e.to_string())? {
        roots.add(certificate.map_err(|e| e.to_string())?).map_err(|e| e.to_string())?;
        count += 1;
    }
    if count == 0 { Err("holds no PEM certificate".to_owned()) } else { Ok(()) }
}
