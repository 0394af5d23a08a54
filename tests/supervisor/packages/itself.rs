//! The supervisor's own package: it takes the place of the one that runs, and the Collector never notices.

use std::fs;

use opamp::wire::proto::PackageAvailable;

use super::{
    FAILED, INSTALLED, host, push, runs, store,
    store::{Says, Store, archive, collector, offer},
};
use crate::harness::{Host, Server, Supervisor, alive};

const NAME: &str = "opamp-supervisor";

pub(super) fn package(store: &Store, program: &[u8], version: &'static str) -> PackageAvailable {
    let says = Says { name: NAME, ..Says::version(version) };
    store.add(archive(&[(NAME, 0o755, program)]), &says)
}

fn runs_as(supervisor: &Supervisor) -> String {
    fs::read_link(format!("/proc/{}/exe", supervisor.pid())).unwrap().display().to_string()
}

pub(super) async fn given(server: &Server, package: &PackageAvailable) -> opamp::wire::proto::PackageStatus {
    push(server, &offer(&[(NAME, package)])).await.package(NAME)
}

fn starts(host: &Host) -> usize {
    host.events().iter().filter(|event| event.ends_with(" start")).count()
}

#[tokio::test]
async fn f_110_a_supervisor_by_package_takes_over_and_the_collector_never_stops() {
    let (server, files) = (Server::start().await, Store::new().await);
    let host = host(&server, &files);
    let supervisor = host.start();
    runs(&server, "0.149.0").await;
    let (collector, started) = (host.collector_pid(), starts(&host));
    let told = given(&server, &package(&files, &store::supervisor("one"), "0.1.0")).await;
    assert_eq!((told.status, told.error_message.as_str()), (INSTALLED, ""));
    assert_eq!(told.agent_has_version, "0.1.0");
    let now = runs_as(&supervisor);
    assert!(now.starts_with(host.state().join("supervisors/0.1.0-").to_str().unwrap()), "{now}");
    assert!(alive(collector) && host.collector_pid() == collector && starts(&host) == started);
    runs(&server, "0.149.0").await;
    let told = given(&server, &package(&files, &store::supervisor("two"), "0.2.0")).await;
    assert_eq!((told.status, told.agent_has_version.as_str()), (INSTALLED, "0.2.0"));
    assert!(runs_as(&supervisor).contains("supervisors/0.2.0-"));
    assert!(alive(collector) && starts(&host) == started);
    let installed = super::install(&server, &files.collector("0.150.0", "")).await;
    assert_eq!(
        (installed.status, installed.error_message.as_str()),
        (INSTALLED, ""),
        "and it can do all that"
    );
    assert!(supervisor.stop().await.success());
    let supervisor = host.start();
    runs(&server, "0.150.0").await;
    assert!(runs_as(&supervisor).contains("supervisors/0.2.0-"), "whoever is started");
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn f_32_f_36_one_that_is_no_supervisor_is_refused_and_the_one_that_runs_goes_on() {
    let (server, store) = (Server::start().await, Store::new().await);
    let host = host(&server, &store);
    let supervisor = host.start();
    runs(&server, "0.149.0").await;
    let (collector_pid, before) = (host.collector_pid(), runs_as(&supervisor));
    let told = given(&server, &package(&store, &collector(""), "0.2.0")).await;
    assert!(told.status == FAILED && told.error_message.contains("verify"), "{told:?}");
    assert_eq!((runs_as(&supervisor), host.collector_pid()), (before, collector_pid));
    assert!(alive(collector_pid));
    assert!(supervisor.stop().await.success());
}
