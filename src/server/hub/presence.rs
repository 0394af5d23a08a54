//! Who is there and who is not, looked at once a second: agents that fell silent become stale, and gone in the end.

use std::sync::atomic::Ordering;

use jiff::{SignedDuration, Timestamp};

use super::{Hub, State, agents::HTTP, rollout::Turns};
use crate::{
    server::fleet::presence::{Presence, Windows},
    wire::InstanceUid,
};

/// An agent that was seen this long ago, and is not connected, may be on its way back.
const EXPECTED: SignedDuration = SignedDuration::from_mins(10);

impl Hub {
    /// With other windows than the default ones.
    #[must_use]
    pub fn with_windows(mut self, windows: Windows) -> Self {
        self.windows = windows;
        self.look_round(Timestamp::now());
        self
    }

    /// Agents that are known and not connected, and may come back soon.
    pub fn missing(&self) -> usize {
        self.missing.load(Ordering::Relaxed)
    }

    pub fn is_connected(&self, uid: InstanceUid) -> bool {
        self.lock().links.contains_key(&uid)
    }

    /// Brings each agent's presence up to date; lets go of plain HTTP agents that stopped polling (S-HT-05), and waits no
    /// longer for those that were to try a package again and say nothing.
    pub(super) fn look_round(&self, now: Timestamp) {
        let mut state = self.lock();
        let State { fleet, links, dirty, turns, .. } = &mut *state;
        let mut missing = 0;
        for (uid, agent) in &mut fleet.agents {
            let presence = self.windows.presence(agent, now);
            if presence != agent.presence {
                let polls =
                    links.get(uid).is_some_and(|link| link.connection == HTTP && link.contested.is_none());
                if presence == Presence::Stale && polls {
                    links.remove(uid);
                    agent.set_connected(None, now);
                    dirty.insert(*uid);
                }
                agent.presence = presence;
                self.tell(*uid);
            }
            if agent.stands_by(now) {
                *turns = Turns::Due;
                dirty.insert(*uid);
                self.tell(*uid);
            }
            let away = agent.connected.is_none() && now.duration_since(agent.last_seen) < EXPECTED;
            missing += usize::from(away);
        }
        self.missing.store(missing, Ordering::Relaxed);
    }
}
