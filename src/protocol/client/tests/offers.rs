//! Connection settings, packages and flags: what of an offer reaches the agent.

use super::*;
use crate::{
    protocol::settings,
    wire::proto::{
        ConnectionSettingsOffers, OpAmpConnectionSettings, OtherConnectionSettings, PackagesAvailable,
        TelemetryConnectionSettings,
    },
};

fn everything() -> ConnectionSettingsOffers {
    let other = [("otlp".to_owned(), OtherConnectionSettings::default())].into();
    ConnectionSettingsOffers {
        hash: b"all".to_vec(),
        opamp: Some(OpAmpConnectionSettings::default()),
        own_metrics: Some(TelemetryConnectionSettings::default()),
        own_traces: Some(TelemetryConnectionSettings::default()),
        own_logs: Some(TelemetryConnectionSettings::default()),
        other_connections: other,
    }
}

fn heard(client: &mut Client, offer: ConnectionSettingsOffers) -> Vec<Event> {
    client.received(ServerToAgent { connection_settings: Some(offer), ..reply() }, at(1));
    events(client, at(1))
}

fn with(bits: &[AgentCapabilities]) -> Client {
    let mut client = online(Link::WebSocket);
    client.set_capabilities(bits.iter().fold(capabilities(), |caps, bit| caps.with(*bit)));
    sent(&mut client, at(1));
    client
}

#[test]
fn c_cp_05_c_cs_01_each_class_of_settings_needs_its_own_capability() {
    use AgentCapabilities as Bit;
    let empty = ConnectionSettingsOffers { hash: b"all".to_vec(), ..Default::default() };
    let all = everything();
    let cases = [
        (
            Bit::AcceptsOpAmpConnectionSettings,
            ConnectionSettingsOffers { opamp: all.opamp.clone(), ..empty.clone() },
        ),
        (
            Bit::ReportsOwnMetrics,
            ConnectionSettingsOffers { own_metrics: all.own_metrics.clone(), ..empty.clone() },
        ),
        (
            Bit::ReportsOwnTraces,
            ConnectionSettingsOffers { own_traces: all.own_traces.clone(), ..empty.clone() },
        ),
        (Bit::ReportsOwnLogs, ConnectionSettingsOffers { own_logs: all.own_logs.clone(), ..empty.clone() }),
        (
            Bit::AcceptsOtherConnectionSettings,
            ConnectionSettingsOffers { other_connections: all.other_connections.clone(), ..empty },
        ),
    ];
    for (bit, taken) in cases {
        let expected = [Event::ConnectionSettings(Box::new(taken))];
        assert_eq!(heard(&mut with(&[bit]), everything()), expected, "{bit:?}");
    }
    assert!(matches!(*heard(&mut with(&[]), everything()), [Event::Ignored(_)]));
}

#[test]
fn c_cs_01_an_offer_without_classes_is_told_for_its_hash() {
    let empty = ConnectionSettingsOffers { hash: b"none".to_vec(), ..Default::default() };
    let told = heard(&mut with(&[AgentCapabilities::AcceptsOpAmpConnectionSettings]), empty.clone());
    assert_eq!(told, [Event::ConnectionSettings(Box::new(empty))]);
}

#[test]
fn s_cs_02_the_hash_is_over_all_settings_and_not_over_itself() {
    let all = everything();
    let named = ConnectionSettingsOffers { hash: Vec::new(), ..everything() };
    assert_eq!(settings::hash(&all), settings::hash(&named));
    assert_eq!(settings::hash(&all).len(), 32);
    let mut seen = vec![settings::hash(&all)];
    for class in 0..5 {
        let mut less = everything();
        match class {
            0 => less.opamp = None,
            1 => less.own_metrics = None,
            2 => less.own_traces = None,
            3 => less.own_logs = None,
            _ => less.other_connections.clear(),
        }
        assert!(!settings::is_empty(&less));
        seen.push(settings::hash(&less));
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 6, "each class counts");
}

#[test]
fn an_offer_is_empty_without_any_class() {
    assert!(settings::is_empty(&ConnectionSettingsOffers { hash: b"x".to_vec(), ..Default::default() }));
    let one = |class: fn(&mut ConnectionSettingsOffers)| {
        let mut offer = ConnectionSettingsOffers::default();
        class(&mut offer);
        settings::is_empty(&offer)
    };
    assert!(!one(|offer| offer.opamp = everything().opamp));
    assert!(!one(|offer| offer.own_metrics = everything().own_metrics));
    assert!(!one(|offer| offer.own_traces = everything().own_traces));
    assert!(!one(|offer| offer.own_logs = everything().own_logs));
    assert!(!one(|offer| offer.other_connections = everything().other_connections));
}

#[test]
fn c_cp_05_packages_need_their_capability() {
    let offer = ServerToAgent { packages_available: Some(PackagesAvailable::default()), ..reply() };
    let mut client = online(Link::WebSocket);
    client.received(offer.clone(), at(1));
    assert!(matches!(*events(&mut client, at(1)), [Event::Ignored(_)]));
    let mut client = with(&[AgentCapabilities::AcceptsPackages]);
    client.received(offer, at(1));
    assert_eq!(events(&mut client, at(1)), [Event::Packages(PackagesAvailable::default())]);
}

#[test]
fn c_sq_15_each_field_that_is_set_counts() {
    let mut client = with(&[AgentCapabilities::AcceptsOpAmpConnectionSettings]);
    let offer = ConnectionSettingsOffers { opamp: everything().opamp, ..Default::default() };
    let message = ServerToAgent {
        remote_config: Some(AgentRemoteConfig::default()),
        connection_settings: Some(offer.clone()),
        agent_identification: Some(AgentIdentification { new_instance_uid: OTHER.to_vec() }),
        capabilities: ServerCapabilities::AcceptsStatus as u64,
        flags: ServerToAgentFlags::ReportFullState as u64,
        ..reply()
    };
    client.received(message, at(1));
    let got = effects(&mut client, at(1));
    let caps = ServerCaps::of(&[ServerCapabilities::AcceptsStatus]);
    let expected = [
        Event::InstanceUid(OTHER),
        Event::RemoteConfig(AgentRemoteConfig::default()),
        Event::ConnectionSettings(Box::new(offer)),
        Event::ServerCapabilities(caps),
    ];
    assert_eq!(got[..4], expected.map(Effect::Event));
    assert!(matches!(&got[4..], [Effect::Send(message)] if message.health.is_some()));
}

#[test]
fn b_io_02_bits_and_commands_that_nobody_knows_mean_nothing() {
    let mut client = online(Link::WebSocket);
    client.received(ServerToAgent { flags: !3, ..reply() }, at(1));
    assert_eq!(effects(&mut client, at(1)), []);
    let strange = ServerToAgent { command: Some(ServerToAgentCommand { r#type: 9 }), flags: 1, ..reply() };
    client.received(strange, at(1));
    assert!(matches!(*effects(&mut client, at(1)), [Effect::Event(Event::Ignored(_))]));
    let capabilities = u64::MAX;
    client.received(ServerToAgent { capabilities, ..reply() }, at(1));
    assert_eq!(client.server_capabilities().bits(), ServerCaps::DEFINED);
}
