//! Dialling that fails: each way says what to do, and none shows a secret.

use std::time::Duration;

use opamp::{
    protocol::backoff::Retry,
    transport::{DialError, DialFailure, Target, ws},
};

use crate::peer::{Request, UID, Ws, listen, soon, target};

async fn refused_with(status: &str, headers: &str) -> DialError {
    let (listener, port) = listen().await;
    let target = target("ws", port);
    let serve = async { Request::accept(&listener).await.respond(status, headers, b"").await };
    let (dialled, _) = tokio::join!(ws::connect(&target, UID), serve);
    dialled.unwrap_err()
}

#[tokio::test]
async fn s_tc_04_each_status_has_its_words_and_no_secret() {
    for (status, words, retry) in [
        ("401 Unauthorized", "server.headers", Retry::Permanent),
        ("403 Forbidden", "may not connect", Retry::Permanent),
        ("404 Not Found", "path of server.endpoint", Retry::Permanent),
        ("302 Found", "302", Retry::Permanent),
        ("408 Request Timeout", "408", Retry::Failed),
        ("500 Internal Server Error", "500", Retry::Failed),
        ("502 Bad Gateway", "502", Retry::Failed),
    ] {
        let error = refused_with(status, "").await;
        let text = error.to_string();
        assert!(text.contains(words), "{text}");
        assert!(!format!("{text} {error:?}").contains("s3cret"), "{error:?}");
        assert_eq!(error.retry(), retry, "{text}");
    }
}

#[tokio::test]
async fn c_th_02_06_f_47_an_overloaded_server_says_when_to_come_back() {
    for (headers, after) in [
        ("Retry-After: 7\r\n", Some(Duration::from_secs(7))),
        ("Retry-After: Sun, 06 Nov 1994 08:49:37 GMT\r\n", Some(Duration::ZERO)),
        ("Retry-After: junk\r\n", None),
        ("", None),
    ] {
        for status in ["503 Service Unavailable", "429 Too Many Requests"] {
            let error = refused_with(status, headers).await;
            assert_eq!(error.retry(), Retry::Overloaded { after }, "{headers}");
        }
    }
}

#[tokio::test]
async fn a_port_where_nobody_listens_and_a_name_that_is_not_there() {
    let (listener, port) = listen().await;
    drop(listener);
    let error = soon(ws::connect(&target("ws", port), UID)).await.unwrap_err();
    assert!(matches!(error.why, DialFailure::Connect(_)), "{error}");
    let nowhere = Target::new("ws://nowhere.invalid/v1/opamp".parse().unwrap());
    let error = soon(ws::connect(&nowhere, UID)).await.unwrap_err();
    assert!(matches!(error.why, DialFailure::Connect(_)), "{error}");
}

#[tokio::test]
async fn a_server_that_never_answers_has_a_deadline() {
    let (listener, port) = listen().await;
    let target = target("ws", port);
    let dialling = ws::connect(&target, UID);
    let held = async {
        let request = Request::accept(&listener).await;
        tokio::time::pause();
        request
    };
    let (error, _held) = tokio::join!(dialling, held);
    let error = error.unwrap_err();
    assert!(matches!(error.why, DialFailure::TimedOut(_)), "{error}");
}

#[tokio::test]
async fn c_ht_09_b_tc_03_the_handshake_carries_the_uid_and_the_headers() {
    let (listener, port) = listen().await;
    let target = target("ws", port);
    let serve = async {
        let request = Request::accept(&listener).await;
        assert_eq!(request.header("opamp-instance-uid"), Some(&*UID.to_string()));
        assert_eq!(request.header("authorization"), Some("Bearer s3cret"));
        request.respond("401 Unauthorized", "", b"").await
    };
    let (dialled, _) = tokio::join!(ws::connect(&target, UID), serve);
    assert!(matches!(dialled, Err(DialError { why: DialFailure::Unauthorized, .. })));
}

#[tokio::test]
async fn tls_to_a_server_without_tls_says_so() {
    let (listener, port) = listen().await;
    let mut target = target("wss", port);
    let error = soon(ws::connect(&target, UID)).await.unwrap_err();
    assert!(matches!(error.why, DialFailure::NoTls), "{error}");
    let options = opamp::transport::tls::TlsOptions {
        verify: opamp::transport::tls::Verify::Skip,
        ..Default::default()
    };
    target.tls = Some(options.build().unwrap().into());
    let plain = async {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n")
                .await
                .unwrap();
        }
    };
    let error = tokio::select! {
        dialled = soon(ws::connect(&target, UID)) => dialled.unwrap_err(),
        () = plain => unreachable!("it serves forever"),
    };
    assert!(matches!(error.why, DialFailure::Tls(_)), "{error}");
}

#[tokio::test]
async fn c_ws_04_a_link_is_one_connection() {
    let (listener, port) = listen().await;
    let target = target("ws", port);
    let (link, _server) = tokio::join!(ws::connect(&target, UID), Ws::accept(&listener));
    assert!(link.is_ok());
    assert!(tokio::time::timeout(Duration::ZERO, listener.accept()).await.is_err());
}

#[tokio::test]
async fn a_server_that_hangs_up_in_the_handshake_is_tried_again_soon() {
    for said in ["", "HTTP/1.1 101 Switching"] {
        let (listener, port) = listen().await;
        let target = target("ws", port);
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::io::AsyncWriteExt::write_all(&mut stream, said.as_bytes()).await.unwrap();
        };
        let (dialled, ()) = soon(async { tokio::join!(ws::connect(&target, UID), serve) }).await;
        let error = dialled.map(drop).unwrap_err();
        assert!(matches!(error.why, DialFailure::Broke(_)), "{error}");
        assert_eq!(error.retry(), Retry::Failed, "{error}");
    }
}
