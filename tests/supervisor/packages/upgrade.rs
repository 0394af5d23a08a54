//! A Collector by package: installed, taken back, gone back from.

use std::{fs, time::Instant};

use nix::libc::SIGKILL;
use opamp::wire::proto::RemoteConfigStatuses;

use super::{
    FAILED, INSTALLED, host, host_with, install, push, runs, say,
    store::{Says, Store, archive, collector, offer},
    version_of,
};
use crate::harness::{Server, alive, config, kill};

const NOPS: &str = "receivers: {nop: }\nexporters: {nop: }\n\
    service: {pipelines: {traces: {receivers: [nop], exporters: [nop]}}}\n";

#[tokio::test]
async fn c_pk_08_10_11_12_a_collector_is_installed_and_the_one_before_is_kept() {
    let (server, store) = (Server::start().await, Store::new().await);
    let host = host(&server, &store);
    let supervisor = host.start();
    runs(&server, "0.149.0").await;
    let before = host.collector_pid();
    let told = install(&server, &store.collector("0.150.0", "")).await;
    assert_eq!((told.status, told.error_message.as_str()), (INSTALLED, ""));
    assert_eq!(
        (told.agent_has_version.as_str(), told.server_offered_version.as_str()),
        ("0.150.0", "0.150.0")
    );
    assert_eq!(told.agent_has_hash, told.server_offered_hash);
    runs(&server, "0.150.0").await;
    assert!(host.runs_another(before) && !alive(before));
    let asked = store.asked.lock().unwrap().clone();
    assert!(asked.len() == 1 && asked[0].contains("hush-hush"), "with the headers of the offer: {asked:?}");
    assert!(!host.log().contains("hush-hush"));
    let current = fs::read_link(host.state().join("current")).unwrap();
    assert!(current.to_str().unwrap().starts_with("versions/0.150.0-"), "{current:?}");
    let staged: Vec<_> =
        fs::read_dir(host.state().join("staging")).unwrap().flatten().map(|entry| entry.path()).collect();
    assert!(staged.iter().all(|path| path.is_dir()), "nothing is left of the download: {staged:?}");

    let told = install(&server, &store.collector("0.151.0", "")).await;
    assert_eq!((told.status, told.agent_has_version.as_str()), (INSTALLED, "0.151.0"));
    let previous = fs::read_link(host.state().join("previous")).unwrap();
    assert!(previous.to_str().unwrap().starts_with("versions/0.150.0-"), "{previous:?}");

    assert!(supervisor.stop().await.success());
    let supervisor = host.start();
    runs(&server, "0.151.0").await;
    let known =
        server.until("it still says what it has", |known| known.package("otelcol").status == INSTALLED).await;
    assert_eq!(known.package("otelcol").agent_has_version, "0.151.0");
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn it_comes_out_of_an_archive_too_and_runs_the_config_in_force() {
    let (server, store) = (Server::start().await, Store::new().await);
    let host = host(&server, &store);
    let supervisor = host.start();
    let pushed = config("a", NOPS);
    assert_eq!(server.push(&pushed).await.status, RemoteConfigStatuses::Applied as i32);
    let program = collector("wrong_version=0.150.0");
    let files = archive(&[("dist/otelcol", 0o755, &program), ("dist/README", 0o644, b"words")]);
    let told = install(&server, &store.add(files, &Says::version("0.150.0"))).await;
    assert_eq!((told.status, told.error_message.as_str()), (INSTALLED, ""));
    runs(&server, "0.150.0").await;
    let known = server.until("with the config", |known| known.effective().contains("nop")).await;
    assert_eq!(known.status().last_remote_config_hash, pushed.config_hash);
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn f_33_one_that_exits_at_once_is_taken_back_and_never_tried_again() {
    let (server, store) = (Server::start().await, Store::new().await);
    let host = host(&server, &store);
    let supervisor = host.start();
    runs(&server, "0.149.0").await;
    let bad = store.collector("0.150.0", "crash_at_start");
    let began = Instant::now();
    let told = install(&server, &bad).await;
    assert_eq!(told.status, FAILED);
    assert!(
        told.error_message.contains("twice") && told.error_message.contains("exited with code 1"),
        "{told:?}"
    );
    assert!(told.error_message.contains("rolled back to the Collector 0.149.0"), "{told:?}");
    runs(&server, "0.149.0").await;
    println!("rolled back and healthy again {:?} after the offer", began.elapsed());
    let starts = || host.events().iter().filter(|event| event.ends_with(" start")).count();
    let started = starts();
    let again = offer(&[("otelcol", &bad), ("other-hash", &bad)]);
    let again = opamp::wire::proto::PackagesAvailable {
        packages: [("otelcol".to_owned(), bad.clone())].into(),
        ..again
    };
    let known = push(&server, &again).await;
    assert_eq!(known.package("otelcol").error_message, told.error_message, "the same answer");
    assert_eq!((store.asked.lock().unwrap().len(), starts()), (1, started), "and nothing was done for it");
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn f_35_one_that_never_is_healthy_is_taken_back() {
    let (server, store) = (Server::start().await, Store::new().await);
    let host = host_with(&server, &store, "trial: {first_health: 2s, healthy_for: 1s}");
    let supervisor = host.start();
    runs(&server, "0.149.0").await;
    let told = install(&server, &store.collector("0.150.0", "never_healthy,unhealthy=StatusStarting")).await;
    assert!(told.status == FAILED && told.error_message.contains("not healthy within 2s"), "{told:?}");
    runs(&server, "0.149.0").await;
    let told = install(&server, &store.collector("0.151.0", "no_connect")).await;
    assert!(told.status == FAILED && told.error_message.contains("nothing was heard from it"), "{told:?}");
    runs(&server, "0.149.0").await;
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn f_36_one_that_lies_about_its_version_is_taken_back_or_not_even_tried() {
    let (server, store) = (Server::start().await, Store::new().await);
    let host = host(&server, &store);
    let supervisor = host.start();
    runs(&server, "0.149.0").await;
    let starts =
        |host: &crate::harness::Host| host.events().iter().filter(|event| event.ends_with(" start")).count();
    let started = starts(&host);
    let lies = store.add(collector("wrong_version=0.148.0"), &Says::version("0.150.0"));
    let told = install(&server, &lies).await;
    assert!(
        told.error_message.contains("it says that it is version 0.148.0, and the package is 0.150.0"),
        "{told:?}"
    );
    assert_eq!(starts(&host), started, "what runs was not touched");
    let told = install(&server, &store.collector("0.151.0", "says_version=0.99.0")).await;
    let why = "the new Collector says that it is version 0.99.0, and the package is 0.151.0";
    assert!(told.status == FAILED && told.error_message.contains(why), "{told:?}");
    runs(&server, "0.149.0").await;
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn f_34_one_that_crashes_while_it_is_watched_is_taken_back() {
    let (server, store) = (Server::start().await, Store::new().await);
    let host = host_with(&server, &store, "trial: {first_health: 5s, healthy_for: 30s}");
    let supervisor = host.start();
    runs(&server, "0.149.0").await;
    let told = install(&server, &store.collector("0.150.0", "crash_after=2s")).await;
    assert!(told.status == FAILED && told.error_message.contains("twice"), "{told:?}");
    runs(&server, "0.149.0").await;
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn f_37_one_whose_health_flips_is_taken_back() {
    let (server, store) = (Server::start().await, Store::new().await);
    let host = host_with(&server, &store, "trial: {first_health: 5s, healthy_for: 60s}");
    let supervisor = host.start();
    runs(&server, "0.149.0").await;
    let told =
        install(&server, &store.collector("0.150.0", "flip_health=100ms,unhealthy=StatusPermanentError"))
            .await;
    assert!(told.status == FAILED && told.error_message.contains("unhealthy again 4 times"), "{told:?}");
    runs(&server, "0.149.0").await;
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn f_41_an_old_one_that_does_not_go_is_killed_and_the_new_one_runs() {
    let (server, store) = (Server::start().await, Store::new().await);
    let host = host(&server, &store).fake("ignore_term");
    let supervisor = host.start();
    runs(&server, "0.149.0").await;
    let old = host.collector_pid();
    say(&server, &offer(&[("otelcol", &store.collector("0.150.0", ""))])).await;
    host.logs("is switched to the new one").await;
    runs(&server, "0.150.0").await;
    assert!(!alive(old));
    kill(host.collector_pid(), SIGKILL);
    kill(supervisor.pid(), SIGKILL);
}

#[tokio::test]
async fn a_config_that_comes_with_a_collector_waits_for_it() {
    let (server, store) = (Server::start().await, Store::new().await);
    let host = host(&server, &store);
    let supervisor = host.start();
    runs(&server, "0.149.0").await;
    let package = store.collector("0.150.0", "");
    let pushed = config("a", NOPS);
    let together = opamp::wire::proto::ServerToAgent {
        packages_available: Some(offer(&[("otelcol", &package)])),
        remote_config: Some(pushed.clone()),
        ..Default::default()
    };
    server.say(together).await;
    let known = server.until("the config is applied", |known| known.settled(&pushed)).await;
    assert_eq!(known.status().status, RemoteConfigStatuses::Applied as i32);
    assert_eq!(
        (known.package("otelcol").status, version_of(&known).as_str()),
        (INSTALLED, "0.150.0"),
        "after it"
    );
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn f_20_f_21_a_version_that_is_altered_or_gone_is_not_run_and_the_one_before_is() {
    let (server, store) = (Server::start().await, Store::new().await);
    let host = host(&server, &store);
    let supervisor = host.start();
    runs(&server, "0.149.0").await;
    assert_eq!(install(&server, &store.collector("0.150.0", "")).await.status, INSTALLED);
    assert_eq!(install(&server, &store.collector("0.151.0", "")).await.status, INSTALLED);
    let program =
        host.state().join(fs::read_link(host.state().join("current")).unwrap()).join("files/otelcol");
    let mut bytes = fs::read(&program).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    // As a disk would do it: the running one is not written to, its file is another one.
    fs::remove_file(&program).unwrap();
    fs::write(&program, bytes).unwrap();
    let pid = host.collector_pid();
    assert!(alive(pid), "what runs goes on");
    kill(pid, SIGKILL);
    runs(&server, "0.150.0").await;
    let known = server.until("it says so", |known| known.package("otelcol").status == FAILED).await;
    assert!(known.package("otelcol").error_message.contains("is not what was installed"), "{known:?}");
    assert!(supervisor.stop().await.success());
    fs::remove_dir_all(host.state().join("versions")).unwrap();
    let supervisor = host.start();
    runs(&server, "0.149.0").await;
    assert!(host.log().contains("is gone"));
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn f_39_f_40_what_is_not_on_this_host_takes_nothing_back() {
    let (server, store) = (Server::start().await, Store::new().await);
    let host = host_with(&server, &store, "trial: {first_health: 10s, healthy_for: 3s}");
    let supervisor = host.start();
    runs(&server, "0.149.0").await;
    // As a Collector says it whose exporter does not get through: an error that it may recover from.
    let package = store.collector("0.150.0", "never_healthy");
    let offered = offer(&[("otelcol", &package)]);
    say(&server, &offered).await;
    let on_trial = |known: &crate::harness::Known| version_of(known) == "0.150.0";
    server.until("it is on trial", on_trial).await;
    let retry = opamp::wire::proto::RetryInfo { retry_after_nanoseconds: 1_000_000_000 };
    let busy = opamp::wire::proto::ServerErrorResponse {
        r#type: opamp::wire::proto::ServerErrorResponseType::Unavailable as i32,
        error_message: "too many agents".to_owned(),
        details: Some(opamp::wire::proto::server_error_response::Details::RetryInfo(retry)),
    };
    let away = opamp::wire::proto::ServerToAgent { error_response: Some(busy), ..Default::default() };
    server.say(away).await;
    let known = server
        .until("it is back and done", |known| known.connections == 2 && super::ended(known, &offered))
        .await;
    let told = known.package("otelcol");
    assert_eq!((told.status, told.agent_has_version.as_str()), (INSTALLED, "0.150.0"), "{told:?}");
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn c_se_09_what_was_downloaded_runs_as_the_user_that_the_host_names() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let uid = 1_200_000 + std::process::id();
    assert!(nix::unistd::geteuid().is_root(), "only root can run something as somebody else");
    let (server, store) = (Server::start().await, Store::new().await);
    let host = host(&server, &store).agent(&format!("run_as: \"{uid}:{uid}\""));
    fs::set_permissions(host.dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let supervisor = host.start();
    runs(&server, "0.149.0").await;
    let told = install(&server, &store.collector("0.150.0", "")).await;
    assert_eq!((told.status, told.error_message.as_str()), (INSTALLED, ""));
    runs(&server, "0.150.0").await;
    let process = fs::metadata(format!("/proc/{}", host.collector_pid())).unwrap();
    assert_eq!((process.uid(), process.gid()), (uid, uid));
    assert!(supervisor.stop().await.success());
}
