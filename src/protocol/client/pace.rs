//! How often there is something to say, and an attempt before its time.

use std::time::Duration;

use super::{Client, DEFAULT_HEARTBEAT, Link, Phase};
use crate::wire::proto::AgentCapabilities;

impl Client {
    /// Sets the heartbeat or poll period; zero means none over WebSocket (C-HB-06), no change over HTTP (N2).
    pub const fn set_heartbeat(&mut self, period: Duration) {
        if matches!(self.link, Link::WebSocket) || !period.is_zero() {
            self.heartbeat = period;
        }
    }

    /// The period of heartbeats or polls; zero for none.
    #[must_use]
    pub const fn heartbeat(&self) -> Duration {
        self.heartbeat
    }

    /// What stood in the way may be gone: the next attempt comes now, unless the server asked to wait.
    pub fn hurry(&mut self, now: Duration) {
        if let (Phase::Waiting { until }, false) = (&mut self.phase, self.asked_to_wait) {
            *until = now.min(*until);
        }
    }

    pub(super) const fn period(&self) -> Option<Duration> {
        let beats = match self.link {
            Link::Http => true,
            Link::WebSocket => self.caps.has(AgentCapabilities::ReportsHeartbeat),
        };
        match (beats, self.link) {
            // A server that is polled cannot be polled never (N2).
            (true, Link::Http) if self.heartbeat.is_zero() => Some(DEFAULT_HEARTBEAT),
            (true, _) if !self.heartbeat.is_zero() => Some(self.heartbeat),
            _ => None,
        }
    }
}
