//! The Collector's process: start, stop, death, and starting again.

use std::time::Duration;

use super::{Blame, Effect, Generation, Machine, ProcessState};

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
}

/// After a kill, how long to wait before killing again.
const KILL_AGAIN: Duration = Duration::from_secs(5);

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
        self.proving_starts(now);
        self.emit(Effect::Process(ProcessState::Starting));
        self.emit(Effect::Spawn { generation: self.generation, config: self.wanted() });
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
        if !self.ending {
            self.run_anew(now);
            self.take_up_put_off();
        }
    }

    pub(super) fn shutdown(&mut self, now: Duration) {
        self.ending = true;
        self.mailbox = None;
        self.put_off = None;
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
            Process::Running { .. } if self.is_proving() => {
                // A config on trial that kills the Collector is not tried a second time.
                self.trial_failed(&format!("on the new config, the Collector {how}"), blame, now);
                self.emit(Effect::Process(ProcessState::Failed { how, retry_in: Duration::ZERO }));
                self.spawn(now);
                self.next_offer(now);
            }
            Process::Running { .. } if self.probation.is_some() && blame == Blame::Config => {
                self.undo(&format!("the Collector {how}"));
                self.emit(Effect::Process(ProcessState::Failed { how, retry_in: Duration::ZERO }));
                self.spawn(now);
            }
            Process::Running { .. } => {
                let retry_in = self.restarts.died(now);
                self.emit(Effect::Process(ProcessState::Failed { how, retry_in }));
                if retry_in.is_zero() {
                    self.spawn(now);
                } else {
                    self.process = Process::Waiting { until: now + retry_in };
                }
            }
            Process::Down | Process::Waiting { .. } => {}
        }
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
