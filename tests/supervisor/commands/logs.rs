//! `logs`: the Collector's output.

use std::{fs, io::Write, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
    time::timeout,
};

use super::super::harness::{Host, Server, fake_collector};

const NOWHERE: &str = "ws://127.0.0.1:9/v1/opamp";

#[tokio::test]
async fn logs_prints_the_last_lines_with_and_without_a_running_supervisor() {
    let host = Host::new(NOWHERE, &fake_collector());
    let none = host.command(&["logs"]).await.with(1);
    assert!(none.contains("no output of a Collector yet") && none.contains("agent.log"), "{none}");
    fs::create_dir_all(host.state().join("logs")).unwrap();
    fs::write(host.state().join("logs/agent.log.1"), "zero\none\n").unwrap();
    fs::write(host.state().join("logs/agent.log"), "two\nthree \x1b[2J\n").unwrap();
    assert_eq!(host.command(&["logs", "-n", "3"]).await.with(0), "one\ntwo\nthree [2J\n");
    assert_eq!(host.command(&["logs"]).await.with(0), "zero\none\ntwo\nthree [2J\n");
}

#[tokio::test]
async fn logs_of_passed_through_output_says_where_it_is() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("").agent("passthrough_logs: true");
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    assert!(host.command(&["logs"]).await.with(1).contains("agent.passthrough_logs"));
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn logs_follows_over_a_rotation_and_ends_with_its_reader() {
    let host = Host::new(NOWHERE, &fake_collector());
    let logs = host.state().join("logs");
    fs::create_dir_all(&logs).unwrap();
    let path = logs.join("agent.log");
    fs::write(&path, "old\n").unwrap();
    let mut follower = Command::new(env!("CARGO_BIN_EXE_opamp-supervisor"));
    follower.args(["logs", "-f", "-n", "1", "--config"]).arg(host.write()).stdout(Stdio::piped());
    let mut follower = follower.kill_on_drop(true).spawn().unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    let mut next =
        async || timeout(Duration::from_secs(20), lines.next_line()).await.unwrap().unwrap().unwrap();
    assert_eq!(next().await, "old");
    let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(b"added\n").unwrap();
    assert_eq!(next().await, "added");
    fs::rename(&path, logs.join("agent.log.1")).unwrap();
    file.write_all(b"late\n").unwrap();
    assert_eq!(next().await, "late");
    fs::write(&path, "new\n").unwrap();
    assert_eq!(next().await, "new");
    drop(lines);
    fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"nobody reads this\n").unwrap();
    let ended = timeout(Duration::from_secs(20), follower.wait()).await.expect("it ends").unwrap();
    assert!(ended.success());
}
