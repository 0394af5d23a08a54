//! Message sizes, both transports, both directions.

use std::fs;

use futures_util::SinkExt;
use opamp::{server::config::Settings, wire::body};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_tungstenite::tungstenite::Message;

use crate::{
    agent::{Identity, LIMIT, Socket, exchange, post},
    harness::{Bench, WITHIN},
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
    // What it would be compressed to does not count.
    let gzip = [("accept-encoding", "gzip")];
    let answer = post(bench.server.opamp, &gzip, &body::encode(&http.heartbeat(), LIMIT).unwrap()).await;
    assert_eq!((answer.status, answer.body.len()), (500, 0));
    // The offer is not there, the answer to the heartbeat is.
    let reply = socket.ask(&ws.heartbeat()).await;
    assert!(reply.remote_config.is_none());
    let metrics = bench.api("GET", "/metrics", None).await.text();
    assert!(metrics.contains("opamp_server_dropped_messages_total 2\n"), "{metrics}");
}

#[test]
fn s_tc_02_b_lm_01_02_the_port_is_4320_and_the_limit_64_mib_unless_configured() {
    let options = Settings::default().options().unwrap();
    assert!(options.opamp.address.ends_with(":4320"), "{}", options.opamp.address);
    assert_eq!(options.message_limit, 64 << 20);
    let settings = Settings {
        opamp_listen: Some("127.0.0.1:1234".to_owned()),
        max_message_size: Some(1 << 20),
        ..Default::default()
    };
    let options = settings.options().unwrap();
    assert_eq!((&*options.opamp.address, options.message_limit), ("127.0.0.1:1234", 1 << 20));
}

/// What this process holds, in KiB; the server is in it.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Room for the other tests of this process.
const BOUND: u64 = 256 * 1024;

/// A WebSocket below any library, to say what none would.
async fn raw(bench: &Bench) -> TcpStream {
    let mut stream = TcpStream::connect(bench.server.opamp).await.unwrap();
    let request = "GET /v1/opamp HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    stream
}

/// Sends until the server has hung up, and gives what it said before.
async fn flood(stream: TcpStream, first: &[u8], again: &[u8], times: usize) -> Vec<u8> {
    let (mut reading, mut writing) = stream.into_split();
    let send = async {
        if writing.write_all(first).await.is_ok() {
            for _ in 0..times {
                if writing.write_all(again).await.is_err() {
                    break;
                }
            }
        }
    };
    let hear = async {
        let mut heard = Vec::new();
        let _ = reading.read_buf(&mut heard).await;
        heard
    };
    timeout(WITHIN * 6, async { tokio::join!(send, hear).1 }).await.expect("it must end in time")
}

fn close_code(heard: &[u8]) -> u16 {
    assert_eq!(heard.first(), Some(&0x88), "{heard:?}");
    u16::from_be_bytes([heard[2], heard[3]])
}

#[tokio::test]
async fn f_95_s_lm_01_03_a_message_of_one_gibibyte_is_refused_by_its_head() {
    let bench = Bench::new().await;
    let stream = raw(&bench).await;
    let before = resident();
    let head = [&[0x82, 0xff][..], &(1u64 << 30).to_be_bytes(), &[0; 4]].concat();
    let heard = flood(stream, &head, &vec![0; 1 << 16], 1 << 14).await;
    assert_eq!(close_code(&heard), 1009);
    assert!(resident() < before + BOUND, "{before} KiB before, {} after", resident());
}

#[tokio::test]
async fn f_95_a_million_fragments_are_one_message_or_none_and_others_are_served() {
    let bench = small().await;
    let stream = raw(&bench).await;
    let before = resident();
    // One byte in each, under a mask of zeros.
    let fragments = [0x00, 0x81, 0, 0, 0, 0, 0].repeat(1000);
    let heard = flood(stream, &[0x02, 0x81, 0, 0, 0, 0, 0], &fragments, 1000).await;
    assert_eq!(close_code(&heard), 1009);
    assert!(resident() < before + BOUND, "{before} KiB before, {} after", resident());
    let mut socket = Socket::connect(bench.server.opamp).await;
    socket.ask(&Identity::new(1).full_report()).await;
}
