//! Custom messages, certificate requests, and the wish for another uid.

use super::*;
use crate::{
    protocol::custom::Refused,
    wire::proto::{AgentToServerFlags, CustomCapabilities, CustomMessage},
};

const NAME: &str = "org.example.things/v1";

fn list(names: &[&str]) -> CustomCapabilities {
    CustomCapabilities { capabilities: names.iter().map(ToString::to_string).collect() }
}

fn message(capability: &str, number: u8) -> CustomMessage {
    CustomMessage { capability: capability.into(), r#type: "thing".into(), data: vec![number] }
}

/// Both ends have the capability and have said so.
fn able(link: Link) -> Client {
    let mut client = online(link);
    client.set_custom_capabilities(list(&[NAME]));
    assert_eq!(sent(&mut client, at(1)).len(), 1);
    let tells = ServerToAgent { custom_capabilities: Some(list(&[NAME])), ..reply() };
    client.received(tells, at(1));
    assert_eq!(events(&mut client, at(1)), [Event::CustomCapabilities(list(&[NAME]))]);
    client
}

fn numbers(messages: &[AgentToServer]) -> Vec<u8> {
    messages.iter().filter_map(|message| Some(message.custom_message.as_ref()?.data[0])).collect()
}

#[test]
fn b_cu_01_the_list_goes_out_when_it_changes_and_only_then() {
    let mut client = able(Link::WebSocket);
    client.set_custom_capabilities(list(&[NAME]));
    assert_eq!(sent(&mut client, at(2)), []);
    client.set_custom_capabilities(list(&[]));
    assert_eq!(sent(&mut client, at(2))[0].custom_capabilities, Some(list(&[])), "an empty list is a list");
}

#[test]
fn b_cu_02_06_b_io_01_a_message_needs_the_capability_at_both_ends() {
    let mut client = online(Link::WebSocket);
    assert_eq!(client.send_custom(message(NAME, 1)), Err(Refused::NotOurs(NAME.into())));
    client.set_custom_capabilities(list(&[NAME]));
    assert_eq!(client.send_custom(message(NAME, 1)), Err(Refused::NotTheirs(NAME.into())), "it said nothing");
    assert_eq!(client.peer_custom_capabilities(), [""; 0]);
    let mut client = able(Link::WebSocket);
    assert_eq!(client.peer_custom_capabilities(), [NAME]);
    assert_eq!(client.send_custom(message(NAME, 1)), Ok(()));
    assert_eq!(numbers(&sent(&mut client, at(2))), [1]);
    client.received(ServerToAgent { custom_capabilities: Some(list(&["other"])), ..reply() }, at(3));
    assert_eq!(client.send_custom(message(NAME, 2)), Err(Refused::NotTheirs(NAME.into())), "replaced whole");
    let other = message("other", 3);
    assert_eq!(client.send_custom(other), Err(Refused::NotOurs("other".into())));
}

#[test]
fn b_cu_06_one_message_carries_one_custom_message_in_order_and_no_more_than_sixteen_wait() {
    let mut client = able(Link::WebSocket);
    client.disconnected(Retry::Lost, at(2));
    for number in 0..16 {
        assert_eq!(client.send_custom(message(NAME, number)), Ok(()));
    }
    assert_eq!(client.send_custom(message(NAME, 16)), Err(Refused::Full(16)));
    let until = client.poll_timeout().unwrap();
    dial(&mut client, until);
    let messages = sent(&mut client, until);
    assert_eq!(messages.len(), 16);
    assert_eq!(numbers(&messages), (0..16).collect::<Vec<_>>());
    assert_eq!(client.send_custom(message(NAME, 17)), Ok(()), "there is room again");
}

#[test]
fn b_cu_06_c_ht_05_over_http_each_waits_for_the_response_before() {
    let mut client = able(Link::Http);
    for number in 0..3 {
        client.send_custom(message(NAME, number)).unwrap();
    }
    for number in 0..3 {
        assert_eq!(numbers(&sent(&mut client, at(2))), [number]);
        client.received(reply(), at(2));
    }
    assert_eq!(sent(&mut client, at(2)), []);
}

#[test]
fn b_cu_06_what_waits_is_given_up_with_its_capability() {
    let not_theirs = [Event::NotSent(Refused::NotTheirs(NAME.into()))];
    let mut client = able(Link::Http);
    client.set_health(healthy(false));
    assert_eq!(sent(&mut client, at(2)).len(), 1);
    client.send_custom(message(NAME, 1)).unwrap();
    client.received(ServerToAgent { custom_capabilities: Some(list(&[])), ..reply() }, at(3));
    assert_eq!(events(&mut client, at(3))[..1], not_theirs);

    let mut client = able(Link::WebSocket);
    client.send_custom(message(NAME, 1)).unwrap();
    client.set_custom_capabilities(list(&[]));
    let got = effects(&mut client, at(2));
    assert_eq!(got[0], Effect::Event(Event::NotSent(Refused::NotOurs(NAME.into()))));
    assert!(matches!(&got[1..], [Effect::Send(message)] if message.custom_message.is_none()));

    let mut client = able(Link::WebSocket);
    client.disconnected(Retry::Lost, at(2));
    client.send_custom(message(NAME, 1)).unwrap();
    client.redirect(Link::WebSocket, at(3));
    let nothing = Event::CustomCapabilities(list(&[]));
    let unknown = [nothing, not_theirs[0].clone()];
    assert_eq!(events(&mut client, at(3)), unknown, "what another server has is not known yet");
    assert_eq!(client.peer_custom_capabilities(), [""; 0]);
}

#[test]
fn b_cu_04_c_cp_05_a_message_of_a_capability_that_this_end_lacks_is_ignored() {
    let mut client = able(Link::WebSocket);
    let brings = |capability| ServerToAgent { custom_message: Some(message(capability, 5)), ..reply() };
    client.received(brings(NAME), at(2));
    assert_eq!(effects(&mut client, at(2)), [Effect::Event(Event::CustomMessage(message(NAME, 5)))]);
    client.received(brings("other"), at(2));
    assert!(matches!(*effects(&mut client, at(2)), [Effect::Event(Event::Ignored(_))]));
}

fn offers_requests(client: &mut Client, yes: bool) {
    let caps = ServerCaps::of(&[ServerCapabilities::AcceptsStatus]);
    let able = caps.with(ServerCapabilities::AcceptsConnectionSettingsRequest);
    let capabilities = if yes { able.bits() } else { caps.bits() };
    client.received(ServerToAgent { capabilities, ..reply() }, at(1));
}

fn csr(messages: &[AgentToServer]) -> Vec<Vec<u8>> {
    let requests = messages.iter().filter_map(|message| message.connection_settings_request.clone());
    requests.map(|request| request.opamp.unwrap().certificate_request.unwrap().csr).collect()
}

#[test]
fn c_cr_02_03_04_a_request_goes_for_the_opamp_connection_to_a_server_that_takes_it() {
    let mut client = online(Link::WebSocket);
    offers_requests(&mut client, true);
    assert!(client.server_capabilities().has(ServerCapabilities::AcceptsConnectionSettingsRequest));
    assert_eq!(events(&mut client, at(1)), [Event::ServerCapabilities(client.server_capabilities())]);
    client.request_certificate("PEM".into()).unwrap();
    assert_eq!(csr(&sent(&mut client, at(2))), [b"PEM".to_vec()]);
    client.received(reply(), at(3));
    client.set_health(healthy(false));
    assert_eq!(
        csr(&sent(&mut client, at(4))),
        [[0; 0]; 0],
        "heard once is enough, an approval takes its time"
    );
}

#[test]
fn what_the_server_can_do_is_told_on_each_connection_after_all_else() {
    let mut client = online(Link::WebSocket);
    offers_requests(&mut client, true);
    let able = Event::ServerCapabilities(client.server_capabilities());
    assert_eq!(events(&mut client, at(1)), std::slice::from_ref(&able));
    offers_requests(&mut client, true);
    client.received(reply(), at(1));
    assert_eq!(events(&mut client, at(1)), [], "once is enough");
    client.disconnected(Retry::Lost, at(2));
    dial(&mut client, at(60));
    // It may leave them out now.
    client.received(ServerToAgent { remote_config: Some(AgentRemoteConfig::default()), ..reply() }, at(61));
    let remote_config = Event::RemoteConfig(AgentRemoteConfig::default());
    assert_eq!(events(&mut client, at(61)), [Event::Synced, remote_config, able]);
}

#[test]
fn c_cr_03_c_cp_06_no_request_to_a_server_that_does_not_take_it() {
    let mut client = online(Link::WebSocket);
    offers_requests(&mut client, false);
    assert_eq!(client.request_certificate("PEM".into()), Err(NoRequests));
    assert_eq!(csr(&sent(&mut client, at(2))), [[0; 0]; 0]);
}

#[test]
fn c_cr_03_a_request_waits_for_what_the_server_can_do_and_is_given_up_if_that_is_not_it() {
    for yes in [true, false] {
        let mut client = client_with(Link::WebSocket, capabilities());
        client.request_certificate("PEM".into()).unwrap();
        dial(&mut client, at(0));
        assert_eq!(csr(&sent(&mut client, at(0))), [[0; 0]; 0]);
        offers_requests(&mut client, yes);
        let got = effects(&mut client, at(1));
        assert_eq!(got.contains(&Effect::Event(Event::NoRequests(NoRequests))), !yes);
        let asked = got.iter().any(
            |effect| matches!(effect, Effect::Send(message) if message.connection_settings_request.is_some()),
        );
        assert_eq!(asked, yes);
    }
}

#[test]
fn c_cr_02_c_sq_18_a_request_whose_answer_was_lost_is_made_again() {
    let mut client = online(Link::WebSocket);
    offers_requests(&mut client, true);
    client.request_certificate("PEM".into()).unwrap();
    assert_eq!(csr(&sent(&mut client, at(2))).len(), 1);
    client.disconnected(Retry::Lost, at(3));
    let until = client.poll_timeout().unwrap();
    dial(&mut client, until);
    assert_eq!(csr(&sent(&mut client, until)), [b"PEM".to_vec()]);
}

#[test]
fn c_cr_02_c_sq_02_a_request_is_made_again_if_the_server_missed_something_until_there_is_a_certificate() {
    let mut client = online(Link::WebSocket);
    offers_requests(&mut client, true);
    client.request_certificate("PEM".into()).unwrap();
    assert_eq!(csr(&sent(&mut client, at(2))).len(), 1);
    let missed = ServerToAgent { flags: ServerToAgentFlags::ReportFullState as u64, ..reply() };
    client.received(reply(), at(3));
    client.disconnected(Retry::Lost, at(3));
    let until = client.poll_timeout().unwrap();
    dial(&mut client, until);
    assert_eq!(csr(&sent(&mut client, until)), [[0; 0]; 0], "it was heard");
    client.received(missed.clone(), until);
    assert_eq!(csr(&sent(&mut client, until)), [b"PEM".to_vec()]);
    let certificate = Some(crate::wire::proto::TlsCertificate::default());
    let opamp = Some(crate::wire::proto::OpAmpConnectionSettings { certificate, ..Default::default() });
    let offer = crate::wire::proto::ConnectionSettingsOffers { opamp, ..Default::default() };
    client.received(ServerToAgent { connection_settings: Some(offer), ..reply() }, until);
    client.received(missed, until);
    assert_eq!(csr(&sent(&mut client, until)), [[0; 0]; 0]);
}

#[test]
fn c_cr_02_another_server_is_asked_once_it_says_that_it_takes_requests() {
    let mut client = online(Link::WebSocket);
    offers_requests(&mut client, true);
    client.request_certificate("PEM".into()).unwrap();
    assert_eq!(csr(&sent(&mut client, at(2))).len(), 1);
    client.redirect(Link::WebSocket, at(3));
    effects(&mut client, at(3));
    dial(&mut client, at(3));
    assert_eq!(csr(&sent(&mut client, at(3))), [[0; 0]; 0]);
    offers_requests(&mut client, true);
    assert_eq!(csr(&sent(&mut client, at(4))), [b"PEM".to_vec()]);
}

#[test]
fn c_th_09_c_cr_02_a_request_that_was_refused_or_cannot_be_sent_is_not_made_again() {
    for refused in [true, false] {
        let mut client = online(Link::Http);
        offers_requests(&mut client, true);
        client.request_certificate("PEM".into()).unwrap();
        assert_eq!(csr(&sent(&mut client, at(2))).len(), 1);
        if refused {
            client.received(error(ServerErrorResponseType::BadRequest, None), at(2));
        } else {
            client.undeliverable();
        }
        client.set_health(healthy(false));
        assert_eq!(csr(&sent(&mut client, at(3))), [[0; 0]; 0]);
    }
}

#[test]
fn c_lm_07_c_cr_02_a_request_outlives_the_report_that_made_its_message_too_large() {
    let mut client = online(Link::Http);
    offers_requests(&mut client, true);
    client.request_certificate("PEM".into()).unwrap();
    client.set_health(healthy(false));
    assert_eq!(csr(&sent(&mut client, at(2))).len(), 1);
    client.undeliverable();
    let again = sent(&mut client, at(2));
    assert_eq!(csr(&again), [b"PEM".to_vec()]);
    assert!(carried(&again[0]).is_empty());
}

#[test]
fn c_id_05_06_a_wish_for_a_uid_is_in_every_message_until_it_is_granted() {
    let mut client = online(Link::WebSocket);
    client.request_uid();
    for second in [1, 40, 80] {
        client.handle_timeout(at(second));
        let message = sent(&mut client, at(second)).remove(0);
        assert_eq!(message.flags, AgentToServerFlags::RequestInstanceUid as u64);
        assert_eq!(message.instance_uid, UID.to_vec(), "the temporary one");
    }
    let new_instance_uid = OTHER.to_vec();
    let agent_identification = Some(AgentIdentification { new_instance_uid });
    client.received(ServerToAgent { agent_identification, ..reply() }, at(81));
    let message = sent(&mut client, at(81)).remove(0);
    assert_eq!((message.flags, message.instance_uid), (0, OTHER.to_vec()));
    assert_eq!(client.instance_uid(), OTHER);
}

#[test]
fn c_id_05_a_server_may_choose_the_uid_that_the_agent_has() {
    let mut client = online(Link::WebSocket);
    client.request_uid();
    sent(&mut client, at(1));
    let agent_identification = Some(AgentIdentification { new_instance_uid: UID.to_vec() });
    client.received(ServerToAgent { agent_identification, ..reply() }, at(1));
    assert_eq!(effects(&mut client, at(1)), [], "it has it already");
    client.handle_timeout(at(40));
    assert_eq!(sent(&mut client, at(40))[0].flags, 0);
}
