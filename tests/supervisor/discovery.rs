//! Service discovery: what a server that asks is told of this host.

use std::{fs, io::ErrorKind, process::Stdio};

use opamp::wire::proto::{CustomCapabilities, CustomMessage, ServerToAgent};
use serde_json::Value;
use tokio::process::{Child, Command};

use super::harness::{Host, Known, Server, fake_collector};

const CAPABILITY: &str = "io.github.opamp-supervisor.discovery/v1";

fn advertised(known: &Known) -> bool {
    let said = known.view.as_ref().and_then(|view| view.report.custom_capabilities.clone());
    known.healthy() && said.is_some_and(|said| said.capabilities == [CAPABILITY])
}

async fn ask(server: &Server, data: &str) {
    let capabilities = vec![CAPABILITY.to_owned()];
    let custom_message =
        CustomMessage { capability: CAPABILITY.into(), r#type: "request".into(), data: data.into() };
    let message = ServerToAgent {
        custom_capabilities: Some(CustomCapabilities { capabilities }),
        custom_message: Some(custom_message),
        ..Default::default()
    };
    server.say(message).await;
}

fn answers(server: &Server) -> Vec<(String, Value)> {
    let custom = server.messages().into_iter().filter_map(|message| message.custom_message);
    custom.map(|message| (message.r#type, serde_json::from_slice(&message.data).unwrap())).collect()
}

/// A process of this name that listens on a port that the kernel chose, with a secret in its environment and its
/// command line.
async fn listener(host: &Host, name: &str) -> Child {
    let dir = host.dir.path().join("sesame-in-args");
    fs::create_dir(&dir).unwrap();
    let program = dir.join(name);
    fs::copy(fake_collector(), &program).unwrap();
    let mut command = Command::new(&program);
    command.args(["hold", "127.0.0.1:0"]).env("REDIS_PASSWORD", "sesame-in-env");
    command.env("FAKE_COLLECTOR_EVENTS", host.dir.path().join("events"));
    command.stdin(Stdio::null()).kill_on_drop(true);
    let child = loop {
        match command.spawn() {
            // Another test that forked just now holds the copy open for writing until it is another program.
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => tokio::task::yield_now().await,
            spawned => break spawned.unwrap(),
        }
    };
    host.happens("holding").await;
    child
}

#[tokio::test]
async fn b_cu_05_a_server_that_asks_is_told_what_listens_and_how_to_watch_it() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("");
    let redis = listener(&host, "redis-server").await;
    let host = host.capability("reports_services: true");
    let supervisor = host.start();
    server.until("the capability is told", advertised).await;
    ask(&server, r#"{"id": "first"}"#).await;
    server.until("the answer", |_| !answers(&server).is_empty()).await;
    let (kind, answer) = answers(&server).remove(0);
    assert_eq!((kind.as_str(), &answer["id"]), ("services", &Value::from("first")));
    let services = answer["services"].as_array().unwrap();
    let of_pid = |pid: u32| services.iter().find(|service| service["pid"] == pid);
    let found = of_pid(redis.id().unwrap()).unwrap_or_else(|| panic!("redis is not in {answer}"));
    assert_eq!((&found["product"], &found["known_by"]), (&"redis".into(), &"process".into()), "{found}");
    assert_eq!(
        (&found["process"], &found["listens"][0]["address"]),
        (&"redis-server".into(), &"127.0.0.1".into())
    );
    assert!(found["listens"][0]["port"].as_u64().unwrap() > 0, "{found}");
    assert!(found.get("receiver").is_none(), "this Collector has no redis receiver: {found}");
    assert!(!answer.to_string().contains("sesame"), "{answer}");
    let own = [supervisor.pid(), host.collector_pid()];
    assert!(services.iter().all(|service| !own.iter().any(|pid| service["pid"] == *pid)), "{answer}");

    // What is not understood is answered too.
    ask(&server, "what?").await;
    server.until("an error", |_| answers(&server).len() == 2).await;
    let (kind, answer) = answers(&server).remove(1);
    assert!(kind == "error" && answer["error"].as_str().unwrap().contains("not understood"), "{answer}");
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn what_listens_is_told_only_where_the_file_allows_it() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("");
    let supervisor = host.start();
    server.until("the agent is healthy", Known::healthy).await;
    ask(&server, "").await;
    server.restart().await;
    host.logs("the server asks for a restart").await;
    assert!(answers(&server).is_empty() && !host.log().contains("what listens"));

    // Allowed while it runs, it is advertised and answered.
    let allowing = host.yaml().replace("capabilities: {", "capabilities: {reports_services: true, ");
    fs::write(host.dir.path().join("supervisor.yaml"), allowing).unwrap();
    server.until("the capability is told", advertised).await;
    ask(&server, "").await;
    server.until("the answer", |_| answers(&server).iter().any(|(kind, _)| kind == "services")).await;
    assert!(supervisor.stop().await.success());
}
