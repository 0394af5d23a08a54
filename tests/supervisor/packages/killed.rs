//! The supervisor is killed, or asked to end, in the middle of it all.

use std::{fs, time::Duration};

use nix::libc::SIGKILL;
use tokio::time::timeout;

use super::{
    FAILED, INSTALLED, ended, host, host_with, install, runs, say,
    store::{Says, Store, Way, collector, offer},
};
use crate::harness::{DEADLINE, Host, Server, Supervisor, gone, kill};

/// Waits until the journal says this.
async fn kept(host: &Host, what: &str, so: impl Fn(&serde_json::Value) -> bool) {
    let waiting = async {
        let mut tick = tokio::time::interval(Duration::from_millis(5));
        loop {
            tick.tick().await;
            let text = fs::read(host.state().join("state.json")).unwrap_or_default();
            if serde_json::from_slice(&text).is_ok_and(|state: serde_json::Value| so(&state["packages"])) {
                return;
            }
        }
    };
    let state = || fs::read_to_string(host.state().join("state.json")).unwrap_or_default();
    assert!(timeout(DEADLINE, waiting).await.is_ok(), "not on disk: {what}: {}", state());
}

/// Kill -9, and a new start once the Collector is gone with it.
async fn killed(host: &Host, supervisor: Supervisor) -> Supervisor {
    let collector = host.collector_pid();
    kill(supervisor.pid(), SIGKILL);
    supervisor.ended().await;
    gone(collector).await;
    host.start()
}

fn size_of(package: &opamp::wire::proto::PackageAvailable, store: &Store) -> u64 {
    let url = &package.file.as_ref().unwrap().download_url;
    store.size(url.rsplit('/').next().unwrap())
}

