//! Offers among agents that answer as they are told to, and under a seeded world that does what it likes.

mod simulation;
mod world;
mod written;

use serde_json::json;

use super::*;
use crate::{
    server::fleet::{DEFAULT_NAMESPACE, Transport},
    wire::{
        attrs,
        proto::{
            AgentCapabilities, AgentDescription, AgentToServer, PackageAvailable, PackageStatusEnum,
            PackageStatuses,
        },
    },
};
use world::{ABLE, HASH, NOW, OTHER, World, key, uid};

fn file(offer: &PackageAvailable) -> (&str, &[u8]) {
    let file = offer.file.as_ref().unwrap();
    (&file.download_url, &file.content_hash)
}

#[test]
fn s_pk_01_04_each_agent_is_offered_the_variant_for_its_host_and_others_are_told_why_not() {
    let mut world = World::of(1);
    world.connect(1, ABLE, &[("os.type", "linux"), ("host.arch", "aarch64")]);
    world.connect(2, ABLE, &[("os.type", "windows"), ("host.arch", "amd64")]);
    world.connect(3, ABLE, &[("os.type", "linux")]);
    world.connect(4, 1, &[("os.type", "linux"), ("host.arch", "amd64")]);
    world.otelcol("otelcol-150", "0.150.0");
    world.offer("all", json!({"packages": ["otelcol-150"], "maxInFlight": 0}));
    let urls: Vec<_> = (0..5)
        .map(|number| world.told(number).map(|offer| file(&offer.packages["otelcol"]).0.to_owned()))
        .collect();
    let url = |file| Some(format!("http://127.0.0.1:4320/packages/{file}"));
    assert_eq!(urls, [url(HASH), url(OTHER), None, None, None]);
    let why: Vec<_> = (2..5).map(|number| world.agent(number).packages.refusals[0].why.to_string()).collect();
    assert_eq!(
        why[0],
        "agent package \"otelcol-150\": it has no variant for windows/amd64, only for linux/amd64, linux/arm64"
    );
    assert_eq!(why[1], "agent package \"otelcol-150\": the agent does not say its host.arch");
    assert!(why[2].contains("AcceptsPackages"), "{}", why[2]);
    let (phase, progress) = world.progress("all");
    assert_eq!((phase, progress.targets, progress.excluded), (Phase::Progressing, 2, 3));
    assert_eq!(world.agent(2).packages_state(), PackagesState::Unresolved);
}

#[test]
fn s_pk_02_what_is_withdrawn_is_taken_back_from_those_that_had_it_and_nobody_else_hears_of_it() {
    let mut world = World::of(2);
    world.otelcol("otelcol-150", "0.150.0");
    world.offer("one", json!({"packages": ["otelcol-150"], "agents": [uid(0)]}));
    let offered = world.told(0).unwrap();
    assert_eq!((offered.packages.len(), offered.all_packages_hash.len()), (1, 32));
    world.says(0, PackageStatusEnum::Installed);
    assert_eq!(world.counts("one"), (Phase::Complete, [1, 0, 0, 1, 0]));
    assert_eq!(world.told(0), None);
    world.withdraw("one");
    let nothing = world.told(0).unwrap();
    assert_eq!((nothing.packages.len(), nothing.all_packages_hash.len()), (0, 32));
    assert_ne!(nothing.all_packages_hash, offered.all_packages_hash);
    assert_eq!((world.told(0), world.told(1)), (None, None));
    // The same when the package is taken away under its offer.
    world.says(0, PackageStatusEnum::Installed);
    world.offer("one", json!({"packages": ["otelcol-150"], "agents": [uid(0)]}));
    assert_eq!(world.told(0).unwrap().packages.len(), 1);
    world.fleet.catalogue.packages.clear();
    world.roll();
    assert_eq!(world.told(0).unwrap().packages.len(), 0);
    assert!(world.agent(0).packages.refusals[0].why.to_string().contains("does not exist"));
}

#[test]
fn a_new_version_waits_its_turn_and_until_then_the_old_one_stays_offered() {
    let mut world = World::of(30);
    world.otelcol("otelcol", "0.150.0");
    world.offer("all", json!({"packages": ["otelcol"], "maxInFlight": 0}));
    for number in 0..30 {
        world.told(number).unwrap();
        world.says(number, PackageStatusEnum::Installed);
    }
    world.otelcol("otelcol", "0.151.0");
    world.offer("all", json!({"packages": ["otelcol"]}));
    assert_eq!(world.counts("all"), (Phase::Progressing, [30, 27, 3, 0, 0]), "a tenth of them");
    let flying = world.in_flight();
    for number in 0..30 {
        let version = world.told(number).map(|offer| offer.packages["otelcol"].version.clone());
        assert_eq!(version.as_deref(), flying.contains(&number).then_some("0.151.0"), "{number}");
        // What an agent that lost its memory is offered is what it had.
        let given = &world.agent(number).packages.given["otelcol"].artefact.version;
        assert_eq!(given == "0.151.0", flying.contains(&number));
    }
}

