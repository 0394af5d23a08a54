//! The program: how it starts, what it refuses, how it ends.

use std::{
    net::{SocketAddr, TcpListener},
    path::Path,
    process::Stdio,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, ChildStderr, Command},
    time::timeout,
};

use crate::{
    agent::{Identity, Socket},
    harness::{WITHIN, http},
};

pub(crate) fn program(data_dir: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_opamp-server"));
    command.args(["--opamp-listen", "127.0.0.1:0", "--api-listen", "127.0.0.1:0"]);
    command.arg("--data-dir").arg(data_dir).args(more);
    command.stdin(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// Exit code and everything on stderr.
async fn fails(mut command: Command) -> (i32, String) {
    let mut child = command.spawn().unwrap();
    let mut text = String::new();
    let reading = child.stderr.as_mut().unwrap().read_to_string(&mut text);
    timeout(WITHIN, reading).await.expect("an end in time").unwrap();
    let status = timeout(WITHIN, child.wait()).await.unwrap().unwrap();
    (status.code().expect("an exit code"), text)
}

pub(crate) struct Running {
    pub(crate) child: Child,
    log: BufReader<ChildStderr>,
    pub(crate) opamp: SocketAddr,
    pub(crate) api: SocketAddr,
}

impl Running {
    pub(crate) async fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let (mut opamp, mut api) = (None, None);
        let mut line = String::new();
        while opamp.is_none() || api.is_none() {
            line.clear();
            assert_ne!(timeout(WITHIN, log.read_line(&mut line)).await.expect("a start in time").unwrap(), 0);
            let after = |mark: &str| {
                let rest = line.split_once(mark)?.1;
                rest.split(['"', '/', ' ', '\n']).next()?.parse::<SocketAddr>().ok()
            };
            opamp = opamp.or_else(|| after("address="));
            api = api.or_else(|| after("page=http://").or_else(|| after("page=https://")));
        }
        Self { child, log, opamp: opamp.unwrap(), api: api.unwrap() }
    }

    pub(crate) async fn terminate(mut self) -> (Option<i32>, String) {
        let pid = nix::unistd::Pid::from_raw(self.child.id().unwrap().cast_signed());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        let mut rest = String::new();
        timeout(WITHIN, self.log.read_to_string(&mut rest)).await.expect("an end in time").unwrap();
        (timeout(WITHIN, self.child.wait()).await.unwrap().unwrap().code(), rest)
    }
}

#[tokio::test]
async fn sigterm_ends_it_in_order_with_exit_code_0() {
    let dir = tempfile::tempdir().unwrap();
    let server = Running::start(program(dir.path(), &[])).await;
    assert_eq!(http(server.api, "GET", "/readyz", &[], b"").await.status, 200);
    let mut socket = Socket::connect(server.opamp).await;
    socket.ask(&Identity::new(1).full_report()).await;
    let ending = tokio::spawn(server.terminate());
    assert_eq!(u16::from(socket.closed().await.unwrap().code), 1001);
    let (code, log) = ending.await.unwrap();
    assert_eq!(code, Some(0), "{log}");
    let token = std::fs::read_to_string(dir.path().join("admin.token")).unwrap();
    assert!(!log.contains(token.trim()));
}

#[tokio::test]
async fn f_98_what_was_acknowledged_is_there_after_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Running::start(program(dir.path(), &[])).await;
    let token = std::fs::read_to_string(dir.path().join("admin.token")).unwrap();
    let bearer = format!("Bearer {}", token.trim());
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let configs = "/api/v1/namespaces/default/agentremoteconfigs";
    for n in 0..20 {
        let body = format!(r#"{{"metadata": {{"name": "c{n}"}}, "spec": {{"value": "n: {n}"}}}}"#);
        assert_eq!(http(server.api, "POST", configs, &headers, body.as_bytes()).await.status, 201);
    }
    server.child.kill().await.unwrap();
    let server = Running::start(program(dir.path(), &[])).await;
    let last = http(server.api, "GET", &format!("{configs}/c19"), &headers, b"").await;
    assert_eq!((last.status, &last.json()["spec"]["value"]), (200, &"n: 19".into()));
}

#[tokio::test]
async fn what_cannot_start_says_why_and_has_its_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap().to_string();
    let unused = || dir.path().join("unused");
    let file = dir.path().join("a-file");
    std::fs::write(&file, "").unwrap();
    let yaml = dir.path().join("server.yaml");
    std::fs::write(&yaml, "api_listen: 127.0.0.1:1\n").unwrap();
    let damaged = dir.path().join("damaged");
    std::fs::create_dir(&damaged).unwrap();
    std::fs::write(damaged.join("server.db"), "no database".repeat(100)).unwrap();

    let with = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_opamp-server"));
        command.arg("--data-dir").arg(unused()).args(["--opamp-listen", "127.0.0.1:0"]).args(more);
        command.stderr(Stdio::piped()).stdin(Stdio::null()).kill_on_drop(true);
        command
    };
    let cases = [
        (
            with(&["--api-listen", "0.0.0.0:0"]),
            78,
            vec!["--api-listen 0.0.0.0:0", "beyond loopback", "--insecure-api"],
        ),
        (with(&["--api-listen", "nonsense"]), 78, vec!["--api-listen nonsense", "host:port"]),
        (with(&["--api-listen", &taken]), 1, vec![taken.as_str(), "taken", "another --api-listen"]),
        (with(&["--config", "/nonexistent.yaml"]), 78, vec!["/nonexistent.yaml"]),
        (with(&["--config", yaml.to_str().unwrap()]), 78, vec!["server.yaml", "api_listen"]),
        (with(&["--no-such-flag"]), 64, vec!["--no-such-flag"]),
        (program(&file, &[]), 78, vec!["a-file", "--data-dir"]),
        (program(&damaged, &[]), 1, vec!["server.db", "damaged"]),
    ];
    for (command, code, words) in cases {
        let (ended, text) = fails(command).await;
        assert_eq!(ended, code, "{text}");
        assert!(text.matches("os error").count() <= 1, "a cause is told once: {text}");
        for word in words {
            assert!(text.contains(word), "{word:?} is not in {text}");
        }
    }
    let mut open = Command::new(env!("CARGO_BIN_EXE_opamp-server"));
    open.arg("--data-dir").arg(unused()).args(["--opamp-listen", "0.0.0.0:0", "--api-listen", "127.0.0.1:0"]);
    open.stderr(Stdio::piped()).kill_on_drop(true);
    let (code, text) = fails(open).await;
    assert_eq!(code, 78);
    assert!(text.contains("--insecure-agents"), "{text}");
}

#[tokio::test]
async fn consent_opens_a_listener_and_a_second_server_on_the_data_exits_75() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("server.yaml");
    std::fs::write(&config, "opamp-listen: 0.0.0.0:0\napi-listen: 127.0.0.1:0\ninsecure-agents: true\n")
        .unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_opamp-server"));
    command.arg("--config").arg(&config).arg("--data-dir").arg(dir.path().join("data"));
    command.stderr(Stdio::piped()).kill_on_drop(true);
    let server = Running::start(command).await;
    let (code, text) = fails(program(&dir.path().join("data"), &[])).await;
    assert_eq!(code, 75, "{text}");
    assert!(text.contains("another opamp-server"), "{text}");
    assert_eq!(server.terminate().await.0, Some(0));
}
