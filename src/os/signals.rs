//! The signals the supervisor answers: TERM and INT stop it, HUP is a wish to read the
//! configuration again, CHLD is for a
//! process that inherits orphans (see [`super::reaper`]).
//!
//! While the process becomes another program they are [`hold`] back: the next one's [`Signals::listen`] hears them.

use std::io;

use nix::sys::signal::{SigSet, Signal};
use tokio::{
    select,
    signal::unix::{Signal as Stream, SignalKind, signal},
};

/// A signal that came; several of one kind that came together are one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    Terminate,
    Interrupt,
    Hangup,
    ChildEnded,
}

/// From its making on, these signals no longer end the process.
#[derive(Debug)]
pub struct Signals {
    terminate: Stream,
    interrupt: Stream,
    hangup: Stream,
    child: Stream,
}

impl Signals {
    pub fn listen() -> io::Result<Self> {
        let signals = Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            child: signal(SignalKind::child())?,
        };
        // Whoever ran in this process before may have held them back for us.
        answered().thread_unblock()?;
        Ok(signals)
    }

    /// The next signal; may be cancelled without losing one.
    pub async fn next(&mut self) -> Received {
        select! {
            biased;
            Some(()) = self.terminate.recv() => Received::Terminate,
            Some(()) = self.interrupt.recv() => Received::Interrupt,
            Some(()) = self.hangup.recv() => Received::Hangup,
            Some(()) = self.child.recv() => Received::ChildEnded,
            else => std::future::pending().await,
        }
    }

    /// Waits until the program is told to stop; the other signals until then are dropped.
    pub async fn stop(&mut self) {
        while !matches!(self.next().await, Received::Terminate | Received::Interrupt) {}
    }
}

fn answered() -> SigSet {
    [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGCHLD].into_iter().collect()
}

/// The signals wait while this lives, across an exec too. To be had on the main thread.
#[derive(Debug)]
pub struct Held {
    before: SigSet,
}

/// Has the signals wait.
#[must_use]
pub fn hold() -> Held {
    let now = SigSet::thread_get_mask();
    let before = now.unwrap_or_else(|_| SigSet::empty());
    // Neither can fail with a set of known signals.
    let _ = answered().thread_block();
    Held { before }
}

impl Drop for Held {
    fn drop(&mut self) {
        // It cannot fail with a set that the kernel gave.
        let _ = self.before.thread_set_mask();
    }
}

/// For every other thread, as its first deed: so a signal that the main thread holds back waits.
pub fn leave_to_main_thread() {
    // It cannot fail with a set of known signals.
    let _ = answered().thread_block();
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::raise;

    use super::*;
    use crate::os::testing::in_time;

    #[tokio::test]
    async fn term_comes_first_and_hup_is_not_lost() {
        let mut signals = Signals::listen().unwrap();
        raise(Signal::SIGHUP).unwrap();
        raise(Signal::SIGTERM).unwrap();
        let mut seen = Vec::new();
        while seen.len() < 2 {
            let received = in_time(signals.next()).await;
            if received != Received::ChildEnded {
                seen.push(received);
            }
        }
        assert!(seen.contains(&Received::Hangup) && seen.contains(&Received::Terminate), "{seen:?}");
    }
    #[test]
    fn what_is_held_back_comes_when_somebody_listens() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let held = hold();
            raise(Signal::SIGHUP).unwrap();
            let mut signals = Signals::listen().unwrap();
            while in_time(signals.next()).await != Received::Hangup {}
            drop(held);
        });
    }
}
