//! The waits between attempts, over many seeds and to the last bit.

use std::time::Duration;

use opamp::protocol::backoff::{Backoff, Retry};

const SEEDS: u64 = 300;

/// The shortest and the longest wait over many agents, each of which failed so before.
fn waits(before: &[Retry], why: Retry) -> (f64, f64) {
    let waits = (0..SEEDS).map(|seed| {
        let mut backoff = Backoff::new(seed);
        for why in before {
            backoff.next(*why);
        }
        backoff.next(why).as_secs_f64()
    });
    waits.fold((f64::MAX, 0.0), |(least, most), wait| (wait.min(least), wait.max(most)))
}

/// Spread over about all of a span.
fn assert_spread((least, most): (f64, f64), from: f64, to: f64) {
    let slack = (to - from) * 0.05;
    assert!(least >= from && least < from + slack, "{least} at least, not {from}");
    assert!(most <= to && most > to - slack, "{most} at most, not {to}");
}

#[test]
fn c_ws_03_a_first_loss_is_spread_over_five_seconds_and_a_further_one_like_any_failure() {
    assert_spread(waits(&[], Retry::Lost), 0.0, 5.0);
    assert_spread(waits(&[Retry::Lost], Retry::Lost), 0.0, 2.0);
    assert_spread(waits(&[Retry::Failed; 4], Retry::Lost), 0.0, 16.0);
}

#[test]
fn c_th_01_each_failure_doubles_the_span_up_to_a_minute() {
    for why in [Retry::Failed, Retry::Unanswered] {
        for (failures, span) in [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0].into_iter().enumerate() {
            assert_spread(waits(&vec![why; failures], why), 0.0, span);
        }
        assert_spread(waits(&[why; 100], why), 0.0, 60.0);
    }
}

#[test]
fn c_th_04_06_a_hint_is_followed_with_a_fifth_more_at_most_and_within_an_hour() {
    let hinted = |seconds| waits(&[], Retry::Overloaded { after: Some(Duration::from_secs(seconds)) });
    assert_spread(hinted(100), 100.0, 120.0);
    assert_spread(hinted(0), 1.0, 1.2);
    assert_spread(hinted(u64::MAX), 3600.0, 4320.0);
    let then = waits(&[Retry::Overloaded { after: Some(Duration::from_secs(9)) }; 5], Retry::Failed);
    assert_spread(then, 0.0, 1.0);
}

#[test]
fn c_th_05_08_without_a_hint_thirty_seconds_and_ever_more_jitter() {
    let overloaded = Retry::Overloaded { after: None };
    assert_spread(waits(&[], overloaded), 30.0, 31.0);
    assert_spread(waits(&[overloaded; 3], overloaded), 30.0, 38.0);
    assert_spread(waits(&[overloaded; 30], overloaded), 30.0, 90.0);
}

#[test]
fn what_needs_a_change_waits_for_half_a_minute_up_to_five_minutes() {
    let spans = [60.0, 60.0, 120.0, 240.0, 300.0, 300.0];
    for (failures, span) in spans.into_iter().enumerate() {
        assert_spread(waits(&vec![Retry::Permanent; failures], Retry::Permanent), 30.0, span);
    }
}

#[test]
fn c_th_01_after_an_answer_the_next_failure_is_a_first_one() {
    for seed in 0..SEEDS {
        let mut backoff = Backoff::new(seed);
        for _ in 0..10 {
            backoff.next(Retry::Failed);
        }
        backoff.reset();
        assert!(backoff.next(Retry::Failed) <= Duration::from_secs(1));
    }
}

/// The first outputs of SplitMix64 with seed 0, as published.
const SPLITMIX: [u64; 3] = [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4, 0x06c4_5d18_8009_454f];

#[test]
fn a_seed_means_the_same_waits_forever() {
    let mut backoff = Backoff::new(0);
    for (step, bits) in SPLITMIX.into_iter().enumerate() {
        let fraction = (bits >> 11) as f64 / (1u64 << 53) as f64;
        let span = Duration::from_secs(1 << step);
        assert_eq!(backoff.next(Retry::Failed), span.mul_f64(fraction));
    }
}
