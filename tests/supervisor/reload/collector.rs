//! What the Collector notices of another `supervisor.yaml`, or of what it names.

use std::{fs, path::Path, time::Duration};

use nix::libc::SIGHUP;
use opamp::wire::attrs;
use tokio::time::timeout;

use super::{
    super::harness::{
        Host, Server, config, fake_collector, kill, real_collector, real_collector_without_extension,
    },
    PIPELINE, attribute, count, logged, reload, remark, replace,
};

#[tokio::test]
async fn another_environment_or_argument_runs_the_collector_anew() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("");
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    let first = host.collector_pid();
    let offer = config("p.yaml", PIPELINE);
    server.push(&offer).await;
    reload(&host, &supervisor, &format!("{}  env: {{TEAM: blue}}\n", host.yaml())).await;
    let known = server
        .until("another process with the remote config", |known| {
            known.healthy() && host.runs_another(first) && known.effective().contains("debug")
        })
        .await;
    let environment = fs::read(format!("/proc/{}/environ", host.collector_pid())).unwrap();
    assert!(String::from_utf8_lossy(&environment).contains("TEAM=blue"));
    assert!(known.settled(&offer) && known.connections == 1);
    // Nothing differs: nothing happens.
    let lives = || (host.collector_pid(), count(&host, " start"), count(&host, " SIGHUP"));
    let before = lives();
    reload(&host, &supervisor, &format!("{}  env: {{TEAM: blue}}\n", host.yaml())).await;
    logged(&host, 0, &["(SIGHUP): nothing changed"]).await;
    assert_eq!(lives(), before);
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn contents_of_a_local_file_are_read_again_and_a_broken_one_is_refused() {
    let server = Server::start().await;
    let dir = tempfile::tempdir().unwrap();
    let local = dir.path().join("local.yaml");
    fs::write(&local, PIPELINE).unwrap();
    let lines = format!("config_files: [\"{}\"]", local.display());
    let host = Host::new(&server.endpoint, &fake_collector()).agent(&lines).fake("");
    let supervisor = host.start();
    server.until("it runs", |known| known.healthy() && known.effective().contains("debug")).await;
    let collector = host.collector_pid();
    fs::write(&local, format!("{PIPELINE}processors: {{batch: {{}}}}\n")).unwrap();
    kill(supervisor.pid(), SIGHUP);
    server.until("it reads it", |known| known.effective().contains("batch")).await;
    assert_eq!((host.collector_pid(), count(&host, " SIGHUP")), (collector, 1), "{:?}", host.events());
    let lives = || (host.collector_pid(), count(&host, " start"), count(&host, " SIGHUP"));
    let good = lives();
    fs::write(&local, PIPELINE.replace("debug", "kafka")).unwrap();
    let before = host.log().len();
    kill(supervisor.pid(), SIGHUP);
    logged(&host, before, &["is not taken", "local.yaml:2:"]).await;
    server.until("it is told", |known| remark(known).contains("kafka") && known.healthy()).await;
    assert_eq!(lives(), good);
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn where_sighup_is_not_wanted_other_contents_run_the_collector_anew() {
    let server = Server::start().await;
    let dir = tempfile::tempdir().unwrap();
    let local = dir.path().join("local.yaml");
    fs::write(&local, PIPELINE).unwrap();
    let lines = format!("use_hup_config_reload: false\nconfig_files: [\"{}\"]", local.display());
    let host = Host::new(&server.endpoint, &fake_collector()).agent(&lines).fake("");
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    let first = host.collector_pid();
    fs::write(&local, format!("{PIPELINE}processors: {{batch: {{}}}}\n")).unwrap();
    kill(supervisor.pid(), SIGHUP);
    server
        .until("another process", |known| {
            known.healthy() && host.runs_another(first) && known.effective().contains("batch")
        })
        .await;
    assert_eq!(count(&host, " SIGHUP"), 0, "{:?}", host.events());
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn a_binary_that_was_replaced_is_asked_what_it_is_and_runs() {
    let server = Server::start().await;
    let dir = tempfile::tempdir().unwrap();
    let binary = dir.path().join("collector.sh");
    let run = |more: &str| format!("#!/bin/sh\n{more}\nexec {} \"$@\"\n", fake_collector().display());
    replace(&binary, &run(""));
    let host = Host::new(&server.endpoint, &binary).fake("");
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    let first = host.collector_pid();
    replace(&binary, "#!/bin/sh\nexit 3\n");
    let before = host.log().len();
    kill(supervisor.pid(), SIGHUP);
    logged(&host, before, &["is not taken", "does not say what it is"]).await;
    assert_eq!(host.collector_pid(), first);
    replace(&binary, &run("export FAKE_COLLECTOR=wrong_version=9.9.9"));
    kill(supervisor.pid(), SIGHUP);
    server
        .until("another version", |known| {
            let description = known.view.as_ref().and_then(|view| view.report.description.as_ref());
            let version =
                description.and_then(|all| attrs::get(&all.identifying_attributes, "service.version"));
            known.healthy() && host.runs_another(first) && version.is_some_and(|version| version == "9.9.9")
        })
        .await;
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn f_74_a_local_file_that_kills_the_collector_is_taken_back_until_it_is_mended() {
    let server = Server::start().await;
    let dir = tempfile::tempdir().unwrap();
    let local = dir.path().join("local.yaml");
    fs::write(&local, PIPELINE).unwrap();
    let lines = format!("config_files: [\"{}\"]", local.display());
    let host =
        Host::new(&server.endpoint, &fake_collector()).agent(&lines).fake("config_marker=crash_marker");
    let supervisor = host.start();
    server.until("it runs", |known| known.healthy() && known.effective().contains("debug")).await;
    let offer = config("p.yaml", "processors: {batch: {}}\n");
    server.push(&offer).await;
    let first = host.collector_pid();
    fs::write(&local, format!("{PIPELINE}# crash_marker\n")).unwrap();
    kill(supervisor.pid(), SIGHUP);
    let known = server
        .until("the one before runs", |known| {
            remark(known).contains("taken back") && known.healthy() && host.runs_another(first)
        })
        .await;
    assert!(remark(&known).contains("crash_marker"), "the Collector's own words: {}", remark(&known));
    assert!(known.effective().contains("batch") && known.settled(&offer), "with the remote config");
    fs::write(&local, format!("{PIPELINE}# mended\n")).unwrap();
    kill(supervisor.pid(), SIGHUP);
    server.until("once mended it is taken", |known| remark(known).is_empty() && known.healthy()).await;
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn f_74_an_environment_that_kills_the_collector_is_taken_back_and_the_new_server_stays() {
    let (server, other) = (Server::start().await, Server::start().await);
    let host = Host::new(&server.endpoint, &fake_collector()).fake("");
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    let text = host.yaml().replace(&server.endpoint, &other.endpoint)
        + "  env: {FAKE_COLLECTOR: crash_at_start}\n  description: {non_identifying_attributes: {team: blue}}\n";
    reload(&host, &supervisor, &text).await;
    let known = other
        .until("it is taken back", |known| remark(known).contains("taken back") && known.healthy())
        .await;
    assert_eq!(attribute(&known, "team"), None, "with the whole of `agent`");
    let environment = fs::read(format!("/proc/{}/environ", host.collector_pid())).unwrap();
    assert!(!String::from_utf8_lossy(&environment).contains("crash_at_start"));
    let starts = count(&host, " start");
    assert_eq!(starts, 3, "the old, the new and the old one again: {:?}", host.events());
    assert!(supervisor.stop().await.success());
}

async fn real_collector_reloads(executable: &Path) {
    let server = Server::start().await;
    let dir = tempfile::tempdir().unwrap();
    let local = dir.path().join("local.yaml");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let text = format!(
        "receivers: {{otlp: {{protocols: {{http: {{endpoint: 127.0.0.1:{port}}}}}}}}}\nexporters: {{debug: {{}}}}\n\
         service: {{telemetry: {{metrics: {{level: none}}}}, pipelines: {{traces: {{receivers: [otlp], exporters: [debug]}}}}}}\n"
    );
    fs::write(&local, &text).unwrap();
    let lines = format!("config_files: [\"{}\"]", local.display());
    let host = Host::new(&server.endpoint, executable).agent(&lines);
    let supervisor = host.start();
    server.until("it runs", |known| known.healthy() && known.effective().contains("debug")).await;
    let first = host.collector_pid();
    fs::write(&local, text.replace("debug: {}", "debug: {sampling_initial: 7}")).unwrap();
    kill(supervisor.pid(), SIGHUP);
    server
        .until("it reads it", |known| known.healthy() && known.effective().contains("sampling_initial: 7"))
        .await;
    assert_eq!(host.collector_pid(), first, "reloaded, not restarted");
    fs::write(&local, text.replace("debug", "kafka")).unwrap();
    kill(supervisor.pid(), SIGHUP);
    server.until("a broken one is refused", |known| remark(known).contains("local.yaml:2:")).await;
    fs::write(&local, &text).unwrap();
    reload(&host, &supervisor, &format!("{}  env: {{TEAM: blue}}\n", host.yaml())).await;
    server.until("another process", |known| known.healthy() && host.runs_another(first)).await;
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn a_real_collector_is_reloaded_and_only_restarted_when_it_must_be() {
    real_collector_reloads(&real_collector()).await;
}

#[tokio::test]
async fn a_real_collector_without_the_extension_is_reloaded_too() {
    real_collector_reloads(&real_collector_without_extension()).await;
}

#[tokio::test]
async fn f_89_on_its_fallback_it_runs_on_until_the_right_server_is_named() {
    let server = Server::start().await;
    let dir = tempfile::tempdir().unwrap();
    let fallback = dir.path().join("fallback.yaml");
    fs::write(&fallback, "processors: {memory_limiter: {}}\n").unwrap();
    let local = dir.path().join("local.yaml");
    fs::write(&local, PIPELINE).unwrap();
    let lines = format!(
        "startup_fallback_configs: [\"{}\"]\nconfig_files: [\"{}\"]",
        fallback.display(),
        local.display()
    );
    let nowhere = "ws://127.0.0.1:9/v1/opamp";
    let host = Host::new(nowhere, &fake_collector()).agent(&lines).fake("");
    let supervisor = host.start();
    until_ready(&host, 1).await;
    let first = host.collector_pid();
    reload(&host, &supervisor, host.yaml()).await;
    logged(&host, 0, &["(SIGHUP): nothing changed"]).await;
    assert_eq!((host.collector_pid(), count(&host, " start")), (first, 1));
    reload(&host, &supervisor, &host.yaml().replace(nowhere, &server.endpoint)).await;
    server
        .until("it runs what it should", |known| known.healthy() && known.effective().contains("debug"))
        .await;
    assert!(host.runs_another(first));
    assert!(supervisor.stop().await.success());
}

async fn until_ready(host: &Host, times: usize) {
    let waiting = async {
        let mut tick = tokio::time::interval(Duration::from_millis(10));
        while count(host, " ready") < times {
            tick.tick().await;
        }
    };
    timeout(Duration::from_secs(30), waiting).await.expect("the Collector is ready");
}
