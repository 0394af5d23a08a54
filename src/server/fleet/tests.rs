use std::collections::BTreeMap;

use super::{
    desired::Unresolved,
    resource::{
        AgentConfig, AgentGroupSpec, AgentRemoteConfigSpec, AgentSelector, GroupRemoteConfig, Metadata,
        PushedConfig, SpecRemoteConfig,
    },
    *,
};
use crate::{
    protocol::server::Session,
    wire::{
        ServerCaps, attrs,
        proto::{AgentDescription, AgentToServer, ComponentHealth, RemoteConfigStatus, ServerCapabilities},
    },
};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn metadata(name: &str) -> Metadata {
    Metadata {
        namespace: DEFAULT_NAMESPACE.to_owned(),
        name: name.to_owned(),
        attributes: None,
        created_at: at(0),
        deleted_at: None,
    }
}

fn put_config(fleet: &mut Fleet, name: &str, value: &str) {
    let spec = AgentRemoteConfigSpec {
        value: value.to_owned(),
        content_type: "text/yaml".to_owned(),
        schema_refs: None,
    };
    let config = AgentRemoteConfig { metadata: metadata(name), spec, conditions: Vec::new() };
    fleet.catalogue.configs.insert(Key::new(DEFAULT_NAMESPACE, name), config);
}

fn put_group(fleet: &mut Fleet, name: &str, priority: i64, configs: &[(&str, &str)]) {
    let entries = configs.iter().map(|(name, value)| GroupRemoteConfig {
        agent_remote_config_name: Some((*name).to_owned()),
        agent_remote_config_spec: Some(AgentRemoteConfigSpec {
            value: (*value).to_owned(),
            content_type: "text/yaml".to_owned(),
            schema_refs: None,
        }),
        agent_remote_config_ref: None,
    });
    let agent_config = AgentConfig { agent_remote_configs: entries.collect(), ..Default::default() };
    let spec =
        AgentGroupSpec { priority, selector: AgentSelector::default(), agent_config: Some(agent_config) };
    let group = AgentGroup { metadata: metadata(name), spec, conditions: Vec::new() };
    fleet.catalogue.groups.insert(Key::new(DEFAULT_NAMESPACE, name), group);
}

const UID: InstanceUid = InstanceUid::from_bytes([7; 16]);

/// A fleet of one agent in the default namespace.
fn described() -> Fleet {
    let mut fleet = Fleet::default();
    let (agent, catalogue, _) = fleet.agent_entry(UID, at(0));
    agent.view.report.description = Some(AgentDescription::default());
    agent.redescribe();
    agent.resolve(catalogue);
    fleet
}

fn bodies(fleet: &Fleet) -> BTreeMap<String, String> {
    let desired = fleet.agents[&UID].desired.clone().expect("a wanted config");
    let map = &desired.config.as_ref().unwrap().config_map;
    map.iter().map(|(name, object)| (name.clone(), String::from_utf8(object.body.clone()).unwrap())).collect()
}

fn expect(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, body)| ((*name).to_owned(), (*body).to_owned())).collect()
}

#[test]
fn b_rc_01_groups_are_unioned_by_config_name_and_the_higher_priority_wins() {
    let mut fleet = described();
    put_group(&mut fleet, "a-low", 1, &[("base", "low"), ("extra", "x")]);
    put_group(&mut fleet, "b-high", 9, &[("base", "high")]);
    assert_eq!(fleet.reconsider(DEFAULT_NAMESPACE, at(1)), [UID]);
    assert_eq!(bodies(&fleet), expect(&[("base", "high"), ("extra", "x")]));
    assert!(fleet.reconsider(DEFAULT_NAMESPACE, at(2)).is_empty(), "nothing changed");
}

#[test]
fn what_is_set_on_the_agent_wins_over_groups() {
    let mut fleet = described();
    put_group(&mut fleet, "g", 100, &[("base", "group"), ("own", "group")]);
    put_config(&mut fleet, "own", "mine");
    let (agent, catalogue, _) = fleet.agent_entry(UID, at(0));
    let direct = SpecRemoteConfig {
        remote_config_names: vec!["own".to_owned()],
        config_map: [(
            "pushed".to_owned(),
            PushedConfig { body: "p".to_owned(), content_type: "text/yaml".to_owned() },
        )]
        .into(),
    };
    let spec = resource::AgentSpec { remote_config: Some(direct), ..Default::default() };
    assert!(agent.set_spec(spec, catalogue, at(1)));
    assert_eq!(bodies(&fleet), expect(&[("base", "group"), ("own", "mine"), ("pushed", "p")]));
}

#[test]
fn a_tie_that_disagrees_or_a_lost_reference_leaves_the_live_config() {
    let mut fleet = described();
    put_group(&mut fleet, "a", 1, &[("base", "one")]);
    fleet.reconsider(DEFAULT_NAMESPACE, at(0));
    put_group(&mut fleet, "b", 1, &[("base", "two")]);
    assert_eq!(fleet.reconsider(DEFAULT_NAMESPACE, at(1)), [UID]);
    assert!(matches!(fleet.agents[&UID].unresolved, Some(Unresolved::Tie { .. })));
    assert_eq!(fleet.agents[&UID].config_state(), ConfigState::Unresolved);
    assert_eq!(bodies(&fleet), expect(&[("base", "one")]));

    // Equal bytes agree, and a group above both settles it.
    put_group(&mut fleet, "b", 1, &[("base", "one")]);
    fleet.reconsider(DEFAULT_NAMESPACE, at(2));
    assert_eq!(fleet.agents[&UID].unresolved, None);
    put_group(&mut fleet, "b", 1, &[("base", "two")]);
    put_group(&mut fleet, "c", 2, &[("base", "three")]);
    fleet.reconsider(DEFAULT_NAMESPACE, at(3));
    assert_eq!(bodies(&fleet), expect(&[("base", "three")]));

    let lost = GroupRemoteConfig {
        agent_remote_config_ref: Some("gone".to_owned()),
        agent_remote_config_name: None,
        agent_remote_config_spec: None,
    };
    let group = fleet.catalogue.groups.get_mut(&Key::new(DEFAULT_NAMESPACE, "c")).unwrap();
    group.spec.agent_config.as_mut().unwrap().agent_remote_configs = vec![lost];
    fleet.reconsider(DEFAULT_NAMESPACE, at(4));
    assert!(matches!(fleet.agents[&UID].unresolved, Some(Unresolved::Missing { .. })));
    assert_eq!(bodies(&fleet), expect(&[("base", "three")]));
}

