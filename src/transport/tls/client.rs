//! How to make a connection.

use std::sync::Arc;

use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    crypto::{CryptoProvider, ring},
};
use rustls_pki_types::{CertificateDer, pem::PemObject};

use super::{
    CipherSuite, Curve, Identity, TlsError, Version, suites,
    verify::{Pinning, Trusting},
    versions,
};

/// How to make a connection; see [`TlsOptions::build`].
#[derive(Clone, PartialEq, Eq)]
pub struct TlsOptions {
    /// PEM certificates to trust.
    pub ca_pem: Option<Vec<u8>>,
    /// Trust the system's roots too. Without `ca_pem` they are trusted anyway.
    pub system_roots: bool,
    /// What to show to a server that asks for a certificate of the client.
    pub identity: Option<Identity>,
    /// Whether to look at the server's certificate at all.
    pub verify: Verify,
    /// The oldest version to offer.
    pub min_version: Version,
    /// The newest version to offer; not older than the oldest.
    pub max_version: Version,
    /// The only ones to offer; empty for all that are good. See [`CipherSuite`] about TLS 1.3.
    pub cipher_suites: Vec<CipherSuite>,
    /// The only groups to offer for the key exchange, the best liked first; empty for all.
    pub curves: Vec<Curve>,
}

/// Whether the server must prove who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// Somebody who is trusted must vouch for its certificate, or the certificate is listed itself.
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
            cipher_suites: Vec::new(),
            curves: Vec::new(),
        }
    }
}

impl TlsOptions {
    /// Checks the settings. The system's roots are read only here, so a plain connection costs nothing.
    pub fn build(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let provider = Arc::new(CryptoProvider {
            cipher_suites: suites::offered(&self.cipher_suites),
            kx_groups: suites::groups(&self.curves),
            ..ring::default_provider()
        });
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(self.versions())
            .map_err(TlsError::NothingInCommon)?;
        let verifier: Arc<dyn ServerCertVerifier> = match self.verify {
            Verify::Skip => Arc::new(Trusting(provider)),
            Verify::Yes => Arc::new(self.pinning(provider)?),
        };
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
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
