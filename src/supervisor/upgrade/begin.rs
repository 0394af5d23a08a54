//! What a start of the supervisor finds: which Collector it is to run, and whether that is on trial.

use super::{
    machine::quarantine,
    terms::{Failed, Held, Record, Stage, Then},
};

/// Which Collector is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// That of `agent.executable`.
    Local,
    /// A package that proved itself.
    Installed(Held),
    /// A package on trial; that it is tried once more is to be made durable first.
    OnTrial(Held),
}

impl Record {
    /// Decides what runs. A trial over which the supervisor ended too often is over (F-11).
    pub fn begin(&mut self) -> Beginning {
        if let Some(trial) = &mut self.trial {
            if let Some(left) = trial.tries_left.checked_sub(1) {
                trial.tries_left = left;
                return Beginning::OnTrial(trial.target.clone());
            }
            self.give_up_trial("the supervisor itself ended each time it was tried");
        }
        self.in_force()
    }

    /// What runs when nothing is on trial.
    #[must_use]
    pub fn in_force(&self) -> Beginning {
        self.collector().map_or(Beginning::Local, |(_, held)| Beginning::Installed(held.clone()))
    }

    /// The trial cannot go on for now: from the download, which is there, it begins again.
    pub fn put_trial_off(&mut self) {
        self.trial = None;
        if let Some(work) = &mut self.work {
            work.stage = Stage::Downloading;
        }
    }

    /// Under which name this is held, or on its way.
    #[must_use]
    pub fn name_of(&self, held: &Held) -> String {
        let here = self.held.iter().find(|(_, known)| *known == held).map(|(name, _)| name);
        let name = here.or_else(|| self.work.as_ref().map(|work| &work.name));
        name.cloned().unwrap_or_default()
    }

    /// The Collector on trial is not tried again.
    fn give_up_trial(&mut self, why: &str) {
        self.trial = None;
        if let Some(work) = self.work.take() {
            quarantine(self, &work.offered, why);
            self.failed.insert(work.name, Failed { why: why.to_owned(), then: Then::Quarantine });
        }
    }

    /// What is held as the Collector cannot be run any more: what was before is in force (F-20, F-21).
    pub fn lose_collector(&mut self, why: &str) -> Beginning {
        if let Some((name, _)) = self.collector() {
            let name = name.clone();
            self.held.remove(&name);
            self.failed.insert(name, Failed { why: why.to_owned(), then: Then::TryAgain });
            self.held.extend(self.before.take().and_then(|before| before.binary));
        }
        self.in_force()
    }
}
