//! Every system call of the supervisor: processes, signals, files, locks, host facts, clocks.
//!
//! - [`child`]: one child in a process group of its own; its end is never lost, its pid never reused
//! - [`run`]: a short command with a deadline and bounded output (`validate`, `components`)
//! - [`oom`]: whether the kernel killed for want of memory
//! - [`orphan`]: what to write down of a child, and how to end what a killed supervisor left behind
//! - [`reaper`]: duties of PID 1 and of a subreaper
//! - [`output`]: pipes drained always; ring of last words, rotating file
//! - [`fs`]: atomic files and the private directory; [`scratch`]: a directory for a short piece of work
//! - [`lock`]: one instance per directory
//! - [`executable`]: one that is to run with our rights
//! - [`handover`]: becoming another program without losing children and descriptors
//! - [`memory`]: giving back what only the start needed
//! - [`host`], [`clock`], [`signals`]: facts, time and randomness, TERM/INT/HUP; `pidfd`: a process by handle
//! - [`sandbox`]: what a child gives up: another user, capabilities, rights to files, limits
//! - [`systemd`]: what a service manager is told; [`socket`]: a Unix socket for this host's administrators; [`space`]: room on a disk
//! - [`watch`]: a file that others write; [`listening`]: who listens on this host; [`usage`]: what a process uses
//!
//! Not here: when to restart, what to write, what a failure means; that is `supervisor`'s.
//! `unsafe` is allowed in this room only. Linux 5.4 or newer is assumed (pidfd).

pub mod child;
pub mod clock;
pub mod executable;
pub mod fs;
pub mod handover;
pub mod host;
pub mod listening;
pub mod lock;
pub mod memory;
pub mod oom;
pub mod orphan;
pub mod output;
mod pidfd;
pub mod reaper;
pub mod run;
pub mod sandbox;
pub mod scratch;
pub mod signals;
pub mod socket;
pub mod space;
pub mod systemd;
#[cfg(test)]
mod testing;
pub mod usage;
pub mod watch;
