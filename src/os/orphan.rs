//! What a killed supervisor leaves behind: who that process is, and how to end it (F-62, F-63).
//!
//! A number alone names nobody. A process is ours when its number, start time, boot and executable
//! are those that were written down; signals go through pidfds opened before that was checked, so
//! whoever reuses a number is never hit. Called by `supervisor` at start, before any spawn.

use std::{
    fs, io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::{child::Signal, pidfd};

/// How long a killed orphan may take to be gone.
const KILL_WAIT: Duration = Duration::from_secs(5);

/// Names one process for all time, as far as /proc can.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessFacts {
    pub pid: i32,
    /// Clock ticks between boot and start.
    pub start_time_ticks: u64,
    pub boot_id: String,
    pub exe_dev: u64,
    pub exe_inode: u64,
    pub pgid: i32,
}

/// What became of the process that was written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swept {
    /// It is gone, or the number belongs to somebody else now: nothing was signalled.
    NotThere,
    /// It ended at SIGTERM.
    Terminated,
    /// It had to be killed.
    Killed,
    /// It is still there after SIGKILL.
    Survives,
}

impl ProcessFacts {
    /// The facts of a live process.
    pub fn of(pid: i32) -> io::Result<Self> {
        let stat = Stat::of(pid)?;
        let exe = fs::metadata(format!("/proc/{pid}/exe"))?;
        Ok(Self {
            pid,
            start_time_ticks: stat.start_time_ticks,
            boot_id: boot_id()?,
            exe_dev: exe.dev(),
            exe_inode: exe.ino(),
            pgid: stat.pgid,
        })
    }
}

/// Whether that process still runs.
#[must_use]
pub fn still_the_same(facts: &ProcessFacts) -> bool {
    Stat::of(facts.pid).is_ok_and(|stat| stat.state != 'Z')
        && ProcessFacts::of(facts.pid).is_ok_and(|now| now == *facts)
}

/// Ends a process that an earlier supervisor left behind, with its group: TERM, the grace, KILL.
pub async fn sweep(facts: &ProcessFacts, grace: Duration) -> io::Result<Swept> {
    let Ok(leader) = pidfd::open(facts.pid) else { return Ok(Swept::NotThere) };
    let group = members(facts.pgid);
    // Checked after the descriptors were opened: they name the process and the group that match.
    if !still_the_same(facts) {
        return Ok(Swept::NotThere);
    }
    let leader = pidfd::watch(leader)?;
    signal_all(&group, Signal::SIGTERM);
    pidfd::send(leader.get_ref().as_fd(), Signal::SIGTERM)?;
    if timeout(grace, leader.readable()).await.is_ok() {
        signal_all(&group, Signal::SIGKILL);
        return Ok(Swept::Terminated);
    }
    // While the leader lives its group is the same; it may have grown.
    let grown = members(facts.pgid);
    if still_the_same(facts) {
        signal_all(&grown, Signal::SIGKILL);
    }
    let _ = pidfd::send(leader.get_ref().as_fd(), Signal::SIGKILL);
    signal_all(&group, Signal::SIGKILL);
    match timeout(KILL_WAIT, leader.readable()).await {
        Ok(_) => Ok(Swept::Killed),
        Err(_) => Ok(Swept::Survives),
    }
}

fn signal_all(group: &[OwnedFd], signal: Signal) {
    for member in group {
        // One that has ended meanwhile is no error.
        let _ = pidfd::send(member.as_fd(), signal);
    }
}

/// Descriptors of the living members of a group.
fn members(pgid: i32) -> Vec<OwnedFd> {
    pids()
        .filter_map(|pid| {
            let fd = pidfd::open(pid).ok()?;
            Stat::of(pid).is_ok_and(|stat| stat.pgid == pgid && stat.state != 'Z').then_some(fd)
        })
        .collect()
}

/// Whether any process of the group still runs; ended ones that wait to be reaped do not count.
pub(super) fn group_has_living(pgid: i32) -> bool {
    pids().any(|pid| Stat::of(pid).is_ok_and(|stat| stat.pgid == pgid && !"ZX".contains(stat.state)))
}

fn pids() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

struct Stat {
    state: char,
    pgid: i32,
    start_time_ticks: u64,
}

impl Stat {
    fn of(pid: i32) -> io::Result<Self> {
        let text = fs::read(format!("/proc/{pid}/stat"))?;
        Self::parse(&String::from_utf8_lossy(&text))
            .ok_or_else(|| io::Error::other(format!("/proc/{pid}/stat has an unknown form")))
    }

    /// The name, in parentheses, may hold anything, parentheses too: fields count from the last one.
    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.get(text.rfind(')')? + 1..)?.split_ascii_whitespace().collect();
        Some(Self {
            state: fields.first()?.chars().next()?,
            pgid: fields.get(2)?.parse().ok()?,
            start_time_ticks: fields.get(19)?.parse().ok()?,
        })
    }
}

/// Names this boot of this host: numbers and ticks mean nothing in another one.
pub fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::{
        child::{Child, Exit},
        testing::{in_time, shell},
    };

    #[test]
    fn a_name_may_hold_parentheses_and_blanks() {
        let stat = Stat::parse("7 (a) b) S 1 42 42 0 -1 4 0 0 0 0 1 1 0 0 20 0 1 0 991 0").unwrap();
        assert_eq!((stat.state, stat.pgid, stat.start_time_ticks), ('S', 42, 991));
        assert!(Stat::parse("7 (cut").is_none());
    }

    #[tokio::test]
    async fn f_62_an_orphan_that_matches_is_ended_with_its_group() {
        let spawned = Child::spawn(&shell("sleep 600 & sleep 600")).unwrap();
        let facts = spawned.child.facts().unwrap();
        assert!(still_the_same(&facts));
        let swept = in_time(sweep(&facts, Duration::from_secs(10))).await.unwrap();
        assert_eq!(swept, Swept::Terminated);
        assert_eq!(in_time(spawned.child.wait()).await.unwrap(), Exit::Signal { number: 15, core: false });
        in_time(spawned.child.group_gone()).await.unwrap();
        assert!(!still_the_same(&facts));
    }

    #[tokio::test]
    async fn f_62_an_orphan_that_ignores_term_is_killed() {
        let mut spawned =
            Child::spawn(&shell("trap '' TERM; echo ready; while :; do sleep 600; done")).unwrap();
        crate::os::testing::line(&mut spawned.stdout).await;
        let facts = spawned.child.facts().unwrap();
        let swept = in_time(sweep(&facts, Duration::from_millis(50))).await.unwrap();
        assert_eq!(swept, Swept::Killed);
    }

    #[tokio::test]
    async fn f_63_whoever_reuses_the_number_is_left_alone() {
        let spawned = Child::spawn(&shell("sleep 600")).unwrap();
        let facts = spawned.child.facts().unwrap();
        let others = [
            ProcessFacts { start_time_ticks: facts.start_time_ticks + 1, ..facts.clone() },
            ProcessFacts { boot_id: "another boot".into(), ..facts.clone() },
            ProcessFacts { exe_inode: facts.exe_inode + 1, ..facts.clone() },
            ProcessFacts { pgid: facts.pgid + 1, ..facts.clone() },
        ];
        for other in others {
            assert_eq!(in_time(sweep(&other, Duration::ZERO)).await.unwrap(), Swept::NotThere);
        }
        assert!(spawned.child.try_wait().unwrap().is_none(), "it was signalled");
    }
}
