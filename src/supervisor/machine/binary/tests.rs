//! A binary on trial, driven by hand.

use super::super::{
    Generation, Input, Outcome, Past, ProcessState, Verdict,
    tests::{Bench, hash, spawn, status},
};
use super::*;

const RULES: BinaryRules =
    BinaryRules { first_health: Duration::from_secs(60), healthy_for: Duration::from_secs(180) };
const STOP: Effect = Effect::Stop { generation: Generation(1) };

/// A machine that runs config 7 and has just been given another binary, as process 2.
fn on_trial() -> Bench {
    let mut bench = Bench::running();
    bench.offer(7);
    bench.checked(1, Verdict::Contents);
    bench.healthy(1, 2);
    bench.wait(Duration::from_secs(30));
    assert!(bench.tell(Input::SwitchBinary(RULES)).contains(&STOP));
    assert!(bench.exited(1).contains(&spawn(2, Some(7))), "the config stays");
    bench
}

fn given_up(effects: &[Effect]) -> (&str, Blame) {
    let failed = effects.iter().find_map(|effect| match effect {
        Effect::BinaryFailed { why, blame } => Some((why.as_str(), *blame)),
        _ => None,
    });
    failed.unwrap_or_else(|| panic!("it is not given up in {effects:?}"))
}

fn unhealthy(bench: &mut Bench, generation: u64, why: &str) -> Vec<Effect> {
    let condition = Condition { well: false, faults: BTreeSet::new(), why: why.to_owned() };
    bench.tell(Input::Reported { generation: Generation(generation), session: 9, condition })
}

#[test]
fn one_that_is_healthy_for_its_time_is_proven() {
    let mut bench = on_trial();
    bench.wait(Duration::from_secs(59));
    assert!(bench.healthy(2, 3).is_empty() && bench.machine.tries_binary());
    assert!(bench.wait(Duration::from_secs(179)).is_empty());
    assert_eq!(bench.wait(Duration::from_secs(1)), [Effect::BinaryProven]);
    assert!(!bench.machine.tries_binary());
}

#[test]
fn f_33_the_second_end_takes_it_back_and_what_was_before_is_started_at_once() {
    let mut bench = on_trial();
    let effects = bench.exited(2);
    assert!(effects.contains(&spawn(3, Some(7))), "the first is forgiven: {effects:?}");
    let effects = bench.exited(3);
    let (why, blame) = given_up(&effects);
    assert!(why.contains("twice") && why.contains("SIGKILL") && blame == Blame::Config, "{why}");
    let place = |wanted: &dyn Fn(&Effect) -> bool| effects.iter().position(wanted).unwrap();
    assert!(
        place(&|effect| matches!(effect, Effect::BinaryFailed { .. }))
            < place(&|effect| *effect == spawn(4, Some(7))),
        "with the binary of before: {effects:?}"
    );
    assert!(!bench.machine.tries_binary());
}

#[test]
fn f_34_one_that_ends_after_100_s_is_taken_back() {
    let mut bench = on_trial();
    bench.healthy(2, 3);
    bench.wait(Duration::from_secs(100));
    bench.exited(2);
    bench.healthy(3, 4);
    assert_eq!(
        bench.machine.binary_time_left(bench.now()),
        Some(Duration::from_secs(180)),
        "it starts again"
    );
    assert!(bench.wait(Duration::from_secs(100)).is_empty());
    assert!(given_up(&bench.exited(3)).0.contains("twice"));
}

#[test]
fn f_35_one_that_is_not_healthy_in_time_is_taken_back() {
    let mut bench = on_trial();
    unhealthy(&mut bench, 2, "no exporter");
    assert!(bench.wait(Duration::from_secs(59)).is_empty());
    let effects = bench.wait(Duration::from_secs(1));
    assert!(given_up(&effects).0.ends_with("not healthy within 60s: no exporter"), "{effects:?}");
    assert!(effects.contains(&Effect::Stop { generation: Generation(2) }), "{effects:?}");
    assert!(bench.exited(2).contains(&spawn(3, Some(7))));
}

#[test]
fn f_36_one_that_says_it_is_another_version_is_taken_back() {
    let mut bench = on_trial();
    let effects = bench.tell(Input::BinaryWrong { why: "it says it is 9.9.9".into() });
    assert_eq!(given_up(&effects).0, "it says it is 9.9.9");
    assert!(effects.contains(&Effect::Stop { generation: Generation(2) }), "{effects:?}");
    let mut bench = Bench::running();
    assert!(bench.tell(Input::BinaryWrong { why: "late".into() }).is_empty(), "nothing is on trial");
}

#[test]
fn f_37_one_whose_health_flips_four_times_is_taken_back() {
    let mut bench = on_trial();
    for flip in 1..=4 {
        bench.healthy(2, 3);
        bench.wait(Duration::from_secs(5));
        let effects = unhealthy(&mut bench, 2, "now and then");
        assert_eq!(effects.is_empty(), flip < 4, "{flip}: {effects:?}");
        if flip == 4 {
            assert!(given_up(&effects).0.contains("4 times; the last: now and then"));
        }
    }
}

