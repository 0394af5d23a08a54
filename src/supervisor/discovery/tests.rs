//! What is told of a host, without looking at this one.

use serde_json::Value;

use super::*;
use crate::collector::lint::{self, Layer, Options};

fn socket(process: Option<(i32, &str)>, transport: Transport, address: &str, port: u16) -> Listening {
    let process = process.map(|(pid, name)| Process { pid, name: name.into() });
    Listening { transport, address: address.parse().unwrap(), port, process }
}

fn with(receivers: &[&str]) -> Components {
    let mut components = Components { complete: true, ..Components::default() };
    for kind in receivers {
        components.insert(Section::Receivers, *kind, None);
    }
    components.insert(Section::Exporters, "debug", None);
    components
}

fn ask(kind: &str, data: &str) -> CustomMessage {
    CustomMessage { capability: DISCOVERY.into(), r#type: kind.into(), data: data.into() }
}

fn json(message: &CustomMessage) -> Value {
    serde_json::from_slice(&message.data).unwrap()
}

const TCP: Transport = Transport::Tcp;

#[test]
fn a_product_is_known_by_its_process_first_and_by_its_port_second() {
    let found = vec![
        socket(Some((10, "redis-server")), TCP, "0.0.0.0", 5432),
        socket(Some((11, "whatever")), TCP, "127.0.0.1", 6379),
        socket(Some((12, "java")), TCP, "::", 9999),
        socket(Some((13, "whatever")), Transport::Udp, "0.0.0.0", 3306),
        socket(None, TCP, "10.0.0.1", 11211),
        socket(Some((14, "postgres_exporte")), TCP, "::1", 9187),
        socket(Some((99, "otelcol")), TCP, "127.0.0.1", 4317),
    ];
    let class = |process: &Process| (process.name == "java").then_some("kafka.Kafka");
    let all = with(&["redis", "kafkametrics", "memcached", "prometheus"]);
    let services = of_sockets(found, &[99], &class, Some(&all));
    let of = |port| services.iter().find(|service| service.listens[0].port == Some(port)).unwrap();
    let told = |port| (of(port).product, of(port).known_by);
    assert_eq!(told(5432), (Some("redis"), Some("process")), "not what usually has the port");
    assert_eq!(told(6379), (Some("redis"), Some("port")));
    assert_eq!(told(9999), (Some("kafka"), Some("process")));
    assert_eq!(told(3306), (None, None), "another transport");
    assert_eq!(told(11211), (Some("memcached"), Some("port")));
    assert_eq!(told(9187), (Some("prometheus_exporter"), Some("process")));
    assert_eq!(services.len(), 6, "the supervisor's own Collector is left out");
    let config = |port| of(port).receiver.as_ref().unwrap().config.clone();
    assert_eq!(config(5432), "receivers:\n  redis/5432:\n    endpoint: \"127.0.0.1:5432\"\n");
    assert!(config(9999).contains("[::1]:9999") && config(11211).contains("10.0.0.1:11211"));
}

#[test]
fn a_process_is_one_service_and_is_asked_at_its_usual_port() {
    let process = Some((7, "beam.smp"));
    let found = [("0.0.0.0", 4369), ("::", 5672), ("0.0.0.0", 15672)]
        .map(|(address, port)| socket(process, TCP, address, port));
    let services = of_sockets(found.to_vec(), &[], &|_| None, Some(&with(&["rabbitmq"])));
    assert_eq!((services.len(), services[0].listens.len()), (1, 3));
    assert_eq!((services[0].product, services[0].known_by), (Some("rabbitmq"), Some("port")));
    assert!(services[0].receiver.as_ref().unwrap().config.contains("http://127.0.0.1:15672"));
}

#[test]
fn a_receiver_is_named_only_where_the_collector_has_it() {
    let found = vec![socket(Some((1, "redis-server")), TCP, "127.0.0.1", 6379)];
    let without = of_sockets(found.clone(), &[], &|_| None, Some(&with(&["otlp"])));
    assert_eq!((without[0].product, &without[0].receiver), (Some("redis"), &None));
    assert_eq!(of_sockets(found, &[], &|_| None, None)[0].receiver, None);
    let docker = of_paths(&["/run/docker.sock"], Some(&with(&["docker_stats"])));
    assert!(docker[0].receiver.as_ref().unwrap().config.contains("unix:///run/docker.sock"));
}

#[test]
fn every_snippet_passes_the_linter_as_part_of_a_whole_config() {
    for product in Product::all().filter(|product| product.receiver_type().is_some()) {
        let kind = product.receiver_type().unwrap();
        let text = product.snippet("[::1]:1234", "x").unwrap();
        let rest = format!(
            "exporters: {{debug: {{}}}}\nservice: {{pipelines: {{metrics: {{receivers: [{kind}/x], exporters: [debug]}}}}}}\n"
        );
        let layers = [Layer { name: "snippet", text: &text }, Layer { name: "rest", text: &rest }];
        let found = lint::lint(&layers, Some(&with(&[kind])), &Options::default());
        assert!(found.is_empty(), "{}: {found:?}\n{text}", product.name);
        assert!(!text.contains("{endpoint}") && !text.contains("{product}"), "{text}");
    }
}

#[test]
fn b_cu_04_05_every_type_of_the_capability_is_understood_and_others_are_ignored() {
    assert!(asked(&ask("services", "")).is_none() && asked(&ask("else", "{}")).is_none());
    let question = asked(&ask("request", r#"{"id": "7"}"#)).unwrap().unwrap();
    assert_eq!(json(&question.put_off("busy")), serde_json::json!({"id": "7", "error": "busy"}));
    assert!(asked(&ask("request", "")).unwrap().is_ok());
    for wrong in ["[", r#"{"id": 7}"#, r#"{"ports": []}"#, &format!(r#"{{"id": "{}"}}"#, "x".repeat(129))] {
        let answer = asked(&ask("request", wrong)).unwrap().unwrap_err();
        assert_eq!((answer.r#type.as_str(), answer.capability.as_str()), (ERROR, DISCOVERY));
        assert!(json(&answer)["error"].is_string(), "{wrong}");
    }
}

#[test]
fn what_could_not_be_seen_and_what_is_left_out_is_said() {
    let many = (0..MOST + 3).map(|n| socket(None, TCP, "127.0.0.1", u16::try_from(n).unwrap() + 1));
    let services = of_sockets(many.collect(), &[], &|_| None, None);
    let told = Question { id: None }.tell(services, false);
    assert_eq!((told.services.len(), told.notes.len()), (MOST, 3));
    assert!(told.notes[0].contains(&format!("{} services the process", MOST + 3)), "{:?}", told.notes);
    assert!(told.notes[1].contains("3 services more"), "{:?}", told.notes);
}

#[test]
fn b_cu_03_the_capability_is_named_by_a_reversed_domain_a_name_and_a_version() {
    let (name, version) = DISCOVERY.split_once('/').unwrap();
    assert!(name.starts_with("io.github.") && name.split('.').count() > 3 && version == "v1");
}
