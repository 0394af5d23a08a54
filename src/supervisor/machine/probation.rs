//! After APPLIED a config is watched for a while: one that ends the Collector, or breaks a component for good,
//! is undone. Only then it is the last good one, which is what everything falls back to.

use std::{collections::BTreeSet, time::Duration};

use super::{
    Blame, ConfigHash, Effect, Machine, Rollback, Running,
    process::{Process, Then},
};

/// How long a component that was sound before may be broken for good.
const SICK_FOR: Duration = Duration::from_secs(10);

/// The time during which the live config can still be undone.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Probation {
    /// What ran before, and runs again if this is undone.
    fallback: Running,
    /// It starts with the first good word of a process that runs the config.
    ends: Option<Duration>,
    /// What was broken for good before the switch.
    baseline: BTreeSet<String>,
    sick: Option<Sick>,
}

#[derive(Debug, Clone, PartialEq)]
struct Sick {
    until: Duration,
    why: String,
}

/// How the Collector says it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Condition {
    /// Up, and no worse than an error it may recover from.
    pub well: bool,
    /// The components that are broken for good, each with its cause.
    pub faults: BTreeSet<String>,
    /// What it says about being unwell.
    pub why: String,
}

impl Condition {
    /// Well, or sick of nothing but what it was sick of before.
    pub(super) fn is_no_worse_than(&self, before: &BTreeSet<String>) -> bool {
        self.well || (!self.faults.is_empty() && self.faults.is_subset(before))
    }
}

impl Probation {
    pub(super) const fn fallback(&self) -> Option<&ConfigHash> {
        self.fallback.as_ref()
    }

    /// This config failed: if it is what would run again, another is.
    pub(super) fn forget(&mut self, failed: &ConfigHash, another: Running) {
        if self.fallback.as_ref() == Some(failed) {
            self.fallback = another;
        }
    }

    /// The host stood still so long.
    pub(super) fn shift(&mut self, time: Duration) {
        if let Some(ends) = &mut self.ends {
            *ends += time;
        }
        if let Some(sick) = &mut self.sick {
            sick.until += time;
        }
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        match (&self.sick, self.ends) {
            (Some(sick), Some(ends)) => Some(sick.until.min(ends)),
            (Some(sick), None) => Some(sick.until),
            (None, ends) => ends,
        }
    }
}

impl Machine {
    /// The live config is watched from here on, unless it is the last good one.
    pub(super) fn put_on_probation(&mut self, fallback: Running, baseline: BTreeSet<String>) {
        let watched = self.live != self.last_good;
        self.probation = watched.then(|| Probation { fallback, baseline, ..Probation::default() });
    }

    /// The process that runs the live config is a new one: its time starts again.
    pub(super) fn probation_starts_again(&mut self) {
        if let Some(probation) = &mut self.probation {
            (probation.ends, probation.sick) = (None, None);
        }
    }

    /// Takes note of how the Collector is while its config is watched.
    pub(super) fn watch(&mut self, condition: &Condition, now: Duration) {
        let Some(probation) = &mut self.probation else { return };
        let new_faults: Vec<_> = condition.faults.difference(&probation.baseline).cloned().collect();
        if condition.is_no_worse_than(&probation.baseline) {
            probation.ends.get_or_insert(now + self.settings.probation);
        }
        match (&probation.sick, new_faults.is_empty()) {
            (_, true) => probation.sick = None,
            (None, false) => {
                probation.sick = Some(Sick { until: now + SICK_FOR, why: new_faults.join("; ") })
            }
            (Some(_), false) => {}
        }
    }

    /// How much longer the live config is watched; none when it is not, or before its first good word.
    #[must_use]
    pub fn probation_left(&self, now: Duration) -> Option<Duration> {
        self.probation.as_ref()?.ends.map(|ends| ends.saturating_sub(now))
    }

    pub(super) fn probation_timeout(&mut self, now: Duration) {
        if self.apply.is_at_work() || self.ending || self.tries_binary() {
            return;
        }
        let Some(probation) = &mut self.probation else { return };
        if let Some(sick) = probation.sick.take_if(|sick| now >= sick.until) {
            let why = format!("broken for {SICK_FOR:?}: {}", sick.why);
            if self.undo_by_itself(&why, Blame::Config, now)
                && matches!(self.process, Process::Running { .. })
            {
                self.stop(Then::Start, now);
            }
        } else if probation.ends.is_some_and(|ends| now >= ends) {
            self.commit();
        }
    }

    /// The live config has proven itself for good.
    pub(super) fn commit(&mut self) {
        self.probation = None;
        let before = std::mem::replace(&mut self.last_good, self.live.clone());
        if before != self.last_good {
            self.previous = Some(before);
        }
        if let Some(config) = self.live.clone() {
            self.emit(Effect::Committed { config });
        }
    }

    /// The live config is given up for the one before it, if it is on probation.
    pub(super) fn undo(&mut self, why: &str, blame: Blame, now: Duration) -> bool {
        let Some(Probation { fallback, .. }) = self.probation.take() else { return false };
        let undone = std::mem::replace(&mut self.live, fallback);
        self.put_on_probation(self.last_good.clone(), BTreeSet::new());
        let why = format!("after it was applied: {why}; {}", self.rolled_back());
        match (undone, blame) {
            (Some(config), Blame::Config) => self.failed(config, why),
            (Some(config), Blame::Outside | Blame::Host) => self.put_off_until_offered(config, &why, now),
            (None, _) => self.emit(Effect::Restored),
        }
        self.settle_what_is_in_force();
        true
    }

