//! What systemd is told through `$NOTIFY_SOCKET`, if it started us: ready, where, that the runtime's workers
//! still turn, stopping. Without that socket nothing is said. Called by `bin/opamp-server`.

use std::io;

use sd_notify::{NotifyState, notify};
use tokio::time::{MissedTickBehavior, interval};

use super::Server;

/// Both planes serve and the store is open; from here on signs of life are given, twice in `WatchdogSec`.
pub fn ready(server: &Server) {
    let words = format!("agents connect to {}, operators to {}", server.opamp, server.api);
    report(notify(&[NotifyState::Ready, NotifyState::Status(&words)]));
    if let Some(allowed) = sd_notify::watchdog_enabled() {
        let mut ticks = interval(allowed / 2);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tokio::spawn(async move {
            loop {
                ticks.tick().await;
                report(notify(&[NotifyState::Watchdog]));
            }
        });
    }
}

pub fn stopping() {
    report(notify(&[NotifyState::Stopping, NotifyState::Status("says goodbye to the agents")]));
}

fn report(told: io::Result<()>) {
    if let Err(error) = told
        && std::env::var_os("NOTIFY_SOCKET").is_some()
    {
        tracing::warn!(%error, "the service manager could not be told");
    }
}
