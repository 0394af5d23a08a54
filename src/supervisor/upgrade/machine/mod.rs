//! What to do about packages: one pure machine, one package at work at a time.
//!
//! ```text
//!   Idle ──a package is offered that this host does not have, and may──▶ Downloading ─▶ Verifying ─▶ Extracting
//!    ▲                                                                     │ a newer offer without it: dropped
//!    │                                                                     ▼
//!    ├──installed── Trial ◀── Preflight (not of an add-on) ◀───────────────┘
//!    └──failed: quarantined, put off, or until it is offered again ◀── every stage
//! ```
//!
//! Add-ons come first, then the Collector, then the supervisor. Each stage is on disk before its work begins
//! ([`Effect::Run`]); up to Trial a newer offer takes its place, from there on the newest waits. What was held because a server
//! offered it and is offered no more goes, but for the Collector and the supervisor, which stay.
//!
//! - `terms`, `policy` beside: words, and what is taken; `status`: what the server is told
//! - `offers`: what is taken up, and in which order; `work`: the package at work
//!
//! Called by `driver::packages`, which downloads, verifies, unpacks, asks and switches.

mod offers;
mod status;
#[cfg(test)]
mod tests;
mod work;

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use status::Transfer;

use super::{
    policy::Rules,
    terms::{Before, Failed, Held, Kind, Offer, Offered, Quarantined, Record, Stage, Then, Work},
};

/// Lives of the supervisor that may end over one package without getting further; the next one gives it up (F-106).
const LIVES: u32 = 2;
/// Starts of the supervisor that may go on with a Collector on trial, the first one included.
pub const TRIES: u32 = 3;
/// Artefacts that are remembered.
const QUARANTINE: usize = 64;
/// From one try of what the host stood in the way of to the next.
const AGAIN: Duration = Duration::from_secs(60);
/// The first one of another life of the supervisor.
const SOON: Duration = Duration::from_secs(1);
const AGAIN_AT_MOST: Duration = Duration::from_secs(3600);
/// A server that repeats itself gets the same answer for so long (F-51).
const HOLD: Duration = Duration::from_secs(5);

/// Names one piece of work: what is late cannot act on what is newer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Token(pub u64);

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    Offer(Offer),
    /// How far the download is, in bytes.
    Progress {
        token: Token,
        have: u64,
        total: Option<u64>,
    },
    Done {
        token: Token,
        result: Result<Finished, Failed>,
    },
    /// The answer to [`Effect::Remove`].
    Removed {
        name: String,
        result: Result<(), String>,
    },
    Rules(Rules),
    /// The version of the Collector that runs.
    Running(Option<String>),
    Pause,
    Resume,
    /// A person on the host went back to the Collector before.
    WentBack {
        why: String,
    },
}

/// What a stage brought.
#[derive(Clone, Debug, PartialEq)]
pub enum Finished {
    Downloaded,
    Verified { version: String },
    Unpacked { slot: String, program: String },
    Fit,
    Proven { at: u64 },
}

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Make the record durable, then do this stage of it; answer with [`Input::Done`].
    Run { token: Token, work: Work },
    /// Stop what runs, and throw away what was downloaded.
    Drop { token: Token },
    /// Remove an add-on; answer with [`Input::Removed`].
    Remove { name: String, held: Held },
    /// Make the record durable, then tell the server.
    Changed,
    /// The download went on: tell the server.
    Report,
    /// Nothing is at work any more: what is not needed can go.
    Settled,
}

/// The machine. See the module's diagram.
#[derive(Debug)]
pub struct Packages {
    rules: Rules,
    record: Record,
    running: Option<String>,
    token: Token,
    transfer: Transfer,
    /// What waits for the end of a trial, or of a pause.
    mailbox: Option<Offer>,
    paused: bool,
    /// Why what failed for now did, is known since then; tried again at.
    again: BTreeMap<String, Again>,
    removals: Option<Duration>,
    answered: Duration,
    effects: VecDeque<Effect>,
}

#[derive(Clone, Copy, Debug)]
struct Again {
    at: Duration,
    wait: Duration,
}

impl Packages {
    /// A machine that goes on with what an earlier life left; `running` is the version of the Collector that runs.
    #[must_use]
    pub fn new(rules: Rules, record: Record, running: Option<String>, paused: bool) -> Self {
        Self {
            rules,
            record,
            running,
            token: Token(0),
            transfer: Transfer::default(),
            mailbox: None,
            paused,
            again: BTreeMap::new(),
            removals: None,
            answered: Duration::ZERO,
            effects: VecDeque::new(),
        }
    }

