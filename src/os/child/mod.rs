//! One child process in a group of its own: the Collector, or a short run of its binary.
//!
//! Spawn on the **main thread**: the parent-death signal is tied to the thread that forks. The
//! status is read through a pidfd, so nobody can steal it and a reused number is never signalled.
//! When the leader has ended, what is left of its group is killed before its number is given back.
//!
//! - `spawn`: from a [`Spec`] to a process; `exit`: how it ended, in words
//! - [`Child::adopt`]: one that the program before in this process started
//!
//! Called by `supervisor`'s driver and by [`super::run`]. Restart policy is not here.

mod exit;
mod spawn;
#[cfg(test)]
mod tests;

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    process,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

pub use nix::sys::signal::Signal;
use nix::{errno::Errno, sys::signal::killpg, unistd::Pid};
use tokio::{
    io::unix::AsyncFd,
    net::unix::pipe,
    time::{sleep, timeout},
};

use super::{orphan::ProcessFacts, pidfd, reaper};
pub use exit::{Exit, signal_name};
pub use spawn::{SpawnError, Spec};

/// How long a killed process may take to be gone before it counts as stuck in the kernel.
const KILL_WAIT: Duration = Duration::from_secs(5);

/// A running child, and the read ends of its output.
#[derive(Debug)]
pub struct Spawned {
    pub child: Child,
    pub stdout: pipe::Receiver,
    pub stderr: pipe::Receiver,
}

/// Something failed about a child that was started.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    #[error("cannot learn what became of process {pid}")]
    Wait { pid: i32, source: io::Error },
    #[error("cannot send {signal} to process {pid}")]
    Signal { pid: i32, signal: Signal, source: io::Error },
    #[error("process {pid} is still there {} s after SIGKILL (stuck in the kernel, on a disk or network mount?)", KILL_WAIT.as_secs())]
    Survives { pid: i32 },
}

/// How a child that was asked to stop ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped {
    pub exit: Exit,
    /// It did not end in its grace and was killed.
    pub killed: bool,
}

/// A child that is watched until its end. Dropped alive, it and its group are killed.
#[derive(Debug)]
pub struct Child {
    pid: i32,
    pidfd: AsyncFd<OwnedFd>,
    /// The lock makes "not reaped yet, so the number is ours" hold while a signal is sent.
    exit: Mutex<Option<Exit>>,
}

impl Child {
    /// Starts the command; when this returns, the program runs. Needs a tokio runtime.
    pub fn spawn(spec: &Spec) -> Result<Spawned, SpawnError> {
        reaper::with_ours(|ours| {
            let mut started = spawn::start(spec)?;
            let (out, err) = (started.stdout.take(), started.stderr.take());
            let pid = started.id().cast_signed();
            match Self::watch(pid, out, err) {
                Ok(spawned) => {
                    ours.insert(pid);
                    Ok(spawned)
                }
                Err(source) => {
                    discard(&mut started);
                    Err(SpawnError::Watch { pid, source })
                }
            }
        })
    }

    /// Takes up a child of this process that the program before it in this process started. Needs a tokio runtime,
    /// and the main thread.
    pub fn adopt(pid: i32) -> Result<Self, ChildError> {
        let failed = |source| ChildError::Wait { pid, source };
        reaper::with_ours(|ours| {
            let pidfd = pidfd::open(pid).map_err(failed)?;
            // Answers for a child only; unreaped, its number belongs to nobody else.
            pidfd::peek(pidfd.as_fd()).map_err(failed)?;
            let child = Self { pid, pidfd: pidfd::watch(pidfd).map_err(failed)?, exit: Mutex::new(None) };
            ours.insert(pid);
            Ok(child)
        })
    }

    fn watch(
        pid: i32,
        out: Option<process::ChildStdout>,
        err: Option<process::ChildStderr>,
    ) -> io::Result<Spawned> {
        let (Some(out), Some(err)) = (out, err) else {
            return Err(io::Error::other("the child has no output pipes"));
        };
        let pidfd = pidfd::watch(pidfd::open(pid)?)?;
        let child = Self { pid, pidfd, exit: Mutex::new(None) };
        Ok(Spawned {
            child,
            stdout: pipe::Receiver::from_owned_fd(out.into())?,
            stderr: pipe::Receiver::from_owned_fd(err.into())?,
        })
    }

    /// The process number, also that of its group.
    #[must_use]
    pub const fn pid(&self) -> i32 {
        self.pid
    }

    /// What to write down, so that a later supervisor finds this very process again.
    pub fn facts(&self) -> io::Result<ProcessFacts> {
        ProcessFacts::of(self.pid)
    }

