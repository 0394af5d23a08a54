//! From one supervisor to another: who runs, what the server sees, and what the next one goes on with.

use std::path::Path;

use nix::libc::{SIGKILL, SIGTERM};
use opamp::wire::proto::RemoteConfigStatuses;

use super::{
    super::{
        harness::{
            Host, Server, alive, built_supervisor, config, fake_collector, gone, kill, real_collector,
            real_collector_without_extension,
        },
        real::pipeline,
    },
    another, exchange, runs, status,
};

const APPLIED: i32 = RemoteConfigStatuses::Applied as i32;

#[tokio::test]
async fn f_62_status_tells_who_runs_and_a_killed_one_still_takes_its_collector_along() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("");
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    let (collector, new) = (host.collector_pid(), another(&host, "new"));
    let said = exchange(&host, &new).await;
    for words in [new.to_str().unwrap(), "version 0.", "proven", &format!("pid {}", supervisor.pid())] {
        assert!(said.contains(words), "{words:?} in {said}");
    }
    let known = server.until("it is there again", |known| known.connections == 2 && known.healthy()).await;
    assert_eq!(known.goodbyes, 0, "nobody left");
    let told = status(&host).await;
    assert_eq!(told["supervisor"]["executable"], new.to_str().unwrap());
    assert_eq!(told["supervisor"]["last"]["outcome"], "committed");
    assert_eq!(told["supervisor"]["last"]["sha256"], told["supervisor"]["sha256"]);
    assert_eq!(told["collector"]["pid"], collector);
    assert_eq!(
        host.events().iter().filter(|event| event.contains("ready")).count(),
        1,
        "{:?}",
        host.events()
    );
    let environment = std::fs::read(format!("/proc/{}/environ", supervisor.pid())).unwrap();
    assert!(
        String::from_utf8_lossy(&environment).contains("OPAMP_SUPERVISOR_HANDOVER"),
        "as it was at the exec"
    );

    kill(collector, SIGKILL);
    server.until("another Collector", |known| known.healthy() && host.runs_another(collector)).await;
    let next = host.collector_pid();
    let environment = std::fs::read(format!("/proc/{next}/environ")).unwrap();
    assert!(
        !String::from_utf8_lossy(&environment).contains("OPAMP_SUPERVISOR_HANDOVER"),
        "no Collector sees it"
    );
    exchange(&host, &built_supervisor()).await;
    kill(supervisor.pid(), SIGKILL);
    gone(next).await;
}

#[tokio::test]
async fn what_is_pushed_after_an_exchange_is_applied_by_sighup_and_undone_as_ever() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("config_marker=poison");
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    let first = config("first.yaml", &pipeline());
    assert_eq!(server.push(&first).await.status, APPLIED);
    let collector = host.collector_pid();
    exchange(&host, &another(&host, "new")).await;
    server.until("it is there again", |known| known.connections == 2 && known.healthy()).await;
    assert_eq!(
        server.push(&config("first.yaml", &pipeline().replace("detailed", "normal"))).await.status,
        APPLIED
    );
    assert_eq!(host.collector_pid(), collector, "the same process read another file");
    server.until("the effective config shows it", |known| known.effective().contains("normal")).await;
    let status = server.push(&config("first.yaml", &format!("{}# poison\n", pipeline()))).await;
    assert_eq!(status.status, RemoteConfigStatuses::Failed as i32);
    server
        .until("it runs with the one before", |known| known.healthy() && known.effective().contains("normal"))
        .await;
    assert!(supervisor.stop().await.success());
}

async fn real_collector_runs_on(executable: &Path) {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, executable).quiet(&[]);
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    assert_eq!(server.push(&config("pipeline.yaml", &pipeline())).await.status, APPLIED);
    let (collector, new) = (host.collector_pid(), another(&host, "new"));
    let before = server.messages().len();
    exchange(&host, &new).await;
    server.until("it is there again", |known| known.connections == 2 && known.healthy()).await;
    let again = || server.messages()[before..].iter().any(|said| said.effective_config.is_some());
    server
        .until("the effective config is reported again", |known| {
            again() && known.effective().contains("otlp")
        })
        .await;
    assert_eq!((runs(&supervisor), host.collector_pid()), (new, collector));
    let next = pipeline().replace("debug", "debug/next");
    assert_eq!(server.push(&config("pipeline.yaml", &next)).await.status, APPLIED);
    server.until("and the next one", |known| known.effective().contains("debug/next")).await;
    let unwell = server.messages()[before..]
        .iter()
        .find(|said| said.health.as_ref().is_some_and(|it| !it.healthy))
        .cloned();
    assert_eq!(unwell, None, "of the exchange");
    assert!(supervisor.stop().await.success());
    assert!(!alive(collector) && !alive(host.written_down().unwrap_or(collector)));
}

#[tokio::test]
async fn a_real_collector_runs_on() {
    real_collector_runs_on(&real_collector()).await;
}

#[tokio::test]
async fn a_real_collector_without_the_opamp_extension_runs_on() {
    real_collector_runs_on(&real_collector_without_extension()).await;
}

/// Whatever moment the signal finds: during the examination, at the exec, while the next one begins, after.
#[tokio::test]
async fn a_sigterm_in_the_middle_is_not_lost() {
    for wait in [0, 50, 100, 150, 200, 300, 500, 800] {
        let server = Server::start().await;
        let host = Host::new(&server.endpoint, &fake_collector()).fake("");
        let supervisor = host.start();
        server.until("the agent is healthy", |known| known.healthy()).await;
        let (collector, new) = (host.collector_pid(), another(&host, "new"));
        let reexec = tokio::spawn({
            let socket = host.state().join("run/control.sock");
            let mut command = tokio::process::Command::new(built_supervisor());
            command.arg("reexec").arg("--executable").arg(&new).arg("--socket").arg(socket);
            command.kill_on_drop(true).output()
        });
        tokio::time::sleep(std::time::Duration::from_millis(wait)).await;
        kill(supervisor.pid(), SIGTERM);
        assert!(supervisor.ended().await.0.success(), "after {wait} ms");
        assert!(!alive(collector), "after {wait} ms");
        reexec.abort();
        // One that ended before it was connected has nobody to say goodbye to.
        server.until("nobody is there", |known| !known.connected).await;
    }
}
