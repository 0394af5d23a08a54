use jiff::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::{
    server::fleet::{
        Agent, Catalogue, DEFAULT_NAMESPACE,
        resource::{AgentConfig, AgentGroup, AgentGroupSpec, Key, Metadata},
    },
    wire::{
        AgentCaps, InstanceUid,
        proto::{AgentDescription, Header, TlsCertificate},
    },
};

fn settings(value: Value) -> Box<ConnectionSettings> {
    serde_json::from_value(value).unwrap()
}

fn put_group(catalogue: &mut Catalogue, name: &str, priority: i64, value: Value) {
    let agent_config = AgentConfig { connection_settings: Some(settings(value)), ..Default::default() };
    let metadata = Metadata {
        namespace: DEFAULT_NAMESPACE.to_owned(),
        name: name.to_owned(),
        attributes: None,
        created_at: Timestamp::UNIX_EPOCH,
        deleted_at: None,
    };
    let spec = AgentGroupSpec { priority, agent_config: Some(agent_config), ..Default::default() };
    let group = AgentGroup { metadata, spec, conditions: Vec::new() };
    catalogue.groups.insert(Key::new(DEFAULT_NAMESPACE, name), group);
}

/// One that takes everything.
fn agent() -> Agent {
    let mut agent = Agent::new(InstanceUid::from_bytes([7; 16]), Timestamp::UNIX_EPOCH);
    agent.view.capabilities = AgentCaps::from_wire(u64::MAX);
    agent.view.report.description = Some(AgentDescription::default());
    agent.reached_at = Some("wss://here.example.com/v1/opamp".to_owned());
    agent
}

fn hash(agent: &Agent) -> Vec<u8> {
    agent.settings.as_ref().unwrap().offers().hash.clone()
}

#[test]
fn s_cs_02_the_hash_is_over_everything_that_the_agent_takes_and_nothing_else() {
    let mut catalogue = Catalogue::default();
    let metrics = json!({"destinationEndpoint": "https://a/v1/metrics"});
    put_group(
        &mut catalogue,
        "g",
        1,
        json!({"ownMetrics": metrics, "opamp": {"heartbeatIntervalSeconds": 10}}),
    );
    let mut agent = agent();
    assert!(agent.resolve(&catalogue));
    let first = hash(&agent);
    assert!(!agent.resolve(&catalogue) && hash(&agent) == first, "the same again is the same");
    put_group(
        &mut catalogue,
        "g",
        1,
        json!({"ownMetrics": metrics, "opamp": {"heartbeatIntervalSeconds": 11}}),
    );
    assert!(agent.resolve(&catalogue));
    let second = hash(&agent);
    assert_ne!(first, second);
    // A class that it does not take is not a reason to make it connect anew.
    agent.view.capabilities = AgentCaps::of(&[Class::OwnMetrics.bit()]);
    agent.resolve(&catalogue);
    let narrow = hash(&agent);
    put_group(
        &mut catalogue,
        "g",
        1,
        json!({"ownMetrics": metrics, "opamp": {"heartbeatIntervalSeconds": 12}}),
    );
    assert!(!agent.resolve(&catalogue));
    assert_eq!(hash(&agent), narrow);
}

#[test]
fn each_class_comes_from_the_agent_or_the_group_of_the_highest_priority_that_has_it() {
    let mut catalogue = Catalogue::default();
    let to = |place: &str| json!({"destinationEndpoint": format!("https://{place}/v1/x")});
    put_group(
        &mut catalogue,
        "low",
        1,
        json!({"ownMetrics": to("low"), "ownLogs": to("low"), "ownTraces": to("low")}),
    );
    put_group(&mut catalogue, "high", 2, json!({"ownMetrics": to("high"), "ownTraces": to("high")}));
    let mut agent = agent();
    agent.spec.connection_settings = Some(settings(json!({"ownTraces": to("own")})));
    agent.resolve(&catalogue);
    let offers = agent.settings.as_ref().unwrap().offers();
    let endpoint = |given: &Option<crate::wire::proto::TelemetryConnectionSettings>| {
        given.as_ref().unwrap().destination_endpoint.clone()
    };
    assert_eq!(endpoint(&offers.own_metrics), "https://high/v1/x");
    assert_eq!(endpoint(&offers.own_logs), "https://low/v1/x");
    assert_eq!(endpoint(&offers.own_traces), "https://own/v1/x");
    assert_eq!(offers.opamp, None);
}

