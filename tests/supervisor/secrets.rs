//! What is told about the Collector holds no secret of the host or of a config.

use opamp::wire::proto::RemoteConfigStatuses;

use super::harness::{Host, Known, Server, config, fake_collector, real_collector};

const FAILED: i32 = RemoteConfigStatuses::Failed as i32;
const APPLIED: i32 = RemoteConfigStatuses::Applied as i32;

#[tokio::test]
async fn f_105_the_effective_config_shows_no_secret_that_the_collector_was_given() {
    let server = Server::start().await;
    let env = "env: {SHARED: hunter2-and-more}";
    let host = Host::new(&server.endpoint, &real_collector()).agent(env);
    let supervisor = host.start();
    server.until("the agent is healthy", Known::healthy).await;
    let body = "receivers: {otlp: {protocols: {http: {endpoint: '127.0.0.1:0'}}}}\n\
        exporters: {otlp_http: {endpoint: 'http://user:pass-in-url@127.0.0.1:1/${env:SHARED}', headers: {x-tenant: tenant-token-1}}}\n\
        service: {telemetry: {metrics: {level: none}}, pipelines: {traces: {receivers: [otlp], exporters: [otlp_http]}}}\n";
    let status = server.push(&config("secret.yaml", body)).await;
    assert_eq!(status.status, APPLIED, "{status:?}");
    let known = server.until("it is shown", |known| known.effective().contains("otlp_http")).await;
    for secret in ["hunter2-and-more", "pass-in-url", "tenant-token-1"] {
        assert!(!known.effective().contains(secret), "{secret} in {}", known.effective());
    }
    let token = std::fs::read_to_string(host.state().join("run/local-token")).unwrap();
    assert!(!known.effective().contains(&token), "the Collector's way in is nobody else's");
    assert!(known.effective().contains("127.0.0.1:1"), "the rest is there: {}", known.effective());
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn f_105_a_failure_quotes_no_secret_of_the_config_that_failed() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("");
    let supervisor = host.start();
    server.until("the agent is healthy", Known::healthy).await;
    let body = "receivers: {nop: }\nexporters: {nop: {token: very-secret-token}}\n\
        service: {pipelines: {traces: {receivers: [nop], exporters: [very-secret-token]}}}\n";
    let status = server.push(&config("secret.yaml", body)).await;
    assert_eq!(status.status, FAILED, "{status:?}");
    let why = &status.error_message;
    assert!(why.contains("secret.yaml:3:") && !why.contains("very-secret-token"), "{why}");
    assert!(!host.log().contains("very-secret-token"), "{}", host.log());
    assert!(supervisor.stop().await.success());
}
