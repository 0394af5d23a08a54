//! From rung to rung: what a Collector that does not run leads to, and what an offer that ends the supervisor
//! itself does.

use std::{fs, path::PathBuf};

use nix::libc::{SIGHUP, SIGKILL, SIGSTOP};
use opamp::wire::proto::RemoteConfigStatuses;

use super::harness::{
    Host, Known, Server, Supervisor, alive, config, fake_collector, gone, kill, real_collector,
    real_collector_without_extension,
};

const FAILED: i32 = RemoteConfigStatuses::Failed as i32;
const APPLIED: i32 = RemoteConfigStatuses::Applied as i32;
const APPLYING: i32 = RemoteConfigStatuses::Applying as i32;

const CRASHES: &str = "# fake_collector: crash_at_start\n";
/// Two Collectors on one host would want the same port for their own metrics.
const NO_METRICS: &str = "service: {telemetry: {metrics: {level: none}}}\n";
const NOPS: &str = "receivers: {nop: }\nexporters: {nop: }\n\
    service: {pipelines: {traces: {receivers: [nop], exporters: [nop]}}}\n";

fn last_error(known: &Known) -> String {
    let health = known.view.as_ref().and_then(|view| view.report.health.clone());
    health.map(|health| health.last_error).unwrap_or_default()
}

/// A host with a local layer of this content, and with fallback configs if `fallback` is one.
fn with_local(endpoint: &str, content: &str, fallback: Option<&str>) -> (Host, PathBuf) {
    let mut host = Host::new(endpoint, &fake_collector()).fake("");
    let local = host.dir.path().join("local.yaml");
    fs::write(&local, content).unwrap();
    host = host.agent(&format!("config_files: [{}]", local.display()));
    if let Some(fallback) = fallback {
        let path = host.dir.path().join("fallback.yaml");
        fs::write(&path, fallback).unwrap();
        host = host.agent(&format!("startup_fallback_configs: [{}]", path.display()));
    }
    (host, local)
}

