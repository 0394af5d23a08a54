//! What systemd is told through `$NOTIFY_SOCKET`, if it started us: ready, reloading, stopping, the state in words, and
//! that the main loop still turns. Without that socket every call does nothing.

use std::{io, time::Duration};

use sd_notify::NotifyState;

/// How often the watchdog wants a sign of life: half of what the unit's `WatchdogSec` allows.
#[must_use]
pub fn watchdog_period() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|allowed| allowed / 2)
}

/// Everything that the unit promises stands.
pub fn ready() -> io::Result<()> {
    sd_notify::notify(&[NotifyState::Ready])
}

/// The configuration is read again; [`ready`] ends it. The time tells systemd which request this answers.
pub fn reloading() -> io::Result<()> {
    sd_notify::notify(&[NotifyState::Reloading, NotifyState::monotonic_usec_now()?])
}

pub fn stopping() -> io::Result<()> {
    sd_notify::notify(&[NotifyState::Stopping])
}

/// The state in one line, as `systemctl status` shows it.
pub fn status(words: &str) -> io::Result<()> {
    let line: String = words.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect();
    sd_notify::notify(&[NotifyState::Status(&line)])
}

/// A sign of life; only the main loop gives it, after a turn.
pub fn alive() -> io::Result<()> {
    sd_notify::notify(&[NotifyState::Watchdog])
}
