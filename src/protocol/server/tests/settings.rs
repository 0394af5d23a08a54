//! Connection settings, custom messages, and what goes with the first answer.

use super::*;
use crate::{
    protocol::custom::Refused,
    wire::proto::{
        AgentToServerFlags, CertificateRequest, ConnectionSettingsOffers, ConnectionSettingsRequest,
        ConnectionSettingsStatus, CustomCapabilities, CustomMessage, OpAmpConnectionSettings,
        OpAmpConnectionSettingsRequest, OtherConnectionSettings, TelemetryConnectionSettings,
    },
};

const NAME: &str = "org.example.things/v1";

fn wanted(hash: &[u8]) -> ConnectionSettingsOffers {
    ConnectionSettingsOffers {
        hash: hash.to_vec(),
        opamp: Some(OpAmpConnectionSettings::default()),
        own_metrics: Some(TelemetryConnectionSettings::default()),
        own_traces: Some(TelemetryConnectionSettings::default()),
        own_logs: Some(TelemetryConnectionSettings::default()),
        other_connections: [("otlp".to_owned(), OtherConnectionSettings::default())].into(),
    }
}

fn taking(bits: &[AgentCapabilities], message: AgentToServer) -> AgentToServer {
    let caps = bits.iter().fold(agent_capabilities(), |caps, bit| caps.with(*bit));
    AgentToServer { capabilities: caps.bits(), ..message }
}

fn says(pair: &mut Pair, message: AgentToServer, desired: &Desired<'_>) -> ServerToAgent {
    pair.session.receive(&mut pair.view, message);
    pair.session.reply(&mut pair.view, desired)
}

#[test]
fn s_cs_01_s_cp_06_each_class_is_offered_to_agents_that_take_it_and_the_hash_is_of_all() {
    use AgentCapabilities as Bit;
    let all = wanted(b"all");
    let desired = Desired { connection_settings: Some(&all), ..Default::default() };
    let offered = |bits: &[Bit]| {
        let mut pair = known();
        says(&mut pair, taking(bits, bare(2)), &desired).connection_settings
    };
    assert_eq!(offered(&[]), None);
    let empty = ConnectionSettingsOffers { hash: b"all".to_vec(), ..Default::default() };
    let one = |change: fn(&mut ConnectionSettingsOffers)| {
        let mut offer = empty.clone();
        change(&mut offer);
        Some(offer)
    };
    assert_eq!(offered(&[Bit::AcceptsOpAmpConnectionSettings]), one(|offer| offer.opamp = wanted(b"").opamp));
    assert_eq!(offered(&[Bit::ReportsOwnMetrics]), one(|offer| offer.own_metrics = wanted(b"").own_metrics));
    assert_eq!(offered(&[Bit::ReportsOwnTraces]), one(|offer| offer.own_traces = wanted(b"").own_traces));
    assert_eq!(offered(&[Bit::ReportsOwnLogs]), one(|offer| offer.own_logs = wanted(b"").own_logs));
    let other = one(|offer| offer.other_connections = wanted(b"").other_connections);
    assert_eq!(offered(&[Bit::AcceptsOtherConnectionSettings]), other);
}

#[test]
fn s_cs_06_07_settings_are_offered_while_the_reported_hash_differs() {
    let (new, newer) = (wanted(b"new"), wanted(b"newer"));
    let desired = Desired { connection_settings: Some(&new), ..Default::default() };
    let bits = [AgentCapabilities::AcceptsOpAmpConnectionSettings];
    let reports = |number, hash: &[u8]| {
        let status =
            ConnectionSettingsStatus { last_connection_settings_hash: hash.to_vec(), ..Default::default() };
        taking(&bits, AgentToServer { connection_settings_status: Some(status), ..bare(number) })
    };
    let mut pair = known();
    assert_eq!(says(&mut pair, taking(&bits, bare(2)), &desired).connection_settings.unwrap().hash, b"new");
    assert_eq!(says(&mut pair, taking(&bits, bare(3)), &desired).connection_settings, None, "on its way");
    assert!(says(&mut pair, reports(4, b"old"), &desired).connection_settings.is_some());
    assert_eq!(says(&mut pair, reports(5, b"new"), &desired).connection_settings, None, "it has them");
    assert_eq!(pair.session.push(&pair.view, &desired), None);
    let desired = Desired { connection_settings: Some(&newer), ..Default::default() };
    let pushed = pair.session.push(&pair.view, &desired).unwrap();
    assert_eq!(pushed.connection_settings.unwrap().hash, b"newer");
    assert_eq!(pair.session.push(&pair.view, &desired), None);
    pair.reconnects();
    assert!(says(&mut pair, taking(&bits, bare(6)), &desired).connection_settings.is_some());
}

