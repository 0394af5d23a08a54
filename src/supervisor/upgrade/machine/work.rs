//! The package at work, from stage to stage, and how it ends.

use std::time::Duration;

use super::{
    super::{
        policy::version,
        terms::{Before, Failed, Held, Kind, Quarantined, Stage, Then, Trial, Work},
    },
    AGAIN, AGAIN_AT_MOST, Again, Effect, Finished, Packages, TRIES, quarantine,
};

impl Packages {
    pub(super) fn run(&mut self, stage: Stage) {
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
    pub(super) fn emit_trial(&mut self) {
        self.token.0 += 1;
        if let Some(work) = self.record.work.clone() {
            self.effects.push_back(Effect::Run { token: self.token, work });
        }
    }

    /// An earlier life gave the trial up, and wrote down why.
    pub(super) fn trial_is_over(&mut self, now: Duration) {
        self.record.work = None;
        self.effects.push_back(Effect::Changed);
        self.settled(now);
    }

    pub(super) fn done(&mut self, result: Result<Finished, Failed>, now: Duration) {
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
    pub(super) fn commit(&mut self, at: u64, now: Duration) {
        let Some(Work { name, made: Some(made), .. }) = self.record.work.take() else { return };
        self.record.trial = None;
        if made.kind == Kind::Collector {
            let binary = self.record.collector().map(|(name, held)| (name.clone(), held.clone()));
            self.record.before = Some(Before { binary, since: at });
            self.record.held.retain(|_, held| held.kind != Kind::Collector);
        }
        let higher = version(&made.version);
        let floor = self.record.floor.get(&name).and_then(|text| version(text));
        if higher > floor {
            self.record.floor.insert(name.clone(), made.version.clone());
        }
        self.record.failed.remove(&name);
        self.again.remove(&name);
        self.record.held.insert(name, made);
        self.effects.push_back(Effect::Changed);
        self.settled(now);
    }

    pub(super) fn failed(&mut self, failed: Failed, now: Duration) {
        let Some(work) = self.record.work.take() else { return };
        self.record.trial = None;
        self.token.0 += 1;
        let before = self.again.remove(&work.name);
        match failed.then {
            Then::Quarantine => quarantine(&mut self.record, &work.offered, &failed.why),
            Then::TryAgain => {
                let wait = before.map_or(AGAIN, |again| (again.wait * 2).min(AGAIN_AT_MOST));
                self.again.insert(work.name.clone(), Again { at: now + wait, wait });
            }
            Then::WaitForOffer => {}
        }
        self.record.failed.insert(work.name, failed);
        self.effects.push_back(Effect::Changed);
        self.settled(now);
    }

    /// What waited goes on.
    pub(super) fn settled(&mut self, now: Duration) {
        if self.record.work.is_none() {
            self.effects.push_back(Effect::Settled);
        }
        match self.mailbox.take_if(|_| !self.paused) {
            Some(offer) => self.offered(offer, now),
            None => self.next(now),
        }
    }

    /// What was in force is not run again, and the version before is held.
    pub(super) fn went_back(&mut self, why: String, now: Duration) {
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
