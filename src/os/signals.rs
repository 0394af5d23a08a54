//! The signals the supervisor answers: TERM and INT stop it, HUP is a wish to read the
//! configuration again, CHLD is for a
//! process that inherits orphans (see [`super::reaper`]).

use std::io;

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
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            child: signal(SignalKind::child())?,
        })
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

#[cfg(test)]
mod tests {
    use nix::sys::signal::{Signal, raise};

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
}