    /// The same without being asked by a person, where the settings allow it.
    pub(super) fn undo_by_itself(&mut self, why: &str, blame: Blame, now: Duration) -> bool {
        self.settings.rollback == Rollback::Automatic && self.undo(why, blame, now)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        Blame, CheckToken, Generation, Input, Outcome, Past, Verdict,
        tests::{Bench, failure, hash, spawn, status},
    };
    use super::*;

    fn committed(config: u8) -> Effect {
        Effect::Committed { config: hash(config) }
    }

    /// A machine that committed config 1 and applied config 2 a moment ago.
    fn on_probation() -> Bench {
        let mut bench = Bench::running();
        bench.offer(1);
        bench.checked(1, Verdict::Contents);
        bench.healthy(1, 2);
        assert_eq!(bench.wait(Duration::from_secs(30)), [committed(1)]);
        bench.offer(2);
        bench.checked(2, Verdict::Contents);
        assert_eq!(bench.healthy(1, 3), [status(2, Outcome::Applied)]);
        bench
    }

    fn sick(bench: &mut Bench, fault: &str) -> Vec<Effect> {
        let condition = Condition { well: false, faults: [fault.to_owned()].into(), why: fault.into() };
        bench.tell(Input::Reported { generation: Generation(1), session: 3, condition })
    }

    #[test]
    fn f_75_a_config_that_crashes_after_15_s_is_undone() {
        let mut bench = on_probation();
        assert!(bench.wait(Duration::from_secs(15)).is_empty());
        let effects = bench.ended(1, Blame::Config);
        assert!(failure(&effects).contains("rolled back to the config 01"), "{effects:?}");
        assert!(effects.contains(&spawn(2, Some(1))), "{effects:?}");
        assert_eq!(bench.offer(2).len(), 1, "offered again it fails again, without a check");
    }

    #[test]
    fn of_two_that_were_applied_in_a_row_the_one_before_runs_again() {
        let mut bench = on_probation();
        bench.offer(3);
        bench.checked(3, Verdict::Contents);
        bench.healthy(1, 4);
        assert!(
            bench.ended(1, Blame::Config).contains(&spawn(2, Some(2))),
            "2 was well, though not for long"
        );
        assert!(
            bench.ended(2, Blame::Config).contains(&spawn(3, Some(1))),
            "and 1 is what is left after that"
        );
    }

    #[test]
    fn f_60_f_67_what_is_not_the_configs_doing_undoes_nothing() {
        for blame in [Blame::Outside, Blame::Host] {
            let mut bench = on_probation();
            assert!(bench.ended(1, blame).contains(&spawn(2, Some(2))));
        }
    }

    #[test]
    fn after_probation_a_crash_restarts_the_same_config() {
        let mut bench = on_probation();
        assert_eq!(bench.wait(Duration::from_secs(30)), [committed(2)]);
        assert!(bench.ended(1, Blame::Config).contains(&spawn(2, Some(2))));
    }

    #[test]
    fn a_component_broken_for_ten_seconds_undoes_the_config() {
        let mut bench = on_probation();
        sick(&mut bench, "exporter:otlp: no route");
        assert!(bench.wait(Duration::from_secs(9)).is_empty());
        let effects = bench.wait(Duration::from_secs(1));
        assert!(failure(&effects).contains("exporter:otlp: no route"), "{effects:?}");
        assert!(effects.contains(&Effect::Stop { generation: Generation(1) }));
        assert!(bench.exited(1).contains(&spawn(2, Some(1))));
    }

    #[test]
    fn a_component_that_recovers_in_time_undoes_nothing() {
        let mut bench = on_probation();
        sick(&mut bench, "exporter:otlp: no route");
        bench.wait(Duration::from_secs(9));
        bench.healthy(1, 3);
        assert!(bench.wait(Duration::from_secs(20)).is_empty());
        assert_eq!(bench.wait(Duration::from_secs(1)), [committed(2)]);
    }

    #[test]
    fn f_38_what_was_broken_before_the_switch_does_not_count() {
        let mut bench = Bench::running();
        let fault = "receiver:x: no such device";
        let word = |session| Input::Reported {
            generation: Generation(1),
            session,
            condition: Condition { well: false, faults: [fault.to_owned()].into(), why: fault.into() },
        };
        bench.tell(word(1));
        bench.offer(1);
        bench.tell(Input::Checked { token: CheckToken(1), verdict: Verdict::Contents });
        assert_eq!(bench.tell(word(2)), [status(1, Outcome::Applied)]);
        assert_eq!(bench.wait(Duration::from_secs(30)), [committed(1)]);
    }

    #[test]
    fn f_85_probation_goes_on_in_the_next_life_of_the_supervisor() {
        let past = Past { live: Some(hash(2)), last_good: Some(hash(1)), ..Past::default() };
        let mut bench = Bench::with(past);
        bench.tell(Input::Start);
        bench.healthy(1, 1);
        assert!(failure(&bench.ended(1, Blame::Config)).contains("rolled back to the config 01"));
    }
}
