//! Keys of `agent` that show in what the server is told.

use opamp::wire::{attrs, proto::RemoteConfigStatuses};

use super::harness::{Host, Known, Server, config, fake_collector, real_collector};

const SECRET: &str = "sesame-open-thyself";

fn last_error(known: &Known) -> String {
    let health = known.view.as_ref().and_then(|view| view.report.health.clone());
    health.unwrap_or_default().last_error
}

#[tokio::test]
async fn f_105_the_end_of_a_dead_collectors_output_is_told_where_that_is_asked_for_and_masked() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector())
        .fake(&format!("config_marker={SECRET}"))
        .agent(&format!("collector_crash_log_snippet_kib: 4\nenv: {{TOKEN: {SECRET}}}"));
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    let body = format!(
        "receivers: {{nop: }}\nexporters: {{nop: }}\n# {SECRET}\n\
                        service: {{pipelines: {{traces: {{receivers: [nop], exporters: [nop]}}}}}}\n"
    );
    let status = server.push(&config("p.yaml", &body)).await;
    assert_eq!(status.status, RemoteConfigStatuses::Failed as i32, "{status:?}");
    let told = &status.error_message;
    let (_, tail) = told.split_once("\nCollector log tail:\n").unwrap_or_else(|| panic!("no tail in {told}"));
    assert!(tail.contains("cannot start pipelines") && tail.contains("[REDACTED]"), "{told}");
    let unhealthy = server.messages().into_iter().filter_map(|message| message.health);
    let said: Vec<_> = unhealthy.map(|health| health.last_error).collect();
    assert!(said.iter().any(|error| error.contains("Collector log tail:")), "{said:?}");
    server.until("it is back", |known| known.healthy() && last_error(known).is_empty()).await;
    assert!(!told.contains(SECRET) && !said.concat().contains(SECRET), "no secret leaves");
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn without_the_key_no_output_is_told() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("crash_at_start,exit_code=3");
    let supervisor = host.start();
    let known = server.until("the death is told", |known| last_error(known).contains("code 3")).await;
    assert!(!last_error(&known).contains("log tail"));
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn the_collector_is_asked_for_all_attributes_of_its_resource() {
    for wanted in [true, false] {
        let server = Server::start().await;
        let host = Host::new(&server.endpoint, &real_collector());
        let local = host.dir.path().join("local.yaml");
        std::fs::write(&local, "service: {telemetry: {metrics: {level: none}, resource: {team: blue}}}\n")
            .unwrap();
        let host = host.agent(&format!(
            "config_files: [\"{}\"]\ndescription: {{include_resource_attributes: {wanted}}}",
            local.display()
        ));
        let supervisor = host.start();
        let known = server.until("healthy", |known| known.healthy()).await;
        let described = |known: &Known| {
            let description = known.view.as_ref().and_then(|view| view.report.description.clone());
            description
                .is_some_and(|d| attrs::get(&d.non_identifying_attributes, "team").as_deref() == Some("blue"))
        };
        if wanted {
            server.until("the attribute is told", described).await;
        } else {
            assert!(!described(&known));
        }
        assert!(supervisor.stop().await.success());
    }
}
