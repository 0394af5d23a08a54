//! What fails, is killed, waits, or is gone back from.

use super::*;
use crate::supervisor::upgrade::Beginning;

#[test]
fn i5_what_failed_for_good_is_never_tried_again() {
    let mut bench = Bench::new();
    bench.fails = Some((Stage::Trial, no(Then::Quarantine)));
    bench.offer(collector(1));
    assert_eq!(bench.state("otelcol"), Status::InstallFailed);
    let ran = bench.ran.len();
    for hash in 2..5 {
        bench.offer(Offer { all_packages_hash: vec![hash], ..collector(1) });
        bench.wait(Duration::from_secs(600));
    }
    let bench = bench.again(0);
    assert_eq!((ran, bench.ran.len()), (5, 0));
    assert_eq!(bench.status("otelcol").error_message, "it will not do");
}

#[test]
fn f_54_what_the_host_stood_in_the_way_of_is_tried_again_ever_more_slowly() {
    let mut bench = Bench::new();
    bench.fails = Some((Stage::Extracting, no(Then::TryAgain)));
    bench.offer(collector(1));
    assert_eq!(
        (bench.state("otelcol"), bench.packages.record().quarantine.len()),
        (Status::InstallFailed, 0)
    );
    bench.wait(AGAIN - Duration::from_secs(1));
    assert_eq!(bench.ran.len(), 3);
    bench.fails = Some((Stage::Downloading, no(Then::TryAgain)));
    bench.wait(Duration::from_secs(1));
    assert_eq!(bench.ran.len(), 4);
    bench.wait(AGAIN);
    assert_eq!(bench.ran.len(), 4, "the wait is longer now");
    bench.wait(AGAIN);
    assert_eq!(bench.state("otelcol"), Status::Installed);
    assert_eq!(bench.packages.poll_timeout(), None);
}

#[test]
fn what_was_refused_is_tried_again_when_it_is_offered_again_and_not_by_itself() {
    let mut bench = Bench::new();
    bench.fails = Some((Stage::Verifying, no(Then::WaitForOffer)));
    bench.offer(collector(1));
    bench.wait(Duration::from_secs(7200));
    assert_eq!((bench.ran.len(), bench.state("otelcol")), (2, Status::InstallFailed));
    bench.offer(collector(1));
    assert_eq!(bench.state("otelcol"), Status::Installed);
}

#[test]
fn f_52_a_newer_offer_takes_the_place_of_one_that_is_not_on_trial_yet() {
    for stage in [Stage::Downloading, Stage::Verifying, Stage::Extracting, Stage::Preflight] {
        let mut bench = Bench::new();
        bench.until = Some(stage);
        bench.offer(collector(1));
        let late = bench.packages.token;
        bench.until = None;
        bench.offer(collector(2));
        assert_eq!(
            (bench.dropped, bench.status("otelcol").agent_has_version.as_str()),
            (1, "1.2.0"),
            "{stage:?}"
        );
        bench.packages.handle(Input::Done { token: late, result: Ok(Finished::Fit) }, bench.now);
        assert_eq!(bench.packages.poll_effect(), None, "what is late changes nothing");
    }
    let mut bench = Bench::new();
    bench.until = Some(Stage::Trial);
    bench.offer(collector(1));
    bench.offer(collector(2));
    bench.offer(collector(3));
    assert_eq!((bench.dropped, bench.ran.len()), (0, 5), "it is finished first");
    bench.until = None;
    bench.finish(Ok(Finished::Proven { at: 1 }));
    assert_eq!(bench.packages.record().held["otelcol"].version, "1.3.0", "then the newest");
}

