//! How to make a connection.

use std::sync::Arc;

use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    client::WebPkiServerVerifier,
    crypto::{CryptoProvider, ring},
};
use rustls_pki_types::{CertificateDer, pem::PemObject};

use super::{
    Identity, TlsError, Version,
    verify::{Pinning, Trusting},
    versions,
};

/// How to make a connection; see [`TlsOptions::build`].
#[derive(Clone)]
pub struct TlsOptions {
    /// PEM certificates to trust.
    pub ca_pem: Option<Vec<u8>>,
    /// Trust the system's roots too. Without `ca_pem` they are trusted anyway.
    pub system_roots: bool,
    pub identity: Option<Identity>,
    pub verify: Verify,
    pub min_version: Version,
    pub max_version: Version,
}

/// Whether the server must prove who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    Yes,
    /// Only where the operator's own file says so.
    Skip,
}

impl Default for TlsOptions {
    fn default() -> Self {
        Self {
            ca_pem: None,
            system_roots: false,
            identity: None,
            verify: Verify::Yes,
            min_version: Version::V1_2,
            max_version: Version::V1_3,
        }
    }
}

impl TlsOptions {
    /// Checks the settings. The system's roots are read only here, so a plain connection costs nothing.
    pub fn build(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let builder =
            ClientConfig::builder_with_provider(provider.clone()).with_protocol_versions(self.versions())?;
        let builder = match self.verify {
            Verify::Skip => {
                builder.dangerous().with_custom_certificate_verifier(Arc::new(Trusting(provider)))
            }
            Verify::Yes if self.ca_pem.is_some() => {
                builder.dangerous().with_custom_certificate_verifier(Arc::new(self.pinning(provider)?))
            }
            Verify::Yes => builder.with_root_certificates(self.roots()?),
        };
        let config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let (chain, key) = identity.parse()?;
                builder.with_client_auth_cert(chain, key)?
            }
        };
        Ok(Arc::new(config))
    }

    fn versions(&self) -> &'static [&'static SupportedProtocolVersion] {
        versions(self.min_version, self.max_version)
    }

    fn pinning(&self, provider: Arc<CryptoProvider>) -> Result<Pinning, TlsError> {
        let pem = self.ca_pem.iter().flat_map(|pem| CertificateDer::pem_slice_iter(pem));
        let listed = pem.collect::<Result<_, _>>().map_err(TlsError::Ca)?;
        let roots = Arc::new(self.roots()?);
        let inner = WebPkiServerVerifier::builder_with_provider(roots, provider).build()?;
        Ok(Pinning { inner, listed })
    }

    pub(super) fn roots(&self) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        if let Some(pem) = &self.ca_pem {
            for cert in CertificateDer::pem_slice_iter(pem) {
                roots.add(cert.map_err(TlsError::Ca)?)?;
            }
            if roots.is_empty() {
                return Err(TlsError::NoCa);
            }
        }
        if self.system_roots || self.ca_pem.is_none() {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err(TlsError::NoSystemRoots);
            }
        }
        Ok(roots)
    }
}

/// For a plain connection: the HTTP client wants settings even where it never uses them. They trust nobody.
pub fn unused() -> Result<Arc<ClientConfig>, TlsError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(TlsOptions::default().versions())?;
    Ok(Arc::new(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth()))
}
