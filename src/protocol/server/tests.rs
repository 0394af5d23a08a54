//! The server's rules, one test per group of conformance ids.

mod packages;
mod settings;

use std::time::Duration;

use super::*;
use crate::wire::proto::{
    AgentCapabilities, AgentConfigMap, AgentDescription, AgentDisconnect, AvailableComponents,
    ComponentHealth, EffectiveConfig, RemoteConfigStatus, RemoteConfigStatuses, ServerCapabilities,
    ServerErrorResponseType, server_error_response::Details,
};

const UID: InstanceUid = InstanceUid::from_bytes([7; 16]);
const FULL_STATE: u64 = ServerToAgentFlags::ReportFullState as u64;
const COMPONENTS: u64 = ServerToAgentFlags::ReportAvailableComponents as u64;

fn server_capabilities() -> ServerCaps {
    ServerCaps::of(&[
        ServerCapabilities::AcceptsStatus,
        ServerCapabilities::OffersRemoteConfig,
        ServerCapabilities::AcceptsEffectiveConfig,
        ServerCapabilities::OffersConnectionSettings,
    ])
}

fn agent_capabilities() -> AgentCaps {
    AgentCaps::of(&[
        AgentCapabilities::ReportsStatus,
        AgentCapabilities::AcceptsRemoteConfig,
        AgentCapabilities::ReportsRemoteConfig,
        AgentCapabilities::ReportsEffectiveConfig,
        AgentCapabilities::ReportsHealth,
        AgentCapabilities::ReportsAvailableComponents,
        AgentCapabilities::AcceptsRestartCommand,
    ])
}

fn bare(sequence_num: u64) -> AgentToServer {
    let capabilities = agent_capabilities().bits();
    AgentToServer { instance_uid: UID.to_vec(), sequence_num, capabilities, ..Default::default() }
}

fn first(sequence_num: u64) -> AgentToServer {
    AgentToServer {
        agent_description: Some(AgentDescription::default()),
        health: Some(ComponentHealth::default()),
        effective_config: Some(EffectiveConfig::default()),
        available_components: Some(AvailableComponents { hash: vec![4], ..Default::default() }),
        ..bare(sequence_num)
    }
}

fn status(sequence_num: u64, hash: &[u8]) -> AgentToServer {
    let remote_config_status = Some(RemoteConfigStatus {
        last_remote_config_hash: hash.to_vec(),
        status: RemoteConfigStatuses::Applying as i32,
        error_message: String::new(),
    });
    AgentToServer { remote_config_status, ..bare(sequence_num) }
}

fn config(hash: &[u8]) -> AgentRemoteConfig {
    AgentRemoteConfig { config: Some(AgentConfigMap::default()), config_hash: hash.to_vec() }
}

/// One server, one agent.
struct Pair {
    view: AgentView,
    session: Session,
    wanted: Option<AgentRemoteConfig>,
}

impl Pair {
    fn new() -> Self {
        let session = Session::new(server_capabilities());
        Self { view: AgentView::new(UID), session, wanted: None }
    }

    fn over_http() -> Self {
        Self { session: Session::over_http(server_capabilities()), ..Self::new() }
    }

    fn hears(&mut self, message: AgentToServer) -> ServerToAgent {
        self.session.receive(&mut self.view, message);
        let desired = Desired { remote_config: self.wanted.as_ref(), ..Default::default() };
        self.session.reply(&mut self.view, &desired)
    }

    fn pushes(&mut self) -> Option<ServerToAgent> {
        let desired = Desired { remote_config: self.wanted.as_ref(), ..Default::default() };
        self.session.push(&self.view, &desired)
    }

    fn reconnects(&mut self) {
        self.session = Session::new(server_capabilities());
    }
}

/// An agent that was heard in full, with its components asked for.
fn known() -> Pair {
    let mut pair = Pair::new();
    let reply = pair.hears(first(1));
    assert_eq!(reply.flags, COMPONENTS, "s_ac_01: only the unknown components are asked for");
    pair
}

#[test]
fn s_cp_02_03_04_05_capabilities_in_the_first_answer_only() {
    let mut pair = Pair::new();
    let capabilities = pair.hears(first(1)).capabilities;
    assert_eq!(capabilities, server_capabilities().bits());
    assert_eq!(pair.hears(bare(2)).capabilities, 0);
}

