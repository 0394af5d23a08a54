//! The stream of changes.

use serde_json::json;

use crate::{
    agent::{Identity, exchange},
    harness::{Bench, Events},
};

async fn watch(bench: &Bench, path: &str) -> Events {
    let bearer = format!("Bearer {}", bench.token);
    Events::open(bench.server.api, path, &[("authorization", &bearer)]).await
}

#[tokio::test]
async fn all_agents_then_a_bookmark_then_changes() {
    let bench = Bench::new().await;
    let (mut one, mut two) = (Identity::new(1), Identity::new(2));
    exchange(bench.server.opamp, &one.full_report()).await;
    let mut events = watch(&bench, "/api/v1/watch").await;
    let first = events.next().await.unwrap();
    assert_eq!(
        (&first["type"], &first["object"]["metadata"]["instanceUid"]),
        (&json!("ADDED"), &json!(one.uid))
    );
    assert_eq!(first["object"]["status"]["effectiveConfig"], json!(null), "a summary");
    assert_eq!(events.next().await.unwrap()["type"], "BOOKMARK");

    // A heartbeat is no change; the next event is about the other agent.
    exchange(bench.server.opamp, &one.heartbeat()).await;
    exchange(bench.server.opamp, &two.full_report()).await;
    let added = events.next().await.unwrap();
    assert_eq!(
        (&added["type"], &added["object"]["metadata"]["instanceUid"]),
        (&json!("ADDED"), &json!(two.uid))
    );
    let mut sick = two.heartbeat();
    sick.health =
        Some(opamp::wire::proto::ComponentHealth { last_error: "disk".to_owned(), ..Default::default() });
    exchange(bench.server.opamp, &sick).await;
    let modified = events.next().await.unwrap();
    assert_eq!(
        (&modified["type"], &modified["object"]["status"]["componentHealth"]["lastError"]),
        (&json!("MODIFIED"), &json!("disk"))
    );
    exchange(bench.server.opamp, &two.goodbye()).await;
    assert_eq!(events.next().await.unwrap()["object"]["status"]["connected"], false);
    assert_eq!(bench.api("DELETE", &two.path(), None).await.status, 204);
    let deleted = events.next().await.unwrap();
    assert_eq!(
        (&deleted["type"], &deleted["object"]["metadata"]["instanceUid"]),
        (&json!("DELETED"), &json!(two.uid))
    );
    bench.server.stop().await.unwrap();
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn a_watch_with_a_selector_tells_of_agents_that_come_to_match_and_no_longer_do() {
    let bench = Bench::new().await;
    let mut agent = Identity::new(1);
    exchange(bench.server.opamp, &agent.full_report()).await;
    let path = "/api/v1/namespaces/default/agents?watch=1&view=full&labelSelector=ring%3Dcanary";
    let mut events = watch(&bench, path).await;
    assert_eq!(events.next().await.unwrap()["type"], "BOOKMARK");
    bench.api("PUT", &agent.path(), Some(json!({"metadata": {"labels": {"ring": "canary"}}}))).await;
    let added = events.next().await.unwrap();
    assert_eq!(added["type"], "ADDED");
    assert!(added["object"]["status"]["effectiveConfig"].is_object());
    bench.api("PUT", &agent.path(), Some(json!({"metadata": {"labels": {"ring": null}}}))).await;
    assert_eq!(events.next().await.unwrap()["type"], "DELETED");
}

#[tokio::test]
async fn a_watcher_that_does_not_read_is_told_to_start_over() {
    let bench = Bench::new().await;
    let mut events = watch(&bench, "/api/v1/watch?view=full").await;
    assert_eq!(events.next().await.unwrap()["type"], "BOOKMARK");
    // Far more than buffers and queue hold, none of it read.
    let mut agents: Vec<_> = (1..=100).map(Identity::new).collect();
    for round in 0..40 {
        for agent in &mut agents {
            let mut report = agent.full_report();
            report.health.as_mut().unwrap().status = format!("{round} {}", "x".repeat(2000));
            exchange(bench.server.opamp, &report).await;
        }
    }
    let mut last = json!(null);
    while let Some(event) = events.next().await {
        last = event;
    }
    assert_eq!((&last["type"], &last["object"]["code"]), (&json!("ERROR"), &json!(410)));
}
