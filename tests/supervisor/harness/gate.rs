//! Who stands in front of the server: with TLS or without, and particular about who may come in.

use std::{net::SocketAddr, sync::Arc};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use rustls::{RootCertStore, ServerConfig, crypto::ring, server::WebPkiClientVerifier};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::watch,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use super::{DEADLINE, Server};

/// What happens to who comes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Rule {
    /// Everybody is let through.
    Open,
    /// With this in the header `authorization`; others hear 401.
    Only(&'static str),
    /// Nobody hears anything.
    Silent,
}

/// Somebody who came as far as to speak.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Visitor {
    pub(crate) authorization: Option<String>,
    /// The certificate that was shown, in DER.
    pub(crate) certificate: Option<Vec<u8>>,
    pub(crate) let_in: bool,
}

pub(crate) struct Gate {
    pub(crate) address: SocketAddr,
    rule: watch::Sender<Rule>,
    visitors: watch::Receiver<Vec<Visitor>>,
}

impl Gate {
    pub(crate) async fn start(server: &Server, rule: Rule, tls: Option<TlsAcceptor>) -> Self {
        let to: SocketAddr = server.endpoint.split('/').nth(2).unwrap().parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (rule, rules) = watch::channel(rule);
        let (tell, visitors) = watch::channel(Vec::new());
        let tell = Arc::new(tell);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (tls, rules, tell) = (tls.clone(), rules.clone(), tell.clone());
                tokio::spawn(async move {
                    let Some(tls) = tls else { return pass(stream, to, rules, &tell, None).await };
                    let Ok(stream) = tls.accept(stream).await else { return };
                    let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
                    let shown = shown.map(|certificate| certificate.to_vec());
                    pass(stream, to, rules, &tell, shown).await;
                });
            }
        });
        Self { address, rule, visitors }
    }

    pub(crate) fn endpoint(&self, scheme: &str) -> String {
        format!("{scheme}://{}/v1/opamp", self.address)
    }

    /// Another rule; whoever is inside is put out.
    pub(crate) fn rule(&self, rule: Rule) {
        self.rule.send(rule).unwrap();
    }

    pub(crate) fn visitors(&self) -> Vec<Visitor> {
        self.visitors.borrow().clone()
    }

    /// Waits for somebody.
    pub(crate) async fn visited(&self, by: impl Fn(&Visitor) -> bool) -> Visitor {
        let mut visitors = self.visitors.clone();
        let waiting = visitors.wait_for(|visitors| visitors.iter().any(&by));
        let seen = timeout(DEADLINE, waiting).await.map(|seen| seen.unwrap().clone());
        let seen = seen.unwrap_or_else(|_| panic!("only these came: {:?}", self.visitors()));
        seen.into_iter().find(by).unwrap()
    }
}

async fn pass(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    to: SocketAddr,
    mut rules: watch::Receiver<Rule>,
    tell: &watch::Sender<Vec<Visitor>>,
    certificate: Option<Vec<u8>>,
) {
    let mut head = Vec::new();
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let named = |line: &&str| line.to_ascii_lowercase().starts_with("authorization:");
    let authorization = text.lines().find(named).map(|line| line["authorization:".len()..].trim().to_owned());
    let rule = rules.borrow_and_update().clone();
    let let_in = match &rule {
        Rule::Open => true,
        Rule::Only(wanted) => authorization.as_deref() == Some(*wanted),
        Rule::Silent => false,
    };
    tell.send_modify(|visitors| visitors.push(Visitor { authorization, certificate, let_in }));
    if rule == Rule::Silent {
        let _ = rules.changed().await;
        return;
    }
    if !let_in {
        let _ = stream.write_all(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n").await;
        return;
    }
    let mut inside = TcpStream::connect(to).await.unwrap();
    inside.write_all(&head).await.unwrap();
    tokio::select! {
        _ = copy_bidirectional(&mut stream, &mut inside) => {}
        _ = rules.changed() => {}
    }
}

/// A CA made for one test.
pub(crate) struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

impl Ca {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate and its key, both PEM.
    pub(crate) fn issue(&self, name: &str) -> (String, String) {
        self.issue_until(name, 2060)
    }

    pub(crate) fn issue_until(&self, name: &str, year: i32) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_after = date_time_ymd(year, 1, 1);
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    /// The answer to a CSR, valid in these years.
    pub(crate) fn sign(&self, csr_pem: &str, from: i32, until: i32) -> String {
        let mut request = CertificateSigningRequestParams::from_pem(csr_pem).unwrap();
        request.params.not_before = date_time_ymd(from, 1, 1);
        request.params.not_after = date_time_ymd(until, 1, 1);
        request.signed_by(&self.issuer).unwrap().pem()
    }

    /// A server of this CA; with another CA, only who has a certificate of that one comes in.
    pub(crate) fn acceptor(&self, clients: Option<&Self>) -> TlsAcceptor {
        self.acceptor_for(clients, true)
    }

    /// The same, and who shows no certificate may come in too.
    pub(crate) fn acceptor_for(&self, clients: Option<&Self>, required: bool) -> TlsAcceptor {
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(ca) => {
                let mut roots = RootCertStore::empty();
                roots.add(CertificateDer::from_pem_slice(ca.pem.as_bytes()).unwrap()).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                let verifier = if required { verifier } else { verifier.allow_unauthenticated() };
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let (cert, key) = self.issue("server");
        let chain = vec![CertificateDer::from_pem_slice(cert.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        TlsAcceptor::from(Arc::new(builder.with_single_cert(chain, key).unwrap()))
    }
}

/// The DER of a PEM certificate.
pub(crate) fn der(pem: &str) -> Vec<u8> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec()
}
