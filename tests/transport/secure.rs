//! TLS on both transports, with a certificate for `opamp.example` from a CA made for these tests only.

use std::sync::Arc;

use opamp::{
    transport::{
        DialError, DialFailure, Target,
        http::HttpLink,
        tls::{TlsError, TlsOptions, Verify, Version},
        ws,
    },
    wire::proto::{AgentToServer, ServerToAgent},
};
use rustls::{ServerConfig, crypto::ring};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use crate::peer::{UID, listen, soon, target};

const CA: &[u8] = include_bytes!("certs/ca.pem");
const CERT: &[u8] = include_bytes!("certs/server.pem");
const KEY: &[u8] = include_bytes!("certs/server.key");

/// A CA's certificate that a server shows as its own, now and when it has expired.
const SELF: &[u8] = include_bytes!("certs/self.pem");
const SELF_EXPIRED: &[u8] = include_bytes!("certs/self-expired.pem");
const SELF_KEY: &[u8] = include_bytes!("certs/self.key");

fn acceptor() -> TlsAcceptor {
    acceptor_of(CERT, KEY)
}

fn acceptor_of(cert: &[u8], key: &[u8]) -> TlsAcceptor {
    let certs = CertificateDer::pem_slice_iter(cert).collect::<Result<_, _>>().unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(certs, PrivateKeyDer::from_pem_slice(key).unwrap())
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

fn trusting() -> TlsOptions {
    TlsOptions { ca_pem: Some(CA.to_vec()), ..Default::default() }
}

fn secure(scheme: &str, port: u16, options: &TlsOptions, name: Option<&str>) -> Target {
    let mut target = target(scheme, port);
    target.tls = Some(options.build().unwrap().into());
    target.server_name = name.map(str::to_owned);
    target
}

/// One WebSocket dial to a TLS server.
async fn dial(options: &TlsOptions, name: Option<&str>) -> Result<(), DialError> {
    dial_one_with(CERT, KEY, options, name).await
}

/// The same, and what the server shows.
async fn dial_one_with(
    cert: &[u8],
    key: &[u8],
    options: &TlsOptions,
    name: Option<&str>,
) -> Result<(), DialError> {
    let (listener, port) = listen().await;
    let target = secure("wss", port, options, name);
    let serve = async {
        let (stream, _) = listener.accept().await.unwrap();
        let Ok(stream) = acceptor_of(cert, key).accept(stream).await else { return };
        let _socket = tokio_tungstenite::accept_async(stream).await;
    };
    let (dialled, ()) = soon(async { tokio::join!(ws::connect(&target, UID), serve) }).await;
    dialled.map(drop)
}

#[tokio::test]
async fn f_92_a_server_is_believed_by_its_ca_and_name_only() {
    dial(&trusting(), Some("opamp.example")).await.unwrap();
    let wrong_name = dial(&trusting(), None).await.unwrap_err();
    assert!(matches!(wrong_name.why, DialFailure::Tls(_)), "{wrong_name}");
    let other_ca = TlsOptions { ca_pem: Some(CERT.to_vec()), ..Default::default() };
    let unknown = dial(&other_ca, Some("opamp.example")).await.unwrap_err();
    assert!(
        matches!(unknown.why, DialFailure::Tls(_)) && unknown.to_string().contains("server.tls"),
        "{unknown}"
    );
    dial(&TlsOptions { verify: Verify::Skip, ..Default::default() }, None).await.unwrap();
}

#[tokio::test]
async fn f_92_a_self_signed_certificate_that_is_listed_itself_is_believed_while_dates_and_name_fit() {
    let listing = |pem: &[u8]| TlsOptions { ca_pem: Some(pem.to_vec()), ..Default::default() };
    for version in [Version::V1_2, Version::V1_3] {
        let options = TlsOptions { min_version: version, max_version: version, ..listing(SELF) };
        dial_one_with(SELF, SELF_KEY, &options, Some("opamp.example")).await.unwrap();
    }
    let both = listing(&[CA, SELF].concat());
    dial_one_with(SELF, SELF_KEY, &both, Some("opamp.example")).await.unwrap();
    for (what, cert, options, name) in [
        ("another name", SELF, listing(SELF), "other.example"),
        ("not listed", SELF, listing(CA), "opamp.example"),
        ("expired", SELF_EXPIRED, listing(SELF_EXPIRED), "opamp.example"),
        ("the same key in another certificate", SELF_EXPIRED, listing(SELF), "opamp.example"),
    ] {
        let refused = dial_one_with(cert, SELF_KEY, &options, Some(name)).await;
        assert!(matches!(refused, Err(DialError { why: DialFailure::Tls(_), .. })), "{what}: {refused:?}");
    }
}

#[tokio::test]
async fn both_versions_of_tls_are_spoken() {
    for version in [Version::V1_2, Version::V1_3] {
        let options = TlsOptions { min_version: version, max_version: version, ..trusting() };
        dial(&options, Some("opamp.example")).await.unwrap();
    }
}

/// Answers one request on a TLS connection; gives its head.
async fn serve_http(listener: &TcpListener) -> Option<String> {
    let (stream, _) = listener.accept().await.unwrap();
    let mut stream = acceptor().accept(stream).await.ok()?;
    let mut bytes = Vec::new();
    while !bytes.windows(4).any(|four| four == b"\r\n\r\n") {
        stream.read_buf(&mut bytes).await.unwrap();
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    stream.flush().await.unwrap();
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[tokio::test]
async fn f_92_https_expects_the_overriding_name_and_asks_for_the_host_of_the_url() {
    let (listener, port) = listen().await;
    let message = AgentToServer { instance_uid: UID.to_vec(), ..Default::default() };
    let mut link = HttpLink::new(&secure("https", port, &trusting(), Some("opamp.example")));
    let both = async { tokio::join!(link.exchange(&message), serve_http(&listener)) };
    let (answer, head) = soon(both).await;
    assert_eq!(answer.unwrap(), ServerToAgent::default());
    let head = head.unwrap().to_ascii_lowercase();
    assert!(head.contains(&format!("host: 127.0.0.1:{port}\r\n")), "{head}");
    let mut link = HttpLink::new(&secure("https", port, &trusting(), None));
    let both = async { tokio::join!(link.exchange(&message), serve_http(&listener)) };
    let refused = soon(both).await.0.unwrap_err().to_string();
    assert!(refused.contains("another name") && refused.contains("server.tls"), "{refused}");
}

#[test]
fn settings_that_cannot_be_honoured_are_errors() {
    let ca = |pem: &[u8]| TlsOptions { ca_pem: Some(pem.to_vec()), ..Default::default() }.build();
    assert!(matches!(ca(b"no certificate"), Err(TlsError::NoCa)));
    assert!(matches!(ca(b"-----BEGIN CERTIFICATE-----\n!\n"), Err(TlsError::Ca(_))));
    let identity = |cert: &[u8], key: &[u8]| {
        let identity = opamp::transport::tls::Identity { cert_pem: cert.to_vec(), key_pem: key.to_vec() };
        TlsOptions { identity: Some(identity), ..trusting() }.build()
    };
    assert!(identity(CERT, KEY).is_ok());
    assert!(matches!(identity(CERT, b"no key"), Err(TlsError::Key(_))));
    assert!(identity(b"no certificate", KEY).is_err());
    assert!(identity(CA, KEY).is_err(), "a key of another certificate");
}
