//! What a service manager is told: ready once the main loop turns, the state in words, and that it still turns.
//!
//! A Collector that is not well is said in words and in the health, never by silence: its healer must not be
//! killed for it.

use std::{env, io};

use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use crate::os::systemd;

/// The line to the service manager; without one, nothing is said.
pub(super) struct Announcer {
    listening: bool,
    watchdog: Option<Interval>,
    told: String,
}

impl Announcer {
    pub(super) fn new() -> Self {
        let watchdog = systemd::watchdog_period().map(|period| {
            let mut ticks = interval_at(Instant::now() + period, period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        });
        Self { listening: env::var_os("NOTIFY_SOCKET").is_some(), watchdog, told: String::new() }
    }

    pub(super) fn ready(&self) {
        self.report(systemd::ready());
        if self.watchdog.is_some() {
            self.report(systemd::alive());
        }
    }

    /// The configuration is read again, until [`Self::ready`].
    pub(super) fn reloading(&self) {
        self.report(systemd::reloading());
    }

    pub(super) fn stopping(&self) {
        self.report(systemd::stopping());
    }

    /// Tells the state when it is another than what was told last.
    pub(super) fn status(&mut self, words: impl FnOnce() -> String) {
        if !self.listening {
            return;
        }
        let words = words();
        if words != self.told {
            self.report(systemd::status(&words));
            self.told = words;
        }
    }

    /// Resolves when a sign of life is due.
    pub(super) async fn due(&mut self) {
        match &mut self.watchdog {
            Some(ticks) => {
                ticks.tick().await;
            }
            None => std::future::pending().await,
        }
    }

    pub(super) fn alive(&self) {
        self.report(systemd::alive());
    }

    fn report(&self, told: io::Result<()>) {
        if let Err(error) = told
            && self.listening
        {
            tracing::warn!(%error, "the service manager could not be told");
        }
    }
}
