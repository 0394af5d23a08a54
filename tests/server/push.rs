//! From an operator's request to the agent and back.

use opamp::wire::proto::{CommandType, RemoteConfigStatuses};
use serde_json::{Value, json};

use crate::{
    agent::{Identity, Socket, exchange},
    harness::Bench,
};

const GROUPS: &str = "/api/v1/namespaces/default/agentgroups";

fn group(name: &str, priority: i64, os: &str, value: &str) -> Value {
    let config = json!({"agentRemoteConfigName": "base", "agentRemoteConfigSpec": {"value": value, "contentType": "text/yaml"}});
    json!({"metadata": {"name": name}, "spec": {"priority": priority,
        "selector": {"nonIdentifyingAttributes": {"os.type": os}},
        "agentConfig": {"agentRemoteConfigs": [config]}}})
}

fn body(message: &opamp::wire::proto::ServerToAgent, name: &str) -> String {
    let config = message.remote_config.as_ref().expect("an offer").config.as_ref().unwrap();
    String::from_utf8(config.config_map[name].body.clone()).unwrap()
}

#[tokio::test]
async fn s_rc_03_06_07_a_config_goes_to_a_connected_agent_at_once_and_once() {
    let bench = Bench::new().await;
    let mut agent = Identity::new(1);
    let mut socket = Socket::connect(bench.server.opamp).await;
    socket.ask(&agent.full_report()).await;

    bench.api("POST", GROUPS, Some(group("linux", 1, "linux", "a: 1"))).await;
    let offer = socket.recv().await;
    assert_eq!(body(&offer, "base"), "a: 1");
    let hash = offer.remote_config.unwrap().config_hash;
    let shown = bench.get(&agent.path()).await;
    assert_eq!(shown["status"]["configState"], "Pending");
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(shown["status"]["desiredConfigHash"], hex);

    // The answers to its progress reports repeat nothing.
    let applying = agent.config_status(&hash, RemoteConfigStatuses::Applying, "");
    assert!(socket.ask(&applying).await.remote_config.is_none());
    assert_eq!(bench.get(&agent.path()).await["status"]["configState"], "Applying");
    let failed = agent.config_status(&hash, RemoteConfigStatuses::Failed, "base:1:1: no");
    assert!(socket.ask(&failed).await.remote_config.is_none());
    let status = bench.get(&agent.path()).await["status"].clone();
    assert_eq!(
        (&status["configState"], &status["remoteConfigStatus"]["errorMessage"]),
        (&json!("Failed"), &json!("base:1:1: no"))
    );
    assert_eq!(status["remoteConfigStatus"]["lastRemoteConfigHash"], hex);

    // A group that is not for it changes nothing; one of higher priority does.
    bench.api("POST", GROUPS, Some(group("darwin", 9, "darwin", "a: 9"))).await;
    bench.api("POST", GROUPS, Some(group("more", 5, "linux", "a: 5"))).await;
    let offer = socket.recv().await;
    assert_eq!(body(&offer, "base"), "a: 5");
    let hash = offer.remote_config.unwrap().config_hash;
    socket.ask(&agent.config_status(&hash, RemoteConfigStatuses::Applied, "")).await;
    assert_eq!(bench.get(&agent.path()).await["status"]["configState"], "Applied");
    // Gone, it is the other's turn again.
    assert_eq!(bench.api("DELETE", &format!("{GROUPS}/more"), None).await.status, 204);
    assert_eq!(body(&socket.recv().await, "base"), "a: 1");
}

