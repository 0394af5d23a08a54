//! `opamp-supervisor reload`: the same, for a person who waits for how it went.

use super::{
    super::harness::{Host, Server, fake_collector},
    attribute,
};

#[tokio::test]
async fn reload_waits_until_it_is_in_force_and_the_collector_well_with_it() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("");
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    let first = host.collector_pid();
    assert!(host.command(&["reload"]).await.with(0).contains("nothing changed"));
    let host = host.agent("env: {TEAM: blue}\ndescription: {non_identifying_attributes: {team: blue}}");
    host.command(&["reload"]).await.with(0);
    let status = host.command(&["status", "-o", "json"]).await.json();
    assert_eq!(status["collector"]["healthy"], true, "{status}");
    assert_eq!(status["notices"].as_array().unwrap().len(), 0, "{status}");
    assert!(host.runs_another(first));
    server.until("the server too", |known| attribute(known, "team").as_deref() == Some("blue")).await;
    assert!(supervisor.stop().await.success());
    host.command(&["reload"]).await.with(3);
}

#[tokio::test]
async fn f_74_reload_says_that_it_was_taken_back() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("");
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    let host = host.agent("env: {FAKE_COLLECTOR: crash_at_start}");
    let said = host.command(&["reload"]).await.with(78);
    assert!(said.contains("taken back") && said.contains("code 1"), "{said}");
    server.until("what was before runs", |known| known.healthy()).await;
    assert!(supervisor.stop().await.success());
}
