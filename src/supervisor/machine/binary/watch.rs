//! How well a binary on trial has been since its first good word.

use std::time::Duration;

/// How long it may be unhealthy in a row.
const UNHEALTHY: Duration = Duration::from_secs(30);
/// How often its health may turn from good to bad.
const FLIPS: u32 = 3;

/// Kept from one process of the binary to the next.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Watch {
    /// Healthy for so long, up to the last change.
    healthy: Duration,
    now: Now,
    flips: u32,
}

#[derive(Clone, Debug, Default, PartialEq)]
enum Now {
    /// There is no process that was heard from.
    #[default]
    Unknown,
    Healthy {
        since: Duration,
    },
    Unhealthy {
        since: Duration,
        why: String,
    },
}

/// It will not do, for this reason.
pub(super) struct Unfit(pub(super) String);

impl Watch {
    /// A process that ended proves nothing: its time counts from zero, while what changed is not forgotten.
    pub(super) fn of_new_process(self) -> Self {
        Self { healthy: Duration::ZERO, now: Now::Unknown, ..self }
    }

    pub(super) fn healthy(self, now: Duration) -> Self {
        match self.now {
            Now::Healthy { .. } => self,
            Now::Unknown | Now::Unhealthy { .. } => Self { now: Now::Healthy { since: now }, ..self },
        }
    }

    pub(super) fn unhealthy(self, why: String, now: Duration) -> Self {
        match self.now {
            Now::Unhealthy { since, .. } => Self { now: Now::Unhealthy { since, why }, ..self },
            Now::Unknown | Now::Healthy { .. } => Self {
                healthy: self.healthy_until(now),
                now: Now::Unhealthy { since: now, why },
                flips: self.flips + 1,
            },
        }
    }

    fn healthy_until(&self, now: Duration) -> Duration {
        match self.now {
            Now::Healthy { since } => self.healthy + now.saturating_sub(since),
            Now::Unknown | Now::Unhealthy { .. } => self.healthy,
        }
    }

    pub(super) fn left(&self, needed: Duration, now: Duration) -> Duration {
        needed.saturating_sub(self.healthy_until(now))
    }

    /// When it is to be judged if nothing is heard until then.
    pub(super) fn deadline(&self, needed: Duration) -> Option<Duration> {
        match self.now {
            Now::Unknown => None,
            Now::Healthy { since } => Some(since + needed.saturating_sub(self.healthy)),
            Now::Unhealthy { since, .. } => Some(since + UNHEALTHY),
        }
    }

    /// Whether it has been healthy for long enough.
    pub(super) fn judge(&self, needed: Duration, now: Duration) -> Result<bool, Unfit> {
        match &self.now {
            Now::Unhealthy { why, .. } if self.flips > FLIPS => {
                Err(Unfit(format!("was healthy and unhealthy again {} times; the last: {why}", self.flips)))
            }
            Now::Unhealthy { since, why } if now >= *since + UNHEALTHY => {
                Err(Unfit(format!("was unhealthy for {UNHEALTHY:?}: {why}")))
            }
            Now::Unhealthy { .. } | Now::Unknown => Ok(false),
            Now::Healthy { .. } => Ok(self.healthy_until(now) >= needed),
        }
    }

    /// The host stood still so long.
    pub(super) fn shift(&mut self, time: Duration) {
        match &mut self.now {
            Now::Unknown => {}
            Now::Healthy { since } | Now::Unhealthy { since, .. } => *since += time,
        }
    }
}
