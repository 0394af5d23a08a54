//! `export-legacy`: the way back to the established supervisor.

use std::fs;

use opamp::wire::proto::{AgentRemoteConfig, RemoteConfigStatuses};
use prost::Message;

use super::super::harness::{Host, Server, config, fake_collector};

const GOOD: &str = "receivers: {otlp: {protocols: {http: }}}\nexporters: {debug: }\n\
                    service: {pipelines: {logs: {receivers: [otlp], exporters: [debug]}}}\n";

#[tokio::test]
async fn export_legacy_is_what_a_fresh_start_takes_over_identity_config_and_status() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("");
    let nothing = host.command(&["export-legacy"]).await.with(1);
    assert!(nothing.contains("no supervisor has kept anything"), "{nothing}");
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    let good = config("a.yaml", GOOD);
    server.push(&good).await;
    let bad = config("b.yaml", "receivers: {otlq: }\n");
    let failed = server.push(&bad).await;
    assert_eq!(failed.status, RemoteConfigStatuses::Failed as i32);
    assert!(host.command(&["export-legacy"]).await.with(0).contains("still runs: stop it"));
    assert!(supervisor.stop().await.success());
    let other = Host::new(&server.endpoint, &fake_collector()).fake("");
    let said = host.command(&["export-legacy", "--to", other.state().to_str().unwrap()]).await.with(0);
    assert!(said.contains("persistent_state.yaml") && !said.contains("still runs"), "{said}");
    // In the forms that the established supervisor reads.
    let read = |name: &str| fs::read(other.state().join(name)).unwrap();
    let offer = AgentRemoteConfig::decode(&*read("last_recv_remote_config.dat")).unwrap();
    assert_eq!(offer, good, "the one that runs, not the one that failed");
    let state: serde_json::Value = {
        let text = String::from_utf8(read("persistent_state.yaml")).unwrap();
        serde_json::to_value(serde_yaml::from_str::<serde_yaml::Value>(&text).unwrap()).unwrap()
    };
    let before = server.until("it went", |known| !known.connected).await.view.unwrap();
    assert_eq!(state["instance_id"], before.instance_uid.to_string());
    assert_eq!(state["last_remote_config_status"]["status"], 3);
    assert_eq!(state["last_remote_config_status"]["error_message"], failed.error_message);
    // And a fresh start finds itself in them.
    let again = other.start();
    let known = server.until("it is back", |known| known.connections == 2 && known.healthy()).await;
    assert_eq!(known.view.unwrap().instance_uid, before.instance_uid);
    let status = other.command(&["status", "-o", "json"]).await.json();
    let hash: String = good.config_hash.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(status["config"]["live"], hash);
    assert_eq!(status["config"]["last"]["error"], failed.error_message);
    assert!(again.stop().await.success());
}
