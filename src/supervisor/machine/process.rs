//! The Collector's process: start, stop, death, and starting again.

use std::time::Duration;

use super::{Blame, Effect, Generation, Layers, Machine, ProcessState};

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Process {
    /// Nothing runs and nothing is planned.
    Down,
    /// It died; the next start is due then.
    Waiting {
        until: Duration,
    },
    /// `session` is the newest life of the config that was heard from; none before the first word.
    Running {
        session: Option<u64>,
    },
    Stopping {
        kill_at: Duration,
        then: Then,
    },
}

/// What follows a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    Start,
    End,
}

impl Process {
    pub(super) const fn deadline(&self) -> Option<Duration> {
        match self {
            Self::Waiting { until } => Some(*until),
            Self::Stopping { kill_at, .. } => Some(*kill_at),
            Self::Down | Self::Running { .. } => None,
        }
    }

    /// The host stood still so long.
    pub(super) fn shift(&mut self, time: Duration) {
        if let Self::Stopping { kill_at, .. } = self {
            *kill_at += time;
        }
    }
}

/// After a kill, how long to wait before killing again.
const KILL_AGAIN: Duration = Duration::from_secs(5);
/// What a Collector that does not answer any more has to stop.
const SILENT_GRACE: Duration = Duration::from_secs(5);

impl Machine {
    pub(super) fn start(&mut self, now: Duration) {
        if self.process == Process::Down && !self.ending {
            self.spawn(now);
        }
    }

    /// Starts a process with the config that is on trial, else with the one in force.
    pub(super) fn spawn(&mut self, now: Duration) {
        self.generation.0 += 1;
        self.process = Process::Running { session: None };
        let layers = self.layers();
        if self.running != layers {
            // Nothing is known yet of what these break.
            self.faults.clear();
        }
        self.running = layers;
        self.was_well = false;
        self.restarts.started(now);
        self.probation_starts_again();
        self.proving_starts(now);
        self.host_trial_starts(now);
        self.binary_starts(now);
        self.safe_try_starts(now);
        self.emit(Effect::Process(ProcessState::Starting));
        self.emit(Effect::Spawn { generation: self.generation, layers: self.running.clone() });
    }

    /// Makes the Collector run the wanted config from a fresh process.
    pub(super) fn run_anew(&mut self, now: Duration) {
        match &mut self.process {
            Process::Running { .. } => self.stop(Then::Start, now),
            Process::Stopping { .. } => {}
            Process::Down | Process::Waiting { .. } => self.spawn(now),
        }
    }

    pub(super) fn stop(&mut self, then: Then, now: Duration) {
        self.process = Process::Stopping { kill_at: now + self.settings.stop_grace, then };
        self.emit(Effect::Process(ProcessState::Stopping));
        self.emit(Effect::Stop { generation: self.generation });
    }

    pub(super) fn restart(&mut self, now: Duration) {
        if !self.ending && !self.paused {
            self.try_last_good_next();
            self.run_anew(now);
            self.take_up_put_off();
        }
    }

    pub(super) fn shutdown(&mut self, now: Duration) {
        self.ending = true;
        self.mailbox = None;
        self.put_off = None;
        self.host_trial = None;
        match &mut self.process {
            Process::Running { .. } => self.stop(Then::End, now),
            Process::Stopping { then, .. } => *then = Then::End,
            Process::Down | Process::Waiting { .. } => self.end(),
        }
    }

    pub(super) fn hurry(&mut self) {
        if self.ending && matches!(self.process, Process::Stopping { .. }) {
            self.emit(Effect::Kill { generation: self.generation });
        }
    }

    fn end(&mut self) {
        self.process = Process::Down;
        self.emit(Effect::Process(ProcessState::Stopped));
        self.emit(Effect::Finished);
    }

    /// The process is gone, or never came to be.
    pub(super) fn ended(&mut self, generation: Generation, how: String, blame: Blame, now: Duration) {
        if generation != self.generation {
            return;
        }
        match self.process {
            Process::Stopping { then: Then::End, .. } => self.end(),
            Process::Stopping { then: Then::Start, .. } => self.spawn(now),
            Process::Running { .. } => self.died(how, blame, now),
            Process::Down | Process::Waiting { .. } => {}
        }
    }

    /// It ended without being asked to.
    fn died(&mut self, how: String, blame: Blame, now: Duration) {
        if self.is_proving() {
            // A config on trial that kills the Collector is not tried a second time.
            self.trial_failed(&format!("on the new config, the Collector {how}"), blame, now);
            self.start_again(how, now);
            return self.next_offer(now);
        }
        if self.host_failed(&how, blame) || self.binary_ended(&how, blame) {
            self.start_again(how, now);
            return self.next_offer(now);
        }
        let death = self.restarts.died(now);
        let blamed = (blame == Blame::Config || death.looping) && !self.tries_binary();
        if blamed && self.undo_by_itself(&format!("the Collector {how}"), blame, now) {
            return self.start_again(how, now);
        }
        if self.count_failed_start(&how, blame, now) {
            return self.start_again(how, now);
        }
        self.emit(Effect::Process(ProcessState::Failed {
            how,
            retry_in: death.wait,
            looping: death.looping,
        }));
        if death.wait.is_zero() {
            self.spawn(now);
        } else {
            self.process = Process::Waiting { until: now + death.wait };
        }
    }

    /// At once, as it gets another config.
    fn start_again(&mut self, how: String, now: Duration) {
        self.emit(Effect::Process(ProcessState::Failed { how, retry_in: Duration::ZERO, looping: false }));
        self.spawn(now);
    }

    /// It hangs: it is stopped, with little patience, and started again (F-68).
    pub(super) fn silent(&mut self, generation: Generation, why: String, now: Duration) {
        let runs = matches!(self.process, Process::Running { .. }) && generation == self.generation;
        if !runs || self.ending {
            return;
        }
        if self.is_proving() {
            self.trial_failed(&format!("on the new config, the Collector {why}"), Blame::Config, now);
        } else if self.host_failed(&why, Blame::Config)
            || self.binary_fails(&format!("the new Collector {why}"), Blame::Config)
        {
            // What was before is started.
        } else if self.running != Layers::Fallback {
            self.undo_by_itself(&format!("the Collector {why}"), Blame::Config, now);
        }
        self.emit(Effect::Process(ProcessState::Failed {
            how: why,
            retry_in: Duration::ZERO,
            looping: false,
        }));
        self.process = Process::Stopping { kill_at: now + SILENT_GRACE, then: Then::Start };
        self.emit(Effect::Stop { generation: self.generation });
        self.next_offer(now);
    }

    pub(super) fn process_timeout(&mut self, now: Duration) {
        match &mut self.process {
            Process::Waiting { until } if now >= *until => self.spawn(now),
            Process::Stopping { kill_at, .. } if now >= *kill_at => {
                *kill_at = now + KILL_AGAIN;
                self.emit(Effect::Kill { generation: self.generation });
            }
            _ => {}
        }
    }
}
