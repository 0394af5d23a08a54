//! `rollback`, `pause` and `resume`.

use std::fs;

use opamp::wire::proto::{AgentRemoteConfig, RemoteConfigStatuses};

use super::super::harness::{Host, Server, config, fake_collector};

fn good(name: &str) -> AgentRemoteConfig {
    let body = format!(
        "receivers: {{otlp/{name}: {{protocols: {{http: }}}}}}\nexporters: {{debug: }}\n\
         service: {{pipelines: {{logs: {{receivers: [otlp/{name}], exporters: [debug]}}}}}}\n"
    );
    config(&format!("{name}.yaml"), &body)
}

fn hash(config: &AgentRemoteConfig) -> String {
    config.config_hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn rollback_goes_to_the_config_before_tells_the_server_and_survives_a_restart() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("");
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    let (a, b) = (good("a"), good("b"));
    for config in [&a, &b] {
        assert_eq!(server.push(config).await.status, RemoteConfigStatuses::Applied as i32);
    }
    let said = host.command(&["rollback"]).await.with(0);
    assert!(said.contains(&format!("back from config {} to config {}", hash(&b), hash(&a))), "{said}");
    assert!(said.contains("is healthy with it"), "{said}");
    let failed = |known: &super::super::harness::Known| {
        let status = known.status();
        status.last_remote_config_hash == b.config_hash
            && status.error_message.contains("rolled back by a person on the host")
    };
    let known = server.until("the server hears of it", failed).await;
    assert_eq!(known.status().status, RemoteConfigStatuses::Failed as i32);
    let status = host.command(&["status", "-o", "json"]).await.json();
    assert_eq!(status["config"]["live"], hash(&a));
    assert_eq!(status["config"]["failed"][0]["hash"], hash(&b));
    assert!(supervisor.stop().await.success());
    let again = host.start();
    server.until("it is back", |known| known.connections == 2 && known.healthy()).await;
    assert_eq!(host.command(&["status", "-o", "json"]).await.json()["config"]["live"], hash(&a));
    assert!(again.stop().await.success());
}

#[tokio::test]
async fn rollback_needs_no_server_and_says_when_there_is_nothing_to_go_back_to() {
    let host = Host::new("ws://127.0.0.1:9/v1/opamp", &fake_collector()).fake("");
    let said = host.command(&["rollback"]).await.with(3);
    assert!(said.contains("no supervisor runs") && said.contains("control.sock"), "{said}");
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("");
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    let said = host.command(&["rollback"]).await.with(1);
    assert!(said.contains("no config to go back to: the host's own config runs"), "{said}");
    server.push(&good("a")).await;
    drop(server);
    let said = host.command(&["rollback"]).await.with(0);
    assert!(said.contains("to the host's own config") && said.contains("is healthy"), "{said}");
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn pause_holds_offers_over_a_restart_and_resume_takes_the_newest() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("");
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    server.push(&good("a")).await;
    assert!(host.command(&["pause"]).await.with(0).contains("are held"));
    let told = |known: &super::super::harness::Known| {
        let health = known.view.as_ref().and_then(|view| view.report.health.clone()).unwrap_or_default();
        let says = |name: &str| health.component_health_map.get(name).map(|told| told.last_error.clone());
        known.healthy()
            && says("supervisor:management").is_some_and(|text| text.contains("paused on the host"))
    };
    server.until("the server is told", told).await;
    server.offer(&good("b")).await;
    server.offer(&good("c")).await;
    let text = host.command(&["status"]).await.with(0);
    assert!(text.contains("paused") && text.contains("opamp-supervisor resume"), "{text}");
    assert!(supervisor.stop().await.success());
    let text = host.command(&["status"]).await.with(3);
    assert!(text.contains("offers of the server are held"), "of one that does not run, too: {text}");
    let again = host.start();
    let still = |known: &super::super::harness::Known| known.connections == 2 && told(known);
    let known = server.until("it is paused still", still).await;
    assert_eq!(known.status().last_remote_config_hash, good("a").config_hash, "nothing was taken");
    assert!(host.command(&["resume"]).await.with(0).contains("taken again"));
    let known = server.until("the newest is applied", |known| known.settled(&good("c"))).await;
    assert_eq!(known.status().status, RemoteConfigStatuses::Applied as i32);
    server.until("the server is told", |known| !told(known)).await;
    assert!(again.stop().await.success());
}

#[tokio::test]
async fn reload_waits_for_what_comes_of_it_and_a_wrong_file_changes_nothing() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("");
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    let pid = host.collector_pid();
    assert!(host.command(&["reload"]).await.with(0).contains("nothing changed"));
    // The commands write the file anew, so another one is given to them.
    let path = host.write();
    let socket = host.state().join("run/control.sock");
    let good = fs::read_to_string(&path).unwrap();
    let reload = async |text: &str| {
        fs::write(&path, text).unwrap();
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_opamp-supervisor"));
        let output = command.args(["reload", "--socket"]).arg(&socket).output().await.unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    };
    let (code, said) = reload(&format!("{good}  executible: x\n")).await;
    assert!(code == Some(78) && said.contains("all runs on as before"), "{code:?}: {said}");
    assert!(said.contains("supervisor.yaml:7:3"), "{said}");
    let status = ["status", "--socket", socket.to_str().unwrap(), "-o", "json"];
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_opamp-supervisor"));
    let output = command.args(status).output().await.unwrap();
    let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(status["notices"][0].as_str().unwrap().contains("not in force"), "{status}");
    let (code, said) = reload(&format!("{good}  description: {{identifying_attributes: {{a: b}}}}\n")).await;
    // The watch on the file may have been faster.
    let told = said.contains("agent.description") || said.contains("nothing changed");
    assert!(code == Some(0) && told, "{code:?}: {said}");
    let described = |known: &super::super::harness::Known| {
        let description = known.view.as_ref().and_then(|view| view.report.description.clone());
        let attributes = description.unwrap_or_default().identifying_attributes;
        opamp::wire::attrs::get(&attributes, "a").is_some_and(|value| value == "b")
    };
    server.until("the server is told", described).await;
    assert_eq!(host.collector_pid(), pid, "the Collector is not touched");
    assert!(supervisor.stop().await.success());
}
