//! Message sizes, both transports, both directions.

use futures_util::SinkExt;
use opamp::wire::body;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::{
    agent::{Identity, LIMIT, Socket, exchange, post},
    harness::Bench,
};

const SMALL: usize = 8192;

async fn small() -> Bench {
    Bench::with(|options| options.message_limit = SMALL).await
}

#[tokio::test]
async fn s_lm_01_02_03_a_websocket_message_over_the_limit_is_closed_with_1009() {
    let bench = small().await;
    let mut socket = Socket::connect(bench.server.opamp).await;
    socket.ask(&Identity::new(1).full_report()).await;
    let _ = socket.0.send(Message::Binary(vec![0; SMALL + 1].into())).await;
    let frame = socket.closed().await.expect("a closing handshake");
    assert_eq!(u16::from(frame.code), 1009);
    // A text message is none of OpAMP's.
    let mut socket = Socket::connect(bench.server.opamp).await;
    socket.0.send(Message::Text("hello".into())).await.unwrap();
    assert_eq!(u16::from(socket.closed().await.unwrap().code), 1003);
}

#[tokio::test]
async fn s_lm_07_08_a_body_over_the_limit_is_refused_also_after_inflation() {
    let bench = small().await;
    assert_eq!(post(bench.server.opamp, &[], &vec![0; SMALL + 1]).await.status, 413);
    let bomb = body::gzip(&vec![0; 10_000_000]);
    assert!(bomb.len() > SMALL);
    let bomb = body::gzip(&vec![0; 1_000_000]);
    assert!(bomb.len() < SMALL);
    assert_eq!(post(bench.server.opamp, &[("content-encoding", "gzip")], &bomb).await.status, 413);
    assert_eq!(post(bench.server.opamp, &[("content-encoding", "br")], b"x").await.status, 415);
}

#[tokio::test]
async fn s_lm_04_05_06_09_10_11_an_answer_over_the_limit_is_not_sent() {
    let bench = small().await;
    let (mut http, mut ws) = (Identity::new(1), Identity::new(2));
    exchange(bench.server.opamp, &http.full_report()).await;
    let mut socket = Socket::connect(bench.server.opamp).await;
    socket.ask(&ws.full_report()).await;
    let big = json!({"value": "x".repeat(SMALL), "contentType": "text/yaml"});
    for agent in [&http, &ws] {
        let path = format!("/api/v1/agents/{}/update-agent-config", agent.uid);
        assert_eq!(bench.api("PUT", &path, Some(big.clone())).await.status, 200);
    }
    let answer = post(bench.server.opamp, &[], &body::encode(&http.heartbeat(), LIMIT).unwrap()).await;
    assert_eq!((answer.status, answer.body.len()), (500, 0));
    // The offer is not there, the answer to the heartbeat is.
    let reply = socket.ask(&ws.heartbeat()).await;
    assert!(reply.remote_config.is_none());
    let metrics = bench.api("GET", "/metrics", None).await.text();
    assert!(metrics.contains("opamp_server_dropped_messages_total 2\n"), "{metrics}");
}
