//! Two streams of messages under one instance uid: one agent that connected anew, or two agents (S-ID-04)?
//!
//! [`Contest`] judges two connections of which at least one is a WebSocket: there are two agents only if both are
//! still there, and both showed life, when the time to answer a ping is over. An agent that opens its next
//! connection before it closes the last one is done by then; a half-open connection has not answered.
//! [`Weave`] judges plain HTTP, where nobody can be pinged, by how sequence numbers interleave.
//!
//! Owned by `server::hub`, one for each uid. What follows from a verdict is not decided here.

#[cfg(test)]
mod tests;
mod weave;

use std::time::Duration;

pub use weave::{Seen, Stream, Weave};

/// Both sides must show life within this time, and be there at its end.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// A polling agent that was not heard for so long is not waited for any more.
const POLL_WITHIN: Duration = Duration::from_secs(90);

/// How a side of a contest is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It can be pinged, and it is known when it closes.
    Socket,
    /// It is only heard when it polls.
    Polls,
}

/// One of the two connections of a [`Contest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The one that spoke first.
    Older,
    /// The one whose first message began the contest.
    Newer,
}

/// What showed that a side lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// The answer to the ping that was sent when the contest began.
    Pong,
    /// It said something.
    Message {
        /// Of that message: a low one on the older connection was sent before the newer one was there.
        sequence_num: u64,
    },
}

/// What a [`Contest`] comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The agent is on the newer connection, and the older one is dead.
    Replaced,
    /// The agent is on the older connection; the newer one was not to stay.
    Kept,
    /// Two agents use one uid.
    Duplicate,
}

/// Two connections under one uid, not yet judged.
#[derive(Clone, Debug)]
pub struct Contest {
    since: Duration,
    /// The first sequence number on the newer connection. What the older one says below it was said before.
    first: u64,
    older: Party,
    newer: Party,
}

#[derive(Clone, Copy, Debug)]
struct Party {
    kind: Kind,
    lives: bool,
}

impl Contest {
    /// Begins when the newer connection speaks for the first time.
    #[must_use]
    pub const fn new(older: Kind, newer: Kind, first_sequence_num: u64, now: Duration) -> Self {
        Self {
            since: now,
            first: first_sequence_num,
            older: Party { kind: older, lives: false },
            newer: Party { kind: newer, lives: false },
        }
    }

    /// One side showed life.
    pub fn heard(&mut self, side: Side, sign: Sign, now: Duration) {
        let over = now >= self.since + ANSWER_WITHIN;
        let late = matches!(sign, Sign::Message { sequence_num } if sequence_num < self.first);
        let party = match side {
            Side::Older if late => return,
            Side::Older => &mut self.older,
            Side::Newer => &mut self.newer,
        };
        // A poll is of use only once an agent that changed its transport would have ended the other one.
        party.lives |= match party.kind {
            Kind::Socket => sign != Sign::Pong || !over,
            Kind::Polls => over,
        };
    }

    /// One side is gone, or said goodbye. The older one stays only if it is known to live.
    #[must_use]
    pub const fn closed(&self, side: Side) -> Verdict {
        match side {
            Side::Newer if self.older.lives => Verdict::Kept,
            Side::Older | Side::Newer => Verdict::Replaced,
        }
    }

    /// The verdict, once there is one.
    #[must_use]
    pub fn verdict(&self, now: Duration) -> Option<Verdict> {
        if now < self.since + ANSWER_WITHIN {
            return None;
        }
        let given_up = now >= self.since + POLL_WITHIN;
        match (self.older, self.newer) {
            (Party { lives: true, .. }, Party { lives: true, .. }) => Some(Verdict::Duplicate),
            (Party { lives: false, kind }, _) => {
                (kind == Kind::Socket || given_up).then_some(Verdict::Replaced)
            }
            (_, Party { lives: false, kind }) => (kind == Kind::Socket || given_up).then_some(Verdict::Kept),
        }
    }
}
