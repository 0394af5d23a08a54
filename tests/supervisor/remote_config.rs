//! A config from offer to proof, on the built binary.

use opamp::wire::proto::{RemoteConfigStatus, RemoteConfigStatuses};

use super::harness::{Host, Server, config, fake_collector};

const GOOD: &str = "receivers: {otlp: {}}\nexporters: {debug: {}}\nservice: {pipelines: {traces: {receivers: [otlp], exporters: [debug]}}}\n";

fn is(status: &RemoteConfigStatus, wanted: RemoteConfigStatuses) -> bool {
    status.status == wanted as i32
}

#[tokio::test]
async fn c_rc_03_c_ec_02_03_a_config_is_applied_by_a_reload_and_seen_in_the_effective_one() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("");
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    let collector = host.collector_pid();
    let offer = config("pipeline.yaml", GOOD);
    let status = server.push(&offer).await;
    assert!(is(&status, RemoteConfigStatuses::Applied), "{status:?}");
    server.until("the effective config shows it", |known| known.effective().contains("debug")).await;
    assert_eq!(host.collector_pid(), collector, "SIGHUP is enough when only contents changed");
    // It survives the supervisor.
    assert!(supervisor.stop().await.success());
    let again = host.start();
    let known = server.until("it is back with it", |known| {
        known.connections == 2 && known.healthy() && known.effective().contains("debug")
    });
    assert!(known.await.settled(&offer));
    assert!(again.stop().await.success());
}

#[tokio::test]
async fn f_73_a_component_that_this_collector_lacks_is_refused_with_its_place() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("");
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    let collector = host.collector_pid();
    let starts = host.deeds();
    let status = server.push(&config("p.yaml", "receivers: {otlp: {}}\nexporters:\n  kafka: {}\n")).await;
    assert!(is(&status, RemoteConfigStatuses::Failed), "{status:?}");
    for part in ["p.yaml:3:3", "kafka", "debug"] {
        assert!(status.error_message.contains(part), "{part} in {}", status.error_message);
    }
    assert_eq!(host.collector_pid(), collector);
    assert_eq!(host.deeds(), starts, "nothing was started, reloaded or stopped");
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn f_74_a_config_that_crashes_the_collector_is_rolled_back() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("config_marker=crash_marker");
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    let good = config("p.yaml", GOOD);
    assert!(is(&server.push(&good).await, RemoteConfigStatuses::Applied));
    let bad = config("p.yaml", &format!("{GOOD}# crash_marker\n"));
    let status = server.push(&bad).await;
    assert!(is(&status, RemoteConfigStatuses::Failed), "{status:?}");
    assert!(status.error_message.contains("rolled back"), "{}", status.error_message);
    let known = server.until("the one before runs", |known| known.healthy()).await;
    assert!(known.settled(&bad), "the last word is FAILED of the bad one, not APPLIED of the good one");
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn f_75_a_config_that_crashes_the_collector_after_it_was_applied_is_undone() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("");
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    let good = config("p.yaml", GOOD);
    assert!(is(&server.push(&good).await, RemoteConfigStatuses::Applied));
    let bad = config("p.yaml", &format!("{GOOD}# fake_collector: crash_after=1s\n"));
    assert!(is(&server.push(&bad).await, RemoteConfigStatuses::Applied), "at first it is well");
    let known = server
        .until("it is undone", |known| {
            known.settled(&bad) && is(&known.status(), RemoteConfigStatuses::Failed) && known.healthy()
        })
        .await;
    let why = known.status().error_message;
    assert!(why.contains("after it was applied") && why.contains("rolled back"), "{why}");
    server.until("the one before runs", |known| known.effective().contains("debug")).await;
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn f_76_of_many_configs_the_last_one_wins() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("");
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    for number in 0..50 {
        server.offer(&config("p.yaml", &format!("{GOOD}# {number}\n"))).await;
    }
    let last = config("p.yaml", &format!("{GOOD}# last\n"));
    let status = server.push(&last).await;
    assert!(is(&status, RemoteConfigStatuses::Applied), "{status:?}");
    let reloads =
        host.events().iter().filter(|event| event.contains("reload") || event.contains("start")).count();
    assert!(reloads <= 10, "bounded: {reloads}, {:?}", host.events());
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn f_79_an_empty_config_map_runs_the_hosts_own_config() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("");
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    assert!(is(&server.push(&config("p.yaml", GOOD)).await, RemoteConfigStatuses::Applied));
    let mut empty = config("", "");
    empty.config.as_mut().unwrap().config_map.clear();
    assert!(is(&server.push(&empty).await, RemoteConfigStatuses::Applied));
    server
        .until("it is healthy without it", |known| known.healthy() && !known.effective().contains("debug"))
        .await;
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn a_collector_without_the_extension_is_probed_and_its_config_asked_for() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("no_extension");
    let supervisor = host.start();
    server.until("the probe says healthy", |known| known.healthy()).await;
    let status = server.push(&config("p.yaml", GOOD)).await;
    assert!(is(&status, RemoteConfigStatuses::Applied), "{status:?}");
    server.until("the effective config shows it", |known| known.effective().contains("debug")).await;
    assert!(supervisor.stop().await.success());
}
