//! Files of `agent.config_files` that are not there: said everywhere, an error where the operator wants one.

use std::fs;

use opamp::wire::proto::{ComponentHealth, RemoteConfigStatuses};

use super::harness::{Host, Known, Server, config, fake_collector, real_collector};

const REMOTE: &str = "receivers: {otlp: {protocols: {http: {endpoint: \"127.0.0.1:0\"}}}}\nexporters: {debug: {}}\nservice: {telemetry: {metrics: {level: none}}, pipelines: {traces: {receivers: [otlp], exporters: [debug]}}}\n";

fn left_out(known: &Known) -> Option<ComponentHealth> {
    let health = known.view.as_ref()?.report.health.clone()?;
    health.component_health_map.get("supervisor:config_files").cloned()
}

#[tokio::test]
async fn a_missing_local_file_is_said_in_log_and_health_and_stops_nothing() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &real_collector());
    let local = host.dir.path().join("local.yaml").display().to_string();
    let host = host.agent(&format!("config_files: [\"{local}\"]"));
    let supervisor = host.start();
    let known = server.until("healthy, and said", |known| known.healthy() && left_out(known).is_some()).await;
    let component = left_out(&known).unwrap();
    assert!(!component.healthy && component.last_error.contains(&local), "{component:?}");
    assert!(component.status_time_unix_nano > 0);
    let lines = host.log().lines().filter(|line| line.contains("left out") && line.contains(&local)).count();
    assert_eq!(lines, 1, "said once: {}", host.log());

    // Once it is there, the next config takes it up.
    fs::write(&local, "exporters: {debug: {verbosity: basic}}\n").unwrap();
    let status = server.push(&config("p.yaml", REMOTE)).await;
    assert_eq!(status.status, RemoteConfigStatuses::Applied as i32, "{status:?}");
    server.until("no more said", |known| known.healthy() && left_out(known).is_none()).await;
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn a_missing_local_file_that_is_required_is_78_and_named() {
    let host = Host::new("ws://127.0.0.1:9/v1/opamp", &fake_collector()).fake("");
    let local = host.dir.path().join("local.yaml").display().to_string();
    let host = host.agent(&format!("config_files: [\"{local}\"]\nrequire_config_files: true"));
    let (status, said) = host.start().ended().await;
    assert_eq!(status.code(), Some(78), "{said}");
    assert!(said.contains(&local) && said.contains("require_config_files"), "{said}");
    assert!(host.events().is_empty(), "the Collector was not started");
}

#[tokio::test]
async fn a_required_local_file_that_vanished_puts_an_offer_off_and_touches_nothing() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("");
    let local = host.dir.path().join("local.yaml");
    fs::write(&local, "exporters: {debug: {}}\n").unwrap();
    let host = host.agent(&format!("config_files: [\"{}\"]\nrequire_config_files: true", local.display()));
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    let (collector, events) = (host.collector_pid(), host.deeds());
    fs::remove_file(&local).unwrap();
    let offer = config("p.yaml", REMOTE);
    let status = server.push(&offer).await;
    assert_eq!(status.status, RemoteConfigStatuses::Failed as i32, "{status:?}");
    assert!(status.error_message.contains("local.yaml"), "{}", status.error_message);
    assert_eq!((host.collector_pid(), host.deeds()), (collector, events), "nothing was touched");
    assert!(supervisor.stop().await.success());
}
