//! The host stands in the way: nothing is lost, what it is about is said, and it goes on once that is mended.

use std::fs;

use opamp::wire::proto::RemoteConfigStatuses;

use super::harness::{Host, Server, config, fake_collector};

const FAILED: i32 = RemoteConfigStatuses::Failed as i32;
const APPLIED: i32 = RemoteConfigStatuses::Applied as i32;

const NOPS: &str = "receivers: {nop: }\nexporters: {nop: }\n\
    service: {pipelines: {traces: {receivers: [nop], exporters: [nop]}}}\n";

#[tokio::test]
async fn f_54_an_offer_that_cannot_be_stored_is_failed_with_the_reason_and_applied_once_it_can_be() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("");
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    let in_the_way = host.state().join("configs");
    fs::write(&in_the_way, "").unwrap();
    let offered = config("nops.yaml", NOPS);
    let status = server.push(&offered).await;
    assert_eq!(status.status, FAILED);
    for words in ["cannot be stored", "configs", "tried again every"] {
        assert!(status.error_message.contains(words), "{words:?} in {}", status.error_message);
    }
    fs::remove_file(&in_the_way).unwrap();
    server.until("it is applied by itself", |known| known.status().status == APPLIED).await;
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn a_lost_body_is_sent_again_by_the_server() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("");
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    let offered = config("nops.yaml", NOPS);
    assert_eq!(server.push(&offered).await.status, APPLIED);
    assert!(supervisor.stop().await.success());
    fs::remove_dir_all(host.state().join("configs")).unwrap();
    let again = host.start();
    let stored = || fs::read_dir(host.state().join("configs")).is_ok_and(|configs| configs.count() == 1);
    server
        .until("it is there again and runs", |known| stored() && known.settled(&offered) && known.healthy())
        .await;
    assert!(again.stop().await.success());
    assert!(host.log().contains("the server is asked for it again"));
}

/// The same state as a later supervisor would have written it.
fn of_schema_99(state: &str) -> String {
    let [brace, _, body] = state.splitn(3, '\n').collect::<Vec<_>>()[..] else { panic!("{state}") };
    let body = body.replace("\"schema\": 1,", "\"schema\": 99,");
    format!("{brace}\n  \"crc32\": \"{:08x}\",\n{body}", crc32fast::hash(body.as_bytes()))
}

#[tokio::test]
async fn f_18_a_state_of_a_newer_schema_runs_and_refuses_offers_with_the_reason() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("");
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    assert!(supervisor.stop().await.success());
    let path = host.state().join("state.json");
    let newer = of_schema_99(&fs::read_to_string(&path).unwrap());
    fs::write(&path, &newer).unwrap();
    let again = host.start();
    server.until("it runs", |known| known.connections == 2 && known.healthy()).await;
    let status = server.push(&config("nops.yaml", NOPS)).await;
    assert_eq!(status.status, FAILED);
    assert!(status.error_message.contains("newer supervisor (schema 99"), "{}", status.error_message);
    assert!(again.stop().await.success());
    assert_eq!(fs::read_to_string(&path).unwrap(), newer, "nothing is changed");
}

#[tokio::test]
async fn a_broken_local_file_is_not_held_against_the_offer_and_heals_once_it_is_mended() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("");
    let local = host.dir.path().join("local.yaml");
    fs::write(&local, "").unwrap();
    let host = host.agent(&format!("config_files: [{}]", local.display()));
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    fs::write(&local, "receivers: [\n").unwrap();
    let status = server.push(&config("nops.yaml", NOPS)).await;
    assert_eq!(status.status, FAILED);
    assert!(status.error_message.contains("local.yaml:"), "{}", status.error_message);
    fs::write(&local, "").unwrap();
    server.until("it is applied by itself", |known| known.status().status == APPLIED).await;
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn f_58_a_start_needs_nothing_new_on_the_disk() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("");
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    assert_eq!(server.push(&config("nops.yaml", NOPS)).await.status, APPLIED);
    assert!(supervisor.stop().await.success());
    let written =
        |name: &str| fs::metadata(host.state().join("live").join(name)).unwrap().modified().unwrap();
    let before = written("99-overlay.yaml");
    let again = host.start();
    server.until("it runs", |known| known.connections == 2 && known.healthy()).await;
    assert!(again.stop().await.success());
    assert_eq!(written("99-overlay.yaml"), before, "the Collector's files are as they were");
}