#[test]
fn a_tie_is_one_only_if_nothing_decides_it_and_the_agent_would_take_it() {
    let mut catalogue = Catalogue::default();
    let beat = |seconds: u64| json!({"opamp": {"heartbeatIntervalSeconds": seconds}});
    put_group(&mut catalogue, "a", 1, beat(1));
    let mut agent = agent();
    agent.resolve(&catalogue);
    let before = hash(&agent);
    put_group(&mut catalogue, "b", 1, beat(2));
    agent.resolve(&catalogue);
    assert!(matches!(&agent.unsettled, Some(Unsettled::Tie { class: Class::Opamp, priority: 1, .. })));
    assert_eq!((agent.settings_state(), hash(&agent)), (SettingsState::Unresolved, before));
    put_group(&mut catalogue, "c", 2, beat(3));
    agent.resolve(&catalogue);
    assert_eq!(agent.unsettled, None);
    catalogue.groups.remove(&Key::new(DEFAULT_NAMESPACE, "c"));
    agent.view.capabilities = AgentCaps::of(&[Class::OwnLogs.bit()]);
    agent.resolve(&catalogue);
    assert_eq!((agent.settings_state(), &agent.unsettled), (SettingsState::Unmanaged, &None));
}

#[test]
fn s_cs_04_what_is_issued_joins_what_is_written_but_goes_to_no_other_server() {
    let mut catalogue = Catalogue::default();
    let header = |key: &str, value: &str| Header { key: key.to_owned(), value: value.to_owned() };
    let certificate = TlsCertificate { cert: b"mine".to_vec(), ..Default::default() };
    let mut agent = agent();
    agent.issued = Some(Issued {
        endpoint: None,
        headers: vec![header("Authorization", "Bearer own")],
        certificate: Some(certificate.clone()),
    });
    agent.resolve(&catalogue);
    let opamp = |agent: &Agent| agent.settings.as_ref().unwrap().offers().opamp.clone().unwrap();
    assert_eq!(opamp(&agent).destination_endpoint, "wss://here.example.com/v1/opamp");
    assert_eq!(opamp(&agent).heartbeat_interval_seconds, HEARTBEAT_SECONDS);

    let headers = json!({"authorization": ["Bearer shared"], "X-Team": ["a"]});
    put_group(&mut catalogue, "g", 1, json!({"opamp": {"headers": headers}}));
    agent.resolve(&catalogue);
    let sent = opamp(&agent).headers.unwrap().headers;
    assert_eq!(sent, [header("X-Team", "a"), header("Authorization", "Bearer own")]);
    assert_eq!(opamp(&agent).certificate, Some(certificate));

    let elsewhere = json!({"opamp": {"destinationEndpoint": "wss://other.example.com/", "headers": headers}});
    put_group(&mut catalogue, "g", 1, elsewhere);
    agent.resolve(&catalogue);
    let sent = opamp(&agent);
    assert_eq!(
        sent.headers.unwrap().headers,
        [header("X-Team", "a"), header("authorization", "Bearer shared")]
    );
    assert_eq!(sent.certificate, None);

    agent.reached_at = None;
    put_group(&mut catalogue, "g", 1, json!({"opamp": {"headers": headers}}));
    agent.resolve(&catalogue);
    assert_eq!(agent.unsettled, Some(Unsettled::Endpoint));
}

#[test]
fn debug_shows_no_header_value() {
    let catalogue = Catalogue::default();
    let mut agent = agent();
    agent.spec.connection_settings =
        Some(settings(json!({"opamp": {"headers": {"Authorization": ["s3cret"]},
            "proxy": {"url": "proxy:3128", "connectHeaders": {"Proxy-Authorization": ["s3cret"]}}}})));
    let own = Header { key: "Authorization".to_owned(), value: "s3cret".to_owned() };
    agent.issued = Some(Issued { headers: vec![own], ..Default::default() });
    agent.resolve(&catalogue);
    assert_eq!(agent.settings_state(), SettingsState::Pending);
    let shown = format!("{agent:?}");
    assert!(shown.contains("Proxy-Authorization") && !shown.contains("s3cret"), "{shown}");
}