#[test]
fn an_agent_keeps_its_offer_when_it_describes_itself_anew_and_another_offer_that_matches_takes_it_over() {
    let mut world = World::of(1);
    world.otelcol("old", "0.150.0");
    world.otelcol("new", "0.151.0");
    world.offer(
        "linux",
        json!({"packages": ["old"], "selector": {"nonIdentifyingAttributes": {"os.type": "linux"}}}),
    );
    assert!(world.told(0).is_some());
    let moved = [("os.type", "freebsd"), ("host.arch", "amd64")];
    let attributes = moved.iter().map(|(key, value)| attrs::string(*key, *value)).collect();
    let description = AgentDescription { non_identifying_attributes: attributes, ..Default::default() };
    world.hear(
        0,
        AgentToServer { agent_description: Some(description), sequence_num: 1, ..Default::default() },
    );
    world.roll();
    assert!(world.agent(0).packages.given.contains_key("otelcol"), "it has no other");
    world.package(
        "bsd",
        json!({"packageName": "otelcol", "packageType": "TopLevel", "version": "0.152.0",
        "variants": [{"os": "freebsd", "arch": "amd64", "file": HASH}]}),
    );
    world.offer(
        "bsd",
        json!({"packages": ["bsd"], "selector": {"nonIdentifyingAttributes": {"os.type": "freebsd"}}}),
    );
    let offered = world.told(0).unwrap();
    assert_eq!(offered.packages["otelcol"].version, "0.152.0");
    assert_eq!(world.agent(0).packages.refusals, [], "the offer that it left is not for it any more");
}

#[test]
fn offers_that_contradict_each_other_leave_the_agent_with_what_it_was_offered_until_one_counts_more() {
    let mut world = World::of(1);
    world.otelcol("old", "0.150.0");
    world.otelcol("new", "0.151.0");
    world.offer("a", json!({"packages": ["old"]}));
    assert_eq!(world.told(0).unwrap().packages["otelcol"].version, "0.150.0");
    world.offer("b", json!({"packages": ["new"]}));
    assert_eq!(world.told(0), None);
    let why: Vec<_> =
        world.agent(0).packages.refusals.iter().map(|refusal| refusal.why.to_string()).collect();
    assert!(why.len() == 2 && why[0].contains("a and b") && why[0].contains("priority"), "{why:?}");
    assert_eq!(world.progress("b").1.excluded, 1);
    world.offer("b", json!({"packages": ["new"], "priority": 1}));
    assert_eq!(world.told(0).unwrap().packages["otelcol"].version, "0.151.0");
    assert_eq!((world.progress("a").1.targets, world.progress("b").1.targets), (0, 1));
    // The same package by two offers is no contradiction, and other packages are joined.
    world.package("geo", json!({"packageType": "AddOn", "version": "1", "variants": [{"os": "linux", "arch": "amd64", "file": OTHER}]}));
    world.offer("a", json!({"packages": ["new", "geo"]}));
    let both = world.told(0).unwrap();
    assert_eq!(both.packages.keys().collect::<Vec<_>>(), ["geo", "otelcol"]);
}

#[test]
fn who_is_not_connected_or_is_held_back_takes_no_turn() {
    let mut world = World::of(3);
    world.otelcol("otelcol", "0.150.0");
    world.agent_mut(0).set_connected(None, NOW);
    world.agent_mut(1).held = true;
    world.offer("all", json!({"packages": ["otelcol"], "maxInFlight": 1}));
    assert_eq!((world.in_flight(), world.told(1)), (vec![2], None));
    world.says(2, PackageStatusEnum::Installed);
    assert!(world.in_flight().is_empty());
    world.agent_mut(0).set_connected(Some(Transport::WebSocket), NOW);
    world.roll();
    assert_eq!(world.in_flight(), [0]);
}

#[test]
fn what_fails_stops_the_offer_and_a_retry_has_it_go_on() {
    let mut world = World::of(20);
    world.otelcol("otelcol", "0.150.0");
    world.offer("all", json!({"packages": ["otelcol"], "maxInFlight": 2}));
    let flying = world.in_flight();
    assert_eq!(flying.len(), 2);
    flying.iter().for_each(|number| drop(world.told(*number)));
    world.says(flying[0], PackageStatusEnum::Downloading);
    assert_eq!(world.in_flight(), flying);
    world.says(flying[0], PackageStatusEnum::InstallFailed);
    assert_eq!(world.counts("all").0, Phase::Progressing, "one of twenty may fail");
    world.says(flying[1], PackageStatusEnum::InstallFailed);
    let stopped = world.counts("all");
    assert_eq!((stopped.0, stopped.1[4]), (Phase::Stopped, 2));
    let reason = world.fleet.catalogue.offers[&key("all")].conditions.last().unwrap().message.clone();
    assert!(reason.contains("2 of 2 agents failed") && reason.contains("no space left"), "{reason}");
    let third: Vec<_> = world.in_flight();
    assert_eq!(third.len(), 1, "what is under way goes on");
    world.told(third[0]);
    world.says(third[0], PackageStatusEnum::Installed);
    assert_eq!((world.counts("all").0, world.in_flight()), (Phase::Stopped, vec![]), "and nobody follows");

    let offer = world.fleet.catalogue.offers.get_mut(&key("all")).unwrap();
    offer.conditions.clear();
    assert_eq!(world.fleet.retry(&key("all"), NOW).len(), 2);
    assert_eq!(world.counts("all"), (Phase::Progressing, [20, 19, 0, 1, 0]));
    world.roll();
    assert_eq!(world.in_flight(), flying, "those that failed are first again");
    assert_eq!(world.told(flying[0]).unwrap().packages.len(), 1, "although it knows the offer");
    assert_eq!(world.told(flying[0]), None);
    world.says(flying[0], PackageStatusEnum::InstallFailed);
    let counts = world.counts("all").1;
    assert_eq!((counts[2], counts[4]), (2, 1), "the same failure said again is an answer");
}

