//! Start, crash, restart, stop: the Collector's life under the supervisor.

use nix::libc::{SIGKILL, SIGTERM};
use opamp::{protocol::report::Part, wire::attrs};

use super::harness::{Host, Server, alive, fake_collector, gone, kill, sent};

#[tokio::test]
async fn c_tc_02_c_ac_04_the_agent_appears_by_itself() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("");
    let supervisor = host.start();
    let known = server.until("the agent is healthy", |known| known.healthy()).await;
    let report = known.view.unwrap().report;
    let description = report.description.unwrap();
    for key in ["service.name", "service.version", "service.instance.id"] {
        assert!(
            attrs::get(&description.identifying_attributes, key).is_some_and(|text| !text.is_empty()),
            "{key}"
        );
    }
    for key in ["os.type", "host.arch", "host.name"] {
        assert!(attrs::get(&description.non_identifying_attributes, key).is_some(), "{key}");
    }
    // Aliases come from the binary; which module is behind them, only the extension tells.
    let known = server.until("the whole list of components is there", |known| {
        let components = known.view.as_ref().and_then(|view| view.report.available_components.as_ref());
        let receivers = components.and_then(|components| components.components.get("receivers"));
        receivers.is_some_and(|all| all.sub_component_map.values().all(|one| !one.metadata.is_empty()))
    });
    let components = known.await.view.unwrap().report.available_components.unwrap();
    assert!(components.components["receivers"].sub_component_map.contains_key("otlp"));
    let first = &server.messages()[0];
    assert!(
        first
            .available_components
            .as_ref()
            .is_some_and(|list| list.components.is_empty() && !list.hash.is_empty())
    );
    assert!(supervisor.stop().await.success());
    // What the Collector's extension added to the list is known from now on: one hash, no map.
    let before = server.messages().len();
    let again = host.start();
    server.until("it is back", |known| known.connections == 2 && known.healthy()).await;
    assert!(again.stop().await.success());
    assert_eq!(sent(&server.messages()[before..], Part::AvailableComponents), 1);
}

#[tokio::test]
async fn f_60_a_killed_collector_is_back_and_the_server_hears_of_it() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("");
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    let first = host.collector_pid();
    let before = server.messages().len();
    kill(first, SIGKILL);
    server.until("it is back", |known| known.healthy() && host.runs_another(first)).await;
    let heard =
        server.messages()[before..].iter().filter_map(|m| m.health.clone()).find(|h| !h.healthy).unwrap();
    assert!(heard.last_error.contains("SIGKILL"), "{}", heard.last_error);
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn c_ad_01_sigterm_stops_the_collector_and_says_goodbye() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("");
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    let collector = host.collector_pid();
    assert!(supervisor.stop().await.success(), "exit code 0");
    assert!(!alive(collector), "no process is left behind");
    let known = server.until("the goodbye", |known| known.goodbyes == 1).await;
    assert!(!known.connected);
    let last = server.messages().pop().unwrap();
    assert!(last.agent_disconnect.is_some(), "it is the last message");
    assert!(host.events().iter().any(|event| event.contains("SIGTERM")), "{:?}", host.events());
}

#[tokio::test]
async fn f_62_c_id_04_a_killed_supervisor_takes_its_collector_along_and_comes_back() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("");
    let supervisor = host.start();
    let before = server.until("the agent is healthy", |known| known.healthy()).await;
    let collector = host.collector_pid();
    kill(supervisor.pid(), SIGKILL);
    gone(collector).await;
    let again = host.start();
    let after = server.until("it is back", |known| known.connections == 2 && known.healthy()).await;
    assert_eq!(before.view.unwrap().instance_uid, after.view.unwrap().instance_uid, "it is one agent");
    assert_ne!(host.collector_pid(), collector);
    assert!(again.stop().await.success());
}

#[tokio::test]
async fn f_62_an_orphan_that_ignores_sigterm_is_swept_at_the_next_start() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("ignore_term");
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    let orphan = host.collector_pid();
    kill(supervisor.pid(), SIGKILL);
    let _ = supervisor.ended().await;
    assert!(alive(orphan), "it ignores the parent-death signal");
    std::fs::write(host.dir.path().join("switches"), "").unwrap();
    let again = host.start();
    gone(orphan).await;
    server.until("a new one runs", |known| known.connections == 2 && known.healthy()).await;
    assert!(again.stop().await.success());
}

#[tokio::test]
async fn f_64_a_collector_that_ignores_sigterm_is_killed_by_a_second_signal() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("ignore_term");
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    let collector = host.collector_pid();
    kill(supervisor.pid(), SIGTERM);
    server
        .until("it is stopping", |known| {
            let health = known.view.as_ref().and_then(|view| view.report.health.as_ref());
            health.is_some_and(|health| health.status == "StatusStopping")
        })
        .await;
    kill(supervisor.pid(), SIGTERM);
    assert!(supervisor.ended().await.0.success());
    assert!(!alive(collector));
}

#[tokio::test]
async fn c_cm_01_a_restart_command_restarts_the_collector() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("");
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    let first = host.collector_pid();
    server.restart().await;
    server.until("another process", |known| known.healthy() && !alive(first)).await;
    server.until("and healthy", |known| known.healthy() && host.runs_another(first)).await;
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn f_89_without_a_server_the_collector_runs_and_the_supervisor_waits() {
    let host = Host::new("ws://127.0.0.1:9/v1/opamp", &fake_collector()).fake("");
    let supervisor = host.start();
    let ready = async {
        let mut tick = tokio::time::interval(std::time::Duration::from_millis(10));
        let runs = || host.events().iter().any(|event| event.contains("ready"));
        while !runs() || !host.log().contains("127.0.0.1:9") {
            tick.tick().await;
        }
    };
    let ready = tokio::time::timeout(std::time::Duration::from_secs(30), ready).await;
    ready.expect("the Collector runs, and the log says that the server cannot be reached");
    assert!(supervisor.stop().await.success());
}
