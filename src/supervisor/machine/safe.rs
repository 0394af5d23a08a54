//! The last rung: when the last good config does not run, a config that keeps management alive does.
//!
//! Three starts in a row that never became healthy lead here; so does, with fallback configs of the operator,
//! a first start before the server was ever reached. From here the last good config is tried again every
//! minute, and at once when something changed: a new offer, a restart command, another host.

use std::time::Duration;

use super::{
    Blame, Effect, Layers, Machine, Mode,
    process::{Process, Then},
};

/// Starts of the last good config, in a row, that end before it was ever healthy.
const FAILED_STARTS: u32 = 3;
/// From one try of the last good config to the next.
const TRY_EACH: Duration = Duration::from_secs(60);

/// Safe mode.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Safe {
    why: String,
    next: Next,
}

#[derive(Debug, Clone, PartialEq)]
enum Next {
    /// The fallback runs; the last good config is tried then.
    Try { at: Duration },
    /// The last good config is being tried; the limit is set when its process starts.
    Trying { until: Option<Duration> },
}

impl Safe {
    pub(super) fn why(&self) -> &str {
        &self.why
    }

    /// Whether the last good config runs, to see whether it does now.
    pub(super) const fn is_trying(&self) -> bool {
        matches!(self.next, Next::Trying { .. })
    }

    pub(super) const fn deadline(&self) -> Option<Duration> {
        match self.next {
            Next::Try { at } => Some(at),
            Next::Trying { until } => until,
        }
    }

    /// The host stood still so long.
    pub(super) fn shift(&mut self, time: Duration) {
        if let Next::Trying { until: Some(until) } = &mut self.next {
            *until += time;
        }
    }
}

impl Machine {
    /// What a process started now would run.
    pub(super) fn layers(&self) -> Layers {
        let resting = matches!(self.safe, Some(Safe { next: Next::Try { .. }, .. })) || self.unreached;
        if resting && !self.is_proving() { Layers::Fallback } else { Layers::Config(self.wanted()) }
    }

    /// A process died that was not asked to: whether the last good config is given up for now.
    pub(super) fn count_failed_start(&mut self, how: &str, blame: Blame, now: Duration) -> bool {
        if self.running == Layers::Fallback || self.was_well || blame == Blame::Outside {
            return false;
        }
        self.failed_starts += 1;
        let trying = matches!(self.safe, Some(Safe { next: Next::Trying { .. }, .. }));
        if !trying && self.failed_starts < FAILED_STARTS {
            return false;
        }
        self.rest_in_safe_mode(how, now);
        true
    }

    fn rest_in_safe_mode(&mut self, how: &str, now: Duration) {
        let what = self
            .live
            .as_ref()
            .map_or_else(|| "the host's own config".to_owned(), |hash| format!("config {hash}"));
        let why = format!("{what} does not run: the Collector {how}");
        self.stay_in_safe_mode(why, now);
    }

    pub(super) fn stay_in_safe_mode(&mut self, why: String, now: Duration) {
        if self.safe.as_ref().is_none_or(|safe| safe.why != why) {
            self.emit(Effect::Mode(Mode::Safe { why: why.clone() }));
        }
        self.safe = Some(Safe { why, next: Next::Try { at: now + TRY_EACH } });
    }

    /// The process that was started is given its time to become healthy.
    pub(super) fn safe_try_starts(&mut self, now: Duration) {
        if let Some(Safe { next: Next::Trying { until }, .. }) = &mut self.safe {
            *until = Some(now + self.settings.first_health);
        }
    }

    /// The next start is one of the last good config.
    pub(super) fn try_last_good_next(&mut self) {
        if let Some(safe) = &mut self.safe {
            safe.next = Next::Trying { until: None };
        }
    }

    /// A config that is meant to run does.
    pub(super) fn leave_fallback(&mut self) {
        self.failed_starts = 0;
        if self.safe.take().is_some() | std::mem::take(&mut self.unreached) {
            self.emit(Effect::Mode(Mode::Normal));
        }
    }

    /// A trial failed: the fallback runs again, if it did before.
    pub(super) fn back_to_safe_mode(&mut self, now: Duration) {
        if let Some(safe) = &mut self.safe {
            safe.next = Next::Try { at: now + TRY_EACH };
        }
    }

    pub(super) fn safe_timeout(&mut self, now: Duration) {
        let Some(safe) = &mut self.safe else { return };
        let busy = self.apply.is_at_work() || self.ending || self.binary.is_some();
        if busy || safe.deadline().is_none_or(|due| now < due) {
            return;
        }
        match safe.next {
            Next::Try { .. } => {
                safe.next = Next::Trying { until: None };
                self.run_anew(now);
            }
            Next::Trying { .. } => {
                let within = self.settings.first_health;
                self.rest_in_safe_mode(&format!("was not healthy within {within:?}"), now);
                if matches!(self.process, Process::Running { .. }) {
                    self.stop(Then::Start, now);
                }
            }
        }
    }

    /// The server was reached for the first time: the fallback configs have served.
    pub(super) fn server_reached(&mut self, now: Duration) {
        if std::mem::take(&mut self.unreached) {
            self.emit(Effect::Mode(Mode::Normal));
            if !self.apply.is_at_work() && self.running == Layers::Fallback && !self.ending {
                self.run_anew(now);
            }
        }
    }
}