    /// Waits for the end. May be cancelled and called again; the answer stays the same.
    pub async fn wait(&self) -> Result<Exit, ChildError> {
        loop {
            if let Some(exit) = self.try_wait()? {
                return Ok(exit);
            }
            let mut ready = self.pidfd.readable().await.map_err(|source| self.lost(source))?;
            if let Some(exit) = self.try_wait()? {
                return Ok(exit);
            }
            ready.clear_ready();
        }
    }

    /// The end, if it has come. Then the rest of the group is killed: a grandchild may hold the ports (F-65).
    pub fn try_wait(&self) -> Result<Option<Exit>, ChildError> {
        let mut exit = self.lock();
        if exit.is_some() {
            return Ok(*exit);
        }
        if pidfd::peek(self.fd()).map_err(|source| self.lost(source))?.is_none() {
            return Ok(None);
        }
        // The unreaped leader keeps the group's number from being reused.
        let _ = killpg(Pid::from_raw(self.pid), Signal::SIGKILL);
        reaper::with_ours(|ours| {
            *exit = pidfd::reap(self.fd()).map_err(|source| self.lost(source))?;
            ours.remove(&self.pid);
            Ok(*exit)
        })
    }

    /// Signals the leader alone. A child that has ended is no error.
    pub fn signal(&self, signal: Signal) -> Result<(), ChildError> {
        match pidfd::send(self.fd(), signal) {
            Err(source) if source.raw_os_error() != Some(Errno::ESRCH as i32) => {
                Err(ChildError::Signal { pid: self.pid, signal, source })
            }
            _ => Ok(()),
        }
    }

    /// Signals everything in the group. A group whose leader has been reaped is left alone.
    pub fn signal_group(&self, signal: Signal) -> Result<(), ChildError> {
        let exit = self.lock();
        if exit.is_some() {
            return Ok(());
        }
        match killpg(Pid::from_raw(self.pid), signal) {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(errno) => Err(ChildError::Signal { pid: self.pid, signal, source: errno.into() }),
        }
    }

    /// SIGTERM to the group, SIGKILL when the grace is over (F-64). Returns when nothing of the group is
    /// left. May be cancelled and called again with a shorter grace.
    pub async fn stop(&self, grace: Duration) -> Result<Stopped, ChildError> {
        self.signal_group(Signal::SIGTERM)?;
        let (exit, killed) = match timeout(grace, self.wait()).await {
            Ok(exit) => (exit?, false),
            Err(_) => (self.kill().await?, true),
        };
        self.group_gone().await?;
        Ok(Stopped { exit, killed })
    }

    /// SIGKILL to the group, and wait for the leader's end.
    pub async fn kill(&self) -> Result<Exit, ChildError> {
        self.signal_group(Signal::SIGKILL)?;
        timeout(KILL_WAIT, self.wait()).await.map_err(|_| ChildError::Survives { pid: self.pid })?
    }

    /// Waits until the killed rest of the group has let go of its ports and files. There is no event
    /// for that, so the (rare) rest is polled.
    pub async fn group_gone(&self) -> Result<(), ChildError> {
        let gone = async {
            let mut pause = Duration::from_millis(1);
            while group_lives(self.pid) {
                sleep(pause).await;
                pause = (pause * 2).min(Duration::from_millis(50));
            }
        };
        timeout(KILL_WAIT, gone).await.map_err(|_| ChildError::Survives { pid: self.pid })
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.pidfd.get_ref().as_fd()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Exit>> {
        self.exit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lost(&self, source: io::Error) -> ChildError {
        ChildError::Wait { pid: self.pid, source }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        match self.try_wait() {
            Ok(Some(_)) => {}
            Ok(None) => {
                let _ = self.signal_group(Signal::SIGKILL);
                reaper::abandon(self.pid);
            }
            // The number may no longer be ours: the leader alone, through its descriptor.
            Err(_) => {
                let _ = self.signal(Signal::SIGKILL);
                reaper::abandon(self.pid);
            }
        }
    }
}

/// Signal 0 asks only. Processes that have ended but wait to be reaped by init do not count.
fn group_lives(pgid: i32) -> bool {
    killpg(Pid::from_raw(pgid), None).is_ok() && super::orphan::group_has_living(pgid)
}

/// A child that cannot be watched must not run on unwatched.
fn discard(started: &mut process::Child) {
    let _ = killpg(Pid::from_raw(started.id().cast_signed()), Signal::SIGKILL);
    let _ = started.kill();
    let _ = started.wait();
}
