use proptest::prelude::*;

use super::*;

const START: Duration = Duration::from_secs(1000);

fn at(seconds: u64) -> Duration {
    START + Duration::from_secs(seconds)
}

fn contest(older: Kind, newer: Kind) -> Contest {
    Contest::new(older, newer, 10, START)
}

const fn message(sequence_num: u64) -> Sign {
    Sign::Message { sequence_num }
}

#[test]
fn f_108_an_older_connection_that_answers_no_ping_is_replaced() {
    let mut contest = contest(Kind::Socket, Kind::Socket);
    contest.heard(Side::Newer, Sign::Pong, at(0));
    assert_eq!(contest.verdict(at(4)), None);
    assert_eq!(contest.verdict(at(5)), Some(Verdict::Replaced));
    // An answer that comes too late is none.
    contest.heard(Side::Older, Sign::Pong, at(6));
    assert_eq!(contest.verdict(at(6)), Some(Verdict::Replaced));
}

#[test]
fn f_108_a_late_message_on_the_older_connection_is_no_life() {
    let mut contest = contest(Kind::Socket, Kind::Socket);
    contest.heard(Side::Newer, Sign::Pong, at(0));
    contest.heard(Side::Older, message(9), at(1));
    assert_eq!(contest.verdict(at(5)), Some(Verdict::Replaced));
    contest.heard(Side::Older, message(10), at(5));
    assert_eq!(contest.verdict(at(5)), Some(Verdict::Duplicate), "its agent cannot have said this before");
}

#[test]
fn s_id_04_two_connections_that_both_answer_are_two_agents() {
    let mut contest = contest(Kind::Socket, Kind::Socket);
    contest.heard(Side::Older, Sign::Pong, at(1));
    assert_eq!(contest.verdict(at(5)), Some(Verdict::Kept), "the newer one did not answer");
    contest.heard(Side::Newer, message(11), at(4));
    assert_eq!(contest.verdict(at(4)), None, "one of them may still be closed by its agent");
    assert_eq!(contest.verdict(at(5)), Some(Verdict::Duplicate));
    assert_eq!(contest.closed(Side::Older), Verdict::Replaced);
    assert_eq!(contest.closed(Side::Newer), Verdict::Kept);
    let unheard = self::contest(Kind::Socket, Kind::Socket);
    assert_eq!(unheard.closed(Side::Newer), Verdict::Replaced, "a half-open one is not gone back to");
}

#[test]
fn s_id_04_a_polling_side_must_poll_again_after_the_time_for_an_answer() {
    let mut contest = contest(Kind::Socket, Kind::Polls);
    contest.heard(Side::Older, Sign::Pong, at(1));
    contest.heard(Side::Newer, message(11), at(2));
    assert_eq!(contest.verdict(at(30)), None);
    assert_eq!(contest.verdict(at(90)), Some(Verdict::Kept), "it never polled again");
    contest.heard(Side::Newer, message(12), at(30));
    assert_eq!(contest.verdict(at(30)), Some(Verdict::Duplicate));

    let mut contest = self::contest(Kind::Polls, Kind::Socket);
    contest.heard(Side::Newer, Sign::Pong, at(1));
    assert_eq!(contest.verdict(at(89)), None);
    assert_eq!(contest.verdict(at(90)), Some(Verdict::Replaced));
    contest.heard(Side::Older, message(40), at(31));
    assert_eq!(contest.verdict(at(31)), Some(Verdict::Duplicate));
}

fn seen(sequence_num: u64, peer: u64, started: Option<u64>) -> Seen {
    Seen { sequence_num, peer, started }
}

fn woven(weave: &mut Weave, numbers: &[u64]) -> Vec<Stream> {
    numbers.iter().map(|number| weave.observe(seen(*number, 1, None))).collect()
}

#[test]
fn s_id_04_interleaving_sequence_numbers_are_two_agents() {
    let mut weave = Weave::default();
    assert_eq!(woven(&mut weave, &[30, 3, 31, 4]), [Stream::Only; 4]);
    assert_eq!(woven(&mut weave, &[32, 5, 33, 34, 6]), {
        use Stream::{Newer, Older};
        [Older, Newer, Older, Older, Newer]
    });
    // Also when one of them polls less often.
    let mut weave = Weave::default();
    woven(&mut weave, &[30, 3, 31, 32, 33, 4, 34, 35]);
    assert_eq!(weave.observe(seen(5, 1, None)), Stream::Newer);
}

#[test]
fn s_id_04_clones_that_count_alike_are_told_apart_by_their_addresses_or_starts() {
    let mut weave = Weave::default();
    let mut last = Vec::new();
    for number in 1..10 {
        last = vec![weave.observe(seen(number, 1, None)), weave.observe(seen(number, 2, None))];
    }
    assert_eq!(last, [Stream::Older, Stream::Newer]);
    let mut weave = Weave::default();
    for number in 1..4 {
        last = vec![weave.observe(seen(number, 1, Some(50))), weave.observe(seen(number, 1, Some(60)))];
    }
    assert_eq!(last, [Stream::Older, Stream::Newer]);
}

#[test]
fn one_agent_that_restarts_repeats_loses_or_is_late_is_one_agent() {
    let all_one = |numbers: &[u64]| {
        assert!(woven(&mut Weave::default(), numbers).iter().all(|stream| *stream == Stream::Only));
    };
    all_one(&[10, 12, 11, 13, 14, 16, 15, 17, 19, 18, 20]);
    all_one(&[10, 13, 11, 14, 12, 15, 16]);
    all_one(&[1, 1, 2, 2, 3, 3, 4, 4, 5, 5]);
    all_one(&[7, 8, 0, 1, 2, 0, 1, 2, 0, 1, 2]);
}