#[test]
fn s_sq_04_05_s_id_01_s_hl_02_an_empty_answer_names_the_agent_and_nothing_else() {
    let mut pair = known();
    let expected = ServerToAgent { instance_uid: UID.to_vec(), ..Default::default() };
    assert_eq!(pair.hears(bare(2)), expected);
}

#[test]
fn s_sq_01_02_03_f_101_a_gap_asks_for_the_full_state() {
    for lost in [1, 3, 4, 900] {
        let mut pair = known();
        assert_eq!(pair.hears(bare(2)).flags, 0);
        pair.reconnects();
        let reply = pair.hears(AgentToServer { health: Some(ComponentHealth::default()), ..bare(3 + lost) });
        assert_eq!(reply.flags & FULL_STATE, FULL_STATE, "{lost} lost");
    }
}

#[test]
fn s_sq_01_a_replayed_number_is_a_gap_too() {
    let mut pair = known();
    pair.hears(bare(2));
    assert_eq!(pair.hears(bare(2)).flags, FULL_STATE);
}

#[test]
fn s_sq_02_the_request_is_made_again_if_the_connection_broke_before_the_answer() {
    let mut pair = known();
    assert_eq!(pair.hears(bare(5)).flags, FULL_STATE);
    pair.reconnects();
    assert_eq!(pair.hears(bare(6)).flags & FULL_STATE, FULL_STATE, "6 follows 5, and all is missing still");
    assert_eq!(pair.hears(first(7)).flags & FULL_STATE, 0);
    pair.reconnects();
    assert_eq!(pair.hears(bare(8)).flags & FULL_STATE, 0);
}

#[test]
fn s_sq_02_an_agent_that_does_not_answer_is_not_asked_forever() {
    let asked = |mut pair: Pair, step: u64| {
        let messages = (10..100).map(|number| bare(step * number));
        messages.filter(|message| pair.hears(message.clone()).flags & FULL_STATE != 0).count()
    };
    assert_eq!(asked(known(), 1), 1);
    assert_eq!(asked(known(), 2), usize::from(ATTEMPTS_STATE), "each gap is a new reason");
    assert_eq!(asked(Pair::over_http(), 1), usize::from(ATTEMPTS_STATE), "the request may have been lost");
}

#[test]
fn s_sq_02_what_an_agent_may_not_have_yet_is_missed_only_when_it_may_have_said_it() {
    let starting = AgentToServer { effective_config: None, ..first(1) };
    assert_eq!(Pair::new().hears(starting).flags & FULL_STATE, 0);
    let running = AgentToServer { effective_config: None, ..first(20) };
    assert_eq!(Pair::new().hears(running).flags & FULL_STATE, FULL_STATE);
}

#[test]
fn s_sq_06_each_copy_is_answered() {
    let mut pair = known();
    for _ in 0..3 {
        assert_eq!(pair.hears(bare(2)).instance_uid, UID.to_vec());
    }
}

#[test]
fn s_rc_02_03_04_s_sq_04_a_config_is_offered_while_the_reported_hash_differs() {
    let mut pair = known();
    pair.wanted = Some(config(b"new"));
    assert_eq!(pair.hears(bare(2)).remote_config, pair.wanted);
    assert_eq!(pair.hears(bare(3)).remote_config, None, "it is on its way");
    assert_eq!(pair.hears(status(4, b"old")).remote_config, pair.wanted);
    assert_eq!(pair.hears(status(5, b"new")).remote_config, None, "s_rc_06");
    pair.reconnects();
    assert_eq!(pair.hears(bare(6)).remote_config, None);
}

#[test]
fn s_rc_03_an_offer_is_repeated_on_a_new_connection_until_the_agent_reports_it() {
    let mut pair = known();
    pair.wanted = Some(config(b"new"));
    assert!(pair.pushes().is_some());
    pair.reconnects();
    assert_eq!(pair.hears(bare(2)).remote_config, pair.wanted);
}

#[test]
fn s_rc_03_s_ht_04_over_http_an_offer_waits_for_the_poll_and_survives_a_lost_answer() {
    let mut pair = Pair::over_http();
    pair.hears(first(1));
    pair.wanted = Some(config(b"new"));
    for sequence_num in 2..5 {
        assert_eq!(pair.hears(bare(sequence_num)).remote_config, pair.wanted);
    }
    assert_eq!(pair.hears(status(5, b"new")).remote_config, None);
}

