//! Both ends of the protocol against each other in virtual time, under loss, reorder, reconnects, and restarts
//! of either end: state converges, and nothing is sent twice without need.
//!
//! `OPAMP_SIM_SEEDS=N` runs seeds 0..N (1,500 by default); `OPAMP_SIM_SEED=S` runs one and prints what happens.

mod agent;
mod backoff;
mod check;
mod parts;
mod random;
mod server;
mod world;

use world::{Options, Plant, World};

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text:?} is not a number")))
}

#[test]
fn c_sq_s_sq_s_rc_state_converges_and_nothing_is_sent_twice_without_need() {
    let seeds = match setting("OPAMP_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..setting("OPAMP_SIM_SEEDS").unwrap_or(1500),
    };
    let mut seen = check::Counts::default();
    for seed in seeds.clone() {
        let options = Options::of(seed);
        match World::new(&options).run() {
            Ok(counts) => seen += counts,
            Err(violation) => {
                panic!("{violation}\n{options:#?}\nreplay with OPAMP_SIM_SEED={seed}")
            }
        }
    }
    if seeds.end - seeds.start >= 1000 {
        assert!(seen.is_broad(), "the runs must meet what they are about: {seen:?}");
    }
}

fn flagged(plant: Plant, words: &[&str]) {
    let caught = (0..40).filter_map(|seed| {
        let options = Options { plant: Some(plant), ..Options::of(seed) };
        World::new(&options).run().err()
    });
    let caught: Vec<_> = caught.map(|violation| violation.to_string()).collect();
    assert!(caught.len() >= 20, "caught in only {} of 40 runs", caught.len());
    let right = caught.iter().filter(|violation| words.iter().any(|words| violation.contains(words))).count();
    assert!(right * 10 >= caught.len() * 9, "{words:?} is not what was found: {caught:#?}");
}

#[test]
fn a_part_that_is_repeated_is_caught() {
    flagged(Plant::RepeatedPart, &["sent without need"]);
}

#[test]
fn a_message_that_is_repeated_is_caught() {
    flagged(Plant::RepeatedMessage, &["sequence_num"]);
}

#[test]
fn an_offer_that_is_repeated_is_caught() {
    flagged(Plant::RepeatedOffer, &["offered again", "already reports"]);
}

#[test]
fn a_change_that_is_not_sent_is_caught() {
    flagged(Plant::ForgottenChange, &["does not know", "says nothing"]);
}