#[test]
fn s_ht_04_s_cs_07_over_http_an_offer_survives_a_lost_answer() {
    let (settings, config) = (wanted(b"new"), config(b"new"));
    let desired =
        Desired { connection_settings: Some(&settings), remote_config: Some(&config), ..Default::default() };
    let offered = |pair: &mut Pair, bits: &[AgentCapabilities], message| {
        let reply = says(pair, taking(bits, message), &desired);
        (reply.remote_config.is_some(), reply.connection_settings.is_some())
    };
    // Until it is reported, from an agent that reports.
    let bits = [
        AgentCapabilities::AcceptsOpAmpConnectionSettings,
        AgentCapabilities::ReportsConnectionSettingsStatus,
    ];
    let mut pair = Pair::over_http();
    for number in 1..=u64::from(ATTEMPTS_HTTP) {
        assert_eq!(offered(&mut pair, &bits, bare(number)), (true, true));
    }
    assert_eq!(offered(&mut pair, &bits, bare(17)), (false, false), "not forever");
    // From one that does not, when it speaks like one that missed the answer.
    let without = agent_capabilities().without(AgentCapabilities::ReportsRemoteConfig);
    let caps = without.with(AgentCapabilities::AcceptsOpAmpConnectionSettings).bits();
    let mut pair = Pair::over_http();
    let mut offered = |message: AgentToServer| {
        let reply = says(&mut pair, AgentToServer { capabilities: caps, ..message }, &desired);
        (reply.remote_config.is_some(), reply.connection_settings.is_some())
    };
    assert_eq!(offered(first(1)), (true, true));
    assert_eq!(offered(bare(2)), (false, false));
    assert_eq!(offered(first(3)), (true, true));
    assert_eq!(offered(bare(4)), (false, false));
    assert_eq!(offered(bare(9)), (true, true));
}

#[test]
fn s_rc_01_s_cs_01_a_server_that_does_not_say_so_offers_nothing() {
    let (settings, config) = (wanted(b"new"), config(b"new"));
    let desired =
        Desired { connection_settings: Some(&settings), remote_config: Some(&config), ..Default::default() };
    let bits = [AgentCapabilities::AcceptsOpAmpConnectionSettings];
    for (bit, expected) in [
        (ServerCapabilities::OffersRemoteConfig, (true, false)),
        (ServerCapabilities::OffersConnectionSettings, (false, true)),
    ] {
        let caps = ServerCaps::of(&[ServerCapabilities::AcceptsStatus, bit]);
        let mut pair = Pair { session: Session::new(caps), ..Pair::new() };
        let reply = says(&mut pair, taking(&bits, first(1)), &desired);
        assert_eq!((reply.remote_config.is_some(), reply.connection_settings.is_some()), expected);
    }
}

fn list(names: &[&str]) -> CustomCapabilities {
    CustomCapabilities { capabilities: names.iter().map(ToString::to_string).collect() }
}

