//! The client machine run over a WebSocket.

use opamp::{
    protocol::{
        client::{Event, Link},
        custom::Refused,
    },
    transport::client::{ClientHandle, Ended, Notice, Update, spawn},
    wire::proto::{AgentDescription, AgentRemoteConfig, ComponentHealth, CustomMessage, ServerToAgent},
};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::peer::{Request, Ws, clock, listen, machine, reply, soon, target};

async fn next(notices: &mut mpsc::Receiver<Notice>) -> Notice {
    soon(notices.recv()).await.expect("the task is there")
}

async fn until(notices: &mut mpsc::Receiver<Notice>, wanted: impl Fn(&Notice) -> bool) -> Notice {
    loop {
        let notice = next(notices).await;
        if wanted(&notice) {
            return notice;
        }
    }
}

fn health(status: &str) -> Update {
    Update::Health(ComponentHealth { status: status.into(), ..Default::default() })
}

async fn connected() -> (ClientHandle, mpsc::Receiver<Notice>, TcpListener, Ws) {
    let (listener, port) = listen().await;
    let (handle, mut notices) = spawn(machine(Link::WebSocket), target("ws", port), clock);
    handle.update(Update::Description(AgentDescription::default()));
    handle.update(health("starting"));
    handle.update(health("started"));
    let mut server = Ws::accept(&listener).await;
    let first = server.recv().await;
    assert_eq!(first.sequence_num, 1);
    assert_eq!(first.health.unwrap().status, "started", "the latest value, in the first message");
    assert!(first.agent_description.is_some());
    server.send(&reply()).await;
    assert!(matches!(next(&mut notices).await, Notice::Connected));
    assert!(matches!(next(&mut notices).await, Notice::Event(Event::Synced)));
    (handle, notices, listener, server)
}

#[tokio::test]
async fn s_rc_07_a_push_while_idle_reaches_the_owner() {
    let (_handle, mut notices, _listener, mut server) = connected().await;
    let offer = AgentRemoteConfig { config_hash: vec![1], ..Default::default() };
    server.send(&ServerToAgent { remote_config: Some(offer.clone()), ..reply() }).await;
    let notice = next(&mut notices).await;
    assert!(matches!(notice, Notice::Event(Event::RemoteConfig(config)) if config == offer));
}

#[tokio::test]
async fn c_sq_11_an_update_goes_out_at_once() {
    let (handle, _notices, _listener, mut server) = connected().await;
    handle.update(health("degraded"));
    let message = server.recv().await;
    assert_eq!(message.health.unwrap().status, "degraded");
    assert_eq!((message.sequence_num, message.agent_description), (2, None));
}

#[tokio::test]
async fn c_ad_01_c_ws_01_02_shutdown_says_goodbye_and_closes() {
    let (handle, notices, _listener, mut server) = connected().await;
    handle.update(health("stopped"));
    let bye = async {
        let message = server.recv().await;
        assert!(message.agent_disconnect.is_some());
        assert_eq!(message.health.unwrap().status, "stopped");
        assert_eq!(server.closed().await.code, CloseCode::Normal);
    };
    soon(async { tokio::join!(handle.shutdown(notices), bye) }).await;
}

#[tokio::test]
async fn shutdown_while_dialling_ends_at_once() {
    let (listener, port) = listen().await;
    let (handle, notices) = spawn(machine(Link::WebSocket), target("ws", port), clock);
    let held = Request::accept(&listener).await;
    soon(handle.shutdown(notices)).await;
    drop(held);
}

#[tokio::test]
async fn c_ws_03_06_after_a_drop_it_reconnects_and_says_no_more_than_it_must() {
    let (_handle, mut notices, listener, server) = connected().await;
    drop(server);
    let gone = until(&mut notices, |notice| matches!(notice, Notice::Disconnected(_))).await;
    assert!(matches!(gone, Notice::Disconnected(ended) if !ended.why.is_empty()));
    let mut server = Ws::accept(&listener).await;
    let again = server.recv().await;
    assert_eq!((again.sequence_num, again.health, again.agent_description), (2, None, None));
}

#[tokio::test]
async fn c_lm_03_after_a_refused_message_it_reconnects() {
    let (_handle, mut notices, listener, mut server) = connected().await;
    server.raw(tokio_tungstenite::tungstenite::Message::Text("hello".into())).await;
    assert_eq!(server.closed().await.code, CloseCode::Unsupported);
    until(&mut notices, |notice| matches!(notice, Notice::Disconnected(_))).await;
    Ws::accept(&listener).await;
}

#[tokio::test]
async fn s_tc_04_a_refused_dial_is_told_without_the_credentials() {
    let (listener, port) = listen().await;
    let (_handle, mut notices) = spawn(machine(Link::WebSocket), target("ws", port), clock);
    Request::accept(&listener).await.respond("401 Unauthorized", "", b"").await;
    let Notice::Disconnected(Ended { why, .. }) = next(&mut notices).await else {
        panic!("it is not connected")
    };
    assert!(why.contains("401") && !why.contains("s3cret"), "{why}");
}

#[tokio::test]
async fn another_server_by_another_transport_is_told_everything_at_once() {
    let (handle, mut notices, _listener, mut server) = connected().await;
    let (other, port) = listen().await;
    let number = handle.redirect(target("http", port));
    assert!(server.recv().await.agent_disconnect.is_some());
    let request = Request::accept(&other).await;
    let first = request.message();
    assert!(first.agent_disconnect.is_none() && first.agent_description.is_some());
    assert_eq!(first.health.unwrap().status, "started");
    until(&mut notices, |notice| matches!(notice, Notice::Redirected(at) if *at == number)).await;
    let _stream = request.answer(&reply()).await;
    until(&mut notices, |notice| matches!(notice, Notice::Event(Event::Synced))).await;
}

/// An exchange may take 30 s; a server that is left gets less, whether it was asked something or told goodbye.
#[tokio::test]
async fn c_ad_01_over_http_a_silent_server_does_not_hold_up_the_way_to_the_next() {
    let (first, port) = listen().await;
    let (handle, mut notices) = spawn(machine(Link::Http), target("http", port), clock);
    let unanswered = Request::accept(&first).await;
    let (second, port) = listen().await;
    handle.redirect(target("http", port));
    let stream = Request::accept(&second).await.answer(&reply()).await;
    until(&mut notices, |notice| matches!(notice, Notice::Event(Event::Synced))).await;
    let (third, port) = listen().await;
    handle.redirect(target("http", port));
    let goodbye = Request::read(stream).await;
    assert!(goodbye.message().agent_disconnect.is_some());
    let at_third = Request::accept(&third).await;
    assert!(at_third.message().agent_disconnect.is_none());
    drop((unanswered, goodbye));
}

#[tokio::test]
async fn more_custom_messages_than_may_wait_are_refused_where_they_are_sent() {
    let (_listener, port) = listen().await;
    let (handle, _notices) = spawn(machine(Link::WebSocket), target("ws", port), clock);
    let message = || CustomMessage { capability: "c".into(), ..Default::default() };
    // The task has not run yet: it shares this thread.
    let refused = (0..100).find_map(|sent| handle.send_custom(message()).err().map(|why| (sent, why)));
    let (sent, why) = refused.expect("not without end");
    assert_eq!((sent, why), (32, Refused::Full(32)));
}
