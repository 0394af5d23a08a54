//! The client's rules, one test per group of conformance ids.

mod endings;
mod pace;

use super::*;
use crate::{
    protocol::report::{Part, carried},
    wire::proto::{
        AgentDescription, AgentIdentification, AgentRemoteConfig, AvailableComponents, CommandType,
        ComponentDetails, ComponentHealth, EffectiveConfig, RetryInfo, ServerCapabilities,
        ServerErrorResponse, ServerErrorResponseType, ServerToAgent, ServerToAgentCommand,
        ServerToAgentFlags, server_error_response::Details,
    },
};

const UID: InstanceUid = InstanceUid::from_bytes([7; 16]);
const OTHER: InstanceUid = InstanceUid::from_bytes([8; 16]);

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn capabilities() -> AgentCaps {
    AgentCaps::of(&[
        AgentCapabilities::AcceptsRemoteConfig,
        AgentCapabilities::ReportsEffectiveConfig,
        AgentCapabilities::ReportsRemoteConfig,
        AgentCapabilities::ReportsHealth,
        AgentCapabilities::ReportsHeartbeat,
        AgentCapabilities::ReportsAvailableComponents,
    ])
}

fn client_with(link: Link, capabilities: AgentCaps) -> Client {
    let options = ClientOptions { instance_uid: UID, capabilities, link, heartbeat: DEFAULT_HEARTBEAT };
    let mut client = Client::new(options, 1);
    client.set_description(AgentDescription::default());
    client.set_health(healthy(true));
    client
}

fn healthy(healthy: bool) -> ComponentHealth {
    ComponentHealth { healthy, ..Default::default() }
}

fn components() -> AvailableComponents {
    let components = [("receivers".to_owned(), ComponentDetails::default())].into();
    AvailableComponents { components, hash: vec![4; 32] }
}

fn effects(client: &mut Client, now: Duration) -> Vec<Effect> {
    let all: Vec<_> = std::iter::from_fn(|| client.poll_effect(now)).take(100).collect();
    assert!(all.len() < 100, "the machine never comes to rest");
    all
}

fn sent(client: &mut Client, now: Duration) -> Vec<AgentToServer> {
    let sends = effects(client, now).into_iter();
    sends
        .filter_map(|effect| if let Effect::Send(message) = effect { Some(*message) } else { None })
        .collect()
}

fn events(client: &mut Client, now: Duration) -> Vec<Event> {
    let all = effects(client, now).into_iter();
    all.filter_map(|effect| if let Effect::Event(event) = effect { Some(event) } else { None }).collect()
}

fn dial(client: &mut Client, now: Duration) {
    client.handle_timeout(now);
    assert_eq!(effects(client, now), [Effect::Dial]);
    client.connected(now);
}

fn reply() -> ServerToAgent {
    ServerToAgent { instance_uid: UID.to_vec(), ..Default::default() }
}

/// Connected, and the first report answered.
fn online(link: Link) -> Client {
    let mut client = client_with(link, capabilities());
    dial(&mut client, at(0));
    assert_eq!(sent(&mut client, at(0)).len(), 1);
    client.received(reply(), at(0));
    assert_eq!(events(&mut client, at(0)), [Event::Synced]);
    client
}

fn bare(message: &AgentToServer) -> bool {
    let bare = AgentToServer {
        instance_uid: message.instance_uid.clone(),
        sequence_num: message.sequence_num,
        capabilities: message.capabilities,
        ..Default::default()
    };
    *message == bare
}

