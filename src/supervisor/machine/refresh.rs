//! The host's own part of the config changed under the remote one: the same remote config runs on with it.
//!
//! Where the Collector was well before, the change is on trial as a remote config is: if the Collector does not
//! become well with it, or dies of it soon after, the host's part from before is gone back to. The driver keeps
//! that; here it is only known whether it is wanted.

use std::{collections::BTreeSet, time::Duration};

use super::{
    Blame, Condition, Effect, Generation, Layers, Machine, ReloadRule, Rollback, Settings,
    apply::{Apply, Proof},
    process::{Process, Then},
};

/// What of the host's part changed. It was checked; the driver has the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refresh {
    /// Contents of files.
    Contents,
    /// The list of files, the binary, or how it is called.
    Process,
}

/// The host's part has yet to show that the Collector is well with it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct HostTrial {
    phase: Phase,
    deadline: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq)]
enum Phase {
    Proving {
        proof: Proof,
        /// What was broken for good before.
        baseline: BTreeSet<String>,
        last_word: String,
    },
    /// It was well, and is watched for a while.
    Watched,
    /// It failed; what was before is being put in its place.
    SteppingBack,
}

impl Machine {
    /// Whether nothing is on its way: what is checked now is checked with what runs.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        self.apply == Apply::Idle && !self.proves_host() && !self.tries_binary()
    }

    /// Whether the host's part from before may still be wanted.
    #[must_use]
    pub const fn may_step_back(&self) -> bool {
        matches!(&self.host_trial, Some(trial) if !matches!(trial.phase, Phase::SteppingBack))
    }

    /// Whether the host's part has not shown yet that the Collector is well with it, or is being taken back.
    #[must_use]
    pub const fn proves_host(&self) -> bool {
        matches!(&self.host_trial, Some(HostTrial { phase: Phase::Proving { .. } | Phase::SteppingBack, .. }))
    }

    /// Other rules from here on.
    pub const fn reconfigure(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// Has the Collector run with the new host's part. One that waits after a death, or runs on its fallback, is
    /// started with it at once: what it died of may be what changed.
    pub(super) fn refresh(&mut self, refresh: Refresh, now: Duration) {
        if self.ending {
            return;
        }
        let session = match self.process {
            Process::Running { session } if self.running != Layers::Fallback => session,
            _ => None,
        };
        let contents = refresh == Refresh::Contents && self.settings.reload == ReloadRule::ContentsOnly;
        let reload = session.filter(|_| contents);
        let next = Generation(self.generation.0 + 1);
        let proof = reload.map_or(Proof::Process(next), Proof::SessionAfter);
        self.put_host_on_trial(proof);
        if reload.is_some() {
            self.host_trial_starts(now);
            self.emit(Effect::Reload { generation: self.generation, config: self.wanted() });
        } else {
            self.try_last_good_next();
            self.run_anew(now);
        }
        if !self.proves_host() {
            self.take_up_put_off();
        }
    }

    /// A Collector that was not well anyway proves nothing about what came after.
    fn put_host_on_trial(&mut self, proof: Proof) {
        let was_well = self.restarts.is_healthy() && self.running != Layers::Fallback;
        let wanted = was_well && self.settings.rollback == Rollback::Automatic;
        let (baseline, last_word) = (self.faults.clone(), String::new());
        let phase = Phase::Proving { proof, baseline, last_word };
        self.host_trial = wanted.then_some(HostTrial { phase, deadline: None });
    }

    /// The time to prove itself begins when the Collector gets it.
    pub(super) fn host_trial_starts(&mut self, now: Duration) {
        let (due, generation) = (now + self.settings.first_health, self.generation);
        if let Some(HostTrial { phase: Phase::Proving { proof, .. }, deadline }) = &mut self.host_trial {
            *deadline = Some(due);
            if let Proof::Process(process) = proof {
                *process = generation;
            }
        }
    }

    /// Word of a process that runs with it.
    pub(super) fn host_reported(
        &mut self,
        generation: Generation,
        session: u64,
        condition: &Condition,
        now: Duration,
    ) {
        let Some(HostTrial { phase: Phase::Proving { proof, baseline, last_word }, .. }) =
            &mut self.host_trial
        else {
            return;
        };
        if !proof.counts(generation, session) {
            return;
        }
        if !condition.is_no_worse_than(baseline) {
            return last_word.clone_from(&condition.why);
        }
        let deadline = Some(now + self.settings.probation);
        self.host_trial = Some(HostTrial { phase: Phase::Watched, deadline });
        self.take_up_put_off();
        self.next_offer(now);
    }

    /// The process ended, or hangs: whether the host's part is what it is held against.
    pub(super) fn host_failed(&mut self, how: &str, blame: Blame) -> bool {
        let held_against_it = match &self.host_trial {
            Some(HostTrial { phase: Phase::Proving { .. }, .. }) => blame != Blame::Outside,
            Some(HostTrial { phase: Phase::Watched, .. }) => blame == Blame::Config,
            Some(HostTrial { phase: Phase::SteppingBack, .. }) | None => false,
        };
        if held_against_it {
            self.step_back(format!("with it, the Collector {how}"));
        }
        held_against_it
    }

    pub(super) fn step_back(&mut self, why: String) {
        if self.may_step_back() {
            self.host_trial = Some(HostTrial { phase: Phase::SteppingBack, deadline: None });
            self.probation_starts_again();
            self.emit(Effect::StepBack { why });
        }
    }

    /// What was before is in force: what waited is judged with that.
    pub(super) fn stepped_back(&mut self, now: Duration) {
        self.host_trial = None;
        self.take_up_put_off();
        self.next_offer(now);
    }

    /// The host stood still so long.
    pub(super) fn shift_host_trial(&mut self, time: Duration) {
        if let Some(HostTrial { deadline: Some(deadline), .. }) = &mut self.host_trial {
            *deadline += time;
        }
    }

    pub(super) fn host_deadline(&self) -> Option<Duration> {
        self.host_trial.as_ref().and_then(|trial| trial.deadline)
    }

    pub(super) fn host_timeout(&mut self, now: Duration) {
        if self.host_deadline().is_none_or(|due| now < due) {
            return;
        }
        let Some(HostTrial { phase: Phase::Proving { last_word, .. }, .. }) = &self.host_trial else {
            self.host_trial = None;
            return;
        };
        let heard = if last_word.is_empty() { "nothing was heard from it" } else { last_word };
        let within = self.settings.first_health;
        self.step_back(format!("with it, the Collector was not healthy within {within:?}: {heard}"));
        if matches!(self.process, Process::Running { .. }) {
            self.stop(Then::Start, now);
        }
        self.next_offer(now);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        Input, Outcome, Verdict,
        tests::{Bench, hash, spawn, status},
    };
    use super::*;

    #[test]
    fn contents_are_reloaded_by_the_process_that_runs_with_the_same_remote_config() {
        let mut bench = Bench::running();
        bench.offer(7);
        bench.checked(1, Verdict::Contents);
        assert!(!bench.machine.is_at_rest());
        bench.healthy(1, 2);
        assert!(bench.machine.is_at_rest());
        let reload = Effect::Reload { generation: Generation(1), config: Some(hash(7)) };
        assert_eq!(bench.tell(Input::Refresh(Refresh::Contents)), [reload]);
        let effects = bench.tell(Input::Refresh(Refresh::Process));
        assert!(effects.contains(&Effect::Stop { generation: Generation(1) }), "{effects:?}");
        assert!(bench.exited(1).contains(&spawn(2, Some(7))));
    }

    fn step_back(effects: &[Effect]) -> &str {
        let why = effects.iter().find_map(|effect| match effect {
            Effect::StepBack { why } => Some(why.as_str()),
            _ => None,
        });
        why.unwrap_or_else(|| panic!("no step back in {effects:?}"))
    }

    #[test]
    fn f_74_a_hosts_part_that_kills_the_collector_is_taken_back_and_the_remote_config_stays() {
        let mut bench = Bench::running();
        bench.offer(7);
        bench.checked(1, Verdict::Contents);
        bench.healthy(1, 2);
        bench.tell(Input::Refresh(Refresh::Process));
        bench.exited(1);
        assert!(bench.offer(8).is_empty(), "an offer waits for its end");
        let effects = bench.exited(2);
        assert!(step_back(&effects).contains("SIGKILL"));
        let spawned = effects.iter().position(|effect| *effect == spawn(3, Some(7)));
        let stepped = effects.iter().position(|effect| matches!(effect, Effect::StepBack { .. }));
        assert!(stepped < spawned, "with what was before: {effects:?}");
        assert!(effects.contains(&status(8, Outcome::Applying)), "{effects:?}");
        assert!(!bench.exited(3).iter().any(|effect| matches!(effect, Effect::StepBack { .. })));
    }

    #[test]
    fn f_35_one_that_it_never_becomes_well_with_is_taken_back_in_time() {
        let mut bench = Bench::running();
        bench.tell(Input::Refresh(Refresh::Contents));
        assert!(bench.healthy(1, 1).is_empty(), "the word of the life before it proves nothing");
        assert!(!bench.machine.is_at_rest() && bench.wait(Duration::from_secs(59)).is_empty());
        let effects = bench.wait(Duration::from_secs(1));
        assert!(step_back(&effects).contains("not healthy within 60s"));
        assert!(effects.contains(&Effect::Stop { generation: Generation(1) }), "{effects:?}");
    }

    #[test]
    fn f_75_one_that_kills_it_soon_after_is_taken_back_and_later_it_stays() {
        for (after, taken_back) in [(29, true), (30, false)] {
            let mut bench = Bench::running();
            bench.tell(Input::Refresh(Refresh::Contents));
            bench.healthy(1, 2);
            assert!(bench.machine.is_at_rest());
            bench.wait(Duration::from_secs(after));
            let effects = bench.exited(1);
            let stepped = effects.iter().any(|effect| matches!(effect, Effect::StepBack { .. }));
            assert_eq!(stepped, taken_back, "{effects:?}");
        }
    }

    #[test]
    fn f_60_what_somebody_kills_from_outside_is_not_held_against_it() {
        let mut bench = Bench::running();
        bench.tell(Input::Refresh(Refresh::Contents));
        assert!(bench.ended(1, Blame::Outside).contains(&spawn(2, None)));
        bench.healthy(2, 3);
        assert_eq!(bench.wait(Duration::from_secs(30)), []);
        assert!(!bench.machine.may_step_back());
    }

    #[test]
    fn f_54_files_that_cannot_be_written_leave_the_process_and_what_was_before() {
        let mut bench = Bench::running();
        bench.tell(Input::Refresh(Refresh::Contents));
        let effects = bench.tell(Input::SwitchFailed { why: "no space left".into() });
        assert_eq!(effects, [Effect::StepBack { why: "no space left".into() }]);
    }

    #[test]
    fn f_109_one_that_was_not_heard_from_gets_no_sighup_and_one_that_may_not_neither() {
        let mut bench = Bench::running();
        bench.exited(1);
        let stop = |generation| Effect::Stop { generation: Generation(generation) };
        assert!(bench.tell(Input::Refresh(Refresh::Contents)).contains(&stop(2)));
        bench.exited(2);
        bench.healthy(3, 5);
        let settings = Settings { reload: ReloadRule::Never, ..bench.machine.settings };
        bench.machine.reconfigure(settings);
        assert!(bench.tell(Input::Refresh(Refresh::Contents)).contains(&stop(3)));
    }

    #[test]
    fn f_61_one_that_waits_after_a_death_is_started_at_once_and_none_once_the_end_was_asked_for() {
        let mut bench = Bench::running();
        bench.exited(1);
        assert!(!bench.ended(2, Blame::Config).contains(&spawn(3, None)), "it waits");
        assert!(bench.tell(Input::Refresh(Refresh::Contents)).contains(&spawn(3, None)));
        bench.tell(Input::Shutdown);
        assert!(bench.tell(Input::Refresh(Refresh::Process)).is_empty());
    }
}
