//! The server itself breaks: it is killed in the middle of a push, and its database cannot be written.

use std::{net::SocketAddr, process::Stdio};

use opamp::wire::proto::{RemoteConfigStatuses, ServerToAgent, ServerToAgentFlags};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

use crate::{
    agent::{Identity, Socket},
    harness::{Answer, Bench, WITHIN, http},
    process::{Running, program},
};

const GROUPS: &str = "/api/v1/namespaces/default/agentgroups";
const CONFIGS: &str = "/api/v1/namespaces/default/agentremoteconfigs";
const AGENTS: u16 = 1000;

fn group() -> Value {
    let config = json!({"agentRemoteConfigRef": "fleet"});
    json!({"metadata": {"name": "all"}, "spec": {"priority": 1,
        "selector": {"nonIdentifyingAttributes": {"os.type": "linux"}},
        "agentConfig": {"agentRemoteConfigs": [config]}}})
}

fn config(value: &str) -> Value {
    json!({"metadata": {"name": "fleet"}, "spec": {"value": value, "contentType": "text/yaml"}})
}

fn offered(message: &ServerToAgent) -> Option<(Vec<u8>, String)> {
    let offer = message.remote_config.as_ref()?;
    let body = offer.config.as_ref()?.config_map["fleet"].body.clone();
    Some((offer.config_hash.clone(), String::from_utf8(body).unwrap()))
}

pub(crate) async fn rest(
    api: SocketAddr,
    token: &str,
    method: &str,
    path: &str,
    body: Option<Value>,
) -> Answer {
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let body = body.map(|body| body.to_string()).unwrap_or_default();
    http(api, method, path, &headers, body.as_bytes()).await
}

#[tokio::test]
async fn f_98_killed_in_the_middle_of_a_push_the_server_comes_back_with_it_and_all_agents_converge() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Running::start(program(dir.path(), &[])).await;
    let token = std::fs::read_to_string(dir.path().join("admin.token")).unwrap().trim().to_owned();
    assert_eq!(rest(server.api, &token, "POST", CONFIGS, Some(config("n: 1"))).await.status, 201);
    assert_eq!(rest(server.api, &token, "POST", GROUPS, Some(group())).await.status, 201);
    let mut agents = Vec::new();
    for number in 0..AGENTS {
        let mut agent = Identity::new(number);
        let mut socket = Socket::connect(server.opamp).await;
        let (hash, value) = offered(&socket.ask(&agent.full_report()).await).expect("the first config");
        assert_eq!(value, "n: 1");
        socket.ask(&agent.config_status(&hash, RemoteConfigStatuses::Applied, "")).await;
        agents.push((agent, socket));
    }

    // Acknowledged, and on its way to everybody, when the server is killed; a few have applied it.
    let path = format!("{CONFIGS}/fleet");
    assert_eq!(rest(server.api, &token, "PUT", &path, Some(config("n: 2"))).await.status, 200);
    for (agent, socket) in agents.iter_mut().take(usize::from(AGENTS / 10)) {
        let (hash, value) = offered(&socket.recv().await).expect("the second config");
        assert_eq!(value, "n: 2");
        socket.send(&agent.config_status(&hash, RemoteConfigStatuses::Applied, "")).await;
    }
    server.child.kill().await.unwrap();

    let server = Running::start(program(dir.path(), &[])).await;
    let stored = rest(server.api, &token, "GET", &path, None).await;
    assert_eq!(stored.json()["spec"]["value"], "n: 2");
    for (agent, socket) in &mut agents {
        *socket = Socket::connect(server.opamp).await;
        let mut reply = socket.ask(&agent.heartbeat()).await;
        let mut offer = offered(&reply);
        if reply.flags & ServerToAgentFlags::ReportFullState as u64 != 0 {
            // Something it said was lost with the server. It runs the first config, or has applied the second.
            reply = socket.ask(&agent.full_report()).await;
            offer = offered(&reply).or(offer);
        }
        if let Some((hash, value)) = offer {
            assert_eq!(value, "n: 2");
            socket.ask(&agent.config_status(&hash, RemoteConfigStatuses::Applied, "")).await;
        }
    }
    let all =
        rest(server.api, &token, "GET", "/api/v1/namespaces/default/agents?limit=1000", None).await.json();
    let items = all["items"].as_array().unwrap();
    assert_eq!(items.len(), usize::from(AGENTS));
    for agent in items {
        assert_eq!(
            (&agent["status"]["configState"], &agent["status"]["connected"]),
            (&json!("Applied"), &json!(true))
        );
    }
}

/// The calls without which nothing is written; the others are needed only to be sure that it is on the disk.
const NEEDED_BY_ALL: &str = "pwrite64";

/// Makes system calls of a process fail, as on a disk that is full or broken.
pub(crate) struct Broken(Child);

