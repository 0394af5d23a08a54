//! Packages in the simulated world: the machine of `upgrade` beside that of the Collector, with artefacts of every kind.
//! What must hold for them: nothing unverified is run (I3), nothing that failed is run again (I5), and what is said to be
//! installed is on the disk (I6).

use std::{collections::BTreeSet, time::Duration};

use super::{
    Plant,
    fate::Random,
    world::{Event, World},
};
use crate::{
    supervisor::{
        config::Downgrade,
        machine::{BinaryRules, Blame, Input},
        upgrade::{
            Artefact, Beginning, Failed, Held, Kind, Offer, Offered, Rules, Stage, Then, Work,
            machine::{Effect, Finished, Input as Told, Packages, Token},
        },
    },
    wire::proto::PackageStatusEnum,
};

/// Artefacts are named by one byte; their versions differ, and which is newer does not matter here.
pub(super) const ARTEFACTS: u64 = 24;
pub(super) const RULES: BinaryRules =
    BinaryRules { first_health: Duration::from_secs(60), healthy_for: Duration::from_secs(180) };
const NAME: &str = "otelcol";
const STAGES: [Stage; 4] = [Stage::Downloading, Stage::Verifying, Stage::Extracting, Stage::Preflight];

/// The part of the world that packages are.
#[derive(Debug, Default)]
pub(super) struct Store {
    /// What the server wants to be installed.
    pub(super) wanted: Option<u8>,
    /// The program that the Collector is; none is the host's own.
    pub(super) program: Option<u8>,
    before: Option<u8>,
    verified: BTreeSet<u8>,
    /// What failed for good, and that is on disk.
    failed: BTreeSet<u8>,
    /// The switch waits for its moment.
    armed: Option<(Token, u8)>,
    trial: Option<Token>,
    pub(super) installed: u32,
    pub(super) undone: u32,
}

/// What becomes of an artefact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PackageFate {
    Good,
    Refused(Stage),
    /// Until the world is calm.
    PutOff(Stage),
    /// The supervisor ends over it.
    Kills(Stage),
    EndsAtOnce,
    Ends(Duration),
    NeverHealthy,
    Lies,
    KillsTheWatcher,
}

impl PackageFate {
    pub(super) fn of(artefact: u8) -> Self {
        let mut random = Random::new(u64::from(artefact).wrapping_mul(0x51ed_270b));
        let stage = STAGES[usize::from(artefact / 12) * 2 + usize::from(artefact % 2)];
        match artefact % 12 {
            0..=3 => Self::Good,
            4 => Self::Refused(stage),
            5 => Self::PutOff(stage),
            6 => Self::Kills(stage),
            7 => Self::EndsAtOnce,
            8 => Self::Ends(random.millis(1_000, 170_000)),
            9 => Self::NeverHealthy,
            10 => Self::Lies,
            _ => Self::KillsTheWatcher,
        }
    }

    pub(super) const fn lasts(self) -> bool {
        matches!(self, Self::Good | Self::PutOff(_))
    }
}

fn artefact_of(held: &Held) -> u8 {
    held.artefact.0[0]
}

pub(super) const fn rules() -> Rules {
    Rules { accepts: true, allow: None, downgrade: Downgrade::Allow }
}

impl World {
    /// What a start runs: decided from the disk, as the driver decides.
    pub(super) fn begin_packages(&mut self) -> (Packages, Option<BinaryRules>) {
        let mut record = self.disk.state.packages.clone();
        if self.options.plant == Some(Plant::ForgetsFailedPackages) {
            record.quarantine.clear();
            record.failed.clear();
        }
        let mut found = record.begin();
        if matches!(found, Beginning::OnTrial(_)) {
            let mut state = self.disk.state.clone();
            state.packages = record.clone();
            if self.disk.write(&state).is_err() {
                record.put_trial_off();
                found = record.in_force();
            }
        }
        let (store, trial) = (&mut self.store, matches!(found, Beginning::OnTrial(_)));
        (store.armed, store.trial) = (None, None);
        store.before = record.collector().map(|(_, held)| artefact_of(held));
        store.program = match &found {
            Beginning::Local => None,
            Beginning::Installed(held) | Beginning::OnTrial(held) => Some(artefact_of(held)),
        };
        (Packages::new(rules(), record, None, false), trial.then_some(RULES))
    }

