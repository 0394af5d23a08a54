//! Duties of a process that inherits orphans: PID 1 of a container, or a subreaper.
//!
//! Strangers are reaped, children of [`super::child`] never: their status belongs to their owner
//! (F-86). Which children are ours is a fact of the whole process, hence the one static here.

use std::{
    collections::BTreeSet,
    io,
    sync::{Mutex, PoisonError},
};

use super::pidfd;

/// Children with an owner, and children whose owner is gone (killed, to be reaped when dead).
struct Family {
    ours: BTreeSet<i32>,
    abandoned: BTreeSet<i32>,
}

static FAMILY: Mutex<Family> = Mutex::new(Family { ours: BTreeSet::new(), abandoned: BTreeSet::new() });

/// Runs with the set of owned children locked, so that no child exists outside of it meanwhile.
pub(super) fn with_ours<T>(work: impl FnOnce(&mut BTreeSet<i32>) -> T) -> T {
    let mut family = FAMILY.lock().unwrap_or_else(PoisonError::into_inner);
    bury(&mut family.abandoned);
    work(&mut family.ours)
}

/// Nobody waits for this (killed) child any more.
pub(super) fn abandon(pid: i32) {
    let mut family = FAMILY.lock().unwrap_or_else(PoisonError::into_inner);
    family.ours.remove(&pid);
    family.abandoned.insert(pid);
    bury(&mut family.abandoned);
}

fn bury(abandoned: &mut BTreeSet<i32>) {
    abandoned.retain(|pid| matches!(pidfd::reap_pid(*pid), Ok(None)));
}

/// Orphans among our descendants become our children from now on.
pub fn become_subreaper() -> io::Result<()> {
    nix::sys::prctl::set_child_subreaper(true).map_err(Into::into)
}

/// Reaps every ended stranger; returns how many. To be called at each SIGCHLD, and after each end of a
/// child of ours: an ended child that waits for its owner hides the strangers behind it.
pub fn reap_strangers() -> io::Result<usize> {
    let mut family = FAMILY.lock().unwrap_or_else(PoisonError::into_inner);
    bury(&mut family.abandoned);
    let mut reaped = 0;
    while let Some(pid) = pidfd::peek_any()? {
        if family.ours.contains(&pid) {
            break;
        }
        pidfd::reap_pid(pid)?;
        reaped += 1;
    }
    Ok(reaped)
}
