//! What outlives the server.

use serde_json::json;

use crate::{
    agent::{Identity, Socket, exchange},
    harness::Bench,
};

#[tokio::test]
async fn after_a_clean_restart_no_agent_is_asked_for_its_state() {
    let bench = Bench::new().await;
    let (mut ws, mut http) = (Identity::new(1), Identity::new(2));
    let mut socket = Socket::connect(bench.server.opamp).await;
    socket.ask(&ws.full_report()).await;
    exchange(bench.server.opamp, &http.full_report()).await;
    // Signs of life that no round of writing has seen yet.
    for _ in 0..5 {
        socket.ask(&ws.heartbeat()).await;
        exchange(bench.server.opamp, &http.heartbeat()).await;
    }
    let before = bench.get(&ws.path()).await;
    let stopping = tokio::spawn(bench.restart());
    // S-WS-01: a closing handshake with 1001.
    assert_eq!(u16::from(socket.closed().await.unwrap().code), 1001);
    let bench = stopping.await.unwrap();

    let shown = bench.get(&ws.path()).await;
    assert_eq!(shown["status"]["connected"], false);
    assert_eq!(shown["status"]["effectiveConfig"], before["status"]["effectiveConfig"]);
    assert_eq!(shown["status"]["availableComponents"], before["status"]["availableComponents"]);
    assert_eq!(shown["status"]["componentHealth"], before["status"]["componentHealth"]);
    let mut socket = Socket::connect(bench.server.opamp).await;
    assert_eq!(socket.ask(&ws.heartbeat()).await.flags, 0);
    assert_eq!(exchange(bench.server.opamp, &http.heartbeat()).await.flags, 0);
    assert_eq!(bench.get(&ws.path()).await["status"]["connected"], true);
}

#[tokio::test]
async fn what_operators_wrote_is_there_and_is_offered() {
    let bench = Bench::new().await;
    let mut agent = Identity::new(1);
    exchange(bench.server.opamp, &agent.full_report()).await;
    let config = json!({"metadata": {"name": "base", "attributes": {"a": "b"}}, "spec": {"value": "a: 1"}});
    bench.api("POST", "/api/v1/namespaces/default/agentremoteconfigs", Some(config)).await;
    let group = json!({"metadata": {"name": "all"}, "spec": {"agentConfig": {"agentRemoteConfigs": [{"agentRemoteConfigRef": "base"}]}}});
    bench.api("POST", "/api/v1/namespaces/default/agentgroups", Some(group)).await;
    bench.api("POST", "/api/v1/namespaces", Some(json!({"metadata": {"name": "team"}}))).await;
    bench.api("PUT", &agent.path(), Some(json!({"metadata": {"labels": {"ring": "one"}}}))).await;
    let hash = bench.get(&agent.path()).await["status"]["desiredConfigHash"].clone();
    let kept = [
        "/api/v1/namespaces/default/agentremoteconfigs/base",
        "/api/v1/namespaces/default/agentgroups/all",
        "/api/v1/namespaces/team",
    ];
    let mut before = Vec::new();
    for path in kept {
        before.push(bench.get(path).await);
    }
    let bench = bench.restart().await;
    for (path, before) in kept.into_iter().zip(before) {
        let mut after = bench.get(path).await;
        if let Some(counts) = after["status"].get_mut("numConnectedAgents") {
            *counts = before["status"]["numConnectedAgents"].clone();
            after["status"]["numHealthyAgents"] = before["status"]["numHealthyAgents"].clone();
            after["status"]["numNotConnectedAgents"] = before["status"]["numNotConnectedAgents"].clone();
        }
        assert_eq!(after, before, "{path}");
    }
    let shown = bench.get(&agent.path()).await;
    assert_eq!(
        (&shown["status"]["desiredConfigHash"], &shown["metadata"]["labels"]["ring"]),
        (&hash, &json!("one"))
    );
    let offer = exchange(bench.server.opamp, &agent.heartbeat()).await;
    assert!(offer.remote_config.is_some());
}
