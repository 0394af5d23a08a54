//! Which supervisor a start ends up with.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::PermissionsExt,
    path::Path,
};

use super::{
    super::harness::{Host, Server, built_supervisor, fake_collector},
    Dole, another, exchange, runs, status, without_file,
};

/// Starts the packaged one, until it or another one is there for the server.
async fn start(server: &Server, host: &Host, program: &Path, connection: u32) -> super::Supervisor {
    let supervisor = host.start_as(program);
    let back = |known: &super::super::harness::Known| known.connections == connection && known.healthy();
    server.until("it is back", back).await;
    supervisor
}

#[tokio::test]
async fn a_start_becomes_the_active_one_and_runs_on_itself_where_that_was_tampered_with() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("");
    let packaged = built_supervisor();
    let supervisor = start(&server, &host, &packaged, 1).await;
    let new = another(&host, "new");
    exchange(&host, &new).await;
    assert!(supervisor.stop().await.success());
    let supervisor = start(&server, &host, &packaged, 3).await;
    assert_eq!(runs(&supervisor), new);
    assert!(supervisor.stop().await.success());

    fs::set_permissions(&new, fs::Permissions::from_mode(0o777)).unwrap();
    let supervisor = start(&server, &host, &packaged, 4).await;
    assert_eq!(runs(&supervisor), packaged);
    assert!(host.log().contains("may be written to by others (mode 777)"), "{}", host.log());
    assert!(supervisor.stop().await.success());

    fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
    OpenOptions::new().append(true).open(&new).unwrap().write_all(b"more").unwrap();
    let supervisor = start(&server, &host, &packaged, 5).await;
    assert_eq!(runs(&supervisor), packaged);
    assert!(host.log().contains("is another file now"), "{}", host.log());
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn after_an_update_of_the_package_the_new_one_runs_and_the_way_back_is_a_copy() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("");
    // The start, two readings for a good update, three for a bad one and the way back, two for the last start.
    let values = &["good", "good", "good", "good", "b\na\nd", "good", "good", "good"];
    let dole = Dole::start(&host, values);
    let host = host.server(&dole.server(&server.endpoint));
    let packaged = another(&host, "opamp-supervisor");
    let supervisor = start(&server, &host, &packaged, 1).await;
    let collector = host.collector_pid();
    let sha256 = async || status(&host).await["supervisor"]["sha256"].as_str().unwrap_or_default().to_owned();
    // As package managers do it: another file under the same name.
    fs::rename(another(&host, "update"), &packaged).unwrap();
    let said = without_file(&host, &["reexec"]).await.with(0);
    assert!(said.contains("proven"), "{said}");
    assert_eq!((runs(&supervisor), host.collector_pid()), (packaged.clone(), collector));
    let good = sha256().await;
    let copies = || fs::read_dir(host.state().join("supervisor")).map_or(0, Iterator::count);
    assert_eq!(copies(), 0, "nobody goes back any more");

    fs::rename(another(&host, "bad"), &packaged).unwrap();
    let said = without_file(&host, &["reexec"]).await.with(1);
    assert!(said.contains("was undone"), "{said}");
    assert_eq!((copies(), host.collector_pid()), (1, collector));
    assert!(runs(&supervisor).starts_with(host.state()), "{:?}", runs(&supervisor));
    assert_eq!(sha256().await, good);
    let back = |connection| {
        move |known: &super::super::harness::Known| known.connections == connection && known.healthy()
    };
    server.until("it is back", back(3)).await;
    assert!(supervisor.stop().await.success());

    let supervisor = host.start_as(&packaged);
    server.until("the copy stands in for the bad one", back(4)).await;
    assert!(runs(&supervisor).starts_with(host.state()), "{:?}", runs(&supervisor));
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn another_update_is_run_and_not_the_copy_that_stood_in_for_the_one_before() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("");
    let dole = Dole::start(&host, &["good", "good", "b\na\nd", "good", "good"]);
    let host = host.server(&dole.server(&server.endpoint));
    let packaged = another(&host, "opamp-supervisor");
    let supervisor = start(&server, &host, &packaged, 1).await;
    fs::rename(another(&host, "bad"), &packaged).unwrap();
    without_file(&host, &["reexec"]).await.with(1);
    assert!(supervisor.stop().await.success());
    fs::rename(another(&host, "mended"), &packaged).unwrap();
    let supervisor = start(&server, &host, &packaged, 3).await;
    assert_eq!(runs(&supervisor), packaged);
    assert!(supervisor.stop().await.success());
}
