//! What is left out, what is not, and when something is said at all.

use super::*;
use crate::wire::proto::{
    AgentConfigMap, ConnectionSettingsStatus, CustomCapabilities, PackageStatuses, RemoteConfigStatus,
    RemoteConfigStatuses,
};

fn every_capability() -> AgentCaps {
    AgentCaps::from_wire(u64::MAX)
}

/// Connected, with everything said and answered.
fn told(link: Link) -> Client {
    let mut client = client_with(link, every_capability());
    for part in Part::ALL {
        change(&mut client, part, 1);
    }
    dial(&mut client, at(0));
    assert_eq!(carried(&sent(&mut client, at(0))[0]).iter().collect::<Vec<_>>(), Part::ALL);
    client.received(reply(), at(0));
    assert_eq!(events(&mut client, at(0)), [Event::Synced]);
    client
}

/// Another number is another value.
fn change(client: &mut Client, part: Part, number: u8) {
    let text = number.to_string();
    match part {
        Part::Description => {
            let identifying_attributes = vec![crate::wire::attrs::string("service.version", text)];
            client.set_description(AgentDescription { identifying_attributes, ..Default::default() });
        }
        Part::Health => client.set_health(ComponentHealth { status: text, ..Default::default() }),
        Part::EffectiveConfig => {
            let config_map = [(text, Default::default())].into();
            client.set_effective_config(EffectiveConfig { config_map: Some(AgentConfigMap { config_map }) });
        }
        Part::RemoteConfigStatus => client.set_remote_config_status(RemoteConfigStatus {
            last_remote_config_hash: vec![number],
            status: RemoteConfigStatuses::Applied as i32,
            error_message: String::new(),
        }),
        Part::PackageStatuses => {
            client.set_package_statuses(PackageStatuses { error_message: text, ..Default::default() });
        }
        Part::CustomCapabilities => {
            client.set_custom_capabilities(CustomCapabilities { capabilities: vec![text] });
        }
        Part::AvailableComponents => {
            let components = [(text, ComponentDetails::default())].into();
            client.set_available_components(AvailableComponents { components, hash: vec![number] });
        }
        Part::ConnectionSettingsStatus => client.set_connection_settings_status(ConnectionSettingsStatus {
            last_connection_settings_hash: vec![number],
            ..Default::default()
        }),
    }
}

#[test]
fn c_sq_04_05_06_07_08_09_10_11_a_change_of_one_part_sends_that_part_and_no_other() {
    for part in Part::ALL {
        let mut client = told(Link::WebSocket);
        change(&mut client, part, 2);
        let messages = sent(&mut client, at(1));
        assert_eq!(messages.len(), 1);
        assert_eq!(carried(&messages[0]).iter().collect::<Vec<_>>(), [part]);
        let mut expected = AgentToServer::default();
        client.report().copy_into(Parts::ALL, &mut expected);
        let mut whole = Report::default();
        assert_eq!(whole.take_from(&mut messages[0].clone()).iter().collect::<Vec<_>>(), [part]);
        let mut said = AgentToServer::default();
        whole.copy_into(Parts::ALL, &mut said);
        let mut one = Parts::NONE;
        one.insert(part);
        let mut now = AgentToServer::default();
        client.report().copy_into(one, &mut now);
        assert_eq!(said, now, "the part as it is, whole");
    }
}

#[test]
fn c_sq_13_14_c_ac_06_what_is_set_to_what_it_is_says_nothing() {
    for link in [Link::WebSocket, Link::Http] {
        let mut client = told(link);
        for part in Part::ALL {
            change(&mut client, part, 1);
        }
        assert_eq!(effects(&mut client, at(1)), []);
    }
}

#[test]
fn c_sq_02_every_part_goes_out_when_everything_is_asked_for() {
    let mut client = told(Link::WebSocket);
    let flags = ServerToAgentFlags::ReportFullState as u64;
    client.received(ServerToAgent { flags, ..reply() }, at(1));
    let messages = sent(&mut client, at(1));
    assert_eq!(messages.len(), 1);
    assert_eq!(carried(&messages[0]).iter().collect::<Vec<_>>(), Part::ALL);
}

#[test]
fn c_sq_16_17_answers_to_reports_of_slow_work_are_taken_as_they_come() {
    let mut client = told(Link::WebSocket);
    let config = AgentRemoteConfig { config_hash: vec![9], ..Default::default() };
    let offer = ServerToAgent { remote_config: Some(config.clone()), ..reply() };
    for number in 2..5 {
        change(&mut client, Part::RemoteConfigStatus, number);
        change(&mut client, Part::Health, number);
        assert_eq!(sent(&mut client, at(1)).len(), 1, "progress");
        client.received(offer.clone(), at(1));
        client.received(reply(), at(1));
        assert_eq!(effects(&mut client, at(1)), [Effect::Event(Event::RemoteConfig(config.clone()))]);
    }
}

#[test]
fn b_sq_01_c_sq_20_what_waits_is_one_message_and_current() {
    let mut client = told(Link::WebSocket);
    client.disconnected(Retry::Lost, at(1));
    for number in 2..50 {
        for part in Part::ALL {
            change(&mut client, part, number);
        }
    }
    let until = client.poll_timeout().unwrap();
    dial(&mut client, until);
    let messages = sent(&mut client, until);
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].health.as_ref().unwrap().status, "49");
}

