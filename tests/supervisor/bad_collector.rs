//! The Collector misbehaves: slow, loud, deaf, with children of its own. The supervisor keeps its word.

use std::{fs, net::TcpListener};

use nix::libc::{SIGKILL, SIGTERM};
use opamp::wire::proto::RemoteConfigStatuses;

use super::harness::{Host, Server, Supervisor, alive, config, fake_collector, gone, kill};

const FAILED: i32 = RemoteConfigStatuses::Failed as i32;
const APPLIED: i32 = RemoteConfigStatuses::Applied as i32;
const APPLYING: i32 = RemoteConfigStatuses::Applying as i32;

const NOPS: &str = "receivers: {nop: }\nexporters: {nop: }\n\
    service: {pipelines: {traces: {receivers: [nop], exporters: [nop]}}}\n";

async fn running(switches: &str, agent: &str) -> (Server, Host, Supervisor) {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake(switches).agent(agent);
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    (server, host, supervisor)
}

/// Kills the Collector and waits until the server knows of its death and of the next one's health.
async fn killed_and_back(server: &Server, host: &Host) {
    let before = server.messages().len();
    kill(host.collector_pid(), SIGKILL);
    let died = || {
        let messages = server.messages().split_off(before);
        messages.into_iter().filter_map(|message| message.health).any(|health| !health.healthy)
    };
    server.until("it died and is back", |known| known.healthy() && died()).await;
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn f_63_who_has_the_number_of_a_collector_that_is_gone_is_left_alone() {
    let (server, host, supervisor) = running("", "").await;
    let collector = host.collector_pid();
    kill(supervisor.pid(), SIGKILL);
    gone(collector).await;
    let _ = supervisor.ended().await;
    // As if the kernel had given the number to somebody else since.
    let mut bystander = tokio::process::Command::new("sleep").arg("600").kill_on_drop(true).spawn().unwrap();
    let pid = i32::try_from(bystander.id().unwrap()).unwrap();
    let written = host.state().join("run/agent.json");
    let text = fs::read_to_string(&written).unwrap();
    let reused = text.replace(&format!("\"pid\": {collector},"), &format!("\"pid\": {pid},"));
    assert_ne!(reused, text);
    fs::write(&written, reused).unwrap();
    let again = host.start();
    server.until("it runs", |known| known.connections == 2 && known.healthy()).await;
    assert!(alive(pid), "the bystander lives");
    assert!(again.stop().await.success());
    assert!(bystander.try_wait().unwrap().is_none(), "to the end");
}

#[tokio::test]
async fn f_65_a_grandchild_that_holds_the_port_goes_with_a_collector_that_is_killed() {
    let address = format!("127.0.0.1:{}", free_port());
    let (server, host, supervisor) = running(&format!("fork_child={address}"), "").await;
    let holders = || {
        let events = host.events();
        let forked = events.iter().filter_map(|event| event.split_once("forked ")?.1.parse().ok());
        (forked.collect::<Vec<i32>>(), events.iter().filter(|event| event.contains("holding")).count())
    };
    server.until("the grandchild holds the port", |_| holders().1 == 1).await;
    killed_and_back(&server, &host).await;
    gone(holders().0[0]).await;
    assert!(supervisor.stop().await.success());
    for holder in holders().0 {
        assert!(!alive(holder), "nothing is left of {holder}");
    }
    assert!(TcpListener::bind(&address).is_ok(), "the port is free");
}

#[tokio::test]
async fn f_69_a_collector_that_listens_late_is_waited_for() {
    let (server, _host, supervisor) = running("", "").await;
    let late = config("p.yaml", &format!("{NOPS}# fake_collector: late_listen=5s\n"));
    assert_eq!(server.push(&late).await.status, APPLIED);
    let said = server.messages().into_iter().filter_map(|message| message.remote_config_status);
    assert!(said.into_iter().all(|status| status.status != FAILED), "and never called FAILED before");
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn f_70_a_flood_of_output_costs_neither_disk_nor_memory_nor_attention() {
    let (server, host, supervisor) = running("", "").await;
    let loud = config("p.yaml", &format!("{NOPS}# fake_collector: flood\n"));
    // What goes on beside the service begins with the process.
    assert_eq!(server.push(&loud).await.status, APPLIED);
    server.restart().await;
    let logs = host.state().join("logs");
    let files = || -> Vec<u64> {
        let files = fs::read_dir(&logs).unwrap().filter_map(|file| file.ok()?.metadata().ok());
        files.map(|file| file.len()).collect()
    };
    let rotated = async {
        let mut tick = tokio::time::interval(std::time::Duration::from_millis(20));
        while files().len() < 5 {
            tick.tick().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(40), rotated).await.expect("the log is rotated");
    server.until("it is healthy all the same", |known| known.healthy()).await;
    assert_eq!(server.push(&config("p.yaml", NOPS)).await.status, APPLIED, "and takes a config");
    let status = fs::read_to_string(format!("/proc/{}/status", supervisor.pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kib: u64 = peak.split_whitespace().next().unwrap().parse().unwrap();
    assert!(kib < 64 << 10, "{kib} KiB at most");
    assert!(supervisor.stop().await.success());
    assert!(files().len() == 5 && files().iter().sum::<u64>() < 60 << 20, "{:?}", files());
}

#[tokio::test]
async fn f_72_the_local_port_is_never_free_for_another() {
    let port = free_port();
    let (server, host, supervisor) = running("", &format!("opamp_server_port: {port}")).await;
    let stop = tokio::sync::Notify::new();
    let thief = async {
        let mut tick = tokio::time::interval(std::time::Duration::from_millis(1));
        let mut tries = 0;
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = stop.notified() => return tries,
            }
            assert!(TcpListener::bind(("127.0.0.1", port)).is_err(), "the port was free");
            tries += 1;
        }
    };
    let deaths = async {
        killed_and_back(&server, &host).await;
        killed_and_back(&server, &host).await;
        stop.notify_one();
    };
    let (tries, ()) = tokio::join!(thief, deaths);
    assert!(tries > 10, "{tries} tries");
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn f_83_a_validate_that_hangs_fails_the_config_and_touches_nothing() {
    let (server, host, supervisor) = running("", "").await;
    let collector = host.collector_pid();
    let hangs = config("p.yaml", &format!("{NOPS}# fake_collector: hang_validate\n"));
    let status = server.push(&hangs).await;
    assert_eq!(status.status, FAILED);
    assert!(status.error_message.contains("30"), "{}", status.error_message);
    assert_eq!(host.collector_pid(), collector);
    server.until("what ran runs on", |known| known.healthy()).await;
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn f_85_a_config_on_trial_is_taken_up_again_after_a_stop_in_order() {
    let (server, host, supervisor) = running("", "").await;
    let offered = config("p.yaml", &format!("{NOPS}# fake_collector: late_listen=3s\n"));
    server.offer(&offered).await;
    let starts = || host.events().iter().filter(|event| event.contains("reload")).count();
    server
        .until("it is on trial", |known| {
            known.status().last_remote_config_hash == offered.config_hash && known.status().status == APPLYING
        })
        .await;
    host.logs("reads its config again").await;
    let collector = host.collector_pid();
    kill(supervisor.pid(), SIGTERM);
    assert!(supervisor.ended().await.0.success(), "a stop in order");
    assert!(!alive(collector));
    assert!(starts() <= 1);
    let known = server.until("it said goodbye", |known| known.goodbyes == 1).await;
    assert_eq!(known.status().status, APPLYING, "the trial has no end yet");
    let again = host.start();
    server
        .until("it is applied in the next life", |known| {
            known.connections == 2 && known.settled(&offered) && known.status().status == APPLIED
        })
        .await;
    assert!(again.stop().await.success());
}