    pub(super) fn take_up_packages(&mut self) -> Result<(), String> {
        let (now, had) = (self.now, self.random.below(3));
        if let Some(supervisor) = &mut self.supervisor {
            supervisor.packages.take_up(had, now);
        }
        self.perform()
    }

    pub(super) fn offer_package(&mut self) -> Result<(), String> {
        let packages = self.store.wanted.map(|artefact| {
            let offered = Offered {
                kind: Kind::Collector,
                version: format!("1.{artefact}.0"),
                hash: vec![artefact],
                url: String::new(),
                artefact: Artefact(vec![artefact; 32]),
                signature: Vec::new(),
                headers: Vec::new(),
            };
            (NAME.to_owned(), offered)
        });
        let all_packages_hash = vec![self.store.wanted.map_or(0, |wanted| wanted + 1)];
        self.note(|| format!("the server offers {:?}", self.store.wanted.map(PackageFate::of)));
        self.tell_packages(Told::Offer(Offer { all_packages_hash, packages: packages.into_iter().collect() }))
    }

    pub(super) fn tell_packages(&mut self, told: Told) -> Result<(), String> {
        let now = self.now;
        if let Some(supervisor) = &mut self.supervisor {
            supervisor.packages.handle(told, now);
        }
        self.perform()
    }

    /// One thing that the machine asks for, if there is one.
    pub(super) fn perform_package(&mut self) -> Result<bool, String> {
        let effect = self.supervisor.as_mut().and_then(|supervisor| supervisor.packages.poll_effect());
        let Some(effect) = effect else { return Ok(false) };
        self.note(|| format!("  ⇒ {effect:?}"));
        match effect {
            Effect::Run { token, work } => self.run_stage(token, &work)?,
            Effect::Changed => {
                let saved = self.save();
                self.keep_in_mind(saved.is_ok());
                self.installed_is_durable()?;
            }
            Effect::Report => self.installed_is_durable()?,
            Effect::Drop { .. } => self.store.armed = None,
            Effect::Remove { .. } | Effect::Settled => {}
        }
        Ok(true)
    }

    /// What is condemned on disk must never be run again.
    fn keep_in_mind(&mut self, saved: bool) {
        if saved && self.options.plant != Some(Plant::ForgetsFailedPackages) {
            let known = self.disk.state.packages.quarantine.iter().map(|known| known.artefact.0[0]);
            self.store.failed.extend(known);
        } else if saved {
            // What the plant makes it forget is not forgotten here.
            let record = self.supervisor.as_ref().map(|supervisor| supervisor.packages.record());
            let known =
                record.into_iter().flat_map(|record| &record.quarantine).map(|known| known.artefact.0[0]);
            self.store.failed.extend(known);
        }
    }

    /// I6: installed is said when it is on disk.
    fn installed_is_durable(&self) -> Result<(), String> {
        let Some(supervisor) = &self.supervisor else { return Ok(()) };
        if supervisor.unsaved && self.options.plant != Some(Plant::SaysInstalledBeforeItIsOnDisk) {
            return Ok(());
        }
        let told = supervisor.packages.statuses();
        let Some(status) = told.packages.get(NAME) else { return Ok(()) };
        let held = &self.disk.state.packages.held;
        let durable = held.get(NAME).is_some_and(|held| held.hash == status.agent_has_hash);
        if status.status == PackageStatusEnum::Installed as i32 && !durable {
            return Err(format!("I6: {status:?} is said while {held:?} is on disk"));
        }
        Ok(())
    }

    fn run_stage(&mut self, token: Token, work: &Work) -> Result<(), String> {
        let runs = self.supervisor.as_ref().is_some_and(|supervisor| supervisor.machine.tries_binary());
        let artefact = work.offered.artefact.0[0];
        if self.save().is_err() && !(work.stage == Stage::Trial && runs) {
            self.finish(token, Err(Failed { why: "the disk is full".to_owned(), then: Then::TryAgain }));
            return Ok(());
        }
        if work.stage == Stage::Preflight {
            self.may_be_run(Some(artefact))?;
        }
        if work.stage == Stage::Trial {
            if runs {
                self.store.trial = Some(token)
            } else {
                self.store.armed = Some((token, artefact))
            }
            return Ok(());
        }
        let takes = self.random.millis(5, 3_000);
        let result = match PackageFate::of(artefact) {
            PackageFate::Kills(stage) if stage == work.stage => {
                self.at(takes, Event::SupervisorDies);
                return Ok(());
            }
            PackageFate::Refused(stage) if stage == work.stage => {
                Err(Failed { why: "wrong".to_owned(), then: Then::WaitForOffer })
            }
            PackageFate::PutOff(stage) if stage == work.stage && !self.calm => {
                Err(Failed { why: "not now".to_owned(), then: Then::TryAgain })
            }
            _ => Ok(finished(work)),
        };
        self.at(takes, Event::Stage(token, artefact, result));
        Ok(())
    }

