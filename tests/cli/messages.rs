//! `opampctl message` and `discover`, with the real server and an agent that answers.

use futures_util::{SinkExt, StreamExt};
use opamp::protocol::custom::DISCOVERY;
use opamp::wire::InstanceUid;
use opamp::wire::frame;
use opamp::wire::proto::{AgentDescription, AgentToServer, CustomCapabilities, CustomMessage, ServerToAgent};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::real::Server;

const ECHO: &str = "com.example.echo/v1";
const LIMIT: usize = 1 << 20;
const UID: InstanceUid = InstanceUid::from_bytes([7; 16]);

/// An agent that answers as `answer` says, until the server goes.
fn agent(server: &Server, answer: fn(&CustomMessage) -> Option<CustomMessage>) {
    let url = format!("ws://{}/v1/opamp", server.opamp);
    let (heard, hearing) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
            let capabilities = vec![ECHO.to_owned(), DISCOVERY.to_owned()];
            let mut message = AgentToServer {
                instance_uid: UID.to_vec(),
                capabilities: 1,
                agent_description: Some(AgentDescription::default()),
                custom_capabilities: Some(CustomCapabilities { capabilities }),
                ..Default::default()
            };
            loop {
                let bytes = frame::encode(&message, LIMIT).unwrap();
                socket.send(Message::Binary(bytes.into())).await.unwrap();
                let custom_message = loop {
                    let Some(Ok(received)) = socket.next().await else { return };
                    let Message::Binary(bytes) = received else { continue };
                    let _ = heard.send(());
                    let received: ServerToAgent = frame::decode(&bytes, LIMIT).unwrap();
                    if let Some(custom) = received.custom_message.as_ref().and_then(answer) {
                        break Some(custom);
                    }
                };
                message = AgentToServer {
                    instance_uid: UID.to_vec(),
                    sequence_num: message.sequence_num + 1,
                    capabilities: 1,
                    custom_message,
                    ..Default::default()
                };
            }
        });
    });
    hearing.recv_timeout(super::real::SOON).expect("an answer of the server");
}

fn of(capability: &str, kind: &str, data: &[u8]) -> Option<CustomMessage> {
    Some(CustomMessage { capability: capability.to_owned(), r#type: kind.to_owned(), data: data.to_vec() })
}

fn echo(message: &CustomMessage) -> Option<CustomMessage> {
    match message.r#type.as_str() {
        "quiet" => None,
        "bytes" => of(ECHO, "bytes", &[0xff, 0]),
        _ => of(ECHO, "pong", &message.data),
    }
}

#[test]
fn a_message_is_sent_and_the_answer_printed() {
    let server = Server::start_with(&["--custom-capability", ECHO]);
    agent(&server, echo);
    let uid = UID.to_string();
    let message = |more: &[&str]| {
        let mut arguments = vec!["message", &uid, "--capability", ECHO];
        arguments.extend(more);
        server.run(&arguments)
    };
    let said = message(&["--type", "ping", "--data", "hello", "--wait", "20s"]);
    assert_eq!((said.code, said.out.as_str()), (0, "pong: hello\n"), "{said:?}");
    let file = server.file("data.txt", "from a file");
    let said = message(&["--data", &format!("@{file}"), "--wait", "20s", "-o", "json"]);
    let answer: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((&answer["text"], &answer["type"]), (&json!("from a file"), &json!("pong")));
    let said = message(&["--type", "bytes", "--wait", "20s"]);
    assert_eq!((said.code, said.out.as_str()), (0, "bytes (base64): /wA=\n"), "{said:?}");
    let said = message(&["--type", "ping"]);
    assert_eq!((said.code, said.out), (0, format!("agent/{uid} message sent\n")));
    let said = message(&["--type", "quiet", "--wait", "100ms"]);
    assert!(said.code == 1 && said.err.contains("did not come within 100ms"), "{said:?}");
    let said = server.run(&["message", &uid, "--capability", "com.example.other"]);
    assert!(said.code == 1 && said.err.contains("--custom-capability"), "{said:?}");
    let said = message(&["--data", "@/nowhere/at/all"]);
    assert!(said.code == 1 && said.err.contains("/nowhere/at/all"), "{said:?}");
}

fn found(message: &CustomMessage) -> Option<CustomMessage> {
    let question: Value = serde_json::from_slice(&message.data).unwrap();
    let redis = json!({"product": "redis", "known_by": "process", "process": "redis-server", "pid": 812,
        "listens": [{"transport": "tcp", "address": "127.0.0.1", "port": 6379}],
        "receiver": {"type": "redis", "config": "receivers:\n  redis/6379: {}\n"}});
    let answer = json!({"id": question["id"], "services": [redis], "notes": ["one has no process"]});
    of(DISCOVERY, "services", answer.to_string().as_bytes())
}

#[test]
fn what_listens_is_a_table_or_a_config() {
    let server = Server::start_with(&[]);
    agent(&server, found);
    let uid = UID.to_string();
    let said = server.run(&["discover", &uid]);
    assert_eq!(said.code, 0, "{said:?}");
    let row: Vec<_> = said.out.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(row, ["redis", "redis-server", "812", "tcp", "127.0.0.1:6379", "redis"]);
    assert!(said.err.contains("one has no process"), "{said:?}");
    let said = server.run(&["discover", &uid, "-o", "config"]);
    assert_eq!(said.out, "receivers:\n  # redis, process redis-server\n  redis/6379: {}\n");
    let said = server.run(&["discover", &uid, "-o", "json"]);
    let shown: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(shown["services"][0]["knownBy"], "process");
    let said = server.run(&["discover", &InstanceUid::from_bytes([8; 16]).to_string()]);
    assert!(said.code == 1 && said.err.contains("does not exist"), "{said:?}");
}
