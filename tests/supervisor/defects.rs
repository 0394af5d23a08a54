//! What the established supervisor was seen to do wrong, on the real Collector: none of it happens here.
//!
//! A remote config that takes the opamp extension away is in `real`; what an offer of connection settings may
//! do to TLS is in `tls`.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    process::Command,
    time::{Duration, Instant},
};

use nix::libc::SIGKILL;
use opamp::wire::proto::{AgentRemoteConfig, RemoteConfigStatuses, ServerToAgent};

use super::{
    harness::{Host, Server, Supervisor, alive, config, gone, kill, real_collector},
    real::pipeline,
};

const FAILED: i32 = RemoteConfigStatuses::Failed as i32;
const APPLIED: i32 = RemoteConfigStatuses::Applied as i32;

fn host_of(server: &Server, agent: &str) -> Host {
    Host::new(&server.endpoint, &real_collector()).quiet(&[]).agent(agent)
}

async fn running() -> (Server, Host, Supervisor) {
    let server = Server::start().await;
    let host = host_of(&server, "");
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    (server, host, supervisor)
}

/// Passes `validate` and ends the Collector that starts with it.
fn deadly() -> String {
    let text = pipeline();
    let (before, port) = text.split_once("127.0.0.1:").unwrap();
    format!("{before}127.0.0.1:99999\n{}", port.split_once('\n').unwrap().1)
}

#[tokio::test]
async fn defect_sigterm_leaves_no_collector() {
    let (server, host, supervisor) = running().await;
    let collector = host.collector_pid();
    assert!(supervisor.stop().await.success(), "in order, with exit code 0");
    assert!(!alive(collector));
    server.until("the goodbye", |known| known.goodbyes == 1).await;
}

#[tokio::test]
async fn f_62_defect_kill_9_leaves_no_collector_after_6_s() {
    let (_server, host, supervisor) = running().await;
    let collector = host.collector_pid();
    kill(supervisor.pid(), SIGKILL);
    let left = tokio::time::timeout(Duration::from_secs(6), gone(collector)).await;
    assert!(left.is_ok(), "the Collector is still there");
}

/// Offers it in spite of the FAILED that was reported, then one that is applied: after that one's answer, the
/// first one had its own.
async fn offered_in_spite(server: &Server, bad: &AgentRemoteConfig) -> Vec<i32> {
    let before = server.messages().len();
    server.say(ServerToAgent { remote_config: Some(bad.clone()), ..Default::default() }).await;
    let good = config("pipeline.yaml", &pipeline());
    assert_eq!(server.push(&good).await.status, APPLIED);
    let messages = server.messages();
    let statuses = messages[before..].iter().filter_map(|message| message.remote_config_status.clone());
    statuses.filter(|said| said.last_remote_config_hash == bad.config_hash).map(|said| said.status).collect()
}

