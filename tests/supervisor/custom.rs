//! Custom messages between the server and the Collector's components, through the supervisor.

use opamp::{
    protocol::report::Part,
    wire::proto::{CustomCapabilities, CustomMessage, ServerToAgent},
};

use super::harness::{Host, Known, Server, fake_collector, kill, sent};

const ECHO: &str = "com.example.echo/v1";

fn capabilities(known: &Known) -> Vec<String> {
    let said = known.view.as_ref().and_then(|view| view.report.custom_capabilities.clone());
    said.unwrap_or_default().capabilities
}

fn has_echo(known: &Known) -> bool {
    known.healthy() && capabilities(known) == [ECHO]
}

fn custom(capability: &str, data: &[u8]) -> ServerToAgent {
    let message = CustomMessage { capability: capability.into(), r#type: "ask".into(), data: data.to_vec() };
    ServerToAgent { custom_message: Some(message), ..Default::default() }
}

fn supports(names: &[&str]) -> ServerToAgent {
    let capabilities = names.iter().map(|name| (*name).to_owned()).collect();
    ServerToAgent { custom_capabilities: Some(CustomCapabilities { capabilities }), ..Default::default() }
}

fn echoes(server: &Server) -> Vec<Vec<u8>> {
    let messages = server.messages().into_iter().filter_map(|message| message.custom_message);
    messages.filter(|message| message.r#type == "echo").map(|message| message.data).collect()
}

/// Waits until the server got so many echoes.
async fn until_echoed(server: &Server, count: usize) {
    server.until("the echoes came", |_| echoes(server).len() >= count).await;
}

#[tokio::test]
async fn b_cu_01_02_06_messages_go_between_the_server_and_a_component_of_the_collector() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake(&format!("custom={ECHO}"));
    let supervisor = host.start();
    server.until("the component's capability is told", has_echo).await;

    server.say(supports(&["com.example.other"])).await;
    host.happens("custom capabilities of the server: com.example.other").await;
    server.say(custom(ECHO, b"nobody asked for this")).await;
    host.logs(&format!("custom messages do not go to the Collector: the server does not advertise {ECHO}"))
        .await;
    server.say(supports(&[ECHO])).await;
    host.happens(&format!("custom capabilities of the server: {ECHO}")).await;
    server.say(custom(ECHO, b"\0hello\xff")).await;
    until_echoed(&server, 1).await;
    assert_eq!(echoes(&server), [b"\0hello\xff"], "byte for byte");

    // Another life of the Collector: its component is gone and back, and told of no more often than that.
    let told = sent(&server.messages(), Part::CustomCapabilities);
    kill(host.collector_pid(), nix::libc::SIGKILL);
    server.until("it is gone", |known| capabilities(known).is_empty()).await;
    server.until("and back", has_echo).await;
    assert_eq!(sent(&server.messages(), Part::CustomCapabilities), told + 2);
    server.say(custom(ECHO, b"again")).await;
    until_echoed(&server, 2).await;
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn b_cu_04_what_nobody_here_advertises_is_ignored_and_a_silent_agent_says_nothing_of_capabilities() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("");
    let supervisor = host.start();
    server.until("the agent is healthy", Known::healthy).await;
    server.say(supports(&[ECHO])).await;
    server.say(custom(ECHO, b"x")).await;
    // What comes after it shows that it was dealt with.
    server.restart().await;
    host.logs("the server asks for a restart").await;
    assert!(!host.events().iter().any(|event| event.contains("custom message")));
    assert_eq!(sent(&server.messages(), Part::CustomCapabilities), 0);
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn a_flood_of_messages_and_one_too_large_are_dropped_told_of_and_block_nothing() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector());
    let host = host.fake(&format!("custom={ECHO},custom_flood=3000"));
    let supervisor = host.start();
    server.until("the component's capability is told", has_echo).await;
    server.say(supports(&[ECHO])).await;
    server.say(custom(ECHO, &vec![0; 1024 * 1024 + 1])).await;
    host.logs("custom messages do not go to the Collector: one of com.example.echo/v1 has 1048577 bytes")
        .await;
    server.say(custom(ECHO, &[7; 64])).await;
    host.logs("custom messages do not go to the server").await;
    // The main loop still turns, and a queue that had been full takes messages again.
    let first = host.collector_pid();
    server.restart().await;
    server.until("the Collector is stopped", |known| capabilities(known).is_empty()).await;
    server.until("another Collector", |known| host.runs_another(first) && has_echo(known)).await;
    let before = echoes(&server).len();
    assert!((1..3000).contains(&before), "{before} of 3000 went through");
    server.say(custom(ECHO, b"last")).await;
    server.until("it takes messages again", |_| echoes(&server).iter().any(|data| data == b"last")).await;
    assert!(supervisor.stop().await.success());
}
