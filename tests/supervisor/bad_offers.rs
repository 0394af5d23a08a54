//! Offers that are hostile, restless or impossible on this host.

use std::{fmt::Write, fs, net::TcpListener, time::Instant};

use opamp::wire::proto::RemoteConfigStatuses;

use super::{
    harness::{Host, Server, Supervisor, config, fake_collector, kill, real_collector},
    real::pipeline,
};

const FAILED: i32 = RemoteConfigStatuses::Failed as i32;
const APPLIED: i32 = RemoteConfigStatuses::Applied as i32;

const NOPS: &str = "receivers: {nop: }\nexporters: {nop: }\n\
    service: {pipelines: {traces: {receivers: [nop], exporters: [nop]}}}\n";

async fn running() -> (Server, Host, Supervisor) {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("");
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    (server, host, supervisor)
}

#[tokio::test]
async fn f_71_a_port_of_another_process_fails_the_config_and_the_one_before_runs_on() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &real_collector()).quiet(&[]);
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    let good = config("pipeline.yaml", &pipeline());
    assert_eq!(server.push(&good).await.status, APPLIED);
    let foreign = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = foreign.local_addr().unwrap().to_string();
    let text = pipeline();
    let endpoint = text.split("endpoint: ").nth(1).unwrap().lines().next().unwrap();
    let status = server.push(&config("pipeline.yaml", &text.replace(endpoint, &address))).await;
    assert_eq!(status.status, FAILED, "{status:?}");
    for words in [address.as_str(), "address already in use", "rolled back"] {
        assert!(status.error_message.contains(words), "{words:?} in {}", status.error_message);
    }
    server
        .until("the one before runs", |known| known.healthy() && !known.effective().contains(&address))
        .await;
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn f_77_two_configs_in_turns_end_on_the_newest() {
    let (server, host, supervisor) = running().await;
    let both = ["a", "b"].map(|name| config("p.yaml", &NOPS.replace("traces", &format!("traces/{name}"))));
    for offer in both.iter().cycle().take(20) {
        server.offer(offer).await;
        let named =
            server.until("it is heard", |known| known.status().last_remote_config_hash == offer.config_hash);
        named.await;
    }
    server
        .until("the newest one runs", |known| {
            known.settled(&both[1]) && known.healthy() && known.effective().contains("traces/b")
        })
        .await;
    let said: Vec<_> =
        server.messages().into_iter().filter_map(|message| message.remote_config_status).collect();
    assert!(said.iter().all(|status| status.status != FAILED), "{said:?}");
    let touched =
        host.events().iter().filter(|event| event.contains("reload") || event.contains("start")).count();
    assert!(touched <= 22, "no more often than it was offered: {:?}", host.events());
    assert!(supervisor.stop().await.success());
}

/// A document that is small and would be huge.
fn bomb() -> String {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..12 {
        let before = format!("*a{}, ", n - 1).repeat(10);
        writeln!(text, "a{n}: &a{n} [{before}]").unwrap();
    }
    text
}

#[tokio::test]
async fn f_80_c_se_01_hostile_yaml_is_refused_at_once_and_costs_no_memory() {
    let (server, host, supervisor) = running().await;
    let collector = host.collector_pid();
    for (what, text) in [
        ("a bomb", bomb()),
        ("10,000 levels", format!("receivers: {}{}\n", "[".repeat(10_000), "]".repeat(10_000))),
        ("a key twice", format!("{NOPS}receivers: {{otlp: }}\n")),
        ("a NUL", format!("{NOPS}# \0\n")),
        ("3 MiB", format!("{NOPS}{}", "# 0123456789abc\n".repeat(3 << 16))),
    ] {
        let start = Instant::now();
        let status = server.push(&config("p.yaml", &text)).await;
        assert_eq!(status.status, FAILED, "{what}: {status:?}");
        assert!(status.error_message.contains("p.yaml"), "{what}: {}", status.error_message);
        assert!(start.elapsed().as_secs() < 5, "{what} took {:?}", start.elapsed());
    }
    assert_eq!(host.collector_pid(), collector, "and nothing was touched");
    let status = fs::read_to_string(format!("/proc/{}/status", supervisor.pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kib: u64 = peak.split_whitespace().next().unwrap().parse().unwrap();
    assert!(kib < 64 << 10, "{kib} KiB at most");
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn f_87_sixty_four_descriptors_are_enough() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("");
    let supervisor = host.start_through(&["prlimit", "--nofile=64:64"]);
    server.until("the agent is healthy", |known| known.healthy()).await;
    for round in 0..40 {
        let offer = config("p.yaml", &format!("{NOPS}# {round}\n"));
        assert_eq!(server.push(&offer).await.status, APPLIED, "round {round}");
    }
    let collector = host.collector_pid();
    kill(collector, nix::libc::SIGKILL);
    server.until("it is back", |known| known.healthy() && host.runs_another(collector)).await;
    assert!(supervisor.stop().await.success());
}
