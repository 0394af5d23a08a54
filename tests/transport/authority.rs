//! A CA made for one test, and what it signs.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::{ServerConfig, SupportedProtocolVersion, crypto::ring, server::WebPkiClientVerifier};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio_rustls::TlsAcceptor;

pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its key.
pub(crate) struct Issued {
    pub cert_pem: String,
    pub key_pem: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "a CA of one test");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    pub(crate) fn pem(&self) -> Vec<u8> {
        self.pem.clone().into()
    }

    /// For this name or address, from long ago until far ahead.
    pub(crate) fn issue(&self, name: &str) -> Issued {
        self.issue_with(name, |_| {})
    }

    /// The same, valid until then.
    pub(crate) fn issue_until(&self, name: &str, end: SystemTime) -> Issued {
        let end = end.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        self.issue_with(name, |params| {
            params.not_after = date_time_ymd(1970, 1, 1) + Duration::from_secs(end.as_secs());
        })
    }

    /// What vouches for itself.
    pub(crate) fn self_signed(name: &str) -> Issued {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        Issued { cert_pem: params.self_signed(&key).unwrap().pem(), key_pem: key.serialize_pem() }
    }

    fn issue_with(&self, name: &str, change: impl Fn(&mut CertificateParams)) -> Issued {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        change(&mut params);
        let cert_pem = params.signed_by(&key, &self.issuer).unwrap().pem();
        Issued { cert_pem, key_pem: key.serialize_pem() }
    }
}

/// A server that shows this, and wants a certificate of its clients if there is somebody to vouch for them.
pub(crate) fn acceptor(server: &Issued, clients: Option<&Authority>) -> TlsAcceptor {
    acceptor_of(server, clients, &[&rustls::version::TLS13, &rustls::version::TLS12])
}

pub(crate) fn acceptor_of(
    server: &Issued,
    clients: Option<&Authority>,
    versions: &[&'static SupportedProtocolVersion],
) -> TlsAcceptor {
    let provider = Arc::new(ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(versions).unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(&authority.pem()).unwrap()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let cert = CertificateDer::from_pem_slice(server.cert_pem.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(server.key_pem.as_bytes()).unwrap();
    TlsAcceptor::from(Arc::new(builder.with_single_cert(vec![cert], key).unwrap()))
}