#[test]
fn one_that_is_unhealthy_for_30_s_in_a_row_is_taken_back() {
    let mut bench = on_trial();
    bench.healthy(2, 3);
    unhealthy(&mut bench, 2, "stuck");
    bench.wait(Duration::from_secs(29));
    bench.healthy(2, 3);
    unhealthy(&mut bench, 2, "stuck");
    assert!(bench.wait(Duration::from_secs(29)).is_empty());
    assert!(given_up(&bench.wait(Duration::from_secs(1))).0.contains("unhealthy for 30s: stuck"));
}

#[test]
fn f_38_what_was_broken_before_is_not_its_doing() {
    let mut bench = Bench::running();
    let fault = "receiver:x: no such device";
    let word = |generation| Input::Reported {
        generation: Generation(generation),
        session: generation,
        condition: Condition { well: false, faults: [fault.to_owned()].into(), why: fault.into() },
    };
    bench.tell(word(1));
    bench.tell(Input::SwitchBinary(RULES));
    bench.exited(1);
    bench.tell(word(2));
    assert_eq!(bench.wait(Duration::from_secs(180)), [Effect::BinaryProven]);
}

#[test]
fn f_52_offers_wait_for_its_end_and_the_newest_counts() {
    let mut bench = on_trial();
    assert!(bench.offer(8).is_empty() && bench.offer(9).is_empty());
    bench.healthy(2, 3);
    assert!(bench.wait(Duration::from_secs(179)).is_empty());
    let effects = bench.wait(Duration::from_secs(1));
    assert_eq!(effects[..2], [Effect::BinaryProven, status(9, Outcome::Applying)]);

    let mut bench = on_trial();
    bench.offer(8);
    let effects = bench.tell(Input::BinaryWrong { why: "no".into() });
    assert!(effects.contains(&status(8, Outcome::Applying)), "and for its failure: {effects:?}");
}

#[test]
fn f_59_a_host_that_slept_proves_nothing() {
    let mut bench = on_trial();
    let long = Duration::from_secs(3600);
    bench.tell(Input::Slept(long));
    assert!(bench.wait(long).is_empty(), "it still has its minute");
    bench.healthy(2, 3);
    bench.wait(Duration::from_secs(100));
    bench.tell(Input::Slept(long));
    assert!(bench.wait(long).is_empty());
    assert!(bench.wait(Duration::from_secs(79)).is_empty());
    assert_eq!(bench.wait(Duration::from_secs(1)), [Effect::BinaryProven]);
}

#[test]
fn f_60_f_67_what_is_not_its_doing_is_not_held_against_it() {
    let mut bench = on_trial();
    for process in 2..6 {
        let effects = bench.ended(process, Blame::Outside);
        assert!(!effects.iter().any(|effect| matches!(effect, Effect::BinaryFailed { .. })), "{effects:?}");
        if !effects.contains(&spawn(process + 1, Some(7))) {
            bench.wait(Duration::from_secs(2));
        }
    }
    let effects = bench.ended(6, Blame::Host);
    assert_eq!(given_up(&effects).1, Blame::Host, "a host that stands in the way ends the trial, for now");
}

#[test]
fn f_68_one_that_hangs_is_taken_back() {
    let mut bench = on_trial();
    let effects = bench.tell(Input::Silent { generation: Generation(2), why: "has not answered".into() });
    assert!(given_up(&effects).0.contains("has not answered"));
    assert!(effects.contains(&Effect::Stop { generation: Generation(2) }));
}

#[test]
fn f_10_the_next_life_of_the_supervisor_goes_on_with_the_trial() {
    let past = Past { live: Some(hash(7)), last_good: Some(hash(7)), binary: Some(RULES), ..Past::default() };
    let mut bench = Bench::with(past);
    assert!(bench.tell(Input::Start).contains(&spawn(1, Some(7))));
    assert!(bench.offer(8).is_empty());
    bench.exited(1);
    assert!(given_up(&bench.exited(2)).0.contains("twice"));
}

#[test]
fn a_person_who_goes_back_during_the_trial_means_the_binary() {
    let mut bench = on_trial();
    bench.healthy(2, 3);
    assert!(bench.machine.can_roll_back());
    let effects = bench.tell(Input::RollBack);
    assert!(given_up(&effects).0.contains("a person on the host"));
    assert!(bench.exited(2).contains(&spawn(3, Some(7))), "the config stays");
}

#[test]
fn f_85_an_orderly_end_in_the_trial_is_no_failure() {
    let mut bench = on_trial();
    bench.tell(Input::Shutdown);
    let effects = bench.ended(2, Blame::Outside);
    assert!(effects.contains(&Effect::Finished) && effects.contains(&Effect::Process(ProcessState::Stopped)));
    assert_eq!(bench.wait(Duration::from_secs(600)), []);
}
