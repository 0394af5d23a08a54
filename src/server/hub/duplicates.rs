//! Whose a uid is when several connections use it. The rules are `protocol::server::duplicates`; here is what
//! follows from them: the newer connection replaces the older one quietly, or the newer agent is told a uid of its
//! own and both live on.
//!
//! While it is open, the newer connection is the agent's. What the older one says is answered and not taken in, so
//! that a message that was late cannot take the agent back.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use jiff::Timestamp;

use super::{
    Hub, Link, State,
    agents::{Connection, HTTP, fresh_uid},
};
use crate::{
    protocol::server::duplicates::{Contest, Kind, Seen, Side, Sign, Stream, Verdict},
    server::fleet::Transport,
    wire::{InstanceUid, proto::AgentToServer},
};

/// An older connection under the uid of a link.
pub(super) struct Contested {
    contest: Contest,
    older: Link,
    unpinged: BTreeSet<u64>,
}

/// Uids that are used by more than one connection.
#[derive(Default)]
pub(super) struct Rivals {
    open: BTreeSet<InstanceUid>,
    /// By connection and uid, who was found to be another agent.
    told: HashMap<(u64, InstanceUid), Told>,
}

struct Told {
    new: InstanceUid,
    said: bool,
}

/// What a message under a uid is.
pub(super) enum Place {
    /// The agent's own.
    Holder,
    /// Of a connection that is not the agent's any more, or not yet again.
    Aside,
    /// Of another agent, which shall take this uid.
    Renamed(InstanceUid),
}

impl Rivals {
    /// The uid that an agent is to be told unprompted, once.
    pub(super) fn unsaid(&mut self, connection: u64, uid: InstanceUid) -> Option<InstanceUid> {
        let told = self.told.get_mut(&(connection, uid)).filter(|told| !told.said)?;
        told.said = true;
        Some(told.new)
    }
}

impl State {
    /// Whether a connection has to do with a uid still.
    pub(super) fn concerns(&self, uid: InstanceUid, connection: u64) -> bool {
        self.side(uid, connection).is_some() || self.rivals.told.contains_key(&(connection, uid))
    }

    fn side(&self, uid: InstanceUid, connection: u64) -> Option<Side> {
        self.links.get(&uid)?.side(connection)
    }

    /// Whether a connection is to be pinged for the sake of a uid; once for each contest.
    pub(super) fn ping_due(&mut self, uid: InstanceUid, connection: u64) -> bool {
        let contested = self.links.get_mut(&uid).and_then(|link| link.contested.as_mut());
        contested.is_some_and(|contested| contested.unpinged.remove(&connection))
    }
}

impl Link {
    /// Which side of this link a connection is.
    fn side(&self, connection: u64) -> Option<Side> {
        let older = self.contested.as_ref().map(|contested| contested.older.connection);
        match connection {
            id if id == self.connection => Some(Side::Newer),
            id if Some(id) == older => Some(Side::Older),
            _ => None,
        }
    }

    const fn kind(&self) -> Kind {
        if self.connection == HTTP { Kind::Polls } else { Kind::Socket }
    }

    const fn transport(&self) -> Transport {
        if self.connection == HTTP { Transport::Http } else { Transport::WebSocket }
    }
}

impl Hub {
    /// Says what a message is, and makes its connection the agent's if it is newer.
    pub(super) fn place(
        &self,
        state: &mut State,
        uid: InstanceUid,
        connection: &mut Connection,
        message: &AgentToServer,
    ) -> Place {
        // A duplicate that took the uid it was told is done with.
        state.rivals.told.retain(|_, told| told.new != uid);
        let known = !connection.uids.insert(uid);
        let now = self.clock();
        let sign = Sign::Message { sequence_num: message.sequence_num };
        if let Some(side) = state.side(uid, connection.id) {
            // This very message may bring the verdict, after which the sides are others.
            self.heard(state, uid, side, sign, now);
        }
        match state.side(uid, connection.id) {
            Some(Side::Newer) => match state.weave(uid, connection, message) {
                Stream::Newer => {
                    if !state.rivals.told.contains_key(&(connection.id, uid)) {
                        self.take_back(state, uid);
                    }
                    Place::Renamed(self.rename(state, connection.id, uid))
                }
                Stream::Only | Stream::Older => Place::Holder,
            },
            Some(Side::Older) => {
                if message.agent_disconnect.is_some() {
                    self.unlink(state, uid, connection.id);
                }
                Place::Aside
            }
            None => match state.rivals.told.get(&(connection.id, uid)) {
                Some(told) => Place::Renamed(told.new),
                None if known => Place::Aside,
                None => {
                    self.attach(state, uid, connection, message.sequence_num, now);
                    state.weave(uid, connection, message);
                    Place::Holder
                }
            },
        }
    }