#[tokio::test]
async fn a_tie_keeps_what_is_live_and_says_so_on_agent_and_group() {
    let bench = Bench::new().await;
    let mut agent = Identity::new(1);
    let mut socket = Socket::connect(bench.server.opamp).await;
    bench.api("POST", GROUPS, Some(group("a", 1, "linux", "a: 1"))).await;
    let offer = socket.ask(&agent.full_report()).await;
    assert_eq!(body(&offer, "base"), "a: 1", "in the answer to the first report");
    bench.api("POST", GROUPS, Some(group("b", 1, "linux", "a: 2"))).await;
    let shown = bench.get(&agent.path()).await;
    assert_eq!(shown["status"]["configState"], "Unresolved");
    for name in ["a", "b"] {
        let group = bench.get(&format!("{GROUPS}/{name}")).await;
        let conditions = group["status"]["conditions"].as_array().unwrap().clone();
        let told = conditions.iter().find(|one| one["type"] == "RemoteConfigApplied").unwrap();
        assert!(told["message"].as_str().unwrap().contains("priority 1"), "{told}");
    }
    assert!(socket.ask(&agent.heartbeat()).await.remote_config.is_none());
}

#[tokio::test]
async fn the_older_path_sets_one_agents_config() {
    let bench = Bench::new().await;
    let mut agent = Identity::new(1);
    let mut socket = Socket::connect(bench.server.opamp).await;
    socket.ask(&agent.full_report()).await;
    let path = format!("/api/v1/agents/{}/update-agent-config", agent.uid);
    let answer = bench.api("PUT", &path, Some(json!({"value": "a: 1", "contentType": "text/yaml"}))).await;
    assert_eq!(answer.status, 200);
    assert_eq!(body(&socket.recv().await, "pushed"), "a: 1");
}

#[tokio::test]
async fn s_cm_01_02_a_restart_is_sent_once_over_both_transports() {
    let bench = Bench::new().await;
    let (mut ws, mut http) = (Identity::new(1), Identity::new(2));
    let mut socket = Socket::connect(bench.server.opamp).await;
    socket.ask(&ws.full_report()).await;
    exchange(bench.server.opamp, &http.full_report()).await;
    let restart = json!({"spec": {"restartRequiredAt": "2030-01-01T00:00:00Z"}});
    for agent in [&ws, &http] {
        assert_eq!(bench.api("PUT", &agent.path(), Some(restart.clone())).await.status, 200);
    }
    let command = socket.recv().await;
    assert_eq!(command.command.unwrap().r#type(), CommandType::Restart);
    assert!(command.remote_config.is_none());
    assert!(exchange(bench.server.opamp, &http.heartbeat()).await.command.is_some());
    assert!(exchange(bench.server.opamp, &http.heartbeat()).await.command.is_none());
    assert!(socket.ask(&ws.heartbeat()).await.command.is_none());
    // Asked for again with the same time, it is the same restart.
    bench.api("PUT", &ws.path(), Some(restart)).await;
    assert!(socket.ask(&ws.heartbeat()).await.command.is_none());
}

#[tokio::test]
async fn c_id_07_an_operator_gives_an_agent_another_uid_and_it_keeps_its_config() {
    let bench = Bench::new().await;
    let mut agent = Identity::new(1);
    let mut socket = Socket::connect(bench.server.opamp).await;
    socket.ask(&agent.full_report()).await;
    let old = agent.path();
    bench.api("PUT", &old, Some(json!({"metadata": {"labels": {"ring": "one"}}}))).await;
    let new = Identity::new(7).uid;
    bench.api("PUT", &old, Some(json!({"spec": {"newInstanceUid": new.to_string()}}))).await;
    let told = socket.recv().await.agent_identification.expect("another uid");
    assert_eq!(told.new_instance_uid, new.to_vec());
    agent.uid = new;
    assert_eq!(socket.ask(&agent.heartbeat()).await.flags, 0);
    let shown = bench.get(&agent.path()).await;
    assert_eq!((&shown["metadata"]["labels"]["ring"], &shown["spec"]), (&json!("one"), &json!({})));
    let bench = bench.restart().await;
    assert_eq!(bench.api("GET", &old, None).await.status, 404);
    assert_eq!(bench.get(&agent.path()).await["metadata"]["labels"]["ring"], "one");
}