fn message() -> CustomMessage {
    CustomMessage { capability: NAME.into(), r#type: "thing".into(), data: vec![1] }
}

#[test]
fn b_cu_01_the_list_is_told_when_it_changes_and_once() {
    let ours = [NAME.to_owned()];
    let desired = Desired { custom_capabilities: &ours, ..Default::default() };
    let mut pair = Pair::new();
    assert_eq!(says(&mut pair, first(1), &desired).custom_capabilities, Some(list(&[NAME])));
    assert_eq!(says(&mut pair, bare(2), &desired).custom_capabilities, None);
    let pushed = pair.session.push(&pair.view, &Desired::default()).unwrap();
    assert_eq!(pushed.custom_capabilities, Some(list(&[])), "an empty list takes back");
    assert_eq!(pair.session.push(&pair.view, &Desired::default()), None);
}

#[test]
fn b_cu_01_s_cp_02_over_http_the_first_answer_may_have_been_lost() {
    let ours = [NAME.to_owned()];
    let desired = Desired { custom_capabilities: &ours, ..Default::default() };
    let mut pair = Pair::over_http();
    let bits = server_capabilities().bits();
    let told = |reply: &ServerToAgent| (reply.capabilities, reply.custom_capabilities.is_some());
    assert_eq!(told(&says(&mut pair, first(1), &desired)), (bits, true));
    assert_eq!(told(&says(&mut pair, bare(2), &desired)), (0, false), "an agent that goes on has heard it");
    assert_eq!(told(&says(&mut pair, first(3), &desired)), (bits, true), "one that says all again may not");
    assert_eq!(told(&says(&mut pair, bare(9), &desired)), (bits, true), "nor one that leaves numbers out");
    assert_eq!(told(&says(&mut pair, first(10), &desired)), (bits, true), "be it that it was asked");
    assert_eq!(told(&says(&mut pair, bare(11), &desired)), (0, false));
    // Over WebSocket what was sent arrives.
    let mut pair = Pair::new();
    assert_eq!(told(&says(&mut pair, first(1), &desired)), (bits, true));
    assert_eq!(told(&says(&mut pair, first(2), &desired)), (0, false));
}

#[test]
fn b_cu_02_06_a_custom_message_needs_the_capability_at_both_ends() {
    let ours = [NAME.to_owned()];
    let mut pair = known();
    let refused = pair.session.custom(&pair.view, &[], message());
    assert_eq!(refused, Err(Refused::NotOurs(NAME.into())));
    let refused = pair.session.custom(&pair.view, &ours, message());
    assert_eq!(refused, Err(Refused::NotTheirs(NAME.into())));
    pair.hears(AgentToServer { custom_capabilities: Some(list(&[NAME])), ..bare(2) });
    let sent = pair.session.custom(&pair.view, &ours, message()).unwrap();
    assert_eq!((sent.instance_uid, sent.custom_message), (UID.to_vec(), Some(message())));
    assert_eq!(sent.custom_capabilities, Some(list(&[NAME])), "no capability is used before it was told");
    let again = pair.session.custom(&pair.view, &ours, message()).unwrap();
    assert_eq!((again.custom_capabilities, again.capabilities), (None, 0));
    pair.hears(AgentToServer { custom_capabilities: Some(list(&[])), ..bare(3) });
    assert!(pair.session.custom(&pair.view, &ours, message()).is_err(), "the list was replaced");
}

#[test]
fn s_cp_02_the_first_message_carries_the_capabilities_whichever_it_is() {
    let bits = server_capabilities().bits();
    let mut pair = known();
    pair.hears(AgentToServer { custom_capabilities: Some(list(&[NAME])), ..bare(2) });
    pair.reconnects();
    let custom = pair.session.custom(&pair.view, &[NAME.to_owned()], message()).unwrap();
    assert_eq!(custom.capabilities, bits);
    assert_eq!(pair.hears(bare(3)).capabilities, 0);
    pair.reconnects();
    let command = pair.session.restart(&pair.view).unwrap();
    assert_eq!(command.capabilities, bits);
    assert_eq!(pair.session.restart(&pair.view).unwrap().capabilities, 0);
}

#[test]
fn b_cu_04_c_cr_02_c_id_05_what_the_agent_asks_for_reaches_the_caller() {
    let mut pair = known();
    let certificate_request = Some(CertificateRequest { csr: b"PEM".to_vec() });
    let opamp = Some(OpAmpConnectionSettingsRequest { certificate_request });
    let request = ConnectionSettingsRequest { opamp };
    let asks = AgentToServer {
        custom_message: Some(message()),
        connection_settings_request: Some(request.clone()),
        flags: AgentToServerFlags::RequestInstanceUid as u64,
        ..bare(2)
    };
    let received = pair.session.receive(&mut pair.view, asks);
    assert_eq!(received.custom_message, Some(message()));
    assert_eq!(received.connection_settings_request, Some(request));
    assert!(received.wants_uid && !received.disconnect);
    let received = pair.session.receive(&mut pair.view, AgentToServer { flags: !1, ..bare(3) });
    assert!(!received.wants_uid, "b_io_02: bits that nobody knows mean nothing");
}

#[test]
fn s_hb_01_n1_a_bare_message_takes_nothing_back() {
    let mut pair = known();
    let before = pair.view.clone();
    pair.hears(AgentToServer { capabilities: 0, ..bare(2) });
    assert_eq!(pair.view, AgentView { sequence_num: Some(2), ..before });
}

#[test]
fn b_io_02_03_bits_that_nobody_knows_are_dropped() {
    let mut pair = known();
    pair.hears(AgentToServer { capabilities: u64::MAX, ..bare(2) });
    assert_eq!(pair.view.capabilities.bits(), AgentCaps::DEFINED);
    let mut pair = Pair { session: Session::new(ServerCaps::from_wire(u64::MAX)), ..Pair::new() };
    assert_eq!(pair.hears(first(1)).capabilities, ServerCaps::DEFINED);
}

#[test]
fn c_ac_02_components_without_a_hash_are_compared_as_they_are() {
    let says = |number, name: &str| {
        let components = [(name.to_owned(), ComponentDetails::default())].into();
        let part = AvailableComponents { components, hash: Vec::new() };
        AgentToServer { available_components: Some(part), ..bare(number) }
    };
    let mut pair = Pair::new();
    let changed = |pair: &mut Pair, message| pair.session.receive(&mut pair.view, message).changed;
    assert!(changed(&mut pair, says(1, "a")).has(Part::AvailableComponents));
    assert!(!changed(&mut pair, says(2, "a")).has(Part::AvailableComponents));
    assert!(changed(&mut pair, says(3, "b")).has(Part::AvailableComponents));
}
