//! How to be connected to.

use std::sync::Arc;

use rustls::{ServerConfig, crypto::ring, server::WebPkiClientVerifier};

use super::{Identity, TlsError, TlsOptions, Version, versions};

/// How to be connected to.
#[derive(Clone)]
pub struct ServerTls {
    pub identity: Identity,
    /// PEM certificates: a client must show one that these vouch for.
    pub client_ca_pem: Option<Vec<u8>>,
    pub min_version: Version,
    pub max_version: Version,
}

impl ServerTls {
    /// Checks the settings.
    pub fn build(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions(self.min_version, self.max_version))?;
        let builder = match &self.client_ca_pem {
            None => builder.with_no_client_auth(),
            Some(pem) => {
                let roots = TlsOptions { ca_pem: Some(pem.clone()), ..TlsOptions::default() }.roots()?;
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let (chain, key) = self.identity.parse()?;
        Ok(Arc::new(builder.with_single_cert(chain, key)?))
    }
}
