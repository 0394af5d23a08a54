//! Another Collector binary on trial: it has to become healthy, and to stay so for a while.
//!
//! ```text
//!   switched ──▶ Proving ──healthy──▶ Watched ──healthy for long enough──▶ proven
//!                 ▲   │                │    │
//!                 └───┼── ended once ──┘    │ ended twice · unhealthy for 30 s · its health flipped too often
//!                     │                     │ silent · it says that it is another version
//!                     ▼ not healthy in time ▼
//!                     SteppingBack: the binary before runs again
//! ```
//!
//! While it lasts, offered configs wait: each is judged with a binary that stays. Which binary that is, the driver knows.

#[cfg(test)]
mod tests;
mod watch;

use std::{collections::BTreeSet, time::Duration};

use super::{
    Blame, Condition, Effect, Machine,
    process::{Process, Then},
};
use watch::{Unfit, Watch};

/// Ends of its own in the trial; the second one is held against it.
const EXITS: u32 = 2;

/// What a new binary has to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BinaryRules {
    /// How long each start may take to become healthy.
    pub first_health: Duration,
    /// How long it has to be healthy, all in all.
    pub healthy_for: Duration,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct BinaryTrial {
    rules: BinaryRules,
    /// What was broken for good before: that is not the binary's doing.
    baseline: BTreeSet<String>,
    exits: u32,
    phase: Phase,
}

#[derive(Clone, Debug, PartialEq)]
enum Phase {
    /// Its process has not been healthy yet; the time begins when that starts.
    Proving {
        deadline: Option<Duration>,
        last_word: String,
        watch: Watch,
    },
    Watched(Watch),
    SteppingBack,
}

impl BinaryTrial {
    pub(super) fn new(rules: BinaryRules, baseline: BTreeSet<String>) -> Self {
        let phase = Phase::Proving { deadline: None, last_word: String::new(), watch: Watch::default() };
        Self { rules, baseline, exits: 0, phase }
    }

    fn deadline(&self) -> Option<Duration> {
        match &self.phase {
            Phase::Proving { deadline, .. } => *deadline,
            Phase::Watched(watch) => watch.deadline(self.rules.healthy_for),
            Phase::SteppingBack => None,
        }
    }
}

impl Machine {
    /// Whether the binary that runs has yet to prove itself, or is being taken back.
    #[must_use]
    pub const fn tries_binary(&self) -> bool {
        self.binary.is_some()
    }

    /// How long the binary still has to be healthy, at the least; none when it is not on trial.
    #[must_use]
    pub fn binary_time_left(&self, now: Duration) -> Option<Duration> {
        let trial = self.binary.as_ref()?;
        match &trial.phase {
            Phase::Proving { watch, .. } | Phase::Watched(watch) => {
                Some(watch.left(trial.rules.healthy_for, now))
            }
            Phase::SteppingBack => None,
        }
    }

    /// The driver has another binary: the Collector runs it from here on, on trial.
    pub(super) fn switch_binary(&mut self, rules: BinaryRules, now: Duration) {
        if self.ending {
            return;
        }
        self.host_trial = None;
        self.binary = Some(BinaryTrial::new(rules, self.faults.clone()));
        self.try_last_good_next();
        self.run_anew(now);
    }

    /// The driver went to another binary for good, which needs no proof.
    pub(super) fn binary_restored(&mut self, now: Duration) {
        if !self.ending {
            self.try_last_good_next();
            self.run_anew(now);
        }
    }

    pub(super) fn binary_starts(&mut self, now: Duration) {
        let Some(BinaryTrial { rules, phase, .. }) = &mut self.binary else { return };
        let watch = match phase {
            Phase::Proving { watch, .. } | Phase::Watched(watch) => std::mem::take(watch),
            Phase::SteppingBack => return,
        };
        let deadline = Some(now + rules.first_health);
        *phase = Phase::Proving { deadline, last_word: String::new(), watch: watch.of_new_process() };
    }

    /// Word of its process.
    pub(super) fn binary_reported(&mut self, condition: &Condition, now: Duration) {
        let Some(BinaryTrial { baseline, phase, .. }) = &mut self.binary else { return };
        let healthy = condition.is_no_worse_than(baseline);
        match phase {
            Phase::Proving { watch, .. } if healthy => {
                *phase = Phase::Watched(std::mem::take(watch).healthy(now));
            }
            Phase::Proving { last_word, .. } => last_word.clone_from(&condition.why),
            Phase::Watched(watch) if healthy => *watch = std::mem::take(watch).healthy(now),
            Phase::Watched(watch) => {
                let why = if condition.faults.is_empty() {
                    condition.why.clone()
                } else {
                    let new = condition.faults.difference(baseline).cloned();
                    new.collect::<Vec<_>>().join("; ")
                };
                *watch = std::mem::take(watch).unhealthy(why, now);
            }
            Phase::SteppingBack => return,
        }
        self.judge_binary(now);
    }

