use std::sync::atomic::AtomicBool;

use jiff::SignedDuration;

use super::*;
use crate::{
    server::{
        fleet::{Transport, presence::Presence},
        store::{Pending, Snapshot},
    },
    wire::proto::{AgentCapabilities, AgentDescription, AgentDisconnect, AgentToServer},
};

/// Keeps nothing, and fails when told to.
#[derive(Default)]
struct Fake {
    broken: AtomicBool,
    written: Mutex<Vec<Change>>,
}

impl Store for Fake {
    fn load(&self) -> Pending<'_, Snapshot> {
        Box::pin(async { Ok(Snapshot::default()) })
    }

    fn write(&self, changes: Vec<Change>) -> Pending<'_, ()> {
        Box::pin(async move {
            if self.broken.load(Ordering::Relaxed) {
                return Err(StoreError::Closed);
            }
            self.written.lock().unwrap().extend(changes);
            Ok(())
        })
    }

    fn note(&self, changes: Vec<Change>) -> Pending<'_, ()> {
        self.write(changes)
    }

    fn close(&self) -> Pending<'_, ()> {
        Box::pin(async { Ok(()) })
    }
}

async fn hub() -> (Arc<Fake>, Hub) {
    let store = Arc::new(Fake::default());
    (store.clone(), Hub::load(store, Terms::default()).await.unwrap())
}

const UID: InstanceUid = InstanceUid::from_bytes([7; 16]);

fn report(sequence_num: u64) -> AgentToServer {
    AgentToServer {
        instance_uid: UID.to_vec(),
        sequence_num,
        capabilities: 1,
        agent_description: Some(AgentDescription::default()),
        ..Default::default()
    }
}

fn connected(hub: &Hub) -> Option<Transport> {
    hub.look(|fleet| fleet.agents[&UID].connected)
}

fn presence(hub: &Hub, silent: i64) -> Presence {
    let seen = hub.look(|fleet| fleet.agents[&UID].last_seen);
    hub.look_round(seen + SignedDuration::from_secs(silent));
    hub.look(|fleet| fleet.agents[&UID].presence)
}

#[tokio::test]
async fn s_ht_05_s_hb_01_a_polling_agent_that_falls_silent_is_stale_and_comes_back_known() {
    let (_, hub) = hub().await;
    hub.receive(&mut Connection::http(), report(0));
    assert_eq!((presence(&hub, 89), connected(&hub)), (Presence::Connected, Some(Transport::Http)));
    assert_eq!((presence(&hub, 90), connected(&hub)), (Presence::Stale, None));
    assert_eq!(hub.missing(), 1);
    assert_eq!(presence(&hub, 24 * 3600), Presence::Gone);
    let answer = hub.receive(&mut Connection::http(), report(1));
    assert_eq!((connected(&hub), answer.reply.flags), (Some(Transport::Http), 0));
    assert_eq!((presence(&hub, 1), hub.missing()), (Presence::Connected, 0));
}

#[tokio::test]
async fn s_ad_01_02_s_ws_03_a_goodbye_or_a_closed_stream_is_no_silence() {
    let (_, hub) = hub().await;
    let goodbye = AgentToServer { agent_disconnect: Some(AgentDisconnect {}), ..report(1) };
    hub.receive(&mut Connection::http(), report(0));
    hub.receive(&mut Connection::http(), goodbye);
    assert_eq!(presence(&hub, 0), Presence::Disconnected);
    assert_eq!(presence(&hub, 600), Presence::Disconnected);
    let mut stream = hub.connection();
    hub.receive(&mut stream, report(2));
    assert_eq!(presence(&hub, 0), Presence::Connected);
    hub.detach(&stream);
    assert_eq!((presence(&hub, 0), connected(&hub)), (Presence::Disconnected, None));
    assert_eq!(presence(&hub, 24 * 3600), Presence::Gone);
}

#[tokio::test]
async fn s_hb_02_04_no_silence_over_a_websocket_is_too_long_where_no_heartbeat_is_known() {
    let (_, hub) = hub().await;
    let mut stream = hub.connection();
    let heartbeats = AgentCapabilities::ReportsStatus as u64 | AgentCapabilities::ReportsHeartbeat as u64;
    hub.receive(&mut stream, AgentToServer { capabilities: heartbeats, ..report(0) });
    assert_eq!(presence(&hub, 10 * 24 * 3600), Presence::Connected);
    // An operator may know better, of agents that do heartbeat.
    let windows = Windows { stale_after: Some(SignedDuration::from_secs(60)), ..Windows::default() };
    let hub = hub.with_windows(windows);
    assert_eq!((presence(&hub, 59), presence(&hub, 60)), (Presence::Connected, Presence::Stale));
    assert_eq!(connected(&hub), Some(Transport::WebSocket), "the connection stands");
    hub.receive(&mut stream, AgentToServer { capabilities: 1, ..report(1) });
    assert_eq!(presence(&hub, 3600), Presence::Connected, "it does not heartbeat any more");
}

#[tokio::test]
async fn f_99_what_cannot_be_stored_is_not_done_and_agents_state_is_written_later() {
    let (store, hub) = hub().await;
    hub.receive(&mut Connection::http(), report(0));
    store.broken.store(true, Ordering::Relaxed);
    let name =
        || Namespace { name: "team".to_owned(), created_at: Timestamp::UNIX_EPOCH, conditions: Vec::new() };
    let refused = hub
        .operate(|_, _| {
            Ok::<_, StoreError>(Plan {
                changes: vec![Change::Namespace(name())],
                apply: Box::new(move |fleet, _| {
                    fleet.catalogue.namespaces.insert("team".to_owned(), name());
                    Vec::new()
                }),
                output: (),
            })
        })
        .await;
    assert!(refused.is_err());
    assert!(!hub.look(|fleet| fleet.catalogue.namespaces.contains_key("team")));
    assert!(hub.flush().await.is_err());
    store.broken.store(false, Ordering::Relaxed);
    store.written.lock().unwrap().clear();
    hub.flush().await.unwrap();
    assert!(matches!(&store.written.lock().unwrap()[..], [Change::Agent(record)] if record.uid == UID));
}

#[tokio::test]
async fn a_sign_of_life_costs_no_row_of_state() {
    let (store, hub) = hub().await;
    hub.receive(&mut Connection::http(), report(0));
    hub.flush().await.unwrap();
    store.written.lock().unwrap().clear();
    for sequence_num in 1..100 {
        let heartbeat = AgentToServer { agent_description: None, ..report(sequence_num) };
        hub.receive(&mut Connection::http(), heartbeat);
    }
    hub.flush().await.unwrap();
    let written = store.written.lock().unwrap();
    assert!(matches!(&written[..], [Change::Seen { sequence_num: Some(99), .. }]), "{written:?}");
}
