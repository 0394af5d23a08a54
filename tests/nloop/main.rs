//! The N-loop: the built supervisor is killed, or refused something by the kernel, at the first, second, third …
//! call of one kind while a config is applied, or a Collector upgraded, until a run comes through untouched. After each, it is started
//! again plainly: exactly one Collector runs, the config comes to its right end, and nothing that the server was
//! told turns out not to be so.
//!
//! `NLOOP=full` tries every N, a number every so many; without it a sample is taken. `SUPERVISOR_BIN` names
//! another binary, such as the small one.

mod fault;
#[allow(dead_code, unused_imports, reason = "shared with the tests of the supervisor, which use all of it")]
#[path = "../supervisor/harness/mod.rs"]
mod harness;
mod packages;
mod run;
#[allow(dead_code, reason = "shared with the tests of the supervisor, which use all of it")]
#[path = "../supervisor/packages/store.rs"]
mod store;

use fault::{Fault, Kind};
use packages::{Stage, Upgrade};
use run::{Story, Template};

/// No run has nearly as many calls of one kind.
const MOST: usize = 1000;

/// Every so many N are tried.
fn step(sample: usize) -> usize {
    match std::env::var("NLOOP").as_deref() {
        Ok("full") => 1,
        Ok(number) => {
            number.parse().unwrap_or_else(|_| panic!("NLOOP={number} is neither full nor a number"))
        }
        Err(_) => sample,
    }
}

/// Runs the story with the fault at each N until it no longer strikes.
async fn at_each(story: Story, kinds: &[Kind], fault: Fault, sample: usize) {
    let template = Template::of(story).await;
    let once = |kind, n| run::once(template.clone(), kind, fault, n);
    strike(&format!("{story:?}: {fault:?}"), kinds, sample, once).await;
}

/// The same with an upgrade.
async fn at_each_of(upgrade: Upgrade, kinds: &[Kind], fault: Fault, sample: usize) {
    let stage = Stage::of(upgrade).await;
    let once = |kind, n| packages::once(stage.clone(), kind, fault, n);
    strike(&format!("upgrade {upgrade:?}: {fault:?}"), kinds, sample, once).await;
}

async fn strike<F: Future<Output = bool> + Send + 'static>(
    what: &str,
    kinds: &[Kind],
    sample: usize,
    once: impl Fn(Kind, usize) -> F,
) {
    let (step, mut tried, mut broken) = (step(sample), 0, Vec::new());
    for kind in kinds {
        let mut last = 0;
        for n in (1..MOST).step_by(step) {
            match tokio::spawn(once(*kind, n)).await {
                Ok(true) => (tried, last) = (tried + 1, n),
                Ok(false) => break,
                Err(error) => {
                    (tried, last) = (tried + 1, n);
                    broken.push(format!("{kind:?} {n}: {}", said(error)));
                }
            }
        }
        println!("{what} at {kind:?} 1 to {last}, every {step}");
        assert!(last > 0 && last + step < MOST, "{kind:?}: the fault struck at {last} last");
    }
    assert!(broken.is_empty(), "{} of {tried}:\n{}", broken.len(), broken.join("\n"));
}

fn said(error: tokio::task::JoinError) -> String {
    let panic = error.into_panic();
    let text = panic.downcast_ref::<String>().cloned();
    text.unwrap_or_else(|| panic.downcast_ref::<&str>().copied().unwrap_or("?").to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_15_f_82_killed_at_each_step_of_a_config_that_is_applied() {
    at_each(Story::Good, &Kind::ALL, Fault::Kill, 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_15_f_82_killed_at_each_step_of_a_config_that_is_rolled_back() {
    at_each(Story::Bad, &Kind::ALL, Fault::Kill, 5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_15_f_82_killed_at_each_step_of_the_very_first_start() {
    at_each(Story::First, &Kind::ALL, Fault::Kill, 9).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_56_an_input_output_error_at_each_step() {
    at_each(Story::Good, &[Kind::Fsync, Kind::Rename, Kind::Write], Fault::Error("EIO"), 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_54_no_room_on_the_disk_at_each_step() {
    at_each(Story::Good, &[Kind::Write, Kind::Open, Kind::Rename], Fault::Error("ENOSPC"), 5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_87_no_descriptor_no_process_and_no_memory_at_each_step() {
    at_each(Story::Good, &[Kind::Open], Fault::Error("EMFILE"), 4).await;
    at_each(Story::Good, &[Kind::Fork], Fault::Error("EAGAIN"), 1).await;
    at_each(Story::Bad, &[Kind::Fork], Fault::Error("ENOMEM"), 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_3_f_4_f_5_f_6_f_7_f_8_f_9_f_12_f_15_killed_at_each_step_of_an_upgrade() {
    at_each_of(Upgrade::Kept, &Kind::ALL, Fault::Kill, 31).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_13_f_15_killed_at_each_step_of_an_upgrade_that_is_undone() {
    at_each_of(Upgrade::Undone, &Kind::ALL, Fault::Kill, 37).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_54_f_55_f_56_f_57_a_disk_that_fails_at_each_step_of_an_upgrade() {
    at_each_of(Upgrade::Kept, &[Kind::Fsync, Kind::Rename], Fault::Error("EIO"), 19).await;
    at_each_of(Upgrade::Kept, &[Kind::Write, Kind::Open], Fault::Error("ENOSPC"), 47).await;
    at_each_of(Upgrade::Kept, &[Kind::Open], Fault::Error("EROFS"), 29).await;
    at_each_of(Upgrade::Kept, &[Kind::Write], Fault::Error("EDQUOT"), 97).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_15_f_110_killed_at_each_step_of_a_supervisor_that_replaces_itself() {
    at_each_of(Upgrade::Itself, &Kind::OF_EXCHANGE, Fault::Kill, 97).await;
}