#[test]
fn an_agent_of_no_group_is_left_alone_until_it_was_given_something() {
    let mut fleet = described();
    assert_eq!(fleet.agents[&UID].desired, None);
    put_group(&mut fleet, "g", 0, &[("base", "x")]);
    fleet.reconsider(DEFAULT_NAMESPACE, at(1));
    fleet.catalogue.groups.clear();
    assert_eq!(fleet.reconsider(DEFAULT_NAMESPACE, at(2)), [UID]);
    assert_eq!(bodies(&fleet), expect(&[]), "taken away again");
}

#[test]
fn s_rc_05_the_hash_tells_names_types_and_bodies_apart() {
    let object = |body: &str, kind: &str| crate::wire::proto::AgentConfigObject {
        body: body.into(),
        content_type: kind.to_owned(),
        role: String::new(),
    };
    let hash = |name: &str, body: &str, kind: &str| {
        desired::offer([(name.to_owned(), object(body, kind))].into()).config_hash
    };
    let base = hash("ab", "c", "t");
    assert_eq!(base, hash("ab", "c", "t"));
    assert_eq!(base.len(), 32);
    for other in [hash("a", "bc", "t"), hash("ab", "ct", ""), hash("ab", "c", "u")] {
        assert_ne!(base, other);
    }
}

fn report(sequence_num: u64) -> AgentToServer {
    AgentToServer {
        instance_uid: UID.to_vec(),
        sequence_num,
        capabilities: 0x1807,
        agent_description: Some(AgentDescription {
            identifying_attributes: vec![
                attrs::string("service.name", "otelcol"),
                attrs::string("service.namespace", "shop"),
            ],
            non_identifying_attributes: vec![attrs::string("os.type", "linux")],
        }),
        health: Some(ComponentHealth {
            healthy: true,
            start_time_unix_nano: 5_000_000_000,
            ..Default::default()
        }),
        ..Default::default()
    }
}

#[test]
fn a_report_sets_namespace_config_and_the_times_of_changes() {
    let mut fleet = Fleet::default();
    let mut session = Session::new(ServerCaps::of(&[ServerCapabilities::AcceptsStatus]));
    put_group(&mut fleet, "other-namespace", 0, &[("base", "x")]);
    let (agent, catalogue, _) = fleet.agent_entry(UID, at(0));
    assert!(!agent.reconsider(catalogue, at(1)), "it has not said what it is");
    agent.receive(&mut session, report(0), catalogue, at(3));
    assert_eq!(agent.namespace, "shop");
    assert_eq!(agent.desired, None);
    assert_eq!(agent.healthy(), Some(true));
    assert_eq!((agent.since.health, agent.last_seen), (at(3), at(3)));
    assert_eq!(agent.lookup("os.type"), Some("linux"));

    let heartbeat = AgentToServer { instance_uid: UID.to_vec(), sequence_num: 1, ..Default::default() };
    let received = agent.receive(&mut session, heartbeat, catalogue, at(9));
    assert!(received.changed.is_empty());
    assert_eq!((agent.since.health, agent.last_seen), (at(3), at(9)));
}

#[test]
fn config_state_follows_the_reported_hash_and_status() {
    let mut fleet = Fleet::default();
    let mut session = Session::new(ServerCaps::default());
    let (agent, catalogue, _) = fleet.agent_entry(UID, at(0));
    agent.receive(&mut session, report(0), catalogue, at(0));
    assert_eq!(agent.config_state(), ConfigState::Unmanaged);
    let desired = std::sync::Arc::new(desired::offer(BTreeMap::new()));
    agent.desired = Some(desired.clone());
    assert_eq!(agent.config_state(), ConfigState::Pending);
    let states = [ConfigState::Pending, ConfigState::Applied, ConfigState::Applying, ConfigState::Failed];
    for (status, expected) in (0..).zip(states) {
        let last_remote_config_hash = desired.config_hash.clone();
        let status = RemoteConfigStatus { last_remote_config_hash, status, error_message: String::new() };
        agent.view.report.remote_config_status = Some(status);
        assert_eq!(agent.config_state(), expected);
    }
}

#[test]
fn a_restart_is_due_once_and_not_for_an_agent_started_since() {
    let mut fleet = Fleet::default();
    let mut session = Session::new(ServerCaps::default());
    let (agent, catalogue, _) = fleet.agent_entry(UID, at(0));
    agent.receive(&mut session, report(0), catalogue, at(6));
    let asked = |second| resource::AgentSpec { restart_required_at: Some(at(second)), ..Default::default() };
    agent.set_spec(asked(7), catalogue, at(7));
    assert!(agent.restart_due());
    agent.restart_pending = false;
    agent.set_spec(asked(7), catalogue, at(8));
    assert!(!agent.restart_due(), "the same time asks for nothing new");
    agent.set_spec(asked(3), catalogue, at(8));
    assert!(!agent.restart_due(), "it was started at 5");
}