#[test]
fn an_agent_that_is_to_try_again_and_says_nothing_new_has_failed_again() {
    let mut world = World::of(1);
    world.otelcol("otelcol", "0.150.0");
    world.offer("all", json!({"packages": ["otelcol"]}));
    world.told(0).unwrap();
    world.says(0, PackageStatusEnum::InstallFailed);
    world.fleet.catalogue.offers.get_mut(&key("all")).unwrap().conditions.clear();
    world.fleet.retry(&key("all"), NOW);
    world.roll();
    let late = NOW + jiff::SignedDuration::from_secs(30);
    assert!(!world.agent_mut(0).stands_by(late), "it was not told yet");
    world.told(0).unwrap();
    assert!(!world.agent_mut(0).stands_by(late - jiff::SignedDuration::from_secs(1)));
    assert_eq!(world.in_flight(), [0]);
    assert!(world.agent_mut(0).stands_by(late));
    assert_eq!(world.counts("all"), (Phase::Stopped, [1, 0, 0, 0, 1]));
}

#[test]
fn a_paused_offer_goes_to_nobody_more() {
    let mut world = World::of(20);
    world.otelcol("otelcol", "0.150.0");
    world.offer("all", json!({"packages": ["otelcol"], "maxInFlight": 1}));
    let first = world.in_flight();
    world.offer("all", json!({"packages": ["otelcol"], "maxInFlight": 1, "paused": true}));
    world.says(first[0], PackageStatusEnum::Installed);
    assert_eq!(world.counts("all"), (Phase::Paused, [20, 19, 0, 1, 0]));
    world.offer("all", json!({"packages": ["otelcol"], "maxInFlight": 1}));
    assert_eq!(world.in_flight().len(), 1);
}

#[test]
fn an_agent_that_says_nothing_of_packages_holds_up_nobody() {
    let mut world = World::of(0);
    let silent = AgentCapabilities::AcceptsPackages as u64;
    for number in 0..3 {
        world.connect(number, silent, &[("os.type", "linux"), ("host.arch", "amd64")]);
    }
    world.otelcol("otelcol", "0.150.0");
    world.offer("all", json!({"packages": ["otelcol"], "maxInFlight": 1}));
    (0..3).for_each(|_| drop(world.roll()));
    let (phase, progress) = world.progress("all");
    assert_eq!((phase, progress.unreported), (Phase::Complete, 3));
}

#[test]
fn an_offer_that_is_refused_as_a_whole_has_failed() {
    let mut world = World::of(1);
    world.otelcol("otelcol", "0.150.0");
    world.offer("all", json!({"packages": ["otelcol"]}));
    let hash = world.told(0).unwrap().all_packages_hash;
    let statuses = PackageStatuses {
        server_provided_all_packages_hash: hash,
        error_message: "packages are off on this host".to_owned(),
        ..Default::default()
    };
    world.hear(0, AgentToServer { sequence_num: 1, package_statuses: Some(statuses), ..Default::default() });
    world.roll();
    assert_eq!(world.counts("all"), (Phase::Stopped, [1, 0, 0, 0, 1]));
}

#[test]
fn what_an_agent_says_that_it_was_offered_is_its_offer_whatever_was_stored() {
    let mut world = World::of(3);
    world.otelcol("otelcol", "0.150.0");
    world.offer("all", json!({"packages": ["otelcol"], "maxInFlight": 0}));
    world.says(0, PackageStatusEnum::Installed);
    world.says(1, PackageStatusEnum::Downloading);
    for number in 0..3 {
        world.agent_mut(number).packages = Packages::default();
    }
    world.offer("all", json!({"packages": ["otelcol"], "maxInFlight": 1}));
    assert_eq!(world.counts("all"), (Phase::Progressing, [3, 1, 1, 1, 0]));
}

#[test]
fn what_was_given_is_stored_and_comes_back() {
    let mut world = World::of(1);
    world.otelcol("otelcol", "0.150.0");
    world.offer("all", json!({"packages": ["otelcol"]}));
    let before = world.agent(0).packages.clone();
    let text = serde_json::to_string(&before.given).unwrap();
    let after = Packages::stored(serde_json::from_str(&text).unwrap());
    assert_eq!((&after.given, after.all_packages_hash()), (&before.given, before.all_packages_hash()));
}