#[tokio::test]
async fn f_42_a_host_config_that_does_not_run_leads_to_safe_mode_and_out_of_it_once_it_is_mended() {
    let server = Server::start().await;
    let (host, local) = with_local(&server.endpoint, CRASHES, None);
    let supervisor = host.start();
    let known =
        server.until("safe mode is in the health", |known| last_error(known).contains("safe mode")).await;
    let why = last_error(&known);
    assert!(why.contains("the host's own config does not run") && why.contains("code 1"), "{why}");
    server
        .until("management is alive: the extension speaks", |known| known.effective().contains("opamp"))
        .await;
    assert!(!known.healthy());
    fs::write(&local, NOPS).unwrap();
    kill(supervisor.pid(), SIGHUP);
    server
        .until("it runs what it should", |known| known.healthy() && known.effective().contains("nop"))
        .await;
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn f_42_f_71_in_safe_mode_a_pushed_config_is_tried_and_a_good_one_ends_it() {
    let server = Server::start().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let local = format!(
        "receivers: {{otlp: {{protocols: {{http: {{endpoint: '{}'}}}}}}}}\nexporters: {{debug: }}\n\
         service: {{telemetry: {{metrics: {{level: none}}}}, pipelines: {{traces: {{receivers: [otlp], exporters: [debug]}}}}}}\n",
        taken.local_addr().unwrap()
    );
    let host = Host::new(&server.endpoint, &real_collector());
    let path = host.dir.path().join("local.yaml");
    fs::write(&path, local).unwrap();
    let host = host.agent(&format!("config_files: [{}]", path.display()));
    let supervisor = host.start();
    let known = server.until("safe mode", |known| last_error(known).contains("safe mode")).await;
    assert!(last_error(&known).contains("address already in use"), "{}", last_error(&known));
    let elsewhere = "receivers: {otlp: {protocols: {http: {endpoint: '127.0.0.1:0'}}}}\n";
    assert_eq!(server.push(&config("elsewhere.yaml", elsewhere)).await.status, APPLIED);
    server.until("safe mode is over", |known| known.healthy() && last_error(known).is_empty()).await;
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn f_89_until_the_server_is_reached_the_operators_fallback_configs_run() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let endpoint = format!("ws://127.0.0.1:{port}/v1/opamp");
    let (host, _) = with_local(&endpoint, NOPS, Some("# the fallback\n"));
    let supervisor = host.start();
    host.logs("the server was never reached").await;
    let live = || {
        let files = fs::read_dir(host.state().join("live")).into_iter().flatten().flatten();
        files.filter_map(|file| fs::read_to_string(file.path()).ok()).collect::<String>()
    };
    host.happens("ready").await;
    assert!(live().contains("# the fallback") && !live().contains("nop"), "{}", live());
    let server = Server::start_on(port).await;
    server.until("it runs its own", |known| known.healthy() && known.effective().contains("nop")).await;
    assert!(!live().contains("# the fallback"));
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn f_106_an_offer_over_which_the_supervisor_ends_twice_is_given_up() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("");
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    let offered = config("nops.yaml", &format!("# fake_collector: hang_validate\n{NOPS}"));
    let mut supervisor = supervisor;
    for life in 1..=2 {
        if life == 1 {
            server.offer(&offered).await;
        }
        let judged = || host.events().iter().filter(|event| event.contains("validate")).count();
        server
            .until("it is being judged", |known| known.status().status == APPLYING && judged() >= life)
            .await;
        let collector = host.collector_pid();
        kill(supervisor.pid(), SIGKILL);
        supervisor.ended().await;
        gone(collector).await;
        supervisor = host.start();
        let connections = u32::try_from(life).unwrap() + 1;
        server.until("it is back", |known| known.connections == connections && known.connected).await;
    }
    let known = server.until("the third life gives it up", |known| known.status().status == FAILED).await;
    let why = known.status().error_message;
    assert!(why.contains("the supervisor itself ended 2 times while it was checked"), "{why}");
    server.until("and the Collector runs", |known| known.healthy()).await;
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn f_78_what_failed_is_tried_again_once_the_host_adds_something_else() {
    let server = Server::start().await;
    let (host, local) = with_local(&server.endpoint, "", None);
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    let missing = config("a.yaml", &NOPS.replace("exporters: {nop: }\n", ""));
    assert_eq!(server.push(&missing).await.status, FAILED);
    let other = config("b.yaml", NOPS);
    assert_eq!(server.push(&other).await.status, APPLIED);
    assert_eq!(server.push(&missing).await.status, FAILED, "it failed before");
    fs::write(&local, "exporters: {nop: }\n").unwrap();
    assert_eq!(server.push(&other).await.status, APPLIED);
    assert_eq!(server.push(&missing).await.status, APPLIED, "the local layer now has what it lacked");
    assert!(supervisor.stop().await.success());
}

async fn hangs(executable: PathBuf) {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &executable);
    let local = host.dir.path().join("local.yaml");
    fs::write(&local, NO_METRICS).unwrap();
    let host = host.agent(&format!("config_files: [{}]", local.display()));
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    let first = host.collector_pid();
    kill(first, SIGSTOP);
    server.until("it is said", |known| last_error(known).contains("has not answered for")).await;
    gone(first).await;
    server.until("another one runs", |known| known.healthy() && host.runs_another(first)).await;
    assert!(alive(host.collector_pid()));
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn f_68_a_collector_that_hangs_is_started_again() {
    hangs(real_collector()).await;
}

#[tokio::test]
async fn f_68_a_collector_that_hangs_is_started_again_without_the_opamp_extension_too() {
    hangs(real_collector_without_extension()).await;
}

async fn says(switches: &str, component: &str) -> (Server, Host, Supervisor, String) {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake(switches);
    let supervisor = host.start();
    let said = |known: &Known| {
        let health = known.view.as_ref().and_then(|view| view.report.health.clone())?;
        health.component_health_map.get(component).map(|component| component.last_error.clone())
    };
    let known =
        server.until("it is said beside the Collector's own health", |known| said(known).is_some()).await;
    let what = said(&known).unwrap();
    (server, host, supervisor, what)
}

#[tokio::test]
async fn health_that_keeps_changing_is_one_thing_to_say() {
    let (_server, _host, supervisor, what) = says("flip_health=200ms", "supervisor:flapping").await;
    assert!(what.contains("keeps changing"), "{what}");
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn an_extension_that_hung_up_is_said_and_the_collector_runs_on() {
    let (server, host, supervisor, what) = says("hang_up", "supervisor:contact").await;
    assert!(what.contains("has said nothing for 15 s"), "{what}");
    assert!(alive(host.collector_pid()));
    server.until("it is as healthy as it said", Known::healthy).await;
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn f_109_two_configs_in_a_row_before_a_slow_collector_was_heard_from_kill_nothing() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("late_listen=2s");
    let supervisor = host.start();
    server.until("the agent is there", |known| known.connected).await;
    server.offer(&config("a.yaml", NOPS)).await;
    let last = config("b.yaml", NOPS);
    let status = server.push(&last).await;
    assert_eq!(status.status, APPLIED, "{status:?}");
    server.until("it is healthy", Known::healthy).await;
    let events = host.events();
    let first = |what: &str| events.iter().position(|event| event.contains(what));
    assert!(first("SIGHUP").is_none_or(|hup| first("ready").is_some_and(|ready| ready < hup)), "{events:?}");
    assert!(!host.log().contains("killed by SIGHUP"), "{}", host.log());
    assert!(supervisor.stop().await.success());
}
