//! What the server is told of the agent, held against the protocol's words: above all with the real Collector and its
//! opamp extension.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opamp::wire::{
    attrs,
    proto::{AgentCapabilities, ComponentHealth, RemoteConfigStatuses},
};

use super::{
    harness::{Host, Known, Server, config, fake_collector, real_collector},
    real::pipeline,
};

/// The server's view of a healthy agent, once it runs a pipeline.
async fn with_a_pipeline(ask: impl FnOnce(&Known)) {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &real_collector()).quiet(&[]);
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    let status = server.push(&config("pipeline.yaml", &pipeline())).await;
    assert_eq!(status.status, RemoteConfigStatuses::Applied as i32, "{status:?}");
    let told = |known: &Known| health(known).component_health_map.contains_key("pipeline:traces");
    let known = server.until("the pipeline's health is told", |known| known.healthy() && told(known)).await;
    ask(&known);
    assert!(supervisor.stop().await.success());
}

fn health(known: &Known) -> ComponentHealth {
    known.view.as_ref().and_then(|view| view.report.health.clone()).unwrap_or_default()
}

#[tokio::test]
async fn c_id_09_10_11_13_the_description_is_the_collectors_and_the_hosts() {
    with_a_pipeline(|known| {
        let view = known.view.as_ref().unwrap();
        let description = view.report.description.as_ref().unwrap();
        let identifying = attrs::to_map(&description.identifying_attributes);
        let wanted = [
            ("service.instance.id", view.instance_uid.to_string()),
            ("service.name", "otelcol-example".to_owned()),
            ("service.version", "0.149.0".to_owned()),
        ];
        assert_eq!(identifying, wanted.map(|(key, value)| (key.to_owned(), value)).into());
        let others = attrs::to_map(&description.non_identifying_attributes);
        for wanted in ["os.type", "os.version", "host.name", "host.arch"] {
            assert!(others.get(wanted).is_some_and(|value| !value.is_empty()), "{wanted}: {others:?}");
        }
        // Names of the conventions, and nothing that only this program would understand.
        let namespaces = ["os.", "host.", "service.", "cloud.", "process."];
        let stranger = others.keys().find(|key| !namespaces.iter().any(|known| key.starts_with(known)));
        assert_eq!(stranger, None);
    })
    .await;
}

#[tokio::test]
async fn c_hl_01_04_the_root_is_the_whole_agent_and_times_are_unix_nanoseconds() {
    let before = now();
    with_a_pipeline(|known| {
        let view = known.view.as_ref().unwrap();
        assert!(view.capabilities.has(AgentCapabilities::ReportsHealth));
        let tree = health(known);
        assert!(tree.healthy && tree.status == "StatusOK", "{tree:?}");
        let pipeline = &tree.component_health_map["pipeline:traces"];
        for part in ["receiver:otlp", "exporter:debug"] {
            assert!(pipeline.component_health_map.contains_key(part), "{part}: {pipeline:?}");
        }
        let present = before..=now();
        assert!(present.contains(&tree.start_time_unix_nano), "{tree:?}");
        every_component(&tree, &mut |name, component| {
            assert!(present.contains(&component.status_time_unix_nano), "{name}: {component:?}");
        });
    })
    .await;
}

#[tokio::test]
async fn c_ec_01_c_rc_01_b_rc_03_a_config_is_taken_and_the_one_in_use_reported() {
    with_a_pipeline(|known| {
        let view = known.view.as_ref().unwrap();
        for bit in [AgentCapabilities::AcceptsRemoteConfig, AgentCapabilities::ReportsEffectiveConfig] {
            assert!(view.capabilities.has(bit), "{bit:?}");
        }
        let map = view.report.effective_config.as_ref().unwrap().config_map.as_ref().unwrap();
        let objects: Vec<_> = map.config_map.values().collect();
        assert_eq!(objects.len(), 1, "a Collector reads many files and runs one config");
        assert_eq!(objects[0].content_type, "text/yaml");
    })
    .await;
}

#[tokio::test]
async fn c_id_03_each_new_agent_makes_a_uid_of_its_own() {
    let mut uids = Vec::new();
    for _ in 0..2 {
        let server = Server::start().await;
        let host = Host::new(&server.endpoint, &fake_collector()).fake("");
        let supervisor = host.start();
        let known = server.until("the agent is there", |known| known.view.is_some()).await;
        uids.push(known.view.unwrap().instance_uid);
        assert!(supervisor.stop().await.success());
    }
    assert_ne!(uids[0], uids[1]);
}

fn every_component(tree: &ComponentHealth, ask: &mut impl FnMut(&str, &ComponentHealth)) {
    for (name, component) in &tree.component_health_map {
        ask(name, component);
        every_component(component, ask);
    }
}

fn now() -> u64 {
    let since: Duration = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_nanos()).unwrap()
}
