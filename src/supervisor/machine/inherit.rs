//! A Collector that runs already: another supervisor ran in this process before, and left it as it is.

use std::{collections::BTreeSet, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Effect, Generation, Layers, Machine, Mode, process::Process, safe::Safe};

/// What is known of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inherited {
    /// What it was given.
    pub layers: Layers,
    pub acquaintance: Acquaintance,
    /// What is broken for good.
    #[serde(default)]
    pub faults: BTreeSet<String>,
    /// Why it runs on the fallback, in safe mode.
    #[serde(default)]
    pub safe: Option<String>,
}

/// How well it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Acquaintance {
    /// It has said nothing since it was started.
    Unheard,
    Heard,
    /// It was well with what it runs, and is not now.
    WasWell,
    Well,
}

impl Machine {
    /// Whether another supervisor may take over now: nothing is on its way, and nothing is about to be done to the
    /// Collector that only this machine knows of.
    #[must_use]
    pub fn may_be_inherited(&self) -> bool {
        let stopping = matches!(self.process, Process::Stopping { .. });
        let trying = self.safe.as_ref().is_some_and(Safe::is_trying);
        self.is_at_rest() && !self.may_step_back() && !stopping && !trying && !self.ending
    }

    /// What the next supervisor is to know of the process; none where there is none.
    #[must_use]
    pub fn inheritance(&self) -> Option<Inherited> {
        let Process::Running { session } = self.process else { return None };
        let acquaintance = match (session, self.was_well) {
            _ if self.restarts.is_healthy() => Acquaintance::Well,
            (_, true) => Acquaintance::WasWell,
            (Some(_), false) => Acquaintance::Heard,
            (None, false) => Acquaintance::Unheard,
        };
        Some(Inherited {
            layers: self.running.clone(),
            acquaintance,
            faults: self.faults.clone(),
            safe: self.safe.as_ref().map(|safe| safe.why().to_owned()),
        })
    }

    /// Takes the process over as it is, in place of a start. Nothing is done to it; what was on probation is again,
    /// from its next good word on.
    pub(super) fn inherit(&mut self, inherited: Inherited, now: Duration) {
        if self.process != Process::Down || self.ending {
            return;
        }
        let Inherited { layers, acquaintance, faults, safe } = inherited;
        self.generation = Generation(self.generation.0 + 1);
        let session = (acquaintance != Acquaintance::Unheard).then_some(0);
        self.process = Process::Running { session };
        self.was_well = matches!(acquaintance, Acquaintance::WasWell | Acquaintance::Well);
        self.faults = faults;
        self.restarts.started(now);
        self.restarts.healthy(acquaintance == Acquaintance::Well, now);
        self.binary_starts(now);
        if self.unreached && layers != Layers::Fallback {
            self.unreached = false;
            self.emit(Effect::Mode(Mode::Normal));
        }
        if let Some(why) = safe.filter(|_| layers == Layers::Fallback) {
            self.stay_in_safe_mode(why, now);
        }
        self.running = layers;
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        Blame, Input, Outcome, Past, Verdict,
        tests::{Bench, failure, hash, spawn, status},
    };
    use super::*;

    fn running(config: u8) -> Inherited {
        Inherited {
            layers: Layers::Config(Some(hash(config))),
            acquaintance: Acquaintance::Well,
            faults: BTreeSet::new(),
            safe: None,
        }
    }

    fn past(live: u8, last_good: u8) -> Past {
        Past { live: Some(hash(live)), last_good: Some(hash(last_good)), ..Past::default() }
    }

    fn inheriting(past: Past, inherited: Inherited) -> Bench {
        let mut bench = Bench::with(past);
        assert_eq!(bench.tell(Input::Inherit(inherited)), [], "nothing is done");
        bench
    }

    #[test]
    fn a_running_process_is_taken_over_untouched_and_what_follows_is_as_ever() {
        let mut bench = inheriting(past(1, 1), running(1));
        assert_eq!(bench.tell(Input::Start), [], "it runs already");
        assert_eq!(bench.healthy(1, 1), []);
        bench.offer(2);
        let reload = Effect::Reload { generation: Generation(1), config: Some(hash(2)) };
        assert_eq!(bench.checked(1, Verdict::Contents), [reload], "SIGHUP: it was heard from");
        assert_eq!(bench.healthy(1, 2), [status(2, Outcome::Applied)]);
        assert!(bench.ended(1, Blame::Outside).contains(&spawn(2, Some(2))));
    }

    #[test]
    fn f_109_one_that_was_never_heard_from_gets_no_sighup() {
        let unheard = Inherited { acquaintance: Acquaintance::Unheard, ..running(1) };
        let mut bench = inheriting(past(1, 1), unheard);
        bench.offer(2);
        assert!(bench.checked(1, Verdict::Contents).contains(&Effect::Stop { generation: Generation(1) }));
    }

    #[test]
    fn a_config_on_probation_is_watched_anew_and_still_undone() {
        let mut bench = inheriting(past(2, 1), running(2));
        assert_eq!(bench.wait(Duration::from_secs(3600)), [], "no word proves nothing");
        bench.healthy(1, 1);
        bench.wait(Duration::from_secs(29));
        assert!(failure(&bench.ended(1, Blame::Config)).contains("rolled back to the config 01"));

        let mut bench = inheriting(past(2, 1), running(2));
        bench.healthy(1, 1);
        assert_eq!(bench.wait(Duration::from_secs(30)), [Effect::Committed { config: hash(2) }]);
    }

    #[test]
    fn safe_mode_goes_on_and_the_last_good_config_is_tried_again() {
        let safe = Some("it does not run".to_owned());
        let fallback = Inherited { layers: Layers::Fallback, safe, ..running(1) };
        let mut bench = Bench::with(past(1, 1));
        let effects = bench.tell(Input::Inherit(fallback.clone()));
        assert_eq!(effects, [Effect::Mode(Mode::Safe { why: "it does not run".into() })]);
        assert_eq!(bench.machine.inheritance(), Some(fallback));
        let stop = Effect::Stop { generation: Generation(1) };
        assert!(bench.wait(Duration::from_secs(60)).contains(&stop));
        assert!(!bench.machine.may_be_inherited(), "not while it is being tried");
        assert!(bench.exited(1).contains(&spawn(2, Some(1))));
    }

    #[test]
    fn what_one_machine_leaves_the_next_one_has() {
        let mut bench = Bench::running();
        bench.offer(7);
        assert!(!bench.machine.may_be_inherited(), "it is being checked");
        bench.checked(1, Verdict::Contents);
        assert!(!bench.machine.may_be_inherited(), "it has yet to be proven");
        bench.healthy(1, 2);
        assert!(bench.machine.may_be_inherited());
        let left = bench.machine.inheritance().unwrap();
        assert_eq!(left, running(7));
        let next = inheriting(past(7, 7), left.clone());
        assert_eq!(next.machine.inheritance(), Some(left));
        bench.tell(Input::Shutdown);
        assert!(!bench.machine.may_be_inherited());
    }
}
