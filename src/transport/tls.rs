//! What a TLS connection trusts and who it says it is. The crypto provider is named, never ambient.

use std::sync::Arc;

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme,
    SupportedProtocolVersion,
    client::{
        VerifierBuilderError, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    server::{ParsedCertificate, WebPkiClientVerifier},
    version::{TLS12, TLS13},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject};

/// A version of TLS that is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    V1_2,
    V1_3,
}

/// A certificate with its key, both PEM.
#[derive(Clone)]
pub struct Identity {
    pub cert_pem: Vec<u8>,
    pub key_pem: Vec<u8>,
}

impl Identity {
    fn parse(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
        let chain = CertificateDer::pem_slice_iter(&self.cert_pem);
        let chain = chain.collect::<Result<_, _>>().map_err(TlsError::Cert)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key_pem).map_err(TlsError::Key)?;
        Ok((chain, key))
    }
}

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

/// The settings cannot be honoured.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("the CA certificates cannot be read: {0}")]
    Ca(rustls_pki_types::pem::Error),
    #[error("the CA certificates hold no certificate that can be trusted")]
    NoCa,
    #[error("the certificate cannot be read: {0}")]
    Cert(rustls_pki_types::pem::Error),
    #[error("the key cannot be read: {0}")]
    Key(rustls_pki_types::pem::Error),
    #[error(
        "the system has no certificate that can be trusted; give a CA, or install the system's CA certificates"
    )]
    NoSystemRoots,
    #[error("the CA certificates cannot be used: {0}")]
    Verifier(#[from] VerifierBuilderError),
    #[error("TLS: {0}")]
    Rustls(#[from] rustls::Error),
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

    fn roots(&self) -> Result<RootCertStore, TlsError> {
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

fn versions(min: Version, max: Version) -> &'static [&'static SupportedProtocolVersion] {
    static ONLY_1_2: [&SupportedProtocolVersion; 1] = [&TLS12];
    static ONLY_1_3: [&SupportedProtocolVersion; 1] = [&TLS13];
    static BOTH: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
    match (min, max) {
        (Version::V1_2, Version::V1_2) => &ONLY_1_2,
        (Version::V1_3, _) => &ONLY_1_3,
        (Version::V1_2, Version::V1_3) => &BOTH,
    }
}

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

/// For a plain connection: the HTTP client wants settings even where it never uses them. They trust nobody.
pub fn unused() -> Result<Arc<ClientConfig>, TlsError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(TlsOptions::default().versions())?;
    Ok(Arc::new(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth()))
}

/// Believes whom the CAs vouch for, and a server that shows a listed certificate itself. People list a
/// self-signed certificate of their server as its own CA, and Go takes it; as a CA it may not stand for a server
/// by the letter of the rules. Dates and names are checked all the same.
#[derive(Debug)]
struct Pinning {
    inner: Arc<WebPkiServerVerifier>,
    listed: Vec<CertificateDer<'static>>,
}

/// What the library says of a certificate that is fit but for being a CA's; it looks at the dates before.
const CA_AS_SERVER: &str = "CaUsedAsEndEntity";

impl ServerCertVerifier for Pinning {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let judged =
            self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match judged {
            Err(rustls::Error::InvalidCertificate(CertificateError::Other(why)))
                if why.0.to_string() == CA_AS_SERVER && self.listed.contains(end_entity) =>
            {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            judged => judged,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Believes any server; signatures are still checked, as the library wants.
#[derive(Debug)]
struct Trusting(Arc<CryptoProvider>);

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