    /// The agent is on this connection from now on, in doubt if it is on an older one too.
    fn attach(
        &self,
        state: &mut State,
        uid: InstanceUid,
        connection: &Connection,
        first: u64,
        now: Duration,
    ) {
        let Some(mut older) = state.links.insert(uid, Link::new(connection, self.caps)) else { return };
        let Some(link) = state.links.get_mut(&uid) else { return };
        if let Some(oldest) = older.contested.take() {
            oldest.older.wake.notify_one();
        }
        older.wake.notify_one();
        link.wake.notify_one();
        let contest = Contest::new(older.kind(), link.kind(), first, now);
        let unpinged = [older.connection, link.connection].into();
        link.contested = Some(Box::new(Contested { contest, older, unpinged }));
        state.rivals.open.insert(uid);
    }

    /// A connection answered the ping that was sent for the sake of its uids.
    pub fn answered(&self, connection: &Connection) {
        let mut state = self.lock();
        let now = self.clock();
        for uid in &connection.uids {
            if let Some(side) = state.side(*uid, connection.id) {
                self.heard(&mut state, *uid, side, Sign::Pong, now);
            }
        }
    }

    fn heard(&self, state: &mut State, uid: InstanceUid, side: Side, sign: Sign, now: Duration) {
        let Some(contested) = state.links.get_mut(&uid).and_then(|link| link.contested.as_mut()) else {
            return;
        };
        contested.contest.heard(side, sign, now);
        if let Some(verdict) = contested.contest.verdict(now) {
            self.decide(state, uid, verdict);
        }
    }

    /// Decides what the time has decided.
    pub(super) fn settle(&self) {
        let mut state = self.lock();
        let now = self.clock();
        for uid in state.rivals.open.clone() {
            let contested = state.links.get(&uid).and_then(|link| link.contested.as_ref());
            match contested.map(|contested| contested.contest.verdict(now)) {
                Some(Some(verdict)) => self.decide(&mut state, uid, verdict),
                Some(None) => {}
                None => {
                    state.rivals.open.remove(&uid);
                }
            }
        }
    }

    fn decide(&self, state: &mut State, uid: InstanceUid, verdict: Verdict) {
        state.rivals.open.remove(&uid);
        let Some(link) = state.links.get_mut(&uid) else { return };
        let Some(contested) = link.contested.take() else { return };
        if verdict == Verdict::Replaced {
            contested.older.wake.notify_one();
            tracing::debug!(%uid, "the agent is on a newer connection; the older one is closed");
            return;
        }
        let newer = std::mem::replace(link, contested.older);
        if verdict == Verdict::Duplicate {
            let new = self.rename(state, newer.connection, uid);
            tracing::warn!(%uid, new_uid = %new, "two agents use one instance uid; the newer one is told another");
        }
        newer.wake.notify_one();
        self.take_back(state, uid);
    }

    /// The agent is the one that was there first. What was taken for its state was perhaps another's.
    fn take_back(&self, state: &mut State, uid: InstanceUid) {
        let State { fleet, links, dirty, .. } = state;
        let (Some(link), Some(agent)) = (links.get_mut(&uid), fleet.agents.get_mut(&uid)) else { return };
        link.session.distrust(&mut agent.view);
        agent.set_connected(Some(link.transport()), Timestamp::now());
        link.wake.notify_one();
        dirty.insert(uid);
        self.tell(uid);
    }

    /// The uid that a connection's agent shall take, because the one it uses is another agent's (S-ID-03, S-ID-05).
    pub(super) fn rename(&self, state: &mut State, connection: u64, uid: InstanceUid) -> InstanceUid {
        let told = state.rivals.told.entry((connection, uid)).or_insert_with(|| {
            self.metrics.duplicates.add(1);
            Told { new: fresh_uid(Timestamp::now()), said: false }
        });
        told.new
    }

    /// A connection is not the agent's any more: it closed, or the agent said goodbye on it.
    pub(super) fn unlink(&self, state: &mut State, uid: InstanceUid, connection: u64) {
        state.rivals.told.remove(&(connection, uid));
        let Some(side) = state.side(uid, connection) else { return };
        if let Some(contested) = state.links.get(&uid).and_then(|link| link.contested.as_ref()) {
            let verdict = contested.contest.closed(side);
            self.decide(state, uid, verdict);
        }
        if state.links.get(&uid).is_none_or(|link| link.connection != connection) {
            return;
        }
        state.links.remove(&uid);
        let State { fleet, dirty, .. } = state;
        if let Some(agent) = fleet.agents.get_mut(&uid)
            && agent.set_connected(None, Timestamp::now())
        {
            dirty.insert(uid);
            self.tell(uid);
        }
    }

    fn clock(&self) -> Duration {
        self.started.elapsed()
    }
}

impl State {
    /// Whose a message over plain HTTP is.
    fn weave(&mut self, uid: InstanceUid, connection: &Connection, message: &AgentToServer) -> Stream {
        let link = self.links.get_mut(&uid).filter(|link| link.connection == HTTP);
        let Some(link) = link else { return Stream::Only };
        let started = message.health.as_ref().map(|health| health.start_time_unix_nano);
        let seen = Seen {
            sequence_num: message.sequence_num,
            peer: connection.peer,
            started: started.filter(|time| *time > 0),
        };
        link.weave.observe(seen)
    }
}
