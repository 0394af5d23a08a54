//! What TLS settings do in a handshake, and what is said of a server that is not believed.

use std::time::{Duration, SystemTime};

use opamp::{
    protocol::backoff::Retry,
    transport::{
        DialError, Target,
        http::{ExchangeError, HttpLink},
        tls::{CipherSuite, Curve, TlsOptions, Verify, Version},
        ws,
    },
    wire::proto::AgentToServer,
};
use rustls::{ProtocolVersion, ServerConnection};
use tokio_rustls::TlsAcceptor;

use crate::{
    authority::{Authority, acceptor, acceptor_of},
    peer::{Request, UID, listen, reply, soon, target},
};

fn secured(scheme: &str, port: u16, options: &TlsOptions) -> Target {
    let mut target = target(scheme, port);
    target.tls = Some(options.build().unwrap().into());
    target
}

fn believing(authority: &Authority) -> TlsOptions {
    TlsOptions { ca_pem: Some(authority.pem()), ..Default::default() }
}

/// Dials over WebSocket; gives what came of it, and what the server saw of the handshake if it got that far.
async fn handshake<T>(
    options: &TlsOptions,
    acceptor: &TlsAcceptor,
    see: impl Fn(&ServerConnection) -> T,
) -> (Result<(), DialError>, Option<T>) {
    let (listener, port) = listen().await;
    let target = secured("wss", port, options);
    let serve = async {
        let (stream, _) = listener.accept().await.unwrap();
        let stream = acceptor.accept(stream).await.ok()?;
        let seen = see(stream.get_ref().1);
        tokio_tungstenite::accept_async(stream).await.ok()?;
        Some(seen)
    };
    let (dialled, seen) = soon(async { tokio::join!(ws::connect(&target, UID), serve) }).await;
    (dialled.map(drop), seen)
}

/// The same server asked over plain HTTP.
async fn exchange(options: &TlsOptions, acceptor: &TlsAcceptor) -> Result<(), ExchangeError> {
    let (listener, port) = listen().await;
    let mut link = HttpLink::new(&secured("https", port, options));
    let message = AgentToServer { instance_uid: UID.to_vec(), ..Default::default() };
    let serve = async {
        let (stream, _) = listener.accept().await.unwrap();
        if let Ok(stream) = acceptor.accept(stream).await {
            Request::read(stream).await.answer(&reply()).await;
        }
    };
    let (answer, ()) = soon(async { tokio::join!(link.exchange(&message), serve) }).await;
    answer.map(drop)
}

#[tokio::test]
async fn f_92_each_certificate_that_is_not_believed_has_its_own_words_on_both_transports() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let here = "127.0.0.1";
    let expired = authority.issue_until(here, SystemTime::now() - Duration::from_secs(86_400));
    for (what, server, words) in [
        ("expired", expired, "has expired"),
        ("another host", authority.issue("elsewhere.example"), "is for another name"),
        ("another CA", stranger.issue(here), "nobody who is trusted vouches"),
        ("self-signed", Authority::self_signed(here), "self-signed and not listed"),
    ] {
        let acceptor = acceptor(&server, None);
        let by_ws = handshake(&believing(&authority), &acceptor, |_| ()).await.0.unwrap_err();
        let by_http = exchange(&believing(&authority), &acceptor).await.unwrap_err();
        for (text, retry) in [(by_ws.to_string(), by_ws.retry()), (by_http.to_string(), by_http.retry())] {
            assert!(text.contains(words), "{what}: {text}");
            assert_eq!(retry, Retry::Permanent, "{what}");
        }
    }
}

#[tokio::test]
async fn f_92_a_server_that_wants_a_certificate_says_so_on_both_transports() {
    let authority = Authority::new();
    let acceptor = acceptor(&authority.issue("127.0.0.1"), Some(&authority));
    let by_ws = handshake(&believing(&authority), &acceptor, |_| ()).await.0.unwrap_err();
    let by_http = exchange(&believing(&authority), &acceptor).await.unwrap_err();
    for (text, retry) in [(by_ws.to_string(), by_ws.retry()), (by_http.to_string(), by_http.retry())] {
        assert!(text.contains("wants a certificate of this client"), "{text}");
        assert_eq!(retry, Retry::Permanent, "{text}");
    }
}

#[tokio::test]
async fn c_ct_10_versions_suites_and_curves_are_those_of_the_settings() {
    let authority = Authority::new();
    let server = authority.issue("127.0.0.1");
    let acceptor = acceptor(&server, None);
    let seen = |connection: &ServerConnection| {
        let suite = connection.negotiated_cipher_suite().unwrap().suite();
        let group = connection.negotiated_key_exchange_group().unwrap().name();
        (connection.protocol_version().unwrap(), format!("{suite:?}"), format!("{group:?}"))
    };
    let old = TlsOptions {
        max_version: Version::V1_2,
        cipher_suites: vec!["TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256".parse().unwrap()],
        curves: vec![Curve::P384],
        ..believing(&authority)
    };
    let (dialled, seen_old) = handshake(&old, &acceptor, seen).await;
    dialled.unwrap();
    let suite = "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256".to_owned();
    assert_eq!(seen_old, Some((ProtocolVersion::TLSv1_2, suite, "secp384r1".to_owned())));
    let new = TlsOptions {
        min_version: Version::V1_3,
        cipher_suites: vec!["TLS_AES_128_GCM_SHA256".parse().unwrap()],
        curves: vec![Curve::P256],
        ..believing(&authority)
    };
    let (dialled, seen_new) = handshake(&new, &acceptor, seen).await;
    dialled.unwrap();
    let suite = "TLS13_AES_128_GCM_SHA256".to_owned();
    assert_eq!(seen_new, Some((ProtocolVersion::TLSv1_3, suite, "secp256r1".to_owned())));
    // A server that speaks the old version alone.
    let older = acceptor_of(&server, None, &[&rustls::version::TLS12]);
    let error = handshake(&new, &older, |_| ()).await.0.unwrap_err();
    assert!(error.to_string().contains("in common") && error.is_permanent(), "{error}");
}

#[tokio::test]
async fn c_ct_10_ca_pem_and_skip_verify_decide_who_is_believed() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let acceptor = acceptor(&stranger.issue("elsewhere.example"), None);
    let trusts = |verify| TlsOptions { verify, ..believing(&authority) };
    assert!(handshake(&trusts(Verify::Yes), &acceptor, |_| ()).await.0.is_err());
    handshake(&trusts(Verify::Skip), &acceptor, |_| ()).await.0.unwrap();
    // The system's certificates do not vouch for it either.
    let system = TlsOptions { system_roots: true, ..believing(&authority) };
    if let Ok(config) = system.build() {
        drop(config);
        assert!(handshake(&system, &acceptor, |_| ()).await.0.is_err());
    }
}

#[test]
fn suites_without_a_version_are_an_error() {
    let suite: CipherSuite = "TLS_AES_128_GCM_SHA256".parse().unwrap();
    let options = TlsOptions {
        max_version: Version::V1_2,
        cipher_suites: vec![suite],
        verify: Verify::Skip,
        ..Default::default()
    };
    let error = options.build().map(drop).unwrap_err().to_string();
    assert!(error.contains("no cipher suite of the list"), "{error}");
}
