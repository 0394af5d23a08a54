//! What a TLS connection trusts and who it says it is. The crypto provider is named, never ambient.
//!
//! - `certificate`: what a client certificate says of itself
//! - `client`: how to make a connection; `verify`: whom to believe then
//! - `suites`: versions, cipher suites and curves by their names; `source`: settings whose files change
//! - `failure`: why a handshake came to nothing
//! - `server`: how to be connected to

mod certificate;
mod client;
#[cfg(feature = "supervisor")]
mod failure;
mod server;
#[cfg(feature = "supervisor")]
mod source;
mod suites;
mod verify;

use rustls::{
    SupportedProtocolVersion,
    client::VerifierBuilderError,
    version::{TLS12, TLS13},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

pub use certificate::{Validity, validity};
pub use client::{TlsOptions, Verify, unused};
#[cfg(feature = "supervisor")]
pub use failure::TlsFailure;
pub use server::{Clients, ServerTls, client_verifier};
#[cfg(feature = "supervisor")]
pub use source::Tls;
pub use suites::{CipherSuite, Curve, Unsupported};

/// A version of TLS that is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// TLS 1.2.
    V1_2,
    /// TLS 1.3.
    V1_3,
}

/// A certificate with its key, both PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// The certificate, followed by those between it and the CA.
    pub cert_pem: Vec<u8>,
    /// PKCS#8, SEC1 or PKCS#1, not encrypted.
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

/// The settings cannot be honoured.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The text of the CA certificates is no PEM.
    #[error("the CA certificates cannot be read: {0}")]
    Ca(rustls_pki_types::pem::Error),
    /// The text of the CA certificates holds none.
    #[error("the CA certificates hold no certificate that can be trusted")]
    NoCa,
    /// The text of the certificate is no PEM.
    #[error("the certificate cannot be read: {0}")]
    Cert(rustls_pki_types::pem::Error),
    /// The text of the certificate holds none.
    #[error("the certificate's file holds no PEM certificate")]
    NoCert,
    /// The text of the key is no PEM, or holds no key.
    #[error("the key cannot be read: {0}")]
    Key(rustls_pki_types::pem::Error),
    /// The system's CAs were to be trusted, and there are none.
    #[error(
        "the system has no certificate that can be trusted; give a CA, or install the system's CA certificates"
    )]
    NoSystemRoots,
    /// A CA certificate that the library does not take.
    #[error("the CA certificates cannot be used: {0}")]
    Verifier(#[from] VerifierBuilderError),
    /// Versions and suites of these settings exclude each other.
    #[error("no cipher suite of the list belongs to a version of TLS that is allowed: {0}")]
    NothingInCommon(rustls::Error),
    /// What else the library has against the settings, such as the key of another certificate.
    #[error("TLS: {0}")]
    Rustls(#[from] rustls::Error),
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
