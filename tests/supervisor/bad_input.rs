//! Wrong input: one clear message, an exit code that means something, nothing lost.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use tokio::{io::AsyncReadExt, net::unix::pipe};

use super::harness::{Host, Server, fake_collector};

const NOWHERE: &str = "ws://127.0.0.1:9/v1/opamp";

async fn refused(host: &Host, code: i32, words: &[&str]) {
    let (status, said) = host.start().ended().await;
    assert_eq!(status.code(), Some(code), "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} in {said}");
    }
}

#[tokio::test]
async fn a_missing_executable_is_78_and_named() {
    let host = Host::new(NOWHERE, Path::new("/nonexistent/otelcol"));
    refused(&host, 78, &["executable", "/nonexistent/otelcol"]).await;
}

#[tokio::test]
async fn a_storage_directory_that_cannot_be_one_is_78_with_what_to_do() {
    let host = Host::new(NOWHERE, &fake_collector());
    fs::write(host.state(), "").unwrap();
    refused(&host, 78, &["storage.directory", "a file is in the way: remove it"]).await;
}

#[tokio::test]
async fn an_unknown_key_is_78_with_its_place() {
    let host = Host::new(NOWHERE, &fake_collector()).agent("executible: x");
    refused(&host, 78, &["supervisor.yaml:7:3", "executible", "did you mean"]).await;
}

#[tokio::test]
async fn a_taken_port_is_78_and_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let host = Host::new(NOWHERE, &fake_collector()).agent(&format!("opamp_server_port: {port}"));
    refused(&host, 78, &["agent.opamp_server_port", &port.to_string(), "0 to take a free one"]).await;
}

#[tokio::test]
async fn a_set_on_a_key_of_the_overlay_is_78() {
    let host = Host::new(NOWHERE, &fake_collector()).agent("args: [\"--set=service.extensions=[]\"]");
    refused(&host, 78, &["service.extensions", "agent.args"]).await;
}

#[tokio::test]
async fn a_binary_that_hangs_when_it_is_asked_what_it_is_does_not_keep_the_supervisor_from_stopping() {
    let dir = tempfile::tempdir().unwrap();
    let (fifo, script) = (dir.path().join("fifo"), dir.path().join("otelcol"));
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    fs::write(&script, format!("#!/bin/sh\necho asked > {}\nexec sleep 600\n", fifo.display())).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    // Opened both ways it blocks nobody.
    let mut asked = pipe::OpenOptions::new().read_write(true).open_receiver(&fifo).unwrap();
    let host = Host::new(NOWHERE, &script);
    let supervisor = host.start();
    let mut word = [0; 6];
    let asked = tokio::time::timeout(Duration::from_secs(20), asked.read_exact(&mut word));
    asked.await.expect("it is asked").unwrap();
    let stopping = tokio::time::timeout(Duration::from_secs(5), supervisor.stop());
    assert!(stopping.await.expect("it stops at once").success());
}

#[tokio::test]
async fn f_88_the_second_supervisor_on_one_directory_is_75() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("");
    let first = host.start();
    server.until("the first one runs", |known| known.healthy()).await;
    refused(&host, 75, &[&first.pid().to_string()]).await;
    assert!(first.stop().await.success());
}

#[tokio::test]
async fn a_wrong_option_is_64_and_help_is_0() {
    for (arg, code) in [("--confg", 64), ("--help", 0), ("--version", 0)] {
        let status = tokio::process::Command::new(env!("CARGO_BIN_EXE_opamp-supervisor"))
            .arg(arg)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .status();
        assert_eq!(status.await.unwrap().code(), Some(code), "{arg}");
    }
}

#[tokio::test]
async fn f_16_f_17_empty_and_torn_state_files_lose_nothing_that_can_be_had() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("");
    let supervisor = host.start();
    let first = server.until("the agent is healthy", |known| known.healthy()).await;
    assert!(supervisor.stop().await.success());
    let state = host.state().join("state.json");
    let whole = fs::read(&state).unwrap();
    for (round, torn) in [&[][..], &whole[..whole.len() / 2], b"not json"].into_iter().enumerate() {
        fs::write(&state, torn).unwrap();
        let again = host.start();
        let connections = u32::try_from(round).unwrap() + 2;
        let known =
            server.until("it runs", |known| known.connections == connections && known.healthy()).await;
        assert_eq!(known.view.unwrap().instance_uid, first.view.as_ref().unwrap().instance_uid);
        assert!(again.stop().await.success());
    }
    assert!(host.log().contains("state.json"), "a note is raised");
}

#[tokio::test]
async fn f_61_a_crashing_executable_is_retried_and_the_server_is_told_why() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("crash_at_start,exit_code=3");
    let supervisor = host.start();
    server
        .until("the cause is in the health", |known| {
            let health = known.view.as_ref().and_then(|view| view.report.health.as_ref());
            health.is_some_and(|health| {
                health.last_error.contains("code 3") && health.last_error.contains("again in")
            })
        })
        .await;
    fs::write(host.dir.path().join("switches"), "").unwrap();
    server.until("once mended it runs", |known| known.healthy()).await;
    assert!(supervisor.stop().await.success());
}