/// What each message is taken for, when the last of these is the first for which there are two.
fn proven_by_the_last(numbers: &[u64], last: Stream) {
    let mut all = woven(&mut Weave::default(), numbers);
    assert_eq!(all.pop(), Some(last), "{numbers:?}");
    assert!(all.iter().all(|stream| *stream == Stream::Only), "{numbers:?}: {all:?}");
}

#[test]
fn what_is_a_little_below_the_newer_run_may_have_been_late_and_does_not_count() {
    // The way back to 2, 3 and 4 is not counted: 8 and less below the 10 that the other run began with.
    proven_by_the_last(&[0, 1, 10, 2, 11, 3, 12, 4, 13], Stream::Newer);
    // 9 below is too far.
    proven_by_the_last(&[0, 1, 11, 2, 12, 3, 13], Stream::Newer);
    // Its own beginning is not below it.
    proven_by_the_last(&[0, 1, 3, 2, 4, 3, 5, 4, 6, 5, 7, 6], Stream::Older);
}

#[test]
fn a_start_once_told_stays_known_of_a_run() {
    let mut weave = Weave::default();
    let told = [(0, Some(7)), (1, None), (11, Some(7)), (2, None), (12, Some(7)), (3, None), (13, Some(7))];
    let last = told.map(|(number, started)| weave.observe(seen(number, 1, started)));
    assert_eq!(last[6], Stream::Older, "11 is of the run that began with 0, for its start: {last:?}");
}

/// What may happen to a message of an agent that polls.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Arrives,
    Lost,
    Twice,
    /// Comes after the next one.
    Late,
    /// The agent starts anew before it.
    Restart,
    /// Another way out of its network.
    Moves,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        12 => Just(Fate::Arrives),
        2 => Just(Fate::Lost),
        1 => Just(Fate::Twice),
        1 => Just(Fate::Late),
        1 => Just(Fate::Restart),
        1 => Just(Fate::Moves),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn one_agent_over_a_bad_network_is_never_taken_for_two(
        first in 0u64..100,
        tells in any::<bool>(),
        fates in proptest::collection::vec(fate(), 1..200),
    ) {
        let mut weave = Weave::default();
        let (mut number, mut started, mut peer) = (first, 1000u64, 1u64);
        let mut late = None;
        for fate in fates {
            match fate {
                Fate::Restart => (number, started) = (0, started + 10),
                Fate::Moves => (number, peer) = (number + 1, 3 - peer),
                _ => number += 1,
            }
            let now = seen(number, peer, tells.then_some(started));
            let arrivals = match fate {
                Fate::Lost => vec![],
                Fate::Late => { late = Some(now); continue }
                Fate::Twice => vec![now, now],
                _ => vec![now],
            };
            for one in arrivals.into_iter().chain(late.take()) {
                prop_assert_eq!(weave.observe(one), Stream::Only);
            }
        }
    }

    #[test]
    fn s_id_04_two_agents_are_found_out_and_each_is_told_from_the_other(
        (first, other) in (0u64..2000, 0u64..2000),
        turns in proptest::collection::vec(any::<bool>(), 200..300),
    ) {
        prop_assume!(first.abs_diff(other) > 20);
        let mut weave = Weave::default();
        let mut numbers = [first, other];
        let mut verdicts = Vec::new();
        for turn in turns {
            let who = usize::from(turn);
            numbers[who] += 1;
            // Where both numbers are the same for a moment, nobody could tell.
            prop_assume!(numbers[0].abs_diff(numbers[1]) > 2);
            verdicts.push((who, weave.observe(seen(numbers[who], 1, None))));
        }
        let told: Vec<_> = verdicts.iter().filter(|(_, stream)| *stream != Stream::Only).collect();
        prop_assert!(told.len() > 150, "found out late: {}", told.len());
        let newer = told.iter().find(|(_, stream)| *stream == Stream::Newer).map(|(who, _)| *who);
        for (who, stream) in told {
            prop_assert_eq!(*stream == Stream::Newer, newer == Some(*who));
        }
    }

    #[test]
    fn a_contest_ends_whatever_is_heard_and_a_silent_socket_never_wins_over_a_live_one(
        kinds in any::<(bool, bool)>(),
        signs in proptest::collection::vec((any::<bool>(), any::<bool>(), 0u64..20, 0u64..120), 0..30),
    ) {
        let kind = |socket| if socket { Kind::Socket } else { Kind::Polls };
        let mut contest = contest(kind(kinds.0), kind(kinds.1));
        let mut signs = signs;
        signs.sort_by_key(|sign| sign.3);
        let (mut older, mut newer) = (false, false);
        for (is_older, pong, number, when) in signs {
            let (side, sign) = (if is_older { Side::Older } else { Side::Newer }, message(number));
            let sign = if pong { Sign::Pong } else { sign };
            contest.heard(side, sign, at(when));
            older |= is_older;
            newer |= !is_older;
        }
        let verdict = contest.verdict(at(200));
        prop_assert!(verdict.is_some());
        if !older {
            prop_assert_eq!(verdict, Some(Verdict::Replaced));
        }
        if verdict == Some(Verdict::Duplicate) {
            prop_assert!(older && newer);
        }
    }
}