#[tokio::test]
async fn f_78_defect_a_bad_config_offered_twice_stays_failed() {
    let (server, host, supervisor) = running().await;
    let bad = config("pipeline.yaml", &deadly());
    let status = server.push(&bad).await;
    assert_eq!(status.status, FAILED, "{status:?}");
    assert!(status.error_message.contains("invalid port"), "{}", status.error_message);
    server.until("what ran before runs", |known| known.healthy()).await;
    let survivor = host.collector_pid();
    for status in offered_in_spite(&server, &bad).await {
        assert_eq!(status, FAILED, "it is never called APPLIED, nor tried again");
    }
    assert_eq!(host.collector_pid(), survivor, "nothing was restarted for it");

    let again = server.push(&bad).await;
    assert_eq!((again.status, again.error_message.contains("invalid port")), (FAILED, true), "{again:?}");
    assert!(supervisor.stop().await.success());
    let supervisor = host.start();
    server.until("it is back", |known| known.connections == 2 && known.healthy()).await;
    let survivor = host.collector_pid();
    for status in offered_in_spite(&server, &bad).await {
        assert_eq!(status, FAILED, "not by the next supervisor either");
    }
    assert_eq!(host.collector_pid(), survivor);
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn defect_validation_sees_the_candidate_alone() {
    let (server, host, supervisor) = running().await;
    let good = pipeline();
    assert_eq!(server.push(&config("pipeline.yaml", &good)).await.status, APPLIED);
    // Laid under the one that runs, its fault is covered up.
    let bad = good.replace("detailed", "loud");
    let (over, under) = (host.dir.path().join("over.yaml"), host.dir.path().join("under.yaml"));
    fs::write(&over, &good).unwrap();
    fs::write(&under, &bad).unwrap();
    let mut validate = Command::new(real_collector());
    validate.arg("validate").arg("--config").arg(&under).arg("--config").arg(&over);
    assert!(validate.output().unwrap().status.success(), "merged with the live one it passes");

    let collector = host.collector_pid();
    let status = server.push(&config("pipeline.yaml", &bad)).await;
    assert_eq!(status.status, FAILED, "{status:?}");
    assert!(status.error_message.contains("loud"), "{}", status.error_message);
    assert_eq!(host.collector_pid(), collector, "and nothing was touched");
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn f_16_f_17_defect_empty_state_files_do_not_stop_a_start() {
    let server = Server::start().await;
    let host = host_of(&server, "");
    // Nothing is there but the empty file that a power cut left the established supervisor with.
    fs::create_dir(host.state()).unwrap();
    fs::set_permissions(host.state(), fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(host.state().join("persistent_state.yaml"), "").unwrap();
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    let good = config("pipeline.yaml", &pipeline());
    assert_eq!(server.push(&good).await.status, APPLIED);
    assert!(supervisor.stop().await.success());
    for name in ["state.json", "state.json.bak"] {
        fs::write(host.state().join(name), "").unwrap();
    }
    let supervisor = host.start();
    server
        .until("it runs the config that is stored", |known| {
            known.connections == 2 && known.healthy() && known.effective().contains("otlp")
        })
        .await;
    assert!(supervisor.stop().await.success());
}

/// The deaths by SIGKILL that the server was told of.
fn deaths(server: &Server) -> Vec<String> {
    let health = server.messages().into_iter().filter_map(|message| message.health);
    let told = health.filter(|health| !health.healthy && health.last_error.contains("SIGKILL"));
    let mut told: Vec<_> = told.map(|health| health.last_error).collect();
    told.dedup();
    told
}

/// The pause that is announced with a death.
fn pause(last_error: &str) -> Duration {
    let words = last_error.rsplit_once("again ").unwrap_or_else(|| panic!("no pause in {last_error}")).1;
    match words.strip_prefix("in ") {
        None => Duration::ZERO,
        Some(text) => {
            let number: String = text.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
            let unit = if text[number.len()..].starts_with("ms") { 0.001 } else { 1.0 };
            Duration::from_secs_f64(number.parse::<f64>().unwrap() * unit)
        }
    }
}

#[tokio::test]
async fn f_60_f_61_defect_a_restart_is_at_once_first_and_backs_off_after() {
    let (server, host, supervisor) = running().await;
    for round in 0..4 {
        let start = Instant::now();
        kill(host.collector_pid(), SIGKILL);
        server.until("it is back", |known| known.healthy() && deaths(&server).len() > round).await;
        assert!(round > 0 || start.elapsed() < Duration::from_secs(4), "{:?} at first", start.elapsed());
    }
    let told = deaths(&server);
    let pauses: Vec<Duration> = told.iter().map(|death| pause(death)).collect();
    assert_eq!((pauses.len(), pauses[0]), (4, Duration::ZERO), "the first one at once: {pauses:?}");
    assert!(pauses.is_sorted_by(|a, b| a < b), "the others ever later: {pauses:?}");
    assert!(pauses[3] < Duration::from_secs(5), "{pauses:?}");
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn defect_the_collectors_log_outlives_its_restarts() {
    let (server, host, supervisor) = running().await;
    let log = || fs::read_to_string(host.state().join("logs/agent.log")).unwrap();
    let lives = |text: &str| text.matches("Everything is ready").count();
    server.until("its extension is heard", |known| known.effective().contains("opamp")).await;
    let first = log();
    kill(host.collector_pid(), SIGKILL);
    server.until("it is back", |known| known.healthy() && deaths(&server).len() == 1).await;
    assert!(supervisor.stop().await.success());
    let supervisor = host.start();
    server.until("it is back", |known| known.connections == 2 && known.healthy()).await;
    assert!(supervisor.stop().await.success());
    let last = log();
    assert!(last.starts_with(&first), "the beginning is still there");
    assert_eq!(lives(&last), 3, "three lives in one log");
}

#[tokio::test]
async fn defect_applied_comes_with_the_proof_and_not_after_the_timeout() {
    let server = Server::start().await;
    let host = host_of(&server, "config_apply_timeout: 30s");
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    let start = Instant::now();
    assert_eq!(server.push(&config("pipeline.yaml", &pipeline())).await.status, APPLIED);
    assert!(start.elapsed() < Duration::from_secs(10), "{:?} of the 30 s", start.elapsed());
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn defect_the_cause_of_a_failed_bootstrap_is_told() {
    let server = Server::start().await;
    let dir = tempfile::tempdir().unwrap();
    let wrapper = dir.path().join("otelcol");
    fs::write(&wrapper, "#!/bin/sh\necho 'Error: the licence has expired' >&2\nexit 3\n").unwrap();
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
    let host = Host::new(&server.endpoint, &wrapper);
    let supervisor = host.start();
    server
        .until("the server is told the cause", |known| {
            let health = known.view.as_ref().and_then(|view| view.report.health.as_ref());
            health.is_some_and(|health| health.last_error.contains("code 3: the licence has expired"))
        })
        .await;
    let log = host.log();
    let bootstrap = log.lines().find(|line| line.contains("does not say what it is")).expect("a line of it");
    assert!(bootstrap.contains("the licence has expired"), "{bootstrap}");
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn defect_a_missing_local_file_is_said() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &real_collector()).quiet(&["/nonexistent/local.yaml"]);
    let supervisor = host.start();
    server.until("the agent is healthy all the same", |known| known.healthy()).await;
    assert!(host.log().contains("left out: /nonexistent/local.yaml"), "{}", host.log());
    assert!(supervisor.stop().await.success());
}
