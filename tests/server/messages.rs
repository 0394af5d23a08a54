//! Custom messages: from an operator to an agent and back, over real sockets.

use opamp::{
    server::fleet::messages::WAITING,
    wire::proto::{AgentToServer, CustomCapabilities, CustomMessage, ServerToAgent},
};
use serde_json::{Value, json};

use crate::{
    agent::{Identity, Socket, exchange},
    harness::{Bench, Events},
};

const ECHO: &str = "com.example.echo/v1";

async fn bench() -> Bench {
    Bench::with(|options| options.custom_capabilities.push(ECHO.to_owned())).await
}

fn list(capabilities: &[&str]) -> Option<CustomCapabilities> {
    Some(CustomCapabilities { capabilities: capabilities.iter().map(|one| (*one).to_owned()).collect() })
}

fn able(message: AgentToServer) -> AgentToServer {
    AgentToServer { custom_capabilities: list(&[ECHO]), ..message }
}

fn says(agent: &mut Identity, capability: &str, kind: &str, data: &[u8]) -> AgentToServer {
    let (capability, r#type) = (capability.to_owned(), kind.to_owned());
    let custom_message = Some(CustomMessage { capability, r#type, data: data.to_vec() });
    AgentToServer { custom_message, ..agent.heartbeat() }
}

fn path(agent: &Identity) -> String {
    format!("{}/messages", agent.path())
}

async fn send(bench: &Bench, agent: &Identity, body: Value) -> crate::harness::Answer {
    bench.api("POST", &path(agent), Some(body)).await
}

fn ping(text: &str) -> Value {
    json!({"capability": ECHO, "type": "ping", "text": text})
}

fn told(message: &ServerToAgent) -> Option<(&str, &[u8])> {
    message.custom_message.as_ref().map(|custom| (custom.r#type.as_str(), &*custom.data))
}

#[tokio::test]
async fn b_cu_06_a_message_goes_to_the_agent_at_once_and_its_answer_to_whoever_asks() {
    let bench = bench().await;
    let mut agent = Identity::new(1);
    let mut socket = Socket::connect(bench.server.opamp).await;
    socket.ask(&able(agent.full_report())).await;
    let bearer = format!("Bearer {}", bench.token);
    let watch = format!("{}?watch=true", path(&agent));
    let mut events = Events::open(bench.server.api, &watch, &[("authorization", &bearer)]).await;

    let sent = send(&bench, &agent, ping("hello")).await;
    assert_eq!(sent.status, 202, "{}", sent.text());
    let message = socket.recv().await;
    assert_eq!(told(&message), Some(("ping", &b"hello"[..])));
    assert_eq!(message.custom_message.unwrap().capability, ECHO);
    socket.ask(&says(&mut agent, ECHO, "pong", b"hello")).await;
    socket.ask(&says(&mut agent, ECHO, "bytes", &[0xff, 0])).await;

    let after = sent.json()["continue"].as_str().unwrap().to_owned();
    let list = bench.get(&format!("{}?continue={after}", path(&agent))).await;
    let items = list["items"].as_array().unwrap();
    assert_eq!((&list["kind"], items.len()), (&json!("CustomMessage"), 2));
    assert_eq!((&items[0]["type"], &items[0]["text"]), (&json!("pong"), &json!("hello")));
    assert_eq!((&items[0]["capability"], &items[0]["data"]), (&json!(ECHO), &json!("aGVsbG8=")));
    assert_eq!((&items[1]["data"], items[1].get("text")), (&json!("/wA="), None));
    let only = bench.get(&format!("{}?type=bytes", path(&agent))).await;
    assert_eq!(only["items"], json!([items[1]]));
    for item in items {
        assert_eq!(events.next().await, Some(json!({"type": "ADDED", "object": item})));
    }
    let last = items[1]["number"].as_str().unwrap();
    assert_eq!(bench.get(&format!("{}?continue={last}", path(&agent))).await["items"], json!([]));

    // Data may be given as it is needed.
    for (body, data) in [
        (json!({"capability": ECHO, "type": "a", "data": "/wA="}), &[0xff, 0][..]),
        (json!({"capability": ECHO, "type": "a", "json": {"b": 1}}), b"{\"b\":1}"),
        (json!({"capability": ECHO, "type": "a"}), b""),
    ] {
        assert_eq!(send(&bench, &agent, body).await.status, 202);
        assert_eq!(told(&socket.recv().await), Some(("a", data)));
    }
}

#[tokio::test]
async fn b_cu_01_02_lists_are_told_once_and_the_newest_one_counts() {
    let bench = bench().await;
    let mut agent = Identity::new(1);
    let mut socket = Socket::connect(bench.server.opamp).await;
    // One that never told a list has none.
    let first = socket.ask(&agent.full_report()).await;
    let ours = first.custom_capabilities.expect("our list").capabilities;
    assert!(ours.contains(&ECHO.to_owned()), "{ours:?}");
    assert_eq!(send(&bench, &agent, ping("")).await.status, 409);
    for message in [able(agent.heartbeat()), agent.heartbeat()] {
        assert_eq!(socket.ask(&message).await.custom_capabilities, None, "it did not change");
    }
    assert_eq!(send(&bench, &agent, ping("")).await.status, 202);
    assert!(socket.recv().await.custom_message.is_some());
    let other = AgentToServer { custom_capabilities: list(&["com.example.other"]), ..agent.heartbeat() };
    socket.ask(&other).await;
    let refused = send(&bench, &agent, ping("")).await;
    assert_eq!(refused.status, 409);
    assert!(refused.text().contains("the agent does not advertise"), "{}", refused.text());
    assert_eq!(refused.json()["errors"][0]["location"], "body.capability");
}

#[tokio::test]
async fn b_cu_04_a_message_of_a_capability_that_we_lack_is_ignored() {
    let bench = bench().await;
    let mut agent = Identity::new(1);
    let mut socket = Socket::connect(bench.server.opamp).await;
    socket.ask(&able(agent.full_report())).await;
    let answer = socket.ask(&says(&mut agent, "com.example.unheard", "x", b"y")).await;
    assert_eq!(answer.error_response, None);
    // A type that nobody here has heard of is for the operator to judge.
    socket.ask(&says(&mut agent, ECHO, "unheard", b"y")).await;
    let items = bench.get(&path(&agent)).await["items"].clone();
    assert_eq!((items.as_array().unwrap().len(), &items[0]["type"]), (1, &json!("unheard")));
}

#[tokio::test]
async fn b_cu_06_what_cannot_be_sent_is_refused_with_its_reason() {
    let bench = bench().await;
    let mut agent = Identity::new(1);
    assert_eq!(send(&bench, &agent, ping("")).await.status, 404);
    let mut socket = Socket::connect(bench.server.opamp).await;
    let both =
        AgentToServer { custom_capabilities: list(&[ECHO, "com.example.theirs"]), ..agent.full_report() };
    socket.ask(&both).await;
    let theirs = send(&bench, &agent, json!({"capability": "com.example.theirs", "type": "x"})).await;
    assert_eq!(theirs.status, 409);
    assert!(theirs.text().contains("this server does not have"), "{}", theirs.text());
    let large = send(&bench, &agent, ping(&"x".repeat(1024 * 1024))).await;
    assert_eq!(large.status, 413);
    for (body, place) in [
        (json!({"capability": ECHO, "type": "x", "data": "###"}), "body.data"),
        (json!({"capability": ECHO, "type": "x", "data": "", "text": ""}), "body.data"),
        (json!({"capability": "", "type": "x"}), "body.capability"),
        (json!({"capability": ECHO, "type": "x", "txt": "y"}), "body"),
    ] {
        let refused = send(&bench, &agent, body.clone()).await;
        assert_eq!(
            (refused.status, &refused.json()["errors"][0]["location"]),
            (400, &json!(place)),
            "{body}"
        );
    }
    socket.ask(&agent.goodbye()).await;
    assert_eq!(send(&bench, &agent, ping("")).await.status, 409, "it is gone");
}

#[tokio::test]
async fn over_plain_http_a_message_waits_for_a_poll_and_a_full_queue_says_so() {
    let bench = bench().await;
    let mut agent = Identity::new(1);
    exchange(bench.server.opamp, &able(agent.full_report())).await;
    for number in 0..WAITING {
        assert_eq!(send(&bench, &agent, ping(&number.to_string())).await.status, 202);
    }
    let full = send(&bench, &agent, ping("one too many")).await;
    assert_eq!((full.status, full.headers.contains_key("retry-after")), (429, true), "{}", full.text());
    for number in 0..WAITING {
        let answer = exchange(bench.server.opamp, &agent.heartbeat()).await;
        assert_eq!(told(&answer), Some(("ping", number.to_string().as_bytes())));
    }
    assert_eq!(exchange(bench.server.opamp, &agent.heartbeat()).await.custom_message, None);
    assert_eq!(send(&bench, &agent, ping("")).await.status, 202);
    // A restart goes alone; the message goes with the next answer.
    let restart = json!({"spec": {"restartRequiredAt": "2030-01-01T00:00:00Z"}});
    assert_eq!(bench.api("PUT", &agent.path(), Some(restart)).await.status, 200);
    let answer = exchange(bench.server.opamp, &agent.heartbeat()).await;
    assert_eq!((answer.command.is_some(), answer.custom_message), (true, None));
    assert!(exchange(bench.server.opamp, &agent.heartbeat()).await.custom_message.is_some());
}

const DISCOVERY: &str = opamp::protocol::custom::DISCOVERY;

/// The id of the question that an agent was asked.
fn asked(message: &ServerToAgent) -> String {
    let custom = message.custom_message.as_ref().expect("a question");
    assert_eq!((custom.capability.as_str(), custom.r#type.as_str()), (DISCOVERY, "request"));
    let question: Value = serde_json::from_slice(&custom.data).unwrap();
    question["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn b_cu_05_an_agent_is_asked_what_listens_and_each_of_its_answers_is_understood() {
    let bench = bench().await;
    let mut agent = Identity::new(1);
    let mut socket = Socket::connect(bench.server.opamp).await;
    let services = format!("{}/services", agent.path());
    let report = AgentToServer { custom_capabilities: list(&[DISCOVERY]), ..agent.full_report() };
    socket.ask(&report).await;

    let redis = json!({"product": "redis", "known_by": "process", "process": "redis-server", "pid": 812,
        "listens": [{"transport": "tcp", "address": "127.0.0.1", "port": 6379}],
        "receiver": {"type": "redis", "config": "receivers:\n  redis/6379: {}\n"}});
    let answering = async {
        let id = asked(&socket.recv().await);
        // An answer to somebody else's question comes first.
        let other = json!({"id": "other", "services": []}).to_string();
        socket.ask(&says(&mut agent, DISCOVERY, "services", other.as_bytes())).await;
        let found =
            json!({"id": id, "services": [redis], "notes": ["seen as a user"], "secret": "no"}).to_string();
        socket.ask(&says(&mut agent, DISCOVERY, "services", found.as_bytes())).await;
    };
    let (answer, ()) = tokio::join!(bench.api("GET", &services, None), answering);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let mut shown = redis.clone();
    shown["knownBy"] = shown.as_object_mut().unwrap().remove("known_by").unwrap();
    assert_eq!(answer.json(), json!({"services": [shown], "notes": ["seen as a user"]}));

    for (kind, data) in
        [("error", json!({"error": "one look a second"})), ("services", json!({"services": 7}))]
    {
        let answering = async {
            let mut data = data.clone();
            data["id"] = json!(asked(&socket.recv().await));
            socket.ask(&says(&mut agent, DISCOVERY, kind, data.to_string().as_bytes())).await;
        };
        let (answer, ()) = tokio::join!(bench.api("GET", &services, None), answering);
        assert_eq!(answer.status, 502, "{}", answer.text());
    }
    let hasty = format!("{services}?wait=1");
    let (answer, question) = tokio::join!(bench.api("GET", &hasty, None), socket.recv());
    asked(&question);
    assert_eq!(answer.status, 504, "{}", answer.text());
    assert_eq!(bench.api("GET", &format!("{services}?wait=0"), None).await.status, 400);

    socket.ask(&able(agent.heartbeat())).await;
    let refused = bench.api("GET", &services, None).await;
    assert_eq!(refused.status, 409);
    assert!(refused.text().contains("capabilities.reports_services"), "{}", refused.text());
}
