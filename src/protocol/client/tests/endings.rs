//! Refusals, another identity, and the last message.

use super::*;

#[test]
fn c_th_03_04_unavailable_closes_waits_as_told_and_resumes() {
    let mut client = online(Link::WebSocket);
    client.set_health(healthy(false));
    assert_eq!(sent(&mut client, at(1)).len(), 1);
    client.received(error(ServerErrorResponseType::Unavailable, Some(at(100))), at(1));
    assert!(matches!(*effects(&mut client, at(1)), [Effect::Event(Event::Refused(_)), Effect::Close]));
    let until = client.poll_timeout().unwrap();
    assert!((at(101)..=at(121)).contains(&until), "{until:?}");
    dial(&mut client, until);
    assert!(sent(&mut client, until)[0].health.is_some(), "c_sq_19");
}

#[test]
fn c_th_05_08_unavailable_without_a_hint_waits_thirty_seconds_at_least() {
    let mut client = online(Link::WebSocket);
    client.received(error(ServerErrorResponseType::Unavailable, None), at(1));
    assert!(client.poll_timeout().unwrap() >= at(31));
}

#[test]
fn c_th_09_10_a_refused_message_is_not_sent_again() {
    for kind in [ServerErrorResponseType::BadRequest, ServerErrorResponseType::Unknown] {
        let mut client = online(Link::WebSocket);
        client.set_health(healthy(false));
        assert_eq!(sent(&mut client, at(1)).len(), 1);
        client.received(error(kind, None), at(1));
        assert!(matches!(*effects(&mut client, at(1)), [Effect::Event(Event::Refused(_))]));
        client.disconnected(Retry::Lost, at(2));
        let until = client.poll_timeout().unwrap();
        dial(&mut client, until);
        assert!(bare(&sent(&mut client, until)[0]));
    }
}

#[test]
fn c_id_07_a_new_uid_is_used_from_then_on() {
    let mut client = online(Link::WebSocket);
    let identification = |bytes: Vec<u8>| ServerToAgent {
        agent_identification: Some(AgentIdentification { new_instance_uid: bytes }),
        ..reply()
    };
    client.received(identification(vec![1; 5]), at(1));
    assert!(matches!(*effects(&mut client, at(1)), [Effect::Event(Event::Ignored(_))]));
    client.received(identification(OTHER.to_vec()), at(1));
    let got = effects(&mut client, at(1));
    assert_eq!(got[0], Effect::Event(Event::InstanceUid(OTHER)));
    let Effect::Send(message) = &got[1] else { panic!("{got:?}") };
    assert_eq!(message.instance_uid, OTHER.to_vec());
    assert!(carried(message).has(Part::Description), "the server knows nothing of the new uid");
    client.received(ServerToAgent { remote_config: Some(AgentRemoteConfig::default()), ..reply() }, at(2));
    let offer = Event::RemoteConfig(AgentRemoteConfig::default());
    assert_eq!(events(&mut client, at(2)), [offer], "it was on its way under the old uid");
}

#[test]
fn b_ws_07_a_message_for_another_uid_is_ignored() {
    let mut client = online(Link::WebSocket);
    let flags = ServerToAgentFlags::ReportFullState as u64;
    client.received(ServerToAgent { instance_uid: OTHER.to_vec(), flags, ..reply() }, at(1));
    assert!(matches!(*effects(&mut client, at(1)), [Effect::Event(Event::Ignored(_))]));
}

#[test]
fn c_ad_01_c_ws_01_02_goodbye_with_the_last_changes_then_close() {
    let mut client = online(Link::WebSocket);
    client.set_health(healthy(false));
    client.shutdown(at(1));
    let last = effects(&mut client, at(1));
    let [Effect::Send(message), Effect::Close] = &*last else { panic!("{last:?}") };
    assert!(message.agent_disconnect.is_some() && message.health == Some(healthy(false)));
    assert!(client.is_stopped());
}

#[test]
fn c_ad_01_c_ht_05_10_over_http_the_goodbye_waits_for_the_response() {
    let mut client = online(Link::Http);
    client.set_health(healthy(false));
    assert_eq!(sent(&mut client, at(1)).len(), 1);
    client.shutdown(at(1));
    assert_eq!(effects(&mut client, at(1)), []);
    client.received(reply(), at(2));
    let last = effects(&mut client, at(2));
    let [Effect::Send(message), Effect::Close] = &*last else { panic!("{last:?}") };
    assert!(message.agent_disconnect.is_some());
}

#[test]
fn c_ad_01_without_a_connection_there_is_nobody_to_say_goodbye_to() {
    let mut client = client_with(Link::WebSocket, capabilities());
    client.shutdown(at(0));
    assert_eq!(effects(&mut client, at(0)), [Effect::Close]);
    assert!(client.is_stopped());
}

#[test]
fn c_ad_01_c_ws_05_c_ht_10_another_server_is_told_everything_and_the_one_before_goodbye() {
    let mut client = online(Link::WebSocket);
    client.set_health(healthy(false));
    client.redirect(Link::Http, at(1));
    let got = effects(&mut client, at(1));
    let [Effect::Send(last), Effect::Close] = &*got else { panic!("{got:?}") };
    assert!(last.agent_disconnect.is_some() && last.health.is_some());
    client.received(ServerToAgent { flags: 1, ..reply() }, at(1));
    assert!(effects(&mut client, at(1)).is_empty(), "a late word of the one before");
    dial(&mut client, at(1));
    let first = sent(&mut client, at(1)).remove(0);
    assert!(first.agent_disconnect.is_none() && first.health.is_some() && first.agent_description.is_some());
}

