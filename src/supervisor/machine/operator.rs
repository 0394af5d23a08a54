//! What a person on the host asks for, and what the host itself changes.

use std::{collections::BTreeSet, time::Duration};

use super::{
    Blame, ConfigHash, Effect, Machine, Outcome, Quarantine,
    apply::Apply,
    process::{Process, Then},
};

impl Machine {
    /// Whether there is a config to go back to.
    #[must_use]
    pub fn can_roll_back(&self) -> bool {
        let binary = self.tries_binary();
        !self.ending && (binary || self.is_proving() || self.probation.is_some() || self.previous.is_some())
    }

    /// Back to the config before the one that is on trial or in force; that one is not tried again.
    pub(super) fn roll_back(&mut self, now: Duration) {
        const WHY: &str = "rolled back by a person on the host";
        if !self.can_roll_back() {
            return;
        }
        if self.tries_binary() {
            return self.binary_is_wrong(WHY, now);
        }
        if self.is_proving() {
            self.give_up_trial(WHY, Blame::Config, now);
        } else if self.probation.is_some() {
            self.undo(WHY, Blame::Config, now);
        } else if let Some(previous) = self.previous.take() {
            self.restore(previous, WHY);
        }
        self.run_anew(now);
        self.next_offer(now);
    }

    /// What failed is nothing to fall back to, however good it was once.
    fn fall_back_to_another(&mut self, failed: &ConfigHash) {
        self.previous.take_if(|previous| previous.as_ref() == Some(failed));
        if self.last_good.as_ref() == Some(failed) && self.live.as_ref() != Some(failed) {
            self.last_good = self.previous.take().flatten();
            if self.probation.is_none() && self.live != self.last_good {
                self.put_on_probation(self.last_good.clone(), BTreeSet::new());
            }
        }
        let last_good = self.last_good.clone();
        if let Some(probation) = &mut self.probation {
            probation.forget(failed, last_good);
        }
    }

    fn restore(&mut self, previous: super::Running, why: &str) {
        self.last_good.clone_from(&previous);
        let given_up = std::mem::replace(&mut self.live, previous);
        if let Some(config) = given_up {
            self.failed(config, format!("{why}; {}", self.rolled_back()));
        }
        self.emit(Effect::Restored);
        self.settle_what_is_in_force();
    }

    /// A config that was on its way and came into force by going back to it has nothing to prove.
    pub(super) fn settle_what_is_in_force(&mut self) {
        if !self.is_proving()
            && let Some(config) =
                self.apply.config().filter(|config| self.live.as_ref() == Some(config)).cloned()
        {
            self.apply = Apply::Idle;
            self.emit(Effect::Status { config, outcome: Outcome::Applied });
        }
    }

    /// Offers are held; what is on its way is finished.
    pub(super) fn pause(&mut self) {
        if !std::mem::replace(&mut self.paused, true) {
            self.emit(Effect::Paused(true));
        }
    }

    pub(super) fn resume(&mut self, now: Duration) {
        if std::mem::replace(&mut self.paused, false) {
            self.emit(Effect::Paused(false));
            self.next_offer(now);
        }
    }

    /// What failed on this host may do now: the binary is another one, or a local layer.
    pub(super) fn host_changed(&mut self, failed: Vec<(ConfigHash, String)>, now: Duration) {
        self.quarantine = Quarantine::of(failed);
        if self.safe.is_some() && !self.apply.is_at_work() && !self.ending {
            self.try_last_good_next();
            self.run_anew(now);
        }
    }

    /// A config over which the supervisor itself ended, again and again (F-106).
    pub(super) fn condemn(&mut self, config: ConfigHash, why: &str, now: Duration) {
        if self.live.as_ref() == Some(&config) && self.probation.is_some() {
            self.undo(why, Blame::Config, now);
            if matches!(self.process, Process::Running { .. }) {
                self.stop(Then::Start, now);
            }
        } else if self.apply == Apply::Idle && self.live.as_ref() != Some(&config) {
            self.failed(config, why.to_owned());
        }
    }

    pub(super) fn failed(&mut self, config: ConfigHash, why: String) {
        self.quarantine.add(config.clone(), why.clone());
        self.fall_back_to_another(&config);
        if self.apply.config() == Some(&config) {
            self.apply = Apply::Idle;
        }
        self.emit(Effect::Status { config, outcome: Outcome::Failed(why) });
    }
}
