//! The host's own part of the config changed under the remote one: the same remote config runs on with it.

use std::time::Duration;

use super::{Effect, Layers, Machine, ReloadRule, Settings, apply::Apply, process::Process};

/// What of the host's part changed. It was checked; the driver has the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refresh {
    /// Contents of files.
    Contents,
    /// The list of files, the binary, or how it is called.
    Process,
}

impl Machine {
    /// Whether no config is on its way: what is checked now is checked with what runs.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        self.apply == Apply::Idle
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
        let contents = refresh == Refresh::Contents && self.settings.reload == ReloadRule::ContentsOnly;
        match self.process {
            Process::Running { session: Some(_) } if contents && self.running != Layers::Fallback => {
                self.emit(Effect::Reload { generation: self.generation, config: self.wanted() });
            }
            _ => {
                self.try_last_good_next();
                self.run_anew(now);
            }
        }
        self.take_up_put_off();
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        Blame, Generation, Input, Verdict,
        tests::{Bench, hash, spawn},
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
