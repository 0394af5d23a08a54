//! The main job on real Collectors: with the unmodified opamp extension, and built without it.

use std::path::Path;

use nix::libc::SIGKILL;
use opamp::wire::proto::RemoteConfigStatuses;

use super::harness::{Host, Server, alive, config, kill, real_collector, real_collector_without_extension};

pub(crate) fn pipeline() -> String {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    format!(
        "receivers:\n  otlp:\n    protocols:\n      http:\n        endpoint: 127.0.0.1:{port}\n\
         exporters:\n  debug:\n    verbosity: detailed\n\
         service:\n  telemetry: {{metrics: {{level: none}}}}\n  pipelines:\n    traces:\n      receivers: [otlp]\n      exporters: [debug]\n"
    )
}

async fn main_job(executable: &Path) {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, executable).quiet(&[]);
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    let first = host.collector_pid();
    let good = config("pipeline.yaml", &pipeline());
    let status = server.push(&good).await;
    assert_eq!(status.status, RemoteConfigStatuses::Applied as i32, "{status:?}");
    server.until("the effective config shows it", |known| known.effective().contains("otlp")).await;
    assert_eq!(host.collector_pid(), first, "reloaded, not restarted");

    kill(first, SIGKILL);
    server
        .until("it is back with its config", |known| {
            known.healthy() && host.runs_another(first) && known.effective().contains("otlp")
        })
        .await;
    server.until("another process", |known| known.healthy() && !alive(first)).await;

    let status = server.push(&config("pipeline.yaml", &pipeline().replace("debug", "kafka"))).await;
    assert_eq!(status.status, RemoteConfigStatuses::Failed as i32, "{status:?}");
    assert!(status.error_message.contains("pipeline.yaml:7:3"), "{}", status.error_message);
    assert!(
        status.error_message.contains("kafka") && status.error_message.contains("otlp"),
        "what is available"
    );

    let collector = host.collector_pid();
    assert!(supervisor.stop().await.success());
    assert!(!alive(collector), "nothing is left behind");
    server.until("the goodbye", |known| known.goodbyes == 1).await;
}

#[tokio::test]
async fn the_main_job_with_the_opamp_extension() {
    main_job(&real_collector()).await;
}

#[tokio::test]
async fn the_main_job_without_the_opamp_extension() {
    main_job(&real_collector_without_extension()).await;
}

#[tokio::test]
async fn the_overlay_cannot_be_overridden_remotely() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &real_collector()).quiet(&[]);
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    let hostile = format!(
        "extensions:\n  opamp:\n    instance_uid: 00000000-0000-7000-8000-000000000000\n    ppid: 999999\n    server:\n      ws:\n        headers: {{x: y}}\n      http:\n        endpoint: http://127.0.0.1:9/\n{}",
        pipeline().replace("service:\n", "service:\n  extensions: []\n")
    );
    let status = server.push(&config("", &hostile)).await;
    assert_eq!(status.status, RemoteConfigStatuses::Applied as i32, "{status:?}");
    let known = server.until("it still speaks to us", |known| known.effective().contains("otlp")).await;
    let uid = known.view.as_ref().unwrap().instance_uid.to_string();
    assert!(known.effective().contains(&uid), "with its own identity");
    assert!(
        known.effective().contains("ppid: 0") && !known.effective().contains("999999"),
        "and its own parent"
    );
    assert!(supervisor.stop().await.success());
}
