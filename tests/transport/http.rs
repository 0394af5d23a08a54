//! The client machine run over plain HTTP.

use opamp::{
    protocol::client::{Event, Link},
    transport::client::{Ended, Notice, Update, spawn},
    wire::{
        body,
        proto::{AgentDescription, AgentRemoteConfig, ComponentHealth, ServerToAgent},
    },
};
use prost::Message;
use tokio::sync::mpsc;

use crate::peer::{Request, UID, clock, listen, machine, reply, soon, target};

async fn next(notices: &mut mpsc::Receiver<Notice>) -> Notice {
    soon(notices.recv()).await.expect("the task is there")
}

fn health(status: &str) -> Update {
    Update::Health(ComponentHealth { status: status.into(), ..Default::default() })
}

#[tokio::test]
async fn c_ht_01_06_09_b_tc_04_an_exchange_and_the_next_on_the_same_connection() {
    let (listener, port) = listen().await;
    let (handle, mut notices) = spawn(machine(Link::Http), target("http", port), clock);
    handle.update(Update::Description(AgentDescription::default()));
    let first = Request::accept(&listener).await;
    assert!(first.head.starts_with("POST /v1/opamp HTTP/1.1\r\n"), "{}", first.head);
    assert_eq!(first.header("content-type"), Some("application/x-protobuf"));
    assert_eq!(first.header("opamp-instance-uid"), Some(&*UID.to_string()));
    assert_eq!(first.header("authorization"), Some("Bearer s3cret"));
    assert_eq!(first.header("content-encoding"), None);
    assert_eq!(first.message().sequence_num, 1);
    // c_ht_05: what changes meanwhile waits for the answer.
    handle.update(health("later"));
    let stream = first.answer(&reply()).await;
    assert!(matches!(next(&mut notices).await, Notice::Event(Event::Synced) | Notice::Connected));
    let second = Request::read(stream).await;
    assert_eq!(second.message().health.unwrap().status, "later");
}

#[tokio::test]
async fn c_ht_07_08_a_large_body_is_compressed_and_so_may_the_answer_be() {
    let (listener, port) = listen().await;
    let (handle, mut notices) = spawn(machine(Link::Http), target("http", port), clock);
    handle.update(health(&"x".repeat(5000)));
    let first = Request::accept(&listener).await;
    assert_eq!(first.header("content-encoding"), Some("gzip"));
    assert!(first.body.len() < 1000);
    assert_eq!(first.message().health.unwrap().status.len(), 5000);
    assert_eq!(first.header("accept-encoding"), Some("gzip"));
    let offer = AgentRemoteConfig { config_hash: vec![9], ..Default::default() };
    let message = ServerToAgent { remote_config: Some(offer.clone()), ..reply() };
    first.respond("200 OK", "Content-Encoding: gzip\r\n", &body::gzip(&message.encode_to_vec())).await;
    loop {
        if let Notice::Event(Event::RemoteConfig(config)) = next(&mut notices).await {
            break assert_eq!(config, offer);
        }
    }
}

#[tokio::test]
async fn c_lm_08_09_10_an_answer_over_the_limit_fails_the_exchange() {
    let (listener, port) = listen().await;
    let mut target = target("http", port);
    target.limits.receive = 1000;
    let (_handle, mut notices) = spawn(machine(Link::Http), target, clock);
    let bomb = body::gzip(&vec![0; 100_000]);
    Request::accept(&listener).await.respond("200 OK", "Content-Encoding: gzip\r\n", &bomb).await;
    let Notice::Disconnected(Ended { why, .. }) = next(&mut notices).await else {
        panic!("the exchange failed")
    };
    assert!(why.contains("1000"), "{why}");
    let again = Request::accept(&listener).await;
    assert_eq!(again.message().sequence_num, 2);
    again.respond("200 OK", "", &vec![0; 2000]).await;
    assert!(matches!(next(&mut notices).await, Notice::Disconnected(_)));
}

#[tokio::test]
async fn c_lm_07_what_was_answered_413_is_not_sent_again() {
    let (listener, port) = listen().await;
    let (handle, _notices) = spawn(machine(Link::Http), target("http", port), clock);
    handle.update(health("large"));
    let stream = Request::accept(&listener).await.respond("413 Content Too Large", "", b"").await;
    handle.update(Update::Description(AgentDescription::default()));
    let next = tokio::select! {
        next = Request::read(stream) => next,
        next = Request::accept(&listener) => next,
    };
    assert!(next.message().agent_description.is_some());
    assert_eq!(next.message().health, None);
}

#[tokio::test]
async fn s_tc_04_c_th_02_statuses_are_told_without_the_credentials() {
    for (status, words) in [("401 Unauthorized", "401"), ("503 Service Unavailable", "overloaded")] {
        let (listener, port) = listen().await;
        let (_handle, mut notices) = spawn(machine(Link::Http), target("http", port), clock);
        Request::accept(&listener).await.respond(status, "Retry-After: 5\r\n", b"").await;
        let Notice::Disconnected(Ended { why, .. }) = next(&mut notices).await else {
            panic!("not connected")
        };
        assert!(why.contains(words) && !why.contains("s3cret"), "{why}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_with_the_credentials() {
    let (listener, port) = listen().await;
    let (_handle, mut notices) = spawn(machine(Link::Http), target("http", port), clock);
    let headers = format!("Location: http://127.0.0.1:{port}/elsewhere\r\n");
    Request::accept(&listener).await.respond("307 Temporary Redirect", &headers, b"").await;
    let Notice::Disconnected(Ended { why, .. }) = next(&mut notices).await else { panic!("not connected") };
    assert!(why.contains("307"), "{why}");
}

#[tokio::test]
async fn c_ht_10_shutdown_says_goodbye() {
    let (listener, port) = listen().await;
    let (handle, mut notices) = spawn(machine(Link::Http), target("http", port), clock);
    let stream = Request::accept(&listener).await.answer(&reply()).await;
    assert!(matches!(next(&mut notices).await, Notice::Connected | Notice::Event(Event::Synced)));
    let bye = async {
        let last = Request::read(stream).await;
        assert!(last.message().agent_disconnect.is_some());
        last.answer(&reply()).await
    };
    soon(async { tokio::join!(handle.shutdown(notices), bye) }).await;
}
