//! Another `supervisor.yaml` while everything runs: what is moved, what is left alone, and what is refused.

mod asked;
mod collector;
mod watched;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use nix::libc::SIGHUP;
use opamp::wire::{attrs, proto::AgentCapabilities};
use tokio::time::{interval, timeout};

use super::harness::{Host, Known, Server, Supervisor, fake_collector, kill};

const PIPELINE: &str = "receivers: {otlp: {}}\nexporters: {debug: {}}\nservice: {pipelines: {traces: {receivers: [otlp], exporters: [debug]}}}\n";

/// Waits until a line of the log holds all of these, beyond the first `after` bytes of it.
async fn logged(host: &Host, after: usize, parts: &[&str]) {
    let fits = |line: &str| parts.iter().all(|part| line.contains(part));
    let waiting = async {
        let mut tick = interval(Duration::from_millis(10));
        while !host.log()[after..].lines().any(fits) {
            tick.tick().await;
        }
    };
    let in_time = timeout(Duration::from_secs(30), waiting).await;
    assert!(in_time.is_ok(), "no line with {parts:?} in\n{}", &host.log()[after..]);
}

fn file(host: &Host) -> PathBuf {
    host.dir.path().join("supervisor.yaml")
}

/// Puts another file there without anybody noticing it by itself, and asks for it to be read.
async fn reload(host: &Host, supervisor: &Supervisor, text: &str) {
    let before = host.log().len();
    fs::write(file(host), text).unwrap();
    kill(supervisor.pid(), SIGHUP);
    logged(host, before, &["was read again (SIGHUP)"]).await;
}

fn attribute(known: &Known, key: &str) -> Option<String> {
    let description = known.view.as_ref()?.report.description.as_ref()?;
    attrs::get(&description.non_identifying_attributes, key)
}

fn remark(known: &Known) -> String {
    let health = known.view.as_ref().and_then(|view| view.report.health.clone()).unwrap_or_default();
    let remark = health.component_health_map.get("supervisor:supervisor.yaml");
    remark.map(|remark| remark.last_error.clone()).unwrap_or_default()
}

/// How often the fake Collector did this.
fn count(host: &Host, what: &str) -> usize {
    host.events().iter().filter(|event| event.ends_with(what)).count()
}

/// Replaces a file in one step, as editors and package managers do.
fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(&new, path).unwrap();
}

#[tokio::test]
async fn another_server_is_dialled_and_the_collector_is_not_touched() {
    let (server, other) = (Server::start().await, Server::start().await);
    let host = Host::new(&server.endpoint, &fake_collector()).fake("");
    let supervisor = host.start();
    let before = server.until("the agent is healthy", |known| known.healthy()).await;
    let (collector, events) = (host.collector_pid(), host.deeds());
    reload(&host, &supervisor, &host.yaml().replace(&server.endpoint, &other.endpoint)).await;
    let after = other.until("it is there", |known| known.healthy()).await;
    server.until("goodbye to the other one", |known| known.goodbyes == 1).await;
    assert_eq!(before.view.unwrap().instance_uid, after.view.as_ref().unwrap().instance_uid);
    assert!(after.view.unwrap().report.effective_config.is_some(), "it is told everything");
    assert_eq!((host.collector_pid(), host.deeds()), (collector, events));
    // A header is another way to the same server.
    let header = host.yaml().replace(&server.endpoint, &other.endpoint);
    let header = header.replace("server: {", "server: {headers: {X-Tenant: t0p}, ");
    reload(&host, &supervisor, &header).await;
    other.until("it dials again", |known| known.connections == 2 && known.healthy()).await;
    assert!(!host.log().contains("t0p"));
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn a_server_that_never_answers_does_not_hold_up_the_move_to_another() {
    let other = Server::start().await;
    // It takes connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("ws://{}/v1/opamp", silent.local_addr().unwrap());
    let host = Host::new(&endpoint, &fake_collector()).fake("");
    let supervisor = host.start();
    tokio::task::spawn_blocking(move || silent.accept().map(|taken| (silent, taken))).await.unwrap().unwrap();
    reload(&host, &supervisor, &host.yaml().replace(&endpoint, &other.endpoint)).await;
    let moving = other.until("it is there", |known| known.healthy());
    timeout(Duration::from_secs(10), moving).await.expect("the attempt is given up");
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn a_wrong_file_is_refused_with_its_places_and_all_runs_on() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("");
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    let (collector, events) = (host.collector_pid(), host.deeds());
    let lines = host.yaml().lines().count();
    for (text, place) in [
        (format!("{}agnet: {{}}\n", host.yaml()), format!("supervisor.yaml:{}:1: ", lines + 1)),
        (host.yaml().replace("ws://", "ftp://"), "supervisor.yaml:1:".to_owned()),
        (format!("{}  args: [--set, extensions.opamp=x]\n", host.yaml()), "agent.args".to_owned()),
        (host.yaml().replace("fake_collector", "no_collector"), "agent::executable".to_owned()),
    ] {
        reload(&host, &supervisor, &text).await;
        let told = format!("{place:?} in the health");
        let known = server.until(&told, |known| remark(known).contains(&place)).await;
        assert!(known.healthy(), "the Collector is well");
        assert!(host.log().contains(&place), "{}", host.log());
    }
    fs::write(file(&host), host.yaml()).unwrap();
    server.until("once mended it is forgotten", |known| remark(known).is_empty()).await;
    assert_eq!((host.collector_pid(), host.deeds()), (collector, events), "{:?}", host.events());
    let connections = server.until("one connection", |known| known.connected).await.connections;
    assert_eq!(connections, 1);
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn what_the_agent_can_do_and_is_called_reaches_the_server_without_a_restart() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("");
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    let collector = host.collector_pid();
    let text = host.yaml().replace("accepts_restart_command: true", "accepts_restart_command: false")
        + "  description: {non_identifying_attributes: {team: blue}}\n";
    reload(&host, &supervisor, &text).await;
    let known = server
        .until("both are told", |known| {
            let caps = known.view.as_ref().map(|view| view.capabilities);
            caps.is_some_and(|caps| !caps.has(AgentCapabilities::AcceptsRestartCommand))
                && attribute(known, "team").as_deref() == Some("blue")
        })
        .await;
    server.until("it is in the Collector's resource", |known| known.effective().contains("blue")).await;
    assert_eq!((known.connections, host.collector_pid()), (1, collector));
    assert_eq!((count(&host, " start"), count(&host, " SIGHUP")), (1, 1), "{:?}", host.events());
    // Now it takes no command any more.
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn the_log_level_changes_live_and_what_needs_a_start_is_named_and_kept() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("");
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    let (collector, events) = (host.collector_pid(), host.deeds());
    assert!(!host.log().contains("DEBUG"));
    let text = host.yaml().replace("logs: {", "logs: {level: debug, ").replace("/state", "/elsewhere")
        + "  opamp_server_port: 1\n  instance_id: 00000000-0000-7000-8000-000000000000\n";
    reload(&host, &supervisor, &text).await;
    for key in ["storage.directory", "agent.opamp_server_port", "agent.instance_id"] {
        logged(&host, 0, &["WARN", key]).await;
    }
    assert!(host.state().is_dir() && !host.dir.path().join("elsewhere").exists());
    let before = host.log().len();
    kill(collector, nix::libc::SIGKILL);
    logged(&host, before, &["DEBUG"]).await;
    // That it died may be told after another one runs.
    let back = |known: &Known| known.healthy() && host.runs_another(collector) && host.deeds() > events;
    server.until("it is back", back).await;
    assert!(supervisor.stop().await.success());
}