#[test]
fn while_dialling_or_waiting_another_server_is_dialled_at_once() {
    let mut client = client_with(Link::WebSocket, capabilities());
    client.handle_timeout(at(0));
    assert_eq!(effects(&mut client, at(0)), [Effect::Dial]);
    client.redirect(Link::WebSocket, at(1));
    assert_eq!((effects(&mut client, at(1)), client.poll_timeout()), (vec![Effect::Close], Some(at(1))));
    client.connected(at(1));
    assert!(!client.is_online(), "the attempt that was given up");
    client.handle_timeout(at(1));
    client.disconnected(Retry::Failed, at(1));
    client.redirect(Link::WebSocket, at(2));
    assert_eq!(client.poll_timeout(), Some(at(2)), "no pause of the server before");
    client.shutdown(at(2));
    client.redirect(Link::WebSocket, at(3));
    assert!(client.is_stopped());
}

#[test]
fn c_th_07_a_wait_that_the_server_asked_for_is_for_the_next_attempt_only() {
    for link in [Link::WebSocket, Link::Http] {
        let mut client = online(link);
        client.disconnected(Retry::Overloaded { after: Some(at(100)) }, at(1));
        let until = client.poll_timeout().unwrap();
        assert!(until >= at(101));
        dial(&mut client, until);
        assert_eq!(sent(&mut client, until).len(), 1, "then it speaks at once");
        client.received(reply(), until);
        assert_eq!(client.poll_timeout(), Some(until + DEFAULT_HEARTBEAT), "and beats as before");
        client.disconnected(Retry::Lost, until);
        assert!(client.poll_timeout().unwrap() <= until + at(5), "another loss is a loss like any");
    }
}

#[test]
fn c_hb_10_c_th_03_while_it_waits_nothing_is_said_whatever_changes() {
    for link in [Link::WebSocket, Link::Http] {
        let mut client = online(link);
        client.disconnected(Retry::Overloaded { after: Some(at(100)) }, at(1));
        client.set_health(healthy(false));
        client.handle_timeout(at(99));
        assert_eq!(effects(&mut client, at(99)), [], "three heartbeats would have been due");
    }
}

#[test]
fn c_th_09_a_refusal_is_no_sign_of_being_taken() {
    let mut client = client_with(Link::WebSocket, capabilities());
    dial(&mut client, at(0));
    assert_eq!(sent(&mut client, at(0)).len(), 1);
    client.received(error(ServerErrorResponseType::BadRequest, None), at(0));
    assert!(matches!(*events(&mut client, at(0)), [Event::Refused(_)]));
    client.received(reply(), at(1));
    assert_eq!(events(&mut client, at(1)), [Event::Synced]);
}

#[test]
fn c_th_10_a_kind_of_error_that_nobody_knows_is_as_one_of_kind_unknown() {
    let mut client = online(Link::WebSocket);
    client.set_health(healthy(false));
    assert_eq!(sent(&mut client, at(1)).len(), 1);
    let strange = ServerErrorResponse { r#type: 77, ..Default::default() };
    client.received(ServerToAgent { error_response: Some(strange.clone()), ..reply() }, at(1));
    assert_eq!(effects(&mut client, at(1)), [Effect::Event(Event::Refused(strange))]);
    assert!(client.is_online());
}

#[test]
fn c_th_09_nothing_else_of_a_refusal_is_done() {
    let mut client = online(Link::WebSocket);
    let flags = ServerToAgentFlags::ReportFullState as u64;
    let refusal = error(ServerErrorResponseType::BadRequest, None);
    let mixed = ServerToAgent { flags, remote_config: Some(AgentRemoteConfig::default()), ..refusal };
    client.received(mixed, at(1));
    assert!(matches!(*effects(&mut client, at(1)), [Effect::Event(Event::Refused(_))]));
}

#[test]
fn c_th_04_c_hb_04_times_beyond_all_bounds_stop_nothing() {
    let mut client = online(Link::WebSocket);
    client.set_health(healthy(false));
    assert_eq!(sent(&mut client, at(1)).len(), 1);
    client.set_heartbeat(Duration::MAX);
    assert!(client.poll_timeout() > Some(at(1_000_000)));
    client.handle_timeout(at(1_000_000));
    assert_eq!(effects(&mut client, at(1_000_000)), []);
    client.set_heartbeat(at(10));
    assert!(client.poll_timeout().is_some());
    client.received(error(ServerErrorResponseType::Unavailable, Some(Duration::from_nanos(u64::MAX))), at(1));
    assert!(client.poll_timeout().unwrap() <= at(1 + 3600 + 720));
}

#[test]
fn what_is_heard_without_a_connection_is_nothing() {
    let mut client = client_with(Link::WebSocket, capabilities());
    let flags = ServerToAgentFlags::ReportFullState as u64;
    client.received(ServerToAgent { flags, ..reply() }, at(0));
    assert_eq!(effects(&mut client, at(0)), []);
    client.disconnected(Retry::Lost, at(0));
    assert_eq!(client.poll_timeout(), Some(at(0)), "it dials at once, as before");
    client.connected(at(0));
    assert!(!client.is_online(), "nobody dialled");
}

#[test]
fn c_ht_10_a_goodbye_that_waited_for_a_lost_response_is_given_up() {
    let mut client = online(Link::Http);
    client.set_health(healthy(false));
    assert_eq!(sent(&mut client, at(1)).len(), 1);
    client.shutdown(at(1));
    assert_eq!((client.poll_timeout(), client.is_stopped(), client.is_online()), (None, false, false));
    client.shutdown(at(2));
    client.disconnected(Retry::Unanswered, at(3));
    assert!(client.is_stopped());
    assert_eq!(effects(&mut client, at(3)), []);
}
