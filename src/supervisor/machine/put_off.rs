//! A config that the host keeps from being judged or run: nothing is held against it.
//!
//! Before the switch (the disk is full, the check cannot run) it is tried again by itself: that disturbs
//! nobody. After the switch (its port is in use) only a new offer of it or a restart command has it tried,
//! because a try stops the Collector; an offer that comes at once gets the same answer, so that a server
//! which repeats itself cannot keep the Collector restarting.

use std::time::Duration;

use super::{ConfigHash, Effect, Machine, Outcome, apply::Apply};

/// From one try to the next that disturbs nobody.
const AGAIN: Duration = Duration::from_secs(10);
/// How long after a try that stopped the Collector an offer of the same config starts no other.
const HOLD: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct PutOff {
    config: ConfigHash,
    why: String,
    until: Duration,
    then: Then,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    TryAgain,
    WaitForOffer,
}

impl PutOff {
    /// When it is tried again without being asked.
    pub(super) const fn deadline(&self) -> Option<Duration> {
        match self.then {
            Then::TryAgain => Some(self.until),
            Then::WaitForOffer => None,
        }
    }
}

impl Machine {
    pub(super) fn put_off_until_later(&mut self, config: ConfigHash, why: &str, now: Duration) {
        let why = format!("{why}; tried again every {} s", AGAIN.as_secs());
        self.put_off(config, why, Then::TryAgain, now);
    }

    pub(super) fn put_off_until_offered(&mut self, config: ConfigHash, why: &str, now: Duration) {
        let why = format!("{why}; once that is mended, a restart command has it tried again");
        self.put_off(config, why, Then::WaitForOffer, now);
    }

    fn put_off(&mut self, config: ConfigHash, why: String, then: Then, now: Duration) {
        self.emit(Effect::Status { config: config.clone(), outcome: Outcome::PutOff(why.clone()) });
        let wait = match then {
            Then::TryAgain => AGAIN,
            Then::WaitForOffer => HOLD,
        };
        self.put_off = Some(PutOff { config, why, until: now + wait, then });
    }

    /// The reason, if this config is not to be tried yet. An offer of another one ends the wait.
    pub(super) fn still_put_off(&mut self, config: &ConfigHash, now: Duration) -> Option<String> {
        let put_off = self.put_off.take()?;
        if put_off.config != *config || now >= put_off.until {
            return None;
        }
        let why = put_off.why.clone();
        self.put_off = Some(put_off);
        Some(why)
    }

    pub(super) fn put_off_timeout(&mut self, now: Duration) {
        let due = !self.tries_binary()
            && self.put_off.as_ref().and_then(PutOff::deadline).is_some_and(|until| now >= until);
        if due {
            self.take_up_put_off();
        }
    }

    pub(super) fn take_up_put_off(&mut self) {
        if !self.tries_binary()
            && let Some(PutOff { config, .. }) = self.put_off.take()
            && self.apply == Apply::Idle
        {
            self.judge(config);
        }
    }
}
