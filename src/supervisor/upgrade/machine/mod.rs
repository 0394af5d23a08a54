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
//! - `terms`, `policy` beside: words, and what is taken; `status`: what the server is told; `tests`
//!
//! Called by `driver::packages`, which downloads, verifies, unpacks, asks and switches.

mod status;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use status::Transfer;

use super::{
    policy::Rules,
    terms::{Before, Failed, Held, Kind, Offer, Offered, Quarantined, Record, Stage, Then, Trial, Work},
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
const SOON: Duration = Duration::from_secs(10);
const AGAIN_AT_MOST: Duration = Duration::from_secs(3600);
/// A server that repeats itself gets the same answer for so long (F-51).
const HOLD: Duration = Duration::from_secs(30);

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
        let on_trial = work.stage == Stage::Trial && work.offered.kind == Kind::Collector;
        if on_trial {
            // The Collector runs on trial already, or was given up at the start.
            return if self.record.trial.is_none() { self.trial_is_over(now) } else { self.emit_trial() };
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
            Input::Removed { name, result } => self.removed(&name, result, now),
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

    fn offered(&mut self, offer: Offer, now: Duration) {
        let trial = self.record.work.as_ref().is_some_and(|work| work.stage == Stage::Trial);
        if trial || self.paused {
            self.mailbox = Some(offer);
            return;
        }
        let same = self.record.offer.as_ref().is_some_and(|known| known.says_the_same_as(&offer));
        if same {
            return self.repeated(offer, now);
        }
        self.answered = now;
        self.record.unusable.clear();
        self.record.failed.clear();
        self.again.clear();
        if let Err(why) = offer.check() {
            self.record.unusable = why.to_string();
            self.record.offer = Some(Offer { packages: BTreeMap::new(), ..offer });
            return self.effects.push_back(Effect::Changed);
        }
        let still = self.record.work.as_ref().is_some_and(|work| {
            offer.packages.get(&work.name).is_some_and(|offered| offered.is(&work.offered))
        });
        if !still && self.record.work.take().is_some() {
            self.effects.push_back(Effect::Drop { token: self.token });
            self.token.0 += 1;
        }
        self.record.offer = Some(offer);
        self.adopt();
        self.effects.push_back(Effect::Changed);
        self.next(now);
    }

    /// The same again: what failed for now is tried again, though not as often as it is said (F-51).
    fn repeated(&mut self, offer: Offer, now: Duration) {
        // Tokens of the download may be others.
        self.record.offer = Some(offer);
        if now < self.answered + HOLD || self.record.work.is_some() {
            return self.effects.push_back(Effect::Report);
        }
        self.answered = now;
        self.record.failed.retain(|_, failed| failed.then == Then::Quarantine);
        self.effects.push_back(Effect::Changed);
        self.next(now);
    }

    /// What is held already under another name of the server's (C-PK-07).
    fn adopt(&mut self) {
        let Some(offer) = &self.record.offer else { return };
        for (name, offered) in &offer.packages {
            if let Some(held) = self.record.held.get_mut(name)
                && held.kind == offered.kind
                && held.artefact == offered.artefact
            {
                held.hash.clone_from(&offered.hash);
            }
        }
    }

    /// The host's rules changed: what they stood in the way of may do now.
    fn ruled(&mut self, rules: Rules, now: Duration) {
        if self.rules != rules {
            self.rules = rules;
            self.record.failed.retain(|_, failed| failed.then != Then::WaitForOffer);
            self.settled(now);
        }
    }

    /// Takes up the next package that is wanted, if nothing is at work.
    fn next(&mut self, now: Duration) {
        while self.record.work.is_none() && !self.paused {
            let Some((name, offered)) = self.wanted() else { return self.remove_withdrawn(now) };
            match self.rules.judge(&name, &offered, &self.record, self.running.as_deref()) {
                Ok(()) => {
                    self.record.work =
                        Some(Work { name, offered, stage: Stage::Downloading, lives: 1, had: 0, made: None });
                    self.transfer = Transfer::default();
                    self.run(Stage::Downloading);
                }
                Err(failed) => {
                    self.record.failed.insert(name, failed);
                    self.effects.push_back(Effect::Changed);
                }
            }
        }
    }

    /// The first package that is offered, not held, and has not failed.
    fn wanted(&self) -> Option<(String, Offered)> {
        let offer = self.record.offer.as_ref()?;
        let lacks = |(name, offered): &(&String, &Offered)| {
            let held = self
                .record
                .held
                .get(*name)
                .is_some_and(|held| held.kind == offered.kind && held.artefact == offered.artefact);
            !held && !self.record.failed.contains_key(*name)
        };
        let wanted = offer.packages.iter().filter(lacks).min_by_key(|(_, offered)| offered.kind);
        wanted.map(|(name, offered)| (name.clone(), offered.clone()))
    }

    fn remove_withdrawn(&mut self, now: Duration) {
        let Some(offer) = &self.record.offer else { return };
        if self.removals.is_some() || !self.record.unusable.is_empty() {
            return;
        }
        let gone = self
            .record
            .held
            .iter()
            .filter(|(name, held)| held.kind == Kind::AddOn && !offer.packages.contains_key(*name));
        let gone: Vec<_> = gone.map(|(name, held)| (name.clone(), held.clone())).collect();
        if !gone.is_empty() {
            self.removals = Some(now + AGAIN);
        }
        self.effects.extend(gone.into_iter().map(|(name, held)| Effect::Remove { name, held }));
    }

    fn removed(&mut self, name: &str, result: Result<(), String>, now: Duration) {
        if result.is_ok() {
            self.record.held.remove(name);
            self.effects.push_back(Effect::Changed);
        } else {
            self.removals = Some(now + AGAIN);
        }
    }

    fn run(&mut self, stage: Stage) {
        self.token.0 += 1;
        if let Some(work) = &mut self.record.work {
            work.stage = stage;
            if stage == Stage::Trial
                && work.offered.kind == Kind::Collector
                && let Some(target) = &work.made
            {
                // The first start is one of them.
                self.record.trial = Some(Trial { target: target.clone(), tries_left: TRIES - 1 });
            }
            self.effects.push_back(Effect::Run { token: self.token, work: work.clone() });
        }
    }

    /// The trial goes on: the driver learns the token by which its end is told.
    fn emit_trial(&mut self) {
        self.token.0 += 1;
        if let Some(work) = self.record.work.clone() {
            self.effects.push_back(Effect::Run { token: self.token, work });
        }
    }

    /// An earlier life gave the trial up, and wrote down why.
    fn trial_is_over(&mut self, now: Duration) {
        self.record.work = None;
        self.effects.push_back(Effect::Changed);
        self.settled(now);
    }

    fn done(&mut self, result: Result<Finished, Failed>, now: Duration) {
        let finished = match result {
            Ok(finished) => finished,
            Err(failed) => return self.failed(failed, now),
        };
        let Some(work) = &mut self.record.work else { return };
        match finished {
            Finished::Downloaded => self.run(Stage::Verifying),
            Finished::Verified { version } => {
                let (name, offered) = (work.name.clone(), work.offered.clone());
                let running = self.running.as_deref();
                let above = self.rules.above_floor(&name, offered.kind, &version, &self.record, running);
                if let Some(work) = &mut self.record.work {
                    work.made = Some(Held {
                        kind: offered.kind,
                        version,
                        hash: offered.hash,
                        artefact: offered.artefact,
                        slot: String::new(),
                        program: String::new(),
                    });
                }
                match above {
                    Ok(()) => self.run(Stage::Extracting),
                    Err(failed) => self.failed(failed, now),
                }
            }
            Finished::Unpacked { slot, program } => {
                if let Some(made) = &mut work.made {
                    (made.slot, made.program) = (slot, program);
                }
                let add_on = work.offered.kind == Kind::AddOn;
                self.run(if add_on { Stage::Trial } else { Stage::Preflight });
            }
            Finished::Fit => self.run(Stage::Trial),
            Finished::Proven { at } => self.commit(at, now),
        }
    }

    /// It stays: what ran before is kept, and the floor moves.
    fn commit(&mut self, at: u64, now: Duration) {
        let Some(Work { name, made: Some(made), .. }) = self.record.work.take() else { return };
        self.record.trial = None;
        if made.kind == Kind::Collector {
            let binary = self.record.collector().map(|(name, held)| (name.clone(), held.clone()));
            self.record.before = Some(Before { binary, since: at });
            self.record.held.retain(|_, held| held.kind != Kind::Collector);
        }
        let higher = super::policy::version(&made.version);
        let floor = self.record.floor.get(&name).and_then(|text| super::policy::version(text));
        if higher > floor {
            self.record.floor.insert(name.clone(), made.version.clone());
        }
        self.record.failed.remove(&name);
        self.again.remove(&name);
        self.record.held.insert(name, made);
        self.effects.push_back(Effect::Changed);
        self.settled(now);
    }

    fn failed(&mut self, failed: Failed, now: Duration) {
        let Some(work) = self.record.work.take() else { return };
        self.record.trial = None;
        self.token.0 += 1;
        match failed.then {
            Then::Quarantine => quarantine(&mut self.record, &work.offered, &failed.why),
            Then::TryAgain => {
                let wait =
                    self.again.get(&work.name).map_or(AGAIN, |again| (again.wait * 2).min(AGAIN_AT_MOST));
                self.again.insert(work.name.clone(), Again { at: now + wait, wait });
            }
            Then::WaitForOffer => {}
        }
        self.record.failed.insert(work.name, failed);
        self.effects.push_back(Effect::Changed);
        self.settled(now);
    }

    /// What waited goes on.
    fn settled(&mut self, now: Duration) {
        if self.record.work.is_none() {
            self.effects.push_back(Effect::Settled);
        }
        match self.mailbox.take_if(|_| !self.paused) {
            Some(offer) => self.offered(offer, now),
            None => self.next(now),
        }
    }

    /// What was in force is not run again, and the version before is held.
    fn went_back(&mut self, why: String, now: Duration) {
        let Some(Before { binary, .. }) = self.record.before.take() else { return };
        if let Some((name, held)) = self.record.collector().map(|(name, held)| (name.clone(), held.clone())) {
            self.record.quarantine.push(Quarantined { artefact: held.artefact, why: why.clone() });
            self.record.held.remove(&name);
            self.record.failed.insert(name, Failed { why, then: Then::Quarantine });
        }
        self.record.held.extend(binary);
        self.effects.push_back(Effect::Changed);
        self.settled(now);
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
