//! `status`, and the socket behind it.

use std::{
    fs,
    io::{Read, Write},
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        net::UnixStream,
    },
    path::Path,
    time::Duration,
};

use super::super::harness::{Host, Said, Server, config, fake_collector};

const NOWHERE: &str = "ws://127.0.0.1:9/v1/opamp";
const GOOD: &str = "receivers: {otlp: {protocols: {http: }}}\nexporters: {debug: }\n\
                    service: {pipelines: {logs: {receivers: [otlp], exporters: [debug]}}}\n";

#[tokio::test]
async fn status_tells_supervisor_server_collector_and_config() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("");
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    let offer = config("a.yaml", GOOD);
    server.push(&offer).await;
    let hash: String = offer.config_hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let said = host.command(&["status", "-o", "json"]).await;
    let status = said.json();
    assert_eq!(said.code, Some(0));
    assert_eq!(status["supervisor"]["pid"], supervisor.pid());
    assert_eq!(status["collector"]["pid"], host.collector_pid());
    assert_eq!(status["collector"]["healthy"], true);
    assert_eq!(status["server"]["connected"], true);
    assert_eq!(status["config"]["live"], hash);
    assert_eq!(status["config"]["last"]["outcome"], "applied");
    assert!(status["config"]["probation_left_s"].as_u64().unwrap() <= 30);
    let text = host.command(&["status"]).await.with(0);
    for words in ["healthy, pid", "connected since", &hash, "on probation", "agent.log", &server.endpoint] {
        assert!(text.contains(words), "{words:?} in {text}");
    }
    assert!(supervisor.stop().await.success());
    assert!(!host.state().join("run/control.sock").exists(), "it takes its socket away");
}

#[tokio::test]
async fn status_of_one_that_does_not_run_is_3_and_tells_what_it_left_without_touching_it() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("");
    assert!(host.command(&["status"]).await.with(3).contains("no supervisor has kept anything"));
    assert!(!host.state().exists(), "nothing is made");
    let supervisor = host.start();
    let known = server.until("the agent is healthy", |known| known.healthy()).await;
    let bad = config("bad.yaml", "receivers: {otlq: }\n");
    server.push(&bad).await;
    assert!(supervisor.stop().await.success());
    let before = snapshot(&host.state());
    let said = host.command(&["status", "-o", "json"]).await;
    assert_eq!(said.code, Some(3));
    let status = said.json();
    assert_eq!(status["supervisor"]["running"], false);
    assert_eq!(status["agent"]["instance_uid"], known.view.unwrap().instance_uid.to_string());
    assert_eq!(status["config"]["last"]["outcome"], "failed");
    let text = host.command(&["status"]).await.with(3);
    assert!(text.contains("does not run") && text.contains("otlq"), "{text}");
    assert_eq!(snapshot(&host.state()), before);
}

#[tokio::test]
async fn status_says_why_there_is_no_server_and_why_the_collector_is_not_well() {
    let host = Host::new(NOWHERE, &fake_collector()).fake("crash_at_start,exit_code=3");
    let host = host.agent("health_check_port: 1");
    let supervisor = host.start();
    let words = [
        "not connected",
        "refused",
        "not healthy, no process",
        "StatusPermanentError",
        "code 3",
        "supervisor.yaml:7:3: ",
    ];
    until(&host, |text| words.iter().all(|word| text.contains(word))).await;
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn the_socket_is_for_root_and_the_supervisors_own_user_only() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("");
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    let socket = host.state().join("run/control.sock");
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!((mode(&socket), mode(socket.parent().unwrap())), (0o600, 0o700));
    if !nix::unistd::geteuid().is_root() {
        return eprintln!("another user can only be tried by root");
    }
    let stranger = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    let status = ["status", "--socket", socket.to_str().unwrap()];
    assert!(host.command_as(&stranger, &status).await.with(77).contains("root"));
    // Even with every door open the peer's uid decides.
    for (path, open) in [(host.dir.path().to_owned(), 0o755), (host.state(), 0o755)]
        .into_iter()
        .chain([(host.state().join("run"), 0o755), (socket.clone(), 0o666)])
    {
        fs::set_permissions(path, fs::Permissions::from_mode(open)).unwrap();
    }
    let said = host.command_as(&stranger, &status).await;
    assert!(said.with(1).contains("only root and the user"));
    host.command(&status).await.with(0);
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn nonsense_on_the_socket_is_answered_or_cut_off_and_harms_nobody() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("");
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    let socket = host.state().join("run/control.sock");
    let say = |bytes: Vec<u8>| {
        let socket = socket.clone();
        tokio::task::spawn_blocking(move || {
            let mut stream = UnixStream::connect(socket).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            // It may hang up before all of it is taken.
            let _ = stream.write_all(&bytes);
            let mut answer = String::new();
            let _ = stream.read_to_string(&mut answer);
            answer
        })
    };
    assert!(say(b"{\"request\":\"fly\"}\n".to_vec()).await.unwrap().contains("does not know"));
    for nonsense in [vec![0; 100_000], b"\n".to_vec(), vec![b'['; 4096]] {
        let answer = say(nonsense).await.unwrap();
        assert!(answer.is_empty() || answer.contains("does not know"), "{answer}");
    }
    // Eight that say nothing hold every seat until their time is up.
    let silent: Vec<_> = (0..8).map(|_| UnixStream::connect(&socket).unwrap()).collect();
    until(&host, |text| text.contains("healthy, pid")).await;
    drop(silent);
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn secrets_of_the_file_are_not_in_the_status() {
    let host = Host::new(NOWHERE, &fake_collector()).fake("crash_at_start").agent(
        "env: {FAKE_COLLECTOR: \"exit_code=3\", DEATH: \"s3cr3t-t0ken\"}\nargs: [\"--unknown-s3cr3t-t0ken\"]",
    );
    let supervisor = host.start();
    let text = until(&host, |text| text.contains("not healthy, no process")).await;
    let json = host.command(&["status", "-o", "json"]).await.with(0);
    assert!(text.contains("[REDACTED]") && !text.contains("s3cr3t"), "{text}");
    assert!(json.contains("[REDACTED]") && !json.contains("s3cr3t"), "{json}");
    assert!(supervisor.stop().await.success());
}

/// Asks until it is so.
async fn until(host: &Host, so: impl Fn(&str) -> bool) -> String {
    let asking = async {
        loop {
            let Said { out, .. } = host.command(&["status"]).await;
            if so(&out) {
                return out;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(40), asking).await.expect("the status becomes so")
}

/// Every file with its content and time.
fn snapshot(dir: &Path) -> Vec<(String, Vec<u8>, i64)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let meta = fs::metadata(&path).unwrap();
        if meta.is_dir() {
            all.extend(snapshot(&path));
        }
        let content = if meta.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
        all.push((path.display().to_string(), content, meta.mtime_nsec()));
    }
    all.sort();
    all
}