#[test]
fn s_rc_01_s_cp_01_06_no_offer_without_the_capability_and_changes_are_followed() {
    let mut pair = known();
    pair.wanted = Some(config(b"new"));
    let capabilities = agent_capabilities().without(AgentCapabilities::AcceptsRemoteConfig).bits();
    assert_eq!(pair.hears(AgentToServer { capabilities, ..bare(2) }).remote_config, None);
    assert_eq!(pair.pushes(), None);
    assert_eq!(pair.hears(bare(3)).remote_config, pair.wanted);
}

#[test]
fn s_rc_07_an_offer_is_pushed_once() {
    let mut pair = Pair::new();
    pair.wanted = Some(config(b"new"));
    assert_eq!(pair.pushes(), None, "the agent speaks first");
    pair.wanted = None;
    pair.hears(first(1));
    pair.wanted = Some(config(b"new"));
    assert_eq!(pair.pushes().unwrap().remote_config, pair.wanted);
    assert_eq!(pair.pushes(), None);
    pair.wanted = Some(config(b"newer"));
    assert_eq!(pair.pushes().unwrap().remote_config, pair.wanted);
}

#[test]
fn s_ac_01_02_components_are_asked_for_once_or_taken_from_the_cache() {
    struct Cache;
    impl KnownComponents for Cache {
        fn by_hash(&self, hash: &[u8]) -> Option<BTreeMap<String, ComponentDetails>> {
            (hash == [4]).then(|| [("receivers".to_owned(), ComponentDetails::default())].into())
        }
    }
    let mut pair = known();
    assert_eq!(pair.hears(bare(2)).flags, 0);
    let mut pair = Pair::new();
    pair.session.receive(&mut pair.view, first(1));
    let desired = Desired { components: Some(&Cache), ..Default::default() };
    assert_eq!(pair.session.reply(&mut pair.view, &desired).flags, 0);
    assert_eq!(pair.view.report.available_components.unwrap().components.len(), 1);
}

#[test]
fn s_cm_01_02_a_restart_goes_alone_and_only_where_it_is_taken() {
    let mut pair = known();
    let command = pair.session.restart(&pair.view).unwrap();
    let alone = ServerToAgent { command: command.command, ..pair.hears(bare(2)) };
    assert_eq!(command, alone);
    let capabilities = agent_capabilities().without(AgentCapabilities::AcceptsRestartCommand).bits();
    pair.hears(AgentToServer { capabilities, ..bare(3) });
    assert_eq!(pair.session.restart(&pair.view), Err(NotSupported));
}

#[test]
fn s_id_02_05_a_new_uid_is_sent_until_it_is_taken() {
    let mut pair = known();
    let new = InstanceUid::from_bytes([9; 16]);
    let desired = Desired { new_instance_uid: Some(new), ..Default::default() };
    pair.session.receive(&mut pair.view, bare(2));
    let reply = pair.session.reply(&mut pair.view, &desired);
    assert_eq!(reply.instance_uid, UID.to_vec());
    assert_eq!(reply.agent_identification.unwrap().new_instance_uid, new.to_vec());
}

#[test]
fn c_id_05_s_ad_01_the_caller_is_told_of_a_goodbye_and_a_wish_for_a_uid() {
    let mut pair = known();
    let goodbye = AgentToServer { agent_disconnect: Some(AgentDisconnect {}), flags: 1, ..bare(2) };
    let received = pair.session.receive(&mut pair.view, goodbye);
    assert!(received.disconnect && received.wants_uid && !received.gap && received.changed.is_empty());
}

#[test]
fn s_th_04_05_06_s_hl_01_03_a_bad_request_says_why_and_nothing_else() {
    let reply = bad_request(&[1, 2], "the uid has 2 bytes");
    let error = reply.error_response.clone().unwrap();
    assert_eq!(error.r#type, ServerErrorResponseType::BadRequest as i32);
    assert_eq!(error.error_message, "the uid has 2 bytes");
    let alone = ServerToAgent { instance_uid: vec![1, 2], error_response: Some(error), ..Default::default() };
    assert_eq!(reply, alone);
}

#[test]
fn s_th_01_unavailable_names_the_wait() {
    let error = unavailable(&[], "too many", Duration::from_secs(3)).error_response.unwrap();
    assert_eq!(error.r#type, ServerErrorResponseType::Unavailable as i32);
    let Some(Details::RetryInfo(info)) = error.details else { panic!("no retry_info") };
    assert_eq!(info.retry_after_nanoseconds, 3_000_000_000);
}