#[test]
fn an_offer_with_the_same_package_in_it_does_not_disturb_its_download() {
    let mut bench = Bench::new();
    bench.until = Some(Stage::Downloading);
    bench.offer(collector(1));
    let mut more = collector(1);
    more.all_packages_hash = vec![7];
    more.packages.insert("geo".to_owned(), package(Kind::AddOn, 9, "1.0.0"));
    bench.offer(more);
    assert_eq!((bench.dropped, bench.ran.len()), (0, 1));
    bench.until = None;
    bench.finish(Ok(Finished::Downloaded));
    assert_eq!(bench.packages.record().held.len(), 2);
}

#[test]
fn f_53_a_withdrawn_package_is_dropped() {
    let mut bench = Bench::new();
    bench.until = Some(Stage::Downloading);
    bench.offer(collector(1));
    bench.offer(offer(2, &[]));
    assert_eq!((bench.dropped, &bench.packages.record().work), (1, &None));
    assert!(bench.packages.statuses().packages.is_empty());
}

#[test]
fn f_27_a_signed_version_below_the_floor_is_refused_after_it_was_read_too() {
    let mut bench = Bench::new();
    bench.offer(collector(2));
    let unsaid = Offered { version: String::new(), ..package(Kind::Collector, 1, "") };
    bench.version = "1.1.0".to_owned();
    bench.offer(offer(1, &[("otelcol", unsaid)]));
    let told = bench.status("otelcol");
    assert!(told.error_message.contains("1.1.0 is older than 1.2.0"), "{told:?}");
    assert_eq!(bench.ran.last().unwrap().1, Stage::Verifying);
}

#[test]
fn f_1_f_3_f_4_f_6_killed_in_any_stage_it_goes_on() {
    for stage in [Stage::Downloading, Stage::Verifying, Stage::Extracting, Stage::Preflight] {
        let mut bench = Bench::new();
        bench.until = Some(stage);
        bench.offer(collector(1));
        bench.until = None;
        let bench = bench.again(5);
        assert_eq!(
            (bench.stages()[0], bench.state("otelcol")),
            (Stage::Downloading, Status::Installed),
            "{stage:?}"
        );
    }
}

#[test]
fn f_2_killed_again_and_again_while_it_gets_further_is_no_reason_to_give_up() {
    let mut bench = Bench::new();
    bench.until = Some(Stage::Downloading);
    bench.offer(collector(1));
    for had in [10, 20, 30, 40, 50] {
        bench = bench.again(had);
    }
    bench.until = None;
    bench.finish(Ok(Finished::Downloaded));
    assert_eq!(bench.state("otelcol"), Status::Installed);
}

#[test]
fn f_106_the_third_life_gives_up_what_two_ended_over() {
    for stage in [Stage::Downloading, Stage::Verifying, Stage::Extracting, Stage::Preflight] {
        let mut bench = Bench::new();
        bench.until = Some(stage);
        bench.offer(collector(1));
        bench = bench.again(0);
        assert!(bench.packages.is_at_work());
        bench = bench.again(0);
        assert!(!bench.packages.is_at_work());
        let told = bench.status("otelcol");
        assert!(told.error_message.contains("ended 2 times"), "{stage:?}: {told:?}");
        bench.offer(Offer { all_packages_hash: vec![5], ..collector(1) });
        assert_eq!(bench.state("otelcol"), Status::InstallFailed, "I5");
    }
    let mut bench = Bench::new();
    bench.until = Some(Stage::Preflight);
    bench.offer(collector(1));
    for _ in 0..5 {
        bench.packages.calm();
        bench = bench.again(0);
    }
    assert!(bench.packages.is_at_work(), "an end that was asked for does not count");
}

#[test]
fn f_10_f_11_a_trial_is_gone_on_with_twice_and_then_given_up() {
    let mut bench = Bench::new();
    bench.offer(collector(1));
    bench.until = Some(Stage::Trial);
    bench.offer(collector(2));
    for left in [1, 0] {
        bench = bench.again(0);
        assert_eq!(bench.stages(), [Stage::Trial]);
        assert_eq!(bench.packages.record().trial.as_ref().map(|trial| trial.tries_left), Some(left));
    }
    bench = bench.again(0);
    assert_eq!((&bench.packages.record().trial, bench.ran.len()), (&None, 0));
    let told = bench.status("otelcol");
    assert_eq!((bench.state("otelcol"), told.agent_has_version.as_str()), (Status::InstallFailed, "1.1.0"));
    assert!(told.error_message.contains("ended each time"), "{told:?}");
}

