//! Keeping the store up with the fleet, a few times a second and once more at the end. The sooner a sequence number
//! is written, the fewer agents are asked for their full state after a crash of the server (S-SQ-01): what was not
//! written counts as lost, because nobody can know what it was.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::{sync::watch, time::MissedTickBehavior};

use super::{Hub, record};
use crate::{
    server::{
        fleet::resource::Key,
        listen::stopped,
        store::{Change, StoreError},
    },
    wire::InstanceUid,
};

/// How often changed agents and signs of life are written.
const FLUSH_EVERY: Duration = Duration::from_millis(200);
/// How many of those rounds pass between two looks at who is there.
const LOOK_EVERY: u32 = 5;
/// Agents written in one transaction.
const CHUNK: usize = 256;

/// What the store does not have, with the changes that it comes to.
struct Taken {
    uids: Vec<InstanceUid>,
    gone: Vec<InstanceUid>,
    stopped: BTreeSet<Key>,
    changes: Vec<Change>,
}

impl Hub {
    /// Runs until `stop` says so.
    pub async fn keep(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let mut ticks = tokio::time::interval(FLUSH_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut round = 0u32;
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = stopped(&mut stop) => return,
            }
            self.take_turns();
            round = round.wrapping_add(1);
            if round.is_multiple_of(LOOK_EVERY) {
                self.look_round(Timestamp::now());
                self.settle();
            }
            self.metrics.note_store(&self.flush().await);
        }
    }

    /// Writes everything that the store does not have yet.
    pub async fn flush(&self) -> Result<(), StoreError> {
        self.flush_state().await?;
        self.flush_seen().await
    }

    /// Everything, and then no more.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.flush().await?;
        self.store.close().await
    }

    async fn flush_state(&self) -> Result<(), StoreError> {
        loop {
            let _turn = self.turn.lock().await;
            let Taken { uids, gone, stopped, changes } = self.take_dirty();
            if changes.is_empty() {
                return Ok(());
            }
            if let Err(error) = self.store.note(changes).await {
                let mut state = self.lock();
                state.dirty.extend(uids);
                state.gone.extend(gone);
                state.stopped.extend(stopped);
                return Err(error);
            }
        }
    }

    fn take_dirty(&self) -> Taken {
        let mut state = self.lock();
        let gone: Vec<_> = std::mem::take(&mut state.gone).into_iter().collect();
        let stopped = std::mem::take(&mut state.stopped);
        let uids: Vec<_> = state.dirty.iter().take(CHUNK).copied().collect();
        for uid in &uids {
            state.dirty.remove(uid);
            // The sequence number goes with the state.
            state.seen.remove(uid);
        }
        let deletes = gone.iter().copied().map(Change::DeleteAgent);
        let records = uids.iter().filter_map(|uid| state.fleet.agents.get(uid)).map(record);
        let offers = stopped.iter().filter_map(|key| state.fleet.catalogue.offers.get(key));
        let offers = offers.map(|offer| Change::Offer(offer.clone()));
        let changes = deletes.chain(records).chain(offers).collect();
        Taken { uids, gone, stopped, changes }
    }

    async fn flush_seen(&self) -> Result<(), StoreError> {
        let _turn = self.turn.lock().await;
        let (uids, changes) = {
            let mut state = self.lock();
            let uids = std::mem::take(&mut state.seen);
            let agents = uids.iter().filter_map(|uid| state.fleet.agents.get(uid));
            let changes: Vec<_> = agents
                .map(|agent| Change::Seen {
                    uid: agent.view.instance_uid,
                    sequence_num: agent.view.sequence_num,
                    last_seen: agent.last_seen,
                })
                .collect();
            (uids, changes)
        };
        if changes.is_empty() {
            return Ok(());
        }
        let written = self.store.note(changes).await;
        if written.is_err() {
            self.lock().seen.extend(uids);
        }
        written
    }
}
