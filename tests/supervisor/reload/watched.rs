//! When the file is read again, and how often.

use std::{fs, os::unix::fs::symlink, time::Duration};

use nix::libc::SIGHUP;
use tokio::time::timeout;

use super::{
    super::harness::{Host, Server, config, fake_collector, kill},
    PIPELINE, attribute, count, file, logged, replace,
};

#[tokio::test]
async fn a_file_renamed_over_the_other_is_noticed_by_itself() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("");
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    let collector = host.collector_pid();
    for team in ["blue", "red"] {
        let more = format!("  description: {{non_identifying_attributes: {{team: {team}}}}}\n");
        replace(&file(&host), &format!("{}{more}", host.yaml()));
        server.until("it is in force", |known| attribute(known, "team").as_deref() == Some(team)).await;
    }
    logged(&host, 0, &["(it was written)", "agent.description"]).await;
    assert_eq!(host.collector_pid(), collector);
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn a_swapped_configmap_is_noticed_by_itself() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("");
    let at = |name: &str| host.dir.path().join(name);
    let swap = |to: &str, text: &str| {
        fs::create_dir(at(to)).unwrap();
        fs::write(at(to).join("supervisor.yaml"), text).unwrap();
        symlink(to, at("..data_tmp")).unwrap();
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
    };
    swap("..1", "");
    symlink("..data/supervisor.yaml", file(&host)).unwrap();
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    for (round, team) in ["blue", "red"].into_iter().enumerate() {
        let more = format!("  description: {{non_identifying_attributes: {{team: {team}}}}}\n");
        swap(&format!("..{}", round + 2), &format!("{}{more}", host.yaml()));
        server.until("it is in force", |known| attribute(known, "team").as_deref() == Some(team)).await;
    }
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn f_84_a_storm_of_sighup_is_few_readings_and_the_last_file_is_in_force() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("");
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    let collector = host.collector_pid();
    const STORM: usize = 500;
    for number in 0..STORM {
        let more = format!("  description: {{non_identifying_attributes: {{number: \"{number}\"}}}}\n");
        replace(&file(&host), &format!("{}{more}", host.yaml()));
        kill(supervisor.pid(), SIGHUP);
        tokio::task::yield_now().await;
    }
    let last = (STORM - 1).to_string();
    server.until("the last is in force", |known| attribute(known, "number").as_ref() == Some(&last)).await;
    let readings = host.log().lines().filter(|line| line.contains("was read again")).count();
    assert!(readings <= STORM / 5, "{readings} readings");
    assert_eq!((host.collector_pid(), count(&host, " start")), (collector, 1));
    assert!(count(&host, " SIGHUP") <= readings);
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn f_84_a_reload_waits_for_a_config_on_its_way_and_the_other_way_round() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("");
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    for round in 0..10 {
        let offer = config("p.yaml", &format!("{PIPELINE}# {round}\n"));
        server.offer(&offer).await;
        let more = format!("  env: {{ROUND: \"{round}\"}}\n");
        fs::write(file(&host), format!("{}{more}", host.yaml())).unwrap();
        kill(supervisor.pid(), SIGHUP);
        let status = server.push(&offer).await;
        assert_eq!(status.error_message, "");
    }
    server
        .until("both are in force", |known| {
            let path = format!("/proc/{}/environ", host.collector_pid());
            let environment = fs::read(path).unwrap_or_default();
            known.healthy() && String::from_utf8_lossy(&environment).contains("ROUND=9")
        })
        .await;
    server.until("and the remote one", |known| known.effective().contains("debug")).await;
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn a_file_that_does_not_answer_holds_up_nothing_but_its_reading() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("");
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    let first = host.collector_pid();
    let pipe = host.dir.path().join("pipe.yaml");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    fs::write(file(&host), format!("{}  config_files: [\"{}\"]\n", host.yaml(), pipe.display())).unwrap();
    kill(supervisor.pid(), SIGHUP);
    // Opening it for writing succeeds once somebody waits for what it has to say.
    let flags = nix::fcntl::OFlag::O_WRONLY | nix::fcntl::OFlag::O_NONBLOCK;
    let waiting = async {
        let mut tick = tokio::time::interval(Duration::from_millis(10));
        loop {
            tick.tick().await;
            if let Ok(kept_open) = nix::fcntl::open(&pipe, flags, nix::sys::stat::Mode::empty()) {
                return kept_open;
            }
        }
    };
    let _kept_open = timeout(Duration::from_secs(20), waiting).await.expect("it is read");
    server.restart().await;
    server.until("a restart is done", |known| known.healthy() && host.runs_another(first)).await;
    let stopped = timeout(Duration::from_secs(10), supervisor.stop()).await;
    assert!(stopped.expect("it ends").success());
}
