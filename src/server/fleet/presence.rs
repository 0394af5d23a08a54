//! Whether an agent is there, as far as that can be known.
//!
//! An agent that said goodbye or whose connection closed is disconnected at once (S-AD-02, S-WS-03). One that ought
//! to have spoken and did not is stale. What it ought to do is known only if an interval was offered to it and it
//! heartbeats (S-HB-02, S-HB-04), or if it polls; over a WebSocket, pings find out a connection that is dead.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::{Agent, Transport, settings::SettingsState};
use crate::wire::proto::AgentCapabilities;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Presence {
    Connected,
    /// Not heard when it should have been; nobody knows why.
    Stale,
    /// It said goodbye, or its connection closed.
    Disconnected,
    /// Not heard for so long that it will hardly be back.
    Gone,
}

impl Presence {
    pub const ALL: [Self; 4] = [Self::Connected, Self::Stale, Self::Disconnected, Self::Gone];
}

/// How long an agent may be silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// What an operator says of agents of which nothing else is known, and the least for the others.
    pub stale_after: Option<SignedDuration>,
    pub gone_after: SignedDuration,
}

impl Default for Windows {
    fn default() -> Self {
        Self { stale_after: None, gone_after: SignedDuration::from_hours(24) }
    }
}

/// Heartbeats or polls that may be missed.
const MISSED: i32 = 3;
/// For an agent that polls at a period of its own: three polls at the default one (S-HT-05).
const POLLS: SignedDuration = SignedDuration::from_secs(90);

impl Agent {
    /// The interval that was offered to this agent and that it took, as far as it says what it takes.
    fn heartbeat(&self) -> Option<SignedDuration> {
        let offers = self.settings.as_ref()?.offers();
        let taken = matches!(self.settings_state(), SettingsState::Applied | SettingsState::Unreported);
        let seconds = offers.opamp.as_ref().filter(|_| taken)?.heartbeat_interval_seconds;
        Some(SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX / 4)))
    }
}

impl Windows {
    /// How long this agent may be silent on its transport; `None` if nothing is expected of it.
    #[must_use]
    pub fn silence(&self, agent: &Agent, transport: Transport) -> Option<SignedDuration> {
        let least = self.stale_after.unwrap_or_default();
        match (transport, agent.heartbeat()) {
            (Transport::WebSocket, _) if !agent.can(AgentCapabilities::ReportsHeartbeat) => None,
            (Transport::WebSocket, Some(SignedDuration::ZERO)) => None,
            (_, Some(period)) if period.is_positive() => Some((period * MISSED).max(least)),
            (Transport::WebSocket, _) => self.stale_after,
            (Transport::Http, _) => self.stale_after.or(Some(POLLS)),
        }
    }

    /// What an agent is now.
    #[must_use]
    pub fn presence(&self, agent: &Agent, now: Timestamp) -> Presence {
        let silent = now.duration_since(agent.last_seen);
        match agent.connected {
            Some(transport) => match self.silence(agent, transport) {
                Some(most) if silent >= most => Presence::Stale,
                Some(_) | None => Presence::Connected,
            },
            None if silent >= self.gone_after => Presence::Gone,
            None if agent.presence == Presence::Stale => Presence::Stale,
            None => Presence::Disconnected,
        }
    }
}
