//! Packages: to whom they are offered, and until when.

use super::*;
use crate::{protocol::packages, wire::proto::PackageStatuses};

fn caps() -> ServerCaps {
    server_capabilities()
        .with(ServerCapabilities::OffersPackages)
        .with(ServerCapabilities::AcceptsPackagesStatus)
}

fn agent() -> AgentCaps {
    agent_capabilities()
        .with(AgentCapabilities::AcceptsPackages)
        .with(AgentCapabilities::ReportsPackageStatuses)
}

fn able(message: AgentToServer) -> AgentToServer {
    AgentToServer { capabilities: agent().bits(), ..message }
}

fn echo(number: u64, hash: &[u8], error: &str) -> AgentToServer {
    let statuses = PackageStatuses {
        server_provided_all_packages_hash: hash.to_vec(),
        error_message: error.to_owned(),
        ..Default::default()
    };
    able(AgentToServer { package_statuses: Some(statuses), ..bare(number) })
}

/// Says whether the answer has packages, which then have their hash.
fn offered(pair: &mut Pair, message: AgentToServer, hash: &[u8], insistence: Insistence) -> bool {
    pair.session.receive(&mut pair.view, message);
    let available = || PackagesAvailable { all_packages_hash: hash.to_vec(), ..Default::default() };
    let packages = Some(Packages { all_packages_hash: hash, available: &available, insistence });
    let reply = pair.session.reply(&mut pair.view, &Desired { packages, ..Default::default() });
    let pushed = pair.session.push(&pair.view, &Desired { packages, ..Default::default() });
    assert_eq!(pushed.and_then(|message| message.packages_available), None, "it was just said");
    let offered = reply.packages_available;
    assert!(offered.as_ref().is_none_or(|offer| offer.all_packages_hash == hash), "S-PK-02");
    offered.is_some()
}

fn pair() -> Pair {
    Pair { session: Session::new(caps()), ..Pair::new() }
}

#[test]
fn s_pk_01_packages_are_offered_to_agents_that_accept_them_by_servers_that_say_so() {
    let once = Insistence::Once;
    assert!(offered(&mut pair(), able(first(1)), b"new", once));
    assert!(!offered(&mut pair(), first(1), b"new", once), "it does not accept them");
    let mut other = Pair::new();
    assert!(!offered(&mut other, able(first(1)), b"new", once), "the server does not offer them");
    let none = packages::hash_of_all([]);
    assert!(offered(&mut pair(), able(first(1)), &none, once), "that there are none is an offer, too");
}

#[test]
fn s_pk_02_06_packages_are_offered_until_the_agent_echoes_their_hash_and_again_when_it_differs() {
    let once = Insistence::Once;
    let mut pair = pair();
    assert!(offered(&mut pair, able(first(1)), b"new", once));
    assert!(!offered(&mut pair, able(bare(2)), b"new", once), "on its way");
    assert!(offered(&mut pair, echo(3, b"old", ""), b"new", once), "it names another");
    assert!(!offered(&mut pair, echo(4, b"old", "still"), b"new", once), "it says more under the same hash");
    assert!(!offered(&mut pair, echo(5, b"new", ""), b"new", once), "it has them");
    assert!(!offered(&mut pair, echo(6, b"new", "progress"), b"new", once));
    assert!(offered(&mut pair, echo(7, b"old", ""), b"new", once), "it went back");
    assert!(!offered(&mut pair, echo(8, b"new", ""), b"new", once));
    assert!(offered(&mut pair, able(bare(9)), b"newer", once), "others are wanted");
    pair.session = Session::new(caps());
    assert!(offered(&mut pair, able(bare(10)), b"newer", once), "and still are after a reconnect");
    assert!(!offered(&mut pair, echo(11, b"newer", ""), b"newer", once));
    pair.session = Session::new(caps());
    assert!(!offered(&mut pair, able(bare(12)), b"newer", once), "what it names is not said again");
}

#[test]
fn s_pk_06_over_http_an_offer_survives_a_lost_answer() {
    let mut pair = Pair { session: Session::over_http(caps()), ..Pair::new() };
    for number in 1..=u64::from(ATTEMPTS_HTTP) {
        pair.session.receive(&mut pair.view, able(bare(number)));
        let available = || PackagesAvailable { all_packages_hash: b"new".to_vec(), ..Default::default() };
        let insistence = Insistence::Once;
        let packages = Some(Packages { all_packages_hash: b"new", available: &available, insistence });
        let reply = pair.session.reply(&mut pair.view, &Desired { packages, ..Default::default() });
        assert!(reply.packages_available.is_some(), "{number}");
    }
    assert!(!offered(&mut pair, able(bare(17)), b"new", Insistence::Once), "not forever");
}

#[test]
fn what_failed_is_offered_again_once_although_the_agent_names_it() {
    let mut pair = pair();
    assert!(offered(&mut pair, able(first(1)), b"new", Insistence::Once));
    assert!(!offered(&mut pair, echo(2, b"new", ""), b"new", Insistence::Once));
    assert!(offered(&mut pair, able(bare(3)), b"new", Insistence::Again));
    assert!(!offered(&mut pair, able(bare(4)), b"new", Insistence::Again), "on its way");
    assert!(!offered(&mut pair, able(bare(5)), b"new", Insistence::Once), "it was told");
    assert!(offered(&mut pair, able(bare(6)), b"new", Insistence::Again), "another time");
}

#[test]
fn s_pk_06_what_is_taken_back_before_the_agent_echoed_it_is_taken_back() {
    let once = Insistence::Once;
    let mut pair = pair();
    pair.hears(able(first(1)));
    pair.hears(echo(2, b"old", ""));
    assert!(offered(&mut pair, able(bare(3)), b"new", once));
    assert!(offered(&mut pair, able(bare(4)), b"old", once), "its echo is older than what it was told");
    assert!(!offered(&mut pair, able(bare(5)), b"old", once));
    assert!(offered(&mut pair, echo(6, b"new", ""), b"old", once), "the echo of what crossed it");
    assert!(!offered(&mut pair, echo(7, b"old", ""), b"old", once));
}