    /// What a stage brought is known: the machine hears of it.
    pub(super) fn stage_ends(
        &mut self,
        token: Token,
        artefact: u8,
        result: Result<Finished, Failed>,
    ) -> Result<(), String> {
        if matches!(result, Ok(Finished::Verified { .. }))
            && self.options.plant != Some(Plant::RunsWhatIsUnverified)
        {
            self.store.verified.insert(artefact);
        }
        self.tell_packages(Told::Done { token, result })
    }

    fn finish(&mut self, token: Token, result: Result<Finished, Failed>) {
        let now = self.now;
        if let Some(supervisor) = &mut self.supervisor {
            supervisor.packages.handle(Told::Done { token, result }, now);
        }
    }

    /// The switch, once nothing else is on its way.
    pub(super) fn switch_when_free(&mut self) {
        let at_rest = self.supervisor.as_ref().is_some_and(|supervisor| {
            supervisor.machine.is_at_rest()
                && !supervisor.ending
                && supervisor.packages.record().trial.is_some()
        });
        if let Some((token, artefact)) = self.store.armed.take_if(|_| at_rest) {
            self.store.before = self.store.program.replace(artefact);
            self.store.trial = Some(token);
            self.files = None;
            self.feed(Input::SwitchBinary(RULES));
        }
    }

    pub(super) fn binary_proven(&mut self) {
        if let Some(token) = self.store.trial.take() {
            self.store.installed += 1;
            self.finish(token, Ok(Finished::Proven { at: 1 }));
        }
    }

    pub(super) fn binary_failed(&mut self, why: String, blame: Blame) {
        self.store.program = self.store.before;
        self.files = None;
        self.feed(Input::BinarySteppedBack);
        self.store.undone += 1;
        if let Some(token) = self.store.trial.take() {
            let then = if blame == Blame::Config { Then::Quarantine } else { Then::WaitForOffer };
            self.finish(token, Err(Failed { why, then }));
        }
    }

    /// I3, I5: it was verified, and did not fail here before.
    pub(super) fn may_be_run(&self, program: Option<u8>) -> Result<(), String> {
        let Some(artefact) = program else { return Ok(()) };
        if !self.store.verified.contains(&artefact) {
            return Err(format!("I3: {artefact} is run and was never verified"));
        }
        if self.store.failed.contains(&artefact) {
            return Err(format!("I5: {artefact} failed for good, and is run again"));
        }
        Ok(())
    }

    /// Once all is calm, what is wanted is installed and runs, or failed for a reason.
    pub(super) fn packages_are_in_order(&self) -> Result<(), String> {
        let wrong = |what: &str| Err(format!("I4: {what}: {self:#?}"));
        let Some(supervisor) = &self.supervisor else { return Ok(()) };
        let record = supervisor.packages.record();
        if record.work.is_some() || record.trial.is_some() || supervisor.machine.tries_binary() {
            return wrong("a package is still on its way");
        }
        let held = record.collector().map(|(_, held)| artefact_of(held));
        if held != self.store.program {
            return wrong("what runs is not what is held");
        }
        let Some(wanted) = self.store.wanted else { return Ok(()) };
        if held == Some(wanted) {
            return Ok(());
        }
        match record.failed.get(NAME) {
            Some(failed) if failed.then == Then::TryAgain => wrong("nothing stands in its way any more"),
            Some(_) if PackageFate::of(wanted).lasts() && !self.store.failed.contains(&wanted) => {
                wrong("a good package is refused")
            }
            Some(_) => Ok(()),
            None => wrong("what is wanted neither is installed nor failed"),
        }
    }
}

fn finished(work: &Work) -> Finished {
    match work.stage {
        Stage::Downloading => Finished::Downloaded,
        Stage::Verifying => Finished::Verified { version: work.offered.version.clone() },
        Stage::Extracting => {
            Finished::Unpacked { slot: work.offered.version.clone(), program: NAME.to_owned() }
        }
        Stage::Preflight => Finished::Fit,
        Stage::Trial => Finished::Proven { at: 1 },
    }
}
