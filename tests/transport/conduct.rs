//! How a client behaves on either transport: what it sends and in which order, and what it does with what is too
//! large.

use std::{
    io,
    sync::{Arc, Mutex},
};

use opamp::{
    protocol::client::Link,
    transport::{
        Limits,
        client::{Notice, Update, spawn},
        http::{ExchangeError, ExchangeFailure, HttpLink},
    },
    wire::proto::{AgentDescription, AgentToServer, ComponentHealth},
};
use prost::Message;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::{Message as Frame, protocol::frame::coding::CloseCode};

use crate::peer::{Request, UID, Ws, clock, listen, machine, reply, soon, target};

async fn next(notices: &mut mpsc::Receiver<Notice>) -> Notice {
    soon(notices.recv()).await.expect("the task is there")
}

fn health(status: &str) -> Update {
    Update::Health(ComponentHealth { status: status.into(), ..Default::default() })
}

#[tokio::test]
async fn b_tc_02_b_ws_01_02_each_message_is_one_binary_frame_of_a_zero_byte_and_proto3() {
    let (listener, port) = listen().await;
    let (_handle, mut notices) = spawn(machine(Link::WebSocket), target("ws", port), clock);
    let mut server = Ws::accept(&listener).await;
    let Some(Frame::Binary(bytes)) = server.frame().await else { panic!("a binary frame") };
    assert_eq!(bytes[0], 0);
    let message = AgentToServer::decode(&bytes[1..]).unwrap();
    assert_eq!((&*message.instance_uid, message.sequence_num), (&UID.to_vec()[..], 1));
    // Nothing unknown is in it: what was decoded encodes to the same bytes.
    assert_eq!(message.encode_to_vec(), &bytes[1..]);
    server.send(&reply()).await;
    assert!(matches!(next(&mut notices).await, Notice::Connected));
}

#[tokio::test]
async fn c_ws_05_a_deliberate_reconnect_is_a_goodbye_then_a_close_and_only_then_a_dial() {
    let (listener, port) = listen().await;
    let (handle, mut notices) = spawn(machine(Link::WebSocket), target("ws", port), clock);
    let mut server = Ws::accept(&listener).await;
    server.recv().await;
    server.send(&reply()).await;
    while !matches!(next(&mut notices).await, Notice::Event(_)) {}
    handle.redirect(target("ws", port));
    assert!(server.recv().await.agent_disconnect.is_some());
    let early = tokio::time::timeout(std::time::Duration::ZERO, listener.accept()).await;
    assert!(early.is_err(), "a second connection beside the first");
    assert_eq!(server.closed().await.code, CloseCode::Normal);
    drop(server);
    assert!(Ws::accept(&listener).await.recv().await.agent_disconnect.is_none());
}

#[test]
fn b_lm_01_02_the_advised_limit_of_64_mib_holds_unless_configured() {
    assert_eq!(Limits::default().receive, 64 << 20);
    assert_eq!(opamp::wire::DEFAULT_MESSAGE_LIMIT, 64 << 20);
}

/// What is logged in this thread while it lives.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn start(&self) -> tracing::subscriber::DefaultGuard {
        let log = self.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || log.clone()).finish();
        tracing::subscriber::set_default(subscriber)
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

#[tokio::test]
async fn c_lm_04_05_06_over_websocket_a_message_over_the_limit_is_recorded_and_not_sent() {
    let log = Log::default();
    let _guard = log.start();
    let (listener, port) = listen().await;
    let mut target = target("ws", port);
    target.limits.send = 1000;
    let (handle, _notices) = spawn(machine(Link::WebSocket), target, clock);
    let mut server = Ws::accept(&listener).await;
    server.recv().await;
    server.send(&reply()).await;
    handle.update(health(&"x".repeat(5000)));
    handle.update(Update::Description(AgentDescription::default()));
    while !log.text().contains("dropped") {
        tokio::task::yield_now().await;
    }
    assert!(log.text().contains("a message to the server was dropped"), "{}", log.text());
    handle.update(health("small"));
    assert_eq!(server.recv().await.health.unwrap().status, "small");
}

#[tokio::test]
async fn c_lm_12_13_14_over_http_a_message_over_the_limit_is_recorded_and_not_requested() {
    let log = Log::default();
    let _guard = log.start();
    let (listener, port) = listen().await;
    let mut target = target("http", port);
    target.limits.send = 1000;
    // What it would be compressed to does not count.
    let report = ComponentHealth { status: "x".repeat(5000), ..Default::default() };
    let message = AgentToServer { instance_uid: UID.to_vec(), health: Some(report), ..Default::default() };
    let refused = HttpLink::new(&target).exchange(&message).await;
    assert!(matches!(refused, Err(ExchangeError { why: ExchangeFailure::NotSent(_), .. })), "{refused:?}");
    let (handle, _notices) = spawn(machine(Link::Http), target, clock);
    handle.update(health(&"x".repeat(5000)));
    while !log.text().contains("a message to the server was dropped") {
        tokio::task::yield_now().await;
    }
    handle.update(health("small"));
    let first = Request::accept(&listener).await;
    assert_eq!(first.message().health.unwrap().status, "small");
}

#[tokio::test]
async fn c_lm_11_an_answer_that_was_discarded_is_told_with_the_reason() {
    let (listener, port) = listen().await;
    let mut target = target("http", port);
    target.limits.receive = 1000;
    let (_handle, mut notices) = spawn(machine(Link::Http), target, clock);
    Request::accept(&listener).await.respond("200 OK", "", &[0; 2000]).await;
    let Notice::Disconnected(ended) = next(&mut notices).await else { panic!("the exchange failed") };
    assert!(ended.why.contains("discarded: body of more than 1000 bytes"), "{ended:?}");
}