#[test]
fn f_20_a_version_that_is_gone_is_fetched_again_and_the_one_before_runs_meanwhile() {
    let mut bench = Bench::new();
    bench.offer(collector(1));
    bench.offer(collector(2));
    let mut record = bench.packages.record().clone();
    let runs = record.lose_collector("its files are gone");
    let before = record.held["otelcol"].clone();
    assert_eq!(before.version, "1.1.0");
    assert_eq!(runs, Beginning::Installed(before));
    let mut bench = Bench::with(record);
    bench.packages.take_up(0, bench.now);
    bench.perform();
    assert_eq!(bench.state("otelcol"), Status::InstallFailed);
    bench.offer(collector(2));
    bench.wait(AGAIN);
    assert_eq!(bench.packages.record().held["otelcol"].version, "1.2.0");
}

#[test]
fn offers_are_held_while_management_is_paused() {
    let mut bench = Bench::new();
    bench.packages.handle(Input::Pause, bench.now);
    bench.offer(collector(1));
    assert!(bench.ran.is_empty());
    bench.packages.handle(Input::Resume, bench.now);
    bench.perform();
    assert_eq!(bench.state("otelcol"), Status::Installed);
}

#[test]
fn other_rules_have_what_they_refused_tried_again() {
    let mut bench = Bench::new();
    bench.packages.handle(Input::Rules(Rules { allow: Some(vec![]), ..RULES }), bench.now);
    bench.offer(collector(1));
    assert!(bench.status("otelcol").error_message.contains("packages.allow"));
    bench.packages.handle(Input::Rules(RULES), bench.now);
    bench.perform();
    assert_eq!(bench.state("otelcol"), Status::Installed);
}

#[test]
fn who_goes_back_on_the_host_has_the_version_before_and_the_other_never_again() {
    let mut bench = Bench::new();
    bench.offer(collector(1));
    bench.offer(collector(2));
    bench.packages.handle(Input::WentBack { why: "a person went back".to_owned() }, bench.now);
    bench.perform();
    let told = bench.status("otelcol");
    assert_eq!((bench.state("otelcol"), told.agent_has_version.as_str()), (Status::InstallFailed, "1.1.0"));
    assert_eq!(told.error_message, "a person went back");
    assert_eq!(bench.packages.record().floor["otelcol"], "1.2.0", "going back does not move the floor");
    bench.offer(Offer { all_packages_hash: vec![8], ..collector(2) });
    assert_eq!(bench.status("otelcol").agent_has_version, "1.1.0");
}

#[test]
fn f_26_a_clock_that_is_set_back_is_not_believed() {
    let mut bench = Bench::new();
    bench.packages.saw(1_900_000_000);
    bench.packages.saw(1_000_000_000);
    assert_eq!(bench.again(0).packages.record().seen, 1_900_000_000, "nor in another life");
}

#[test]
fn the_version_before_is_kept_for_its_time() {
    let mut bench = Bench::new();
    let week = Duration::from_secs(7 * 24 * 3600);
    bench.offer(collector(1));
    bench.packages.keep_before(week, u64::MAX);
    assert!(bench.packages.record().before.is_some(), "what is no package takes no room");
    bench.offer(collector(2));
    bench.packages.keep_before(week, 77 + 7 * 24 * 3600 - 1);
    assert!(bench.packages.record().before.is_some());
    bench.packages.keep_before(week, 77 + 7 * 24 * 3600);
    assert_eq!(bench.packages.record().before, None);
}
