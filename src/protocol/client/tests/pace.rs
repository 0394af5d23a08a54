//! When the next attempt, heartbeat or poll comes.

use super::*;

fn waits(client: &Client, now: Duration) -> Duration {
    client.poll_timeout().expect("there is a next time") - now
}

#[test]
fn c_ht_03_c_hb_03_the_poll_period_is_30_seconds_or_as_it_is_set() {
    let mut client = online(Link::Http);
    assert_eq!(waits(&client, at(0)), Duration::from_secs(30));
    client.set_heartbeat(Duration::from_secs(7));
    assert_eq!((waits(&client, at(0)), client.heartbeat()), (Duration::from_secs(7), Duration::from_secs(7)));
}

#[test]
fn c_th_07_a_wait_that_the_server_asked_for_delays_the_reconnection_and_nothing_after_it() {
    for link in [Link::WebSocket, Link::Http] {
        let mut client = online(link);
        client.disconnected(Retry::Overloaded { after: Some(Duration::from_secs(600)) }, at(1));
        let wait = waits(&client, at(1));
        assert!(wait >= Duration::from_secs(600), "{wait:?}");
        let then = at(1) + wait;
        dial(&mut client, then);
        assert_eq!(sent(&mut client, then).len(), 1);
        client.received(reply(), then);
        assert_eq!(waits(&client, then), DEFAULT_HEARTBEAT);
    }
}

#[test]
fn what_changed_here_ends_a_wait_but_for_one_that_the_server_asked_for() {
    for (why, hurries) in [
        (Retry::Permanent, true),
        (Retry::Failed, true),
        (Retry::Overloaded { after: None }, false),
        (Retry::Overloaded { after: Some(Duration::from_secs(60)) }, false),
    ] {
        let mut client = online(Link::WebSocket);
        client.disconnected(why, at(5));
        let before = waits(&client, at(5));
        client.hurry(at(5));
        let expected = if hurries { Duration::ZERO } else { before };
        assert_eq!(waits(&client, at(5)), expected, "{why:?}");
    }
    // Another server did not ask for anything.
    let mut client = online(Link::WebSocket);
    client.disconnected(Retry::Overloaded { after: None }, at(5));
    client.redirect(Link::WebSocket, at(5));
    assert_eq!(waits(&client, at(5)), Duration::ZERO);
    // A wait is never made longer, and a connection is left alone.
    client.hurry(at(9));
    assert_eq!(client.poll_timeout(), Some(at(5)));
    let mut client = online(Link::WebSocket);
    client.hurry(at(9));
    assert!(client.is_online());
}

/// Up for two seconds, down for two, and so on.
#[test]
fn f_90_c_th_01_a_server_that_flaps_is_dialled_ever_more_rarely_and_not_by_all_at_once() {
    let mut firsts = std::collections::BTreeSet::new();
    for seed in 0..50 {
        let options = ClientOptions {
            instance_uid: UID,
            capabilities: capabilities(),
            link: Link::WebSocket,
            heartbeat: DEFAULT_HEARTBEAT,
        };
        let mut client = Client::new(options, seed);
        let (mut dials, mut answered) = (0, 0);
        while let Some(now) = client.poll_timeout().filter(|now| *now < at(600)) {
            dials += 1;
            client.handle_timeout(now);
            effects(&mut client, now);
            if now.as_secs() / 2 % 2 == 1 {
                client.disconnected(Retry::Failed, now);
                continue;
            }
            client.connected(now);
            assert_eq!(sent(&mut client, now).len(), 1, "the report, once for each connection");
            client.received(reply(), now);
            answered += 1;
            let down = at((now.as_secs() / 4) * 4 + 2);
            client.disconnected(Retry::Lost, down);
            firsts.insert(client.poll_timeout());
        }
        // Without any pause there would be one dial in each moment of the ten minutes.
        assert!((30..400).contains(&dials), "seed {seed}: {dials} dials");
        assert!(answered >= 20, "seed {seed}: {answered} connections");
    }
    assert!(firsts.len() > 1000, "the waits are spread: {}", firsts.len());
}