fn error(kind: ServerErrorResponseType, after: Option<Duration>) -> ServerToAgent {
    let nanos = |after: Duration| u64::try_from(after.as_nanos()).unwrap();
    let details = after.map(|after| Details::RetryInfo(RetryInfo { retry_after_nanoseconds: nanos(after) }));
    let error = ServerErrorResponse { r#type: kind as i32, error_message: "no".into(), details };
    ServerToAgent { error_response: Some(error), ..reply() }
}

#[test]
fn c_tc_02_c_cp_01_02_the_first_message_reports_everything() {
    let mut client = client_with(Link::WebSocket, capabilities());
    client.set_effective_config(EffectiveConfig::default());
    dial(&mut client, at(0));
    let first = sent(&mut client, at(0)).remove(0);
    assert_eq!((first.sequence_num, &*first.instance_uid), (1, UID.as_bytes().as_slice()));
    assert!(AgentCaps::from_wire(first.capabilities).has(AgentCapabilities::ReportsStatus));
    for part in [Part::Description, Part::Health, Part::EffectiveConfig] {
        assert!(carried(&first).has(part), "{part:?}");
    }
}

#[test]
fn c_tc_02_c_ws_06_after_a_reconnect_a_bare_message_opens_when_nothing_changed() {
    let mut client = online(Link::WebSocket);
    client.disconnected(Retry::Lost, at(1));
    let until = client.poll_timeout().unwrap();
    dial(&mut client, until);
    let first = sent(&mut client, until).remove(0);
    assert!(bare(&first), "{first:?}");
    assert_eq!(first.sequence_num, 2);
}

#[test]
fn c_sq_01_03_04_11_20_changes_go_out_whole_together_and_alone() {
    let mut client = online(Link::WebSocket);
    client.set_health(healthy(false));
    client.set_health(ComponentHealth { last_error: "late".into(), ..healthy(false) });
    client.set_effective_config(EffectiveConfig::default());
    let messages = sent(&mut client, at(1));
    assert_eq!(messages.len(), 1, "changes coalesce");
    assert_eq!(messages[0].sequence_num, 2);
    assert_eq!(messages[0].health.as_ref().unwrap().last_error, "late");
    assert_eq!(carried(&messages[0]).iter().collect::<Vec<_>>(), [Part::Health, Part::EffectiveConfig]);
}

#[test]
fn c_sq_12_13_14_nothing_changed_nothing_said() {
    let mut client = online(Link::WebSocket);
    client.set_health(healthy(true));
    client.received(reply(), at(1));
    assert_eq!(effects(&mut client, at(1)), []);
}

#[test]
fn c_sq_02_full_state_on_request() {
    let mut client = online(Link::WebSocket);
    let flags = ServerToAgentFlags::ReportFullState as u64;
    client.received(ServerToAgent { flags, ..reply() }, at(1));
    let messages = sent(&mut client, at(1));
    assert_eq!(messages.len(), 1);
    assert_eq!(carried(&messages[0]).iter().collect::<Vec<_>>(), [Part::Description, Part::Health]);
}

#[test]
fn c_sq_18_what_was_not_answered_is_said_again_after_a_loss() {
    let mut client = online(Link::WebSocket);
    client.set_health(healthy(false));
    assert_eq!(sent(&mut client, at(1)).len(), 1);
    client.disconnected(Retry::Lost, at(2));
    let until = client.poll_timeout().unwrap();
    dial(&mut client, until);
    let again = sent(&mut client, until).remove(0);
    assert_eq!(carried(&again).iter().collect::<Vec<_>>(), [Part::Health]);
}

#[test]
fn c_sq_18_over_http_a_lost_answer_may_have_asked_for_everything() {
    let mut client = online(Link::Http);
    client.set_effective_config(EffectiveConfig::default());
    assert_eq!(sent(&mut client, at(1)).len(), 1);
    client.disconnected(Retry::Unanswered, at(2));
    let until = client.poll_timeout().unwrap();
    dial(&mut client, until);
    let again = sent(&mut client, until).remove(0);
    let parts = [Part::Description, Part::Health, Part::EffectiveConfig];
    assert_eq!(carried(&again).iter().collect::<Vec<_>>(), parts);
}

#[test]
fn c_hb_05_07_09_a_heartbeat_is_bare_and_measured_from_the_last_message() {
    let mut client = online(Link::WebSocket);
    assert_eq!(client.poll_timeout(), Some(at(30)));
    client.set_health(healthy(false));
    assert_eq!(sent(&mut client, at(10)).len(), 1);
    client.handle_timeout(at(30));
    assert_eq!(sent(&mut client, at(30)), []);
    assert_eq!(client.poll_timeout(), Some(at(40)));
    client.handle_timeout(at(40));
    let beats = sent(&mut client, at(40));
    assert!(beats.len() == 1 && bare(&beats[0]), "{beats:?}");
}

#[test]
fn c_hb_02_04_06_10_the_period_is_offered_and_zero_or_no_capability_or_no_connection_means_none() {
    let mut client = online(Link::WebSocket);
    client.set_heartbeat(at(7));
    assert_eq!(client.poll_timeout(), Some(at(7)));
    client.set_heartbeat(Duration::ZERO);
    assert_eq!(client.poll_timeout(), None);
    client.set_heartbeat(at(7));
    client.set_capabilities(capabilities().without(AgentCapabilities::ReportsHeartbeat));
    assert_eq!(client.poll_timeout(), None);
    client.disconnected(Retry::Lost, at(1));
    let until = client.poll_timeout().unwrap();
    client.handle_timeout(until);
    assert_eq!(effects(&mut client, until), [Effect::Dial]);
}

#[test]
fn c_ht_02_04_c_hb_08_a_poll_is_bare_and_zero_changes_nothing() {
    let mut client = online(Link::Http);
    client.set_heartbeat(Duration::ZERO);
    assert_eq!(client.poll_timeout(), Some(DEFAULT_HEARTBEAT));
    client.set_heartbeat(at(5));
    client.set_capabilities(capabilities());
    client.handle_timeout(at(5));
    let polls = sent(&mut client, at(5));
    assert!(polls.len() == 1 && bare(&polls[0]), "{polls:?}");
}

#[test]
fn c_ht_05_one_request_in_flight_and_the_next_follows_its_response() {
    let mut client = online(Link::Http);
    client.set_health(healthy(false));
    assert_eq!(sent(&mut client, at(1)).len(), 1);
    client.set_health(healthy(true));
    client.handle_timeout(at(100));
    assert_eq!(effects(&mut client, at(100)), []);
    client.received(reply(), at(101));
    assert_eq!(sent(&mut client, at(101)).len(), 1);
}

#[test]
fn c_lm_07_13_what_is_too_large_is_not_sent_again() {
    for link in [Link::Http, Link::WebSocket] {
        let mut client = online(link);
        client.set_health(healthy(false));
        assert_eq!(sent(&mut client, at(1)).len(), 1);
        client.undeliverable();
        assert_eq!(effects(&mut client, at(1)), []);
        client.disconnected(Retry::Lost, at(2));
        let until = client.poll_timeout().unwrap();
        dial(&mut client, until);
        assert!(bare(&sent(&mut client, until)[0]));
    }
}

#[test]
fn c_ac_02_04_05_06_components_as_a_hash_until_asked() {
    let mut client = online(Link::WebSocket);
    client.set_available_components(components());
    let first = sent(&mut client, at(1)).remove(0).available_components.unwrap();
    assert_eq!((first.hash, first.components.len()), (vec![4; 32], 0));
    let flags = ServerToAgentFlags::ReportAvailableComponents as u64;
    client.received(ServerToAgent { flags, ..reply() }, at(2));
    let full = sent(&mut client, at(2)).remove(0).available_components.unwrap();
    assert_eq!(full, components());
    client.set_available_components(components());
    client.received(reply(), at(3));
    assert_eq!(effects(&mut client, at(3)), []);
}

#[test]
fn c_ac_01_without_the_capability_components_stay_here() {
    let caps = capabilities().without(AgentCapabilities::ReportsAvailableComponents);
    let mut client = client_with(Link::WebSocket, caps);
    client.set_available_components(components());
    dial(&mut client, at(0));
    assert_eq!(sent(&mut client, at(0))[0].available_components, None);
    let flags = ServerToAgentFlags::ReportAvailableComponents as u64;
    client.received(ServerToAgent { flags, ..reply() }, at(1));
    assert_eq!(sent(&mut client, at(1)), []);
}

#[test]
fn c_cm_01_a_command_stands_alone() {
    let mut client = online(Link::WebSocket);
    client.set_capabilities(capabilities().with(AgentCapabilities::AcceptsRestartCommand));
    assert_eq!(sent(&mut client, at(1)).len(), 1, "c_cp_04: a new capability is told");
    client.received(restart(), at(1));
    assert_eq!(effects(&mut client, at(1)), [Effect::Event(Event::Restart)]);
}

#[test]
fn c_cm_02_a_restart_without_the_capability_is_ignored() {
    let mut client = online(Link::WebSocket);
    client.received(restart(), at(1));
    assert!(matches!(*events(&mut client, at(1)), [Event::Ignored(_)]));
}

fn restart() -> ServerToAgent {
    ServerToAgent {
        command: Some(ServerToAgentCommand { r#type: CommandType::Restart as i32 }),
        remote_config: Some(AgentRemoteConfig::default()),
        flags: ServerToAgentFlags::ReportFullState as u64,
        ..reply()
    }
}

#[test]
fn c_cp_05_an_offer_without_the_capability_is_ignored() {
    let offer = ServerToAgent { remote_config: Some(AgentRemoteConfig::default()), ..reply() };
    let mut client = online(Link::WebSocket);
    client.received(offer.clone(), at(1));
    assert_eq!(events(&mut client, at(1)), [Event::RemoteConfig(AgentRemoteConfig::default())]);
    client.set_capabilities(capabilities().without(AgentCapabilities::AcceptsRemoteConfig));
    client.received(offer, at(1));
    assert!(matches!(*events(&mut client, at(1)), [Event::Ignored(_)]));
}

#[test]
fn c_cp_06_s_cp_03_a_part_that_the_server_does_not_take_stays_here() {
    let mut client = online(Link::WebSocket);
    let capabilities = ServerCapabilities::AcceptsStatus as u64;
    client.received(ServerToAgent { capabilities, ..reply() }, at(1));
    client.received(reply(), at(1));
    client.set_effective_config(EffectiveConfig::default());
    assert_eq!(sent(&mut client, at(1)), []);
    let capabilities = capabilities | ServerCapabilities::AcceptsEffectiveConfig as u64;
    client.received(ServerToAgent { capabilities, ..reply() }, at(2));
    assert!(carried(&sent(&mut client, at(2))[0]).has(Part::EffectiveConfig));
}

mod asks;
mod offers;
mod unchanged;
