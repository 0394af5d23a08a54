//! `healthcheck`: what whoever asks over HTTP is told.

use std::{fs, net::SocketAddr, path::Path, time::Duration};

use opamp::transport::tls::{Identity, TlsOptions};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{interval, timeout},
};

use super::harness::{DEADLINE, Host, Server, fake_collector};

const NOWHERE: &str = "ws://127.0.0.1:9/v1/opamp";
const CERTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/transport/certs");

/// Waits until what `get` yields is there.
async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut get: impl FnMut() -> F) -> T {
    let mut tick = interval(Duration::from_millis(20));
    let waiting = async {
        loop {
            tick.tick().await;
            if let Some(found) = get().await {
                return found;
            }
        }
    };
    timeout(DEADLINE, waiting).await.unwrap_or_else(|_| panic!("not within {DEADLINE:?}: {what}"))
}

/// The port it took, from the log.
async fn address(host: &Host) -> SocketAddr {
    until("health is served", || async {
        let log = host.log();
        let (_, after) = log.split_once("health is served on http")?;
        let (_, after) = after.split_once("://")?;
        after.split_once("/health")?.0.parse().ok()
    })
    .await
}

async fn get(at: SocketAddr, path: &str) -> (u16, Value) {
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured((*TlsOptions::default().build().unwrap()).clone())
        .build()
        .unwrap();
    let response = client.get(format!("http://{at}{path}")).send().await.unwrap();
    let status = response.status().as_u16();
    (status, response.json().await.unwrap())
}

fn healthcheck(host: Host, lines: &str) -> Host {
    host.top(&format!("healthcheck: {{endpoint: \"127.0.0.1:0\"{lines}}}"))
}

#[tokio::test]
async fn health_tells_collector_and_server_apart() {
    let server = Server::start().await;
    let host = healthcheck(Host::new(&server.endpoint, &fake_collector()).fake(""), "");
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    let at = address(&host).await;
    let whole = until("all is well", || async {
        let (status, whole) = get(at, "/health").await;
        (status == 200 && whole["server"]["connected"] == true).then_some(whole)
    })
    .await;
    assert_eq!((&whole["status"], &whole["collector"]["healthy"]), (&"healthy".into(), &true.into()));
    assert_eq!(get(at, "/health/server").await.0, 200);
    assert_eq!(get(at, "/nothing").await.0, 404);
    assert!(supervisor.stop().await.success());

    // A server that is not there is no fault of the Collector's.
    let host = healthcheck(Host::new(NOWHERE, &fake_collector()).fake(""), "");
    let supervisor = host.start();
    let at = address(&host).await;
    let whole = until("healthy without a server", || async {
        let (status, whole) = get(at, "/health").await;
        (status == 200).then_some(whole)
    })
    .await;
    assert_eq!(
        (&whole["server"]["connected"], &whole["collector"]["healthy"]),
        (&false.into(), &true.into())
    );
    let (status, server) = get(at, "/health/server").await;
    assert!(status == 503 && !server["error"].as_str().unwrap().is_empty(), "{server}");
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn f_61_a_collector_that_crashes_is_unhealthy_and_its_supervisor_alive() {
    let host = healthcheck(Host::new(NOWHERE, &fake_collector()).fake("crash_at_start,exit_code=3"), "");
    let supervisor = host.start();
    let at = address(&host).await;
    let whole = until("the cause is told", || async {
        let (status, whole) = get(at, "/health").await;
        let error = whole["collector"]["error"].as_str().unwrap_or_default().to_owned();
        (status == 503 && error.contains("code 3")).then_some(whole)
    })
    .await;
    assert_eq!(whole["status"], "unhealthy");
    assert_eq!(get(at, "/health/collector").await.0, 503);
    assert_eq!(get(at, "/health/live").await.0, 200, "its healer must not be killed for it");
    fs::write(host.dir.path().join("switches"), "").unwrap();
    until("once mended it is well", || async { (get(at, "/health").await.0 == 200).then_some(()) }).await;
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn a_taken_health_port_is_78_and_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let host = Host::new(NOWHERE, &fake_collector())
        .fake("")
        .top(&format!("healthcheck: {{endpoint: \"127.0.0.1:{port}\"}}"));
    let (status, said) = host.start().ended().await;
    assert_eq!(status.code(), Some(78), "{said}");
    assert!(said.contains("healthcheck.endpoint") && said.contains(&port.to_string()), "{said}");
    assert!(host.events().is_empty(), "the Collector was not started");
}

#[tokio::test]
async fn health_is_served_over_tls_to_those_that_the_ca_vouches_for() {
    let lines = format!(
        ", response_headers: {{X-Site: north}}, tls: {{cert_file: {CERTS}/server.pem, key_file: {CERTS}/server.key, client_ca_file: {CERTS}/ca.pem}}"
    );
    let host = healthcheck(Host::new(NOWHERE, &fake_collector()).fake(""), &lines);
    let supervisor = host.start();
    let at = address(&host).await;
    let read = |name: &str| fs::read(Path::new(CERTS).join(name)).unwrap();
    let ask = |identity: Option<Identity>| {
        let options = TlsOptions { ca_pem: Some(read("ca.pem")), identity, ..Default::default() };
        let client = reqwest::Client::builder()
            .resolve("opamp.example", at)
            .tls_backend_preconfigured((*options.build().unwrap()).clone())
            .build()
            .unwrap();
        client.get(format!("https://opamp.example:{}/health/live", at.port())).send()
    };
    ask(None).await.expect_err("a stranger is not answered");
    let known = Identity { cert_pem: read("server.pem"), key_pem: read("server.key") };
    let answer = ask(Some(known)).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers()["x-site"].as_bytes()), (200, &b"north"[..]));
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn who_sends_no_request_is_hung_up_on_and_crowds_nobody_out() {
    let host = healthcheck(Host::new(NOWHERE, &fake_collector()).fake(""), ", read_header_timeout: 200ms");
    let supervisor = host.start();
    let at = address(&host).await;
    let mut crowd = Vec::new();
    for _ in 0..40 {
        let mut slow = TcpStream::connect(at).await.unwrap();
        slow.write_all(b"GET /hea").await.unwrap();
        crowd.push(slow);
    }
    for mut slow in crowd {
        let mut rest = Vec::new();
        // A reset is an end too.
        let _ = timeout(DEADLINE, slow.read_to_end(&mut rest)).await.expect("it is hung up on");
    }
    assert_eq!(get(at, "/health/live").await.0, 200);
    assert!(supervisor.stop().await.success());
}
