use std::sync::atomic::AtomicBool;

use super::*;
use crate::{
    server::{
        fleet::Transport,
        store::{Pending, Snapshot},
    },
    wire::proto::{AgentDescription, AgentToServer},
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

    fn close(&self) -> Pending<'_, ()> {
        Box::pin(async { Ok(()) })
    }
}

async fn hub() -> (Arc<Fake>, Hub) {
    let store = Arc::new(Fake::default());
    (store.clone(), Hub::load(store).await.unwrap())
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

#[tokio::test]
async fn s_ht_05_a_polling_agent_that_falls_silent_is_given_up_and_comes_back_known() {
    let (_, hub) = hub().await;
    hub.receive(&mut Connection::http(), report(0));
    let seen = hub.look(|fleet| fleet.agents[&UID].last_seen);
    hub.give_up_silent(seen + jiff::SignedDuration::from_secs(89));
    assert_eq!(connected(&hub), Some(Transport::Http));
    hub.give_up_silent(seen + jiff::SignedDuration::from_secs(90));
    assert_eq!(connected(&hub), None);
    let answer = hub.receive(&mut Connection::http(), report(1));
    assert_eq!((connected(&hub), answer.reply.flags), (Some(Transport::Http), 0));
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
