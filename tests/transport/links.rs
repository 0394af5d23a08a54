//! One WebSocket link: limits, malformed frames, silence, the closing handshake.

use std::time::Duration;

use futures_util::{FutureExt, SinkExt};
use opamp::{
    transport::{
        Limits, LinkEnd,
        ws::{self, WsLink},
    },
    wire::proto::{AgentConfigMap, AgentConfigObject, AgentToServer, EffectiveConfig},
};
use tokio::time::{Instant, pause};
use tokio_tungstenite::tungstenite::{Message as Frame, protocol::frame::coding::CloseCode};

use crate::peer::{UID, Ws, listen, reply, soon, target};

async fn pair(limits: Limits) -> (WsLink, Ws) {
    let (listener, port) = listen().await;
    let mut target = target("ws", port);
    target.limits = limits;
    let (link, server) = tokio::join!(ws::connect(&target, UID), Ws::accept(&listener));
    (link.unwrap(), server)
}

fn small() -> Limits {
    Limits { receive: 100, send: 100 }
}

#[tokio::test]
async fn b_ws_01_messages_both_ways_and_pings_answered() {
    let (mut link, mut server) = pair(Limits::default()).await;
    let report = AgentToServer { sequence_num: 5, ..Default::default() };
    link.send(&report).await.unwrap();
    assert_eq!(server.recv().await, report);
    server.raw(Frame::Ping("x".into())).await;
    server.send(&reply()).await;
    assert_eq!(soon(link.recv()).await.unwrap(), reply());
    let pong = async {
        // The answer to the ping leaves while the link is read.
        let _ = link.recv().await;
    };
    tokio::select! {
        () = pong => panic!("nothing was sent"),
        frame = server.frame() => assert_eq!(frame, Some(Frame::Pong("x".into()))),
    }
}

#[tokio::test]
async fn c_lm_01_02_03_f_95_a_message_over_the_limit_closes_with_1009() {
    let (mut link, mut server) = pair(small()).await;
    server.raw(Frame::Binary(vec![0; 101].into())).await;
    assert!(matches!(soon(link.recv()).await, Err(LinkEnd::TooLarge { limit: 100 })));
    assert_eq!(server.closed().await.code, CloseCode::Size);
}

#[tokio::test]
async fn c_lm_01_f_95_fragments_count_together() {
    let (mut link, mut server) = pair(small()).await;
    let mut fragments = vec![fragment(false, true)];
    fragments.extend((0..3).map(|_| fragment(false, false)));
    for fragment in fragments {
        // The link may have closed already.
        let _ = server.0.send(fragment).await;
    }
    assert!(matches!(soon(link.recv()).await, Err(LinkEnd::TooLarge { limit: 100 })));
    assert_eq!(server.closed().await.code, CloseCode::Size);
}

fn fragment(last: bool, first: bool) -> Frame {
    use tokio_tungstenite::tungstenite::protocol::frame::{
        Frame as Raw,
        coding::{Data, OpCode},
    };
    let kind = if first { Data::Binary } else { Data::Continue };
    Frame::Frame(Raw::message(vec![0; 40], OpCode::Data(kind), last))
}

#[tokio::test]
async fn b_ws_03_f_95_what_is_no_message_closes_with_1002() {
    for bytes in [&b"\x01\x10\x05"[..], b"\x00\xff\xff\xff", b""] {
        let (mut link, mut server) = pair(small()).await;
        server.raw(Frame::Binary(bytes.to_vec().into())).await;
        assert!(matches!(soon(link.recv()).await, Err(LinkEnd::Malformed(_))), "{bytes:?}");
        assert_eq!(server.closed().await.code, CloseCode::Protocol);
    }
}

#[tokio::test]
async fn b_ws_01_f_95_a_text_frame_is_refused() {
    let (mut link, mut server) = pair(small()).await;
    server.raw(Frame::Text("hello".into())).await;
    assert!(matches!(soon(link.recv()).await, Err(LinkEnd::Text)));
    assert_eq!(server.closed().await.code, CloseCode::Unsupported);
}

#[tokio::test]
async fn b_io_02_unknown_fields_are_ignored() {
    let (mut link, mut server) = pair(Limits::default()).await;
    let mut bytes = opamp::wire::frame::encode(&reply(), 1000).unwrap();
    bytes.extend([0xf8, 0x3f, 0x01]);
    server.raw(Frame::Binary(bytes.into())).await;
    assert_eq!(soon(link.recv()).await.unwrap(), reply());
}

#[tokio::test]
async fn c_lm_04_05_a_message_over_the_limit_is_not_sent() {
    let (mut link, mut server) = pair(small()).await;
    let body = AgentConfigObject { body: vec![b'x'; 200], ..Default::default() };
    let config_map = Some(AgentConfigMap { config_map: [(String::new(), body)].into() });
    let large =
        AgentToServer { effective_config: Some(EffectiveConfig { config_map }), ..Default::default() };
    assert!(matches!(link.send(&large).await, Err(LinkEnd::NotSent(_))));
    link.send(&AgentToServer::default()).await.unwrap();
    assert_eq!(server.recv().await, AgentToServer::default());
}

#[tokio::test]
async fn f_91_a_half_open_connection_is_noticed_after_a_ping_without_an_answer() {
    // The server holds its end, and never reads.
    let (mut link, server) = pair(Limits::default()).await;
    pause();
    let start = Instant::now();
    assert!(matches!(link.recv().await, Err(LinkEnd::Silent { .. })));
    let waited = start.elapsed();
    assert!(waited >= Duration::from_secs(59) && waited <= Duration::from_secs(61), "{waited:?}");
    drop(server);
}

#[tokio::test]
async fn f_91_a_peer_that_answers_pings_is_kept() {
    let (mut link, mut server) = pair(Limits::default()).await;
    pause();
    let start = Instant::now();
    let answering = async {
        for _ in 0..4 {
            assert!(matches!(server.frame_unbounded().await, Some(Frame::Ping(_))));
        }
    };
    tokio::select! {
        end = link.recv() => panic!("{end:?} after {:?}", start.elapsed()),
        () = answering => assert!(start.elapsed() >= Duration::from_secs(119)),
    }
}

#[tokio::test]
async fn c_ws_02_the_closing_handshake_is_made_and_bounded() {
    let (mut link, mut server) = pair(Limits::default()).await;
    let ((), frame) = tokio::join!(link.close(), server.closed());
    assert_eq!(frame.code, CloseCode::Normal);
    // A peer that never answers the close does not hold us.
    let (mut link, server) = pair(Limits::default()).await;
    pause();
    let start = Instant::now();
    link.close().await;
    assert!(start.elapsed() <= Duration::from_secs(5));
    drop(server);
}

#[tokio::test]
async fn s_ws_01_the_peers_close_is_answered_and_its_reason_told() {
    let (mut link, mut server) = pair(Limits::default()).await;
    let frame = tokio_tungstenite::tungstenite::protocol::CloseFrame {
        code: CloseCode::Restart,
        reason: "maintenance".into(),
    };
    server.raw(Frame::Close(Some(frame))).await;
    let end = soon(link.recv()).await.unwrap_err();
    assert!(end.to_string().contains("maintenance"), "{end}");
    assert_eq!(server.closed().await.code, CloseCode::Restart);
    assert!(link.recv().now_or_never().is_none_or(|end| end.is_err()));
}
