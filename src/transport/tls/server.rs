//! How to be connected to.

use std::sync::Arc;

use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, ring},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};

use super::{Identity, TlsError, TlsOptions, Version, versions};

/// How to be connected to.
#[derive(Clone)]
pub struct ServerTls {
    /// What the server shows.
    pub identity: Identity,
    /// Whom it lets in by certificate.
    pub clients: Clients,
    /// The oldest version that is spoken.
    pub min_version: Version,
    /// The newest version that is spoken; not older than the oldest.
    pub max_version: Version,
}

/// What is asked of those who connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Clients {
    /// No certificate.
    Anyone,
    /// A certificate that these PEM certificates vouch for.
    Certified(Vec<u8>),
    /// The same of whoever shows a certificate; nobody has to, since there are other ways to prove who one is.
    Welcome(Vec<u8>),
}

impl ServerTls {
    /// Checks the settings.
    pub fn build(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions(self.min_version, self.max_version))?;
        let builder = match &self.clients {
            Clients::Anyone => builder.with_no_client_auth(),
            Clients::Certified(pem) => builder.with_client_cert_verifier(verifier(pem, provider, false)?),
            Clients::Welcome(pem) => builder.with_client_cert_verifier(verifier(pem, provider, true)?),
        };
        let (chain, key) = self.identity.parse()?;
        if chain.is_empty() {
            return Err(TlsError::NoCert);
        }
        let mut config = builder.with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

/// Judges certificates of clients by these CAs, as a handshake does.
pub fn client_verifier(ca_pem: &[u8]) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    verifier(ca_pem, Arc::new(ring::default_provider()), true)
}

fn verifier(
    ca_pem: &[u8],
    provider: Arc<CryptoProvider>,
    optional: bool,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let roots = TlsOptions { ca_pem: Some(ca_pem.to_vec()), ..TlsOptions::default() }.roots()?;
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = if optional { builder.allow_unauthenticated() } else { builder };
    Ok(builder.build()?)
}