    /// Goes on where an earlier life ended; `had` is how much of the package at work is there, in bytes.
    pub fn take_up(&mut self, had: u64, now: Duration) {
        let put_off = self.record.failed.iter().filter(|(_, failed)| failed.then == Then::TryAgain);
        let soon = put_off.map(|(name, _)| (name.clone(), Again { at: now + SOON, wait: AGAIN }));
        self.again = soon.collect();
        let Some(work) = &mut self.record.work else { return self.next(now) };
        if work.stage == Stage::Trial {
            match work.offered.kind {
                // The Collector runs on trial already, or was given up at the start.
                Kind::Collector if self.record.trial.is_none() => return self.trial_is_over(now),
                // Who counts the tries is whoever runs them.
                Kind::Collector | Kind::Supervisor => return self.emit_trial(),
                Kind::AddOn => {}
            }
        }
        work.lives = if had > work.had { 1 } else { work.lives + 1 };
        work.had = had;
        if work.lives > LIVES {
            let why = format!("the supervisor itself ended {LIVES} times {}", work.stage.doing());
            return self.failed(Failed { why, then: Then::Quarantine }, now);
        }
        let placed = work.offered.kind == Kind::AddOn && work.stage == Stage::Trial;
        self.run(if placed { Stage::Trial } else { Stage::Downloading });
    }

    #[must_use]
    pub const fn record(&self) -> &Record {
        &self.record
    }

    /// Of the stage at work.
    #[must_use]
    pub const fn token(&self) -> Token {
        self.token
    }

    /// The latest wall clock, in seconds; it never goes back.
    pub fn saw(&mut self, wall: u64) {
        self.record.seen = self.record.seen.max(wall);
    }

    /// The Collector before is given up once it is so old; that of `agent.executable` takes no room.
    pub fn keep_before(&mut self, keep: Duration, wall: u64) {
        let is_old = |before: &mut Before| before.since.saturating_add(keep.as_secs()) <= wall;
        self.record.before.take_if(|before| before.binary.is_some() && is_old(before));
    }

    /// Whether something is being installed that a config may be waiting for.
    #[must_use]
    pub fn is_at_work(&self) -> bool {
        self.record.work.is_some()
    }

    /// The supervisor ends as it was asked to: nobody died over what is at work.
    pub const fn calm(&mut self) {
        if let Some(work) = &mut self.record.work {
            work.lives = 0;
        }
        if let Some(trial) = &mut self.record.trial {
            trial.tries_left = TRIES;
        }
    }

    /// Whether there is something to do.
    #[cfg(test)]
    pub fn has_effects(&self) -> bool {
        !self.effects.is_empty()
    }

    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        if self.record.work.is_some() || self.paused {
            return None;
        }
        self.again.values().map(|again| again.at).chain(self.removals).min()
    }

    pub fn handle_timeout(&mut self, now: Duration) {
        if self.poll_timeout().is_none_or(|due| now < due) {
            return;
        }
        self.removals.take_if(|due| now >= *due);
        let due: Vec<_> =
            self.again.iter().filter(|(_, again)| now >= again.at).map(|(name, _)| name.clone()).collect();
        for name in due {
            // The wait is kept in mind; only a success forgets it.
            if let Some(again) = self.again.get_mut(&name) {
                again.at = now + again.wait;
            }
            self.record.failed.remove(&name);
        }
        self.next(now);
    }

    pub fn handle(&mut self, input: Input, now: Duration) {
        match input {
            Input::Offer(offer) => self.offered(offer, now),
            Input::Progress { token, have, total } if token == self.token => {
                if self.transfer.went_on(have, total, now) {
                    self.effects.push_back(Effect::Report);
                }
            }
            Input::Done { token, result } if token == self.token => self.done(result, now),
            Input::Progress { .. } | Input::Done { .. } => {}
            Input::Removed { name, result } => self.removed(&name, result.is_ok(), now),
            Input::Rules(rules) => self.ruled(rules, now),
            Input::Running(version) => self.running = version,
            Input::Pause => self.paused = true,
            Input::Resume => {
                self.paused = false;
                self.settled(now);
            }
            Input::WentBack { why } => self.went_back(why, now),
        }
    }
}

/// Remembers what failed; the oldest is forgotten.
pub(in crate::supervisor::upgrade) fn quarantine(record: &mut Record, offered: &Offered, why: &str) {
    record.quarantine.retain(|known| known.artefact != offered.artefact);
    if record.quarantine.len() == QUARANTINE {
        record.quarantine.remove(0);
    }
    record.quarantine.push(Quarantined { artefact: offered.artefact.clone(), why: why.to_owned() });
}