    /// Its process ended, without having been asked to: whether the binary is given up, which it is at the second time.
    pub(super) fn binary_ended(&mut self, how: &str, blame: Blame) -> bool {
        let Some(trial) = &mut self.binary else { return false };
        if trial.phase == Phase::SteppingBack || blame == Blame::Outside {
            return false;
        }
        trial.exits += 1;
        let given_up = trial.exits >= EXITS || blame == Blame::Host;
        if given_up {
            let times = if trial.exits >= EXITS { " twice; the second time it" } else { "" };
            self.give_up_binary(&format!("the new Collector ended{times} {how}"), blame);
        }
        given_up
    }

    /// It hangs, or says that it is something else: there is nothing to wait for. The caller stops it.
    pub(super) fn binary_fails(&mut self, why: &str, blame: Blame) -> bool {
        let fails = self.binary.as_ref().is_some_and(|trial| trial.phase != Phase::SteppingBack);
        if fails {
            self.give_up_binary(why, blame);
        }
        fails
    }

    /// The same for one that runs on.
    pub(super) fn binary_is_wrong(&mut self, why: &str, now: Duration) {
        if self.binary_fails(why, Blame::Config) {
            self.stop_for_another(now);
        }
    }

    fn give_up_binary(&mut self, why: &str, blame: Blame) {
        if let Some(trial) = &mut self.binary {
            trial.phase = Phase::SteppingBack;
            self.emit(Effect::BinaryFailed { why: why.to_owned(), blame });
        }
    }

    /// The driver has the binary from before again.
    pub(super) fn binary_stepped_back(&mut self, now: Duration) {
        self.binary = None;
        // How the config did on a binary that is gone proves nothing.
        self.probation_starts_again();
        self.binary_settled(now);
    }

    /// What waited for the end of the trial goes on.
    fn binary_settled(&mut self, now: Duration) {
        self.take_up_put_off();
        self.next_offer(now);
    }

    fn stop_for_another(&mut self, now: Duration) {
        if matches!(self.process, Process::Running { .. }) {
            self.stop(Then::Start, now);
        }
    }

    pub(super) fn binary_deadline(&self) -> Option<Duration> {
        self.binary.as_ref().filter(|_| !self.ending).and_then(BinaryTrial::deadline)
    }

    pub(super) fn binary_timeout(&mut self, now: Duration) {
        if self.binary_deadline().is_some_and(|due| now >= due) {
            self.judge_binary(now);
        }
    }

    fn judge_binary(&mut self, now: Duration) {
        let Some(BinaryTrial { rules, phase, .. }) = &self.binary else { return };
        let within = rules.first_health;
        let verdict = match phase {
            Phase::Proving { deadline: Some(due), last_word, .. } if now >= *due => {
                let heard = if last_word.is_empty() { "nothing was heard from it" } else { last_word };
                Err(format!("the new Collector was not healthy within {within:?}: {heard}"))
            }
            Phase::Watched(watch) => match watch.judge(rules.healthy_for, now) {
                Ok(true) => Ok(()),
                Ok(false) => return,
                Err(Unfit(why)) => Err(format!("the new Collector {why}")),
            },
            Phase::Proving { .. } | Phase::SteppingBack => return,
        };
        match verdict {
            Ok(()) => {
                self.binary = None;
                self.emit(Effect::BinaryProven);
                // The watch over the config went on meanwhile.
                self.probation_timeout(now);
                self.binary_settled(now);
            }
            Err(why) => {
                self.give_up_binary(&why, Blame::Config);
                self.stop_for_another(now);
            }
        }
    }

    /// The host stood still so long.
    pub(super) fn shift_binary(&mut self, time: Duration) {
        match self.binary.as_mut().map(|trial| &mut trial.phase) {
            Some(Phase::Proving { deadline, .. }) => *deadline = deadline.map(|due| due + time),
            Some(Phase::Watched(watch)) => watch.shift(time),
            Some(Phase::SteppingBack) | None => {}
        }
    }
}