impl Broken {
    pub(crate) async fn make(pid: u32, calls: &str, error: &str) -> Self {
        let mut command = Command::new("strace");
        command.args(["-f", "-o", "/dev/null", "-p", &pid.to_string()]);
        command.args(["-e", &format!("trace={calls}"), "-e", &format!("inject={calls}:error={error}")]);
        command.stdin(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("strace is there");
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let line = timeout(WITHIN, lines.next_line()).await.expect("strace in time").unwrap();
        assert!(line.as_ref().is_some_and(|line| line.contains("attached")), "{line:?}");
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self(child)
    }

    pub(crate) async fn mend(mut self) {
        let pid = nix::unistd::Pid::from_raw(self.0.id().unwrap().cast_signed());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        timeout(WITHIN, self.0.wait()).await.expect("strace ends").unwrap();
    }
}

/// Reads go on, agents are answered, and nothing is acknowledged; once mended, writes work and are durable.
async fn no_write_is_acknowledged_while(calls: &str, error: &str) {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Running::start(program(dir.path(), &[])).await;
    let token = std::fs::read_to_string(dir.path().join("admin.token")).unwrap().trim().to_owned();
    assert_eq!(rest(server.api, &token, "POST", CONFIGS, Some(config("n: 1"))).await.status, 201);
    let mut agent = Identity::new(1);
    let mut socket = Socket::connect(server.opamp).await;
    socket.ask(&agent.full_report()).await;

    let broken = Broken::make(server.child.id().unwrap(), calls, error).await;
    let path = format!("{CONFIGS}/fleet");
    let refused = rest(server.api, &token, "PUT", &path, Some(config("n: 2"))).await;
    assert_eq!(refused.status, 503, "{error}: {}", refused.text());
    assert!(refused.headers["retry-after"].parse::<u64>().is_ok());
    assert!(refused.json()["detail"].as_str().unwrap().contains("could not be stored"));
    assert_eq!(rest(server.api, &token, "GET", &path, None).await.json()["spec"]["value"], "n: 1");
    assert_eq!(socket.ask(&agent.heartbeat()).await.flags, 0, "agents go on");
    if calls == NEEDED_BY_ALL {
        let not_ready = async {
            while http(server.api, "GET", "/readyz", &[], b"").await.status == 200 {
                socket.ask(&agent.heartbeat()).await;
            }
        };
        timeout(WITHIN, not_ready).await.expect("/readyz says so");
    }
    broken.mend().await;

    let again = async {
        while rest(server.api, &token, "PUT", &path, Some(config("n: 3"))).await.status != 200 {
            tokio::task::yield_now().await;
        }
    };
    timeout(WITHIN, again).await.expect("a write once the disk is mended");
    server.child.kill().await.unwrap();
    let server = Running::start(program(dir.path(), &[])).await;
    assert_eq!(rest(server.api, &token, "GET", &path, None).await.json()["spec"]["value"], "n: 3");
}

#[tokio::test]
async fn f_99_a_full_disk_lets_reads_go_on_and_acknowledges_no_write() {
    no_write_is_acknowledged_while(NEEDED_BY_ALL, "ENOSPC").await;
}

#[tokio::test]
async fn f_99_an_input_output_error_of_the_disk_acknowledges_no_write() {
    no_write_is_acknowledged_while("fsync,fdatasync", "EIO").await;
}

#[tokio::test]
async fn f_99_while_another_program_holds_the_database_writes_are_refused_and_reads_go_on() {
    let bench = Bench::new().await;
    let other = rusqlite::Connection::open(bench.dir.path().join("server.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refused = bench.api("POST", CONFIGS, Some(config("n: 1"))).await;
    assert_eq!((refused.status, refused.headers["retry-after"].as_str()), (503, "5"));
    assert_eq!(bench.api("GET", &format!("{CONFIGS}/fleet"), None).await.status, 404);
    let mut agent = Identity::new(1);
    let mut socket = Socket::connect(bench.server.opamp).await;
    assert!(socket.ask(&agent.full_report()).await.error_response.is_none());
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(bench.api("POST", CONFIGS, Some(config("n: 1"))).await.status, 201);
    // What the agent said meanwhile was kept, and is written now.
    let bench = bench.restart().await;
    let mut socket = Socket::connect(bench.server.opamp).await;
    assert_eq!(socket.ask(&agent.heartbeat()).await.flags, 0);
}

#[tokio::test]
async fn f_99_a_corrupt_page_is_found_before_anything_is_served_and_nothing_is_written_over() {
    let bench = Bench::new().await;
    let big = "x".repeat(100_000);
    assert_eq!(bench.api("POST", CONFIGS, Some(config(&big))).await.status, 201);
    let dir = bench.dir;
    bench.server.stop().await.unwrap();
    let path = dir.path().join("server.db");
    let mut bytes = std::fs::read(&path).unwrap();
    let page = 4096;
    assert!(bytes.len() > 10 * page);
    // The first leaf after the schema: a header that no page has.
    bytes[page..page + 64].fill(0xa5);
    std::fs::write(&path, &bytes).unwrap();
    let mut command = program(dir.path(), &[]);
    let output = timeout(WITHIN, command.output()).await.expect("an end in time").unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("damaged") && text.contains("restore a copy"), "{text}");
    assert!(std::fs::read(&path).unwrap() == bytes, "it is as it was");
}