#[tokio::test]
async fn f_1_f_2_f_3_killed_in_a_download_it_goes_on_where_it_was() {
    let (server, store) = (Server::start().await, Store::new().await);
    let host = host(&server, &store);
    let mut supervisor = host.start();
    runs(&server, "0.149.0").await;
    let package = store.collector("0.150.0", "");
    let size = size_of(&package, &store);
    let part = |percent: u64| usize::try_from(size * percent / 100).unwrap();
    store.ways(&[Way::StallAfter(part(1)), Way::StallAfter(part(49)), Way::StallAfter(part(49))]);
    let offered = offer(&[("otelcol", &package)]);
    say(&server, &offered).await;
    for (number, percent) in [(1, 1), (2, 50), (3, 99)] {
        let there = || {
            let staged = fs::read_dir(host.state().join("staging")).into_iter().flatten().flatten();
            let sizes = staged.filter(|entry| entry.path().extension().is_some_and(|end| end == "part"));
            sizes.filter_map(|entry| Some(entry.metadata().ok()?.len())).max().unwrap_or(0)
        };
        let waiting = async {
            let mut tick = tokio::time::interval(Duration::from_millis(5));
            while there() < size * percent / 100 - 1 {
                tick.tick().await;
            }
        };
        assert!(
            timeout(DEADLINE, waiting).await.is_ok(),
            "{percent} % are not there, but {} of {size}",
            there()
        );
        supervisor = killed(&host, supervisor).await;
        assert_eq!(store.asked.lock().unwrap().len(), number);
        server.until("it is back", |known| known.healthy() && known.connections as usize == number + 1).await;
    }
    let known = server.until("it is installed", |known| ended(known, &offered)).await;
    assert_eq!(
        (known.package("otelcol").status, known.package("otelcol").error_message.as_str()),
        (INSTALLED, "")
    );
    assert_eq!(*store.sent.lock().unwrap(), size, "not a byte twice");
    let heads = store.asked.lock().unwrap().clone();
    assert!(heads[1..].iter().all(|head| head.to_lowercase().contains("range: bytes=")), "{heads:?}");
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn f_2_a_part_that_is_torn_is_fetched_again_as_a_whole() {
    let (server, store) = (Server::start().await, Store::new().await);
    let host = host(&server, &store);
    let supervisor = host.start();
    runs(&server, "0.149.0").await;
    let package = store.collector("0.150.0", "");
    store.ways(&[Way::StallAfter(500_000)]);
    let offered = offer(&[("otelcol", &package)]);
    say(&server, &offered).await;
    let staged = || {
        let entries = fs::read_dir(host.state().join("staging")).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).find(|path| path.extension().is_some_and(|end| end == "part"))
    };
    let waiting = async {
        let mut tick = tokio::time::interval(Duration::from_millis(5));
        while !staged().is_some_and(|path| path.metadata().is_ok_and(|facts| facts.len() >= 500_000)) {
            tick.tick().await;
        }
    };
    timeout(DEADLINE, waiting).await.expect("a part is there");
    let collector = host.collector_pid();
    kill(supervisor.pid(), SIGKILL);
    supervisor.ended().await;
    gone(collector).await;
    let path = staged().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[1000] ^= 0xff;
    fs::write(&path, bytes).unwrap();
    let supervisor = host.start();
    let known = server.until("it is installed", |known| ended(known, &offered)).await;
    assert_eq!(
        (known.package("otelcol").status, known.package("otelcol").error_message.as_str()),
        (INSTALLED, "")
    );
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn f_10_killed_once_in_a_trial_it_goes_on_and_f_11_killed_three_times_it_is_over() {
    let (server, store) = (Server::start().await, Store::new().await);
    let host = host_with(&server, &store, "trial: {first_health: 20s, healthy_for: 600s}");
    let mut supervisor = host.start();
    runs(&server, "0.149.0").await;
    let offered = offer(&[("otelcol", &store.collector("0.150.0", ""))]);
    say(&server, &offered).await;
    runs(&server, "0.150.0").await;
    for left in [1, 0] {
        supervisor = killed(&host, supervisor).await;
        kept(&host, "a try less", |packages| packages["trial"]["tries_left"] == left).await;
        let connections = 3 - left;
        server
            .until("it is back on trial", |known| {
                known.healthy() && i64::from(known.connections) == connections
            })
            .await;
        runs(&server, "0.150.0").await;
    }
    let supervisor = killed(&host, supervisor).await;
    let known = server.until("it is over", |known| ended(known, &offered) && known.healthy()).await;
    let told = known.package("otelcol");
    assert!(told.status == FAILED && told.error_message.contains("ended each time it was tried"), "{told:?}");
    runs(&server, "0.149.0").await;
    assert_eq!(store.asked.lock().unwrap().len(), 1);
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn f_10_a_trial_that_was_interrupted_is_won_in_the_next_life_or_lost_there() {
    let (server, store) = (Server::start().await, Store::new().await);
    let host = host_with(&server, &store, "trial: {first_health: 20s, healthy_for: 3s}");
    let mut supervisor = host.start();
    runs(&server, "0.149.0").await;
    let offered = offer(&[("otelcol", &store.collector("0.150.0", ""))]);
    say(&server, &offered).await;
    runs(&server, "0.150.0").await;
    supervisor = killed(&host, supervisor).await;
    let known = server.until("it is installed", |known| ended(known, &offered)).await;
    assert_eq!(known.package("otelcol").status, INSTALLED);

    let offered = offer(&[("otelcol", &store.collector("0.151.0", "crash_after=2s"))]);
    say(&server, &offered).await;
    runs(&server, "0.151.0").await;
    supervisor = killed(&host, supervisor).await;
    let known = server.until("it is taken back", |known| ended(known, &offered)).await;
    let told = known.package("otelcol");
    assert!(
        told.status == FAILED && told.error_message.contains("rolled back to the Collector 0.150.0"),
        "{told:?}"
    );
    runs(&server, "0.150.0").await;
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn f_85_an_orderly_end_in_a_trial_costs_no_try() {
    let (server, store) = (Server::start().await, Store::new().await);
    let host = host_with(&server, &store, "trial: {first_health: 20s, healthy_for: 600s}");
    let mut supervisor = host.start();
    runs(&server, "0.149.0").await;
    say(&server, &offer(&[("otelcol", &store.collector("0.150.0", ""))])).await;
    runs(&server, "0.150.0").await;
    for life in 2..7 {
        assert!(supervisor.stop().await.success());
        supervisor = host.start();
        server.until("it is back", |known| known.healthy() && known.connections == life).await;
        runs(&server, "0.150.0").await;
    }
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn f_16_f_17_with_its_state_damaged_or_lost_the_installed_collector_runs() {
    let (server, store) = (Server::start().await, Store::new().await);
    let host = host(&server, &store).agent("instance_id: 019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b");
    let supervisor = host.start();
    runs(&server, "0.149.0").await;
    assert_eq!(install(&server, &store.collector("0.150.0", "")).await.status, INSTALLED);
    assert!(supervisor.stop().await.success());
    fs::write(host.state().join("state.json"), "").unwrap();
    let supervisor = host.start();
    runs(&server, "0.150.0").await;
    assert!(supervisor.stop().await.success());
    for file in ["state.json", "state.json.bak"] {
        fs::write(host.state().join(file), "torn").unwrap();
    }
    let supervisor = host.start();
    runs(&server, "0.150.0").await;
    assert!(host.log().contains("what is installed was forgotten"));
    let told = install(&server, &store.collector("0.151.0", "")).await;
    assert_eq!((told.status, told.agent_has_version.as_str()), (INSTALLED, "0.151.0"), "and life goes on");
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn f_53_an_offer_that_is_withdrawn_leaves_nothing() {
    let (server, store) = (Server::start().await, Store::new().await);
    let host = host(&server, &store);
    let supervisor = host.start();
    runs(&server, "0.149.0").await;
    store.ways(&[Way::StallAfter(200_000)]);
    let package = store.add(collector("wrong_version=0.150.0"), &Says::version("0.150.0"));
    say(&server, &offer(&[("otelcol", &package)])).await;
    let downloading = |known: &crate::harness::Known| {
        known.package("otelcol").download_details.is_some_and(|details| details.download_percent > 0.5)
    };
    server.until("it is under way", downloading).await;
    let none = offer(&[]);
    say(&server, &none).await;
    let known = server.until("it is gone", |known| ended(known, &none)).await;
    assert!(known.packages().packages.is_empty());
    let left: Vec<_> =
        fs::read_dir(host.state().join("staging")).unwrap().flatten().map(|entry| entry.path()).collect();
    assert!(left.iter().all(|path| path.is_dir()), "{left:?}");
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn f_45_f_47_a_server_that_cuts_and_refuses_is_outlasted() {
    let (server, store) = (Server::start().await, Store::new().await);
    let host = host(&server, &store);
    let supervisor = host.start();
    runs(&server, "0.149.0").await;
    let package = store.collector("0.150.0", "");
    let size = size_of(&package, &store);
    let cuts: Vec<_> = (0..3).map(|_| Way::CutAfter(1 << 20)).chain([Way::Status("503 Busy")]).collect();
    store.ways(&cuts);
    let told = install(&server, &package).await;
    assert_eq!((told.status, told.error_message.as_str()), (INSTALLED, ""));
    assert_eq!((*store.sent.lock().unwrap(), store.asked.lock().unwrap().len()), (size, 5));
    assert!(supervisor.stop().await.success());
}
