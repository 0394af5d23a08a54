//! One supervisor takes the place of another in the same process, and the Collector never stops (`execve` in place).
//!
//! ```text
//!   asked ──▶ examined: which file, whose, does it take supervisor.yaml and the state? ──no──▶ refused
//!                │ yes, and nothing else is on its way
//!                ▼
//!   written down (trial, tries) ──▶ exec ──no──▶ refused, all as before
//!                                    │
//!                                    ▼ the new one
//!        stands, and reaches the server in time ──▶ committed: the active one from now on
//!        fails before it stands, or not in time ──▶ execs the one before: undone
//!        dies ──▶ the next start counts the try; after the last one: undone
//! ```
//!
//! What travels: the lock, the listener that the Collector dials, its process and both pipes of its output, what was
//! read of them, and what is known of it. What is on trial and what is active is in the journal; a supervisor on trial
//! writes no state that the one before could not read.
//!
//! - `arrival`: how this one came to run; `note`: what one tells the next
//! - `decide`: what a start does, pure
//! - `examine`: whether another executable may take over
//!
//! Not here: the moment and the exec (`driver::succession`), taking up (`startup`), system calls (`os::handover`).

mod arrival;
mod decide;
mod examine;
mod note;

pub use arrival::Arrival;
pub(super) use decide::{Came, Decision, Me, TRIES, asks_who_i_am, calm, commit, decide, stands, undo};
pub(super) use examine::{Candidate, Examination, Unfit, examine, forget_copies, same_file};
pub(super) use note::{Bytes, CollectorNote, Errand, File, Files, Note};

/// Descriptors that travel.
pub(super) const LOCK: &str = "lock";
pub(super) const LISTENER: &str = "listener";
pub(super) const STDOUT: &str = "stdout";
pub(super) const STDERR: &str = "stderr";

/// Another supervisor that is to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Successor {
    pub(super) executable: std::path::PathBuf,
    pub(super) wanted: Wanted,
}

/// Who wants it, and what of it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// A person on the host vouches for it, also for one that failed before.
    ByPerson,
    /// It came as a package; it is this file, and not one that failed.
    ByPackage { sha256: String },
}