#[test]
fn c_cp_01_02_03_04_capabilities_are_in_every_message_with_reports_status_and_nothing_reserved() {
    let mut client = told(Link::WebSocket);
    change(&mut client, Part::Health, 2);
    let mut all = sent(&mut client, at(1));
    client.handle_timeout(at(40));
    all.extend(sent(&mut client, at(40)));
    client.set_capabilities(AgentCaps::default());
    client.shutdown(at(41));
    all.extend(sent(&mut client, at(41)));
    let bits: Vec<u64> = all.iter().map(|message| message.capabilities).collect();
    assert_eq!(bits, [0xffff, 0xffff, 1], "a report, a heartbeat, a goodbye");
}

#[test]
fn c_cp_06_each_part_needs_a_server_that_takes_it() {
    let needs = [
        (Part::EffectiveConfig, Some(ServerCapabilities::AcceptsEffectiveConfig)),
        (Part::RemoteConfigStatus, Some(ServerCapabilities::OffersRemoteConfig)),
        (Part::PackageStatuses, Some(ServerCapabilities::AcceptsPackagesStatus)),
        (Part::ConnectionSettingsStatus, Some(ServerCapabilities::OffersConnectionSettings)),
        (Part::Description, None),
        (Part::Health, None),
        (Part::CustomCapabilities, None),
        (Part::AvailableComponents, None),
    ];
    for (part, bit) in needs {
        let taken = |server: ServerCaps| {
            let mut client = told(Link::WebSocket);
            client.received(ServerToAgent { capabilities: server.bits(), ..reply() }, at(1));
            change(&mut client, part, 2);
            !sent(&mut client, at(1)).is_empty()
        };
        let all = ServerCaps::from_wire(u64::MAX);
        assert!(taken(all), "{part:?}");
        let plain = ServerCaps::of(&[ServerCapabilities::AcceptsStatus]);
        match bit {
            None => assert!(taken(plain), "{part:?}"),
            Some(bit) => {
                assert!(!taken(all.without(bit)), "{part:?}");
                assert!(taken(plain.with(bit)), "{part:?}");
            }
        }
    }
}

#[test]
fn c_hl_01_c_ac_01_c_sq_03_each_part_needs_the_agents_own_capability() {
    use AgentCapabilities as Bit;
    let needs = [
        (Part::Health, Bit::ReportsHealth),
        (Part::EffectiveConfig, Bit::ReportsEffectiveConfig),
        (Part::RemoteConfigStatus, Bit::ReportsRemoteConfig),
        (Part::PackageStatuses, Bit::ReportsPackageStatuses),
        (Part::AvailableComponents, Bit::ReportsAvailableComponents),
        (Part::ConnectionSettingsStatus, Bit::ReportsConnectionSettingsStatus),
    ];
    for (part, bit) in needs {
        let mut client = told(Link::WebSocket);
        client.set_capabilities(every_capability().without(bit));
        assert!(sent(&mut client, at(1)).iter().all(|message| carried(message).is_empty()));
        change(&mut client, part, 2);
        assert_eq!(sent(&mut client, at(1)), [], "{part:?}");
        client.set_capabilities(every_capability());
        assert!(carried(&sent(&mut client, at(2))[0]).has(part), "{part:?} is said once it may be");
    }
}

#[test]
fn c_hb_01_02_03_05_a_beat_each_period_of_thirty_seconds_at_first() {
    let mut client = told(Link::WebSocket);
    for beat in 1..20 {
        assert_eq!(client.poll_timeout(), Some(at(30 * beat)));
        client.handle_timeout(at(30 * beat));
        let messages = sent(&mut client, at(30 * beat));
        assert!(messages.len() == 1 && bare(&messages[0]), "beat {beat}: {messages:?}");
        client.received(reply(), at(30 * beat));
        assert_eq!(effects(&mut client, at(30 * beat)), []);
    }
}

#[test]
fn c_ht_02_03_over_http_zero_never_means_never() {
    let options = ClientOptions {
        instance_uid: UID,
        capabilities: capabilities(),
        link: Link::Http,
        heartbeat: Duration::ZERO,
    };
    let mut client = Client::new(options, 1);
    dial(&mut client, at(0));
    sent(&mut client, at(0));
    client.received(reply(), at(0));
    assert_eq!(client.poll_timeout(), Some(DEFAULT_HEARTBEAT));
    // A zero that was offered over WebSocket comes along to a server that is polled.
    let mut client = told(Link::WebSocket);
    client.set_heartbeat(Duration::ZERO);
    client.redirect(Link::Http, at(1));
    effects(&mut client, at(1));
    dial(&mut client, at(1));
    sent(&mut client, at(1));
    client.received(reply(), at(1));
    assert_eq!(client.poll_timeout(), Some(at(1) + DEFAULT_HEARTBEAT));
}

#[test]
fn c_ws_03_c_th_01_the_first_retry_after_a_loss_is_quick_and_further_ones_are_not() {
    let mut client = told(Link::WebSocket);
    client.disconnected(Retry::Lost, at(1));
    let first = client.poll_timeout().unwrap();
    assert!(first <= at(6));
    let mut now = first;
    let mut longest = Duration::ZERO;
    for _ in 0..20 {
        client.handle_timeout(now);
        assert_eq!(effects(&mut client, now), [Effect::Dial]);
        client.disconnected(Retry::Failed, now);
        let next = client.poll_timeout().unwrap();
        longest = longest.max(next - now);
        now = next;
    }
    assert!(longest > at(10), "{longest:?}");
}
