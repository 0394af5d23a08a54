//! No server: from the start of the supervisor to a Collector that was spawned, with what the binary is known.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};

use super::{DEADLINE, figures::Figures, stand::Stand};

/// Between two looks at the children.
const LOOK: Duration = Duration::from_micros(200);

pub(super) fn starts(stand: &mut Stand, figures: &Figures, rounds: u64) -> Result<()> {
    stand.start_supervisor()?;
    let first = stand.supervisor()?.pid();
    let start = Instant::now();
    while stand.collector_pid().is_err() {
        ensure!(start.elapsed() < DEADLINE, "no Collector was spawned");
        std::thread::sleep(Duration::from_millis(5));
    }
    ensure!(child(first).is_some(), "what counts below is a child of process {first}");
    stand.stop_supervisor()?;
    let mut took = Vec::new();
    for _ in 0..rounds {
        let start = Instant::now();
        stand.start_supervisor()?;
        let pid = stand.supervisor()?.pid();
        // Nothing is asked of a binary that is known: its first child is the Collector.
        while child(pid).is_none() {
            ensure!(start.elapsed() < DEADLINE, "no Collector was spawned");
            std::thread::sleep(LOOK);
        }
        took.push(start.elapsed());
        stand.collector_pid()?;
        stand.stop_supervisor()?;
    }
    figures.spread("offline_start_to_spawned_ms", &took);
    Ok(())
}

/// The child of a process, once it runs a program of its own.
pub(super) fn child(pid: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    let child = children.split_whitespace().next()?.parse().ok()?;
    let program = |pid: u32| fs::read_link(format!("/proc/{pid}/exe")).ok();
    (program(child)? != program(pid)?).then_some(child)
}
