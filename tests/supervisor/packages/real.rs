//! Two real Collectors, built from two manifests, under load: spans go in at one end and are counted at the other.

use std::{
    collections::BTreeSet,
    fs,
    net::TcpListener as StdListener,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use opamp::wire::proto::{RemoteConfigStatuses, ServerToAgent};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
};

use super::{
    FAILED, INSTALLED, ended, install,
    itself::{given, package},
    runs, store,
    store::{Says, Store, offer},
};
use crate::harness::{DEADLINE, Host, Server, alive, config, next_collector, real_collector};

/// A config that only the newer one can run.
const WITH_ATTRIBUTES: &str = "processors:\n  attributes:\n    actions: [{key: upgraded, value: yes-it-is, action: upsert}]\n\
    service: {pipelines: {traces: {receivers: [otlp], processors: [attributes], exporters: [otlphttp]}}}\n";

fn free_port() -> u16 {
    StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// What the Collectors send their spans to.
#[derive(Clone, Default)]
struct Sink {
    spans: Arc<Mutex<Vec<String>>>,
    upgraded: Arc<Mutex<u32>>,
}

impl Sink {
    async fn start(&self) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port, sink) = (listener.local_addr().unwrap().port(), self.clone());
        tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { return };
                tokio::spawn(sink.clone().take(BufReader::new(stream)));
            }
        });
        port
    }

    async fn take(self, mut stream: BufReader<tokio::net::TcpStream>) -> Option<()> {
        loop {
            let mut length = 0;
            loop {
                let mut line = String::new();
                if stream.read_line(&mut line).await.ok()? == 0 {
                    return None;
                }
                let line = line.trim().to_ascii_lowercase();
                if let Some(value) = line.strip_prefix("content-length:") {
                    length = value.trim().parse().ok()?;
                }
                if line.is_empty() {
                    break;
                }
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).await.ok()?;
            let text = String::from_utf8_lossy(&body).into_owned();
            let ids =
                text.split("\"spanId\":\"").skip(1).filter_map(|rest| rest.get(..16)).map(str::to_owned);
            self.spans.lock().unwrap().extend(ids);
            *self.upgraded.lock().unwrap() += u32::from(text.contains("yes-it-is"));
            let answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
            stream.get_mut().write_all(answer).await.ok()?;
        }
    }
}

fn span(number: u64) -> String {
    format!(
        "{{\"resourceSpans\":[{{\"scopeSpans\":[{{\"spans\":[{{\"traceId\":\"{number:032x}\",\"spanId\":\"{number:016x}\",\"name\":\"s\",\"kind\":1,\
         \"startTimeUnixNano\":\"1\",\"endTimeUnixNano\":\"2\"}}]}}]}}]}}"
    )
}

/// Sends a span each few milliseconds, and again until it is taken; knows the longest time in which none was.
#[derive(Default)]
struct Load {
    taken: u64,
    last: Option<Instant>,
    gap: Duration,
    stop: bool,
}

impl Load {
    fn start(port: u16) -> Arc<Mutex<Self>> {
        let load = Arc::new(Mutex::new(Self::default()));
        let shared = load.clone();
        tokio::spawn(async move {
            // Another test may have said so before.
            let _ = rustls::crypto::ring::default_provider().install_default();
            let client = reqwest::Client::new();
            let url = format!("http://127.0.0.1:{port}/v1/traces");
            let mut tick = tokio::time::interval(Duration::from_millis(2));
            let mut number = 1;
            while !shared.lock().unwrap().stop {
                tick.tick().await;
                let request = client.post(&url).header("content-type", "application/json").body(span(number));
                if request.send().await.is_ok_and(|answer| answer.status().is_success()) {
                    number += 1;
                    shared.lock().unwrap().was_taken();
                }
            }
        });
        load
    }

    fn was_taken(&mut self) {
        let now = Instant::now();
        if let Some(last) = self.last.replace(now) {
            self.gap = self.gap.max(now - last);
        }
        self.taken += 1;
    }
}

fn base(port: u16, sink: u16) -> String {
    format!(
        "receivers: {{otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:{port}'}}}}}}}}\n\
         exporters: {{otlphttp: {{endpoint: 'http://127.0.0.1:{sink}', encoding: json, compression: none}}}}\n\
         service: {{telemetry: {{metrics: {{level: none}}}}, pipelines: {{traces: {{receivers: [otlp], exporters: [otlphttp]}}}}}}\n"
    )
}

/// How long this Collector takes from its start until it takes a span.
async fn own_start(dir: &std::path::Path, sink: u16) -> Duration {
    let port = free_port();
    let file = dir.join("alone.yaml");
    fs::write(&file, base(port, sink)).unwrap();
    let began = Instant::now();
    let mut alone = Command::new(next_collector())
        .arg("--config")
        .arg(&file)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let load = Load::start(port);
    while load.lock().unwrap().taken == 0 {
        assert!(began.elapsed() < DEADLINE, "a Collector alone takes a span");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let took = began.elapsed();
    load.lock().unwrap().stop = true;
    alone.kill().unwrap();
    alone.wait().unwrap();
    took
}

/// A host with a real Collector between the load and the sink.
fn loaded(server: &Server, store: &Store, port: u16, sink: u16) -> Host {
    let key = store.public_key().display().to_string();
    let host = Host::new(&server.endpoint, &real_collector()).capability("accepts_packages: true").top(&format!(
        "packages: {{signature: {{public_key_files: [\"{key}\"]}}, download: {{plain_http: true}}, downgrade: allow, \
         trial: {{first_health: 20s, healthy_for: 2s}}}}"
    ));
    let local = host.dir.path().join("base.yaml");
    fs::write(&local, base(port, sink)).unwrap();
    host.agent(&format!("config_files: [{}]", local.display()))
}

/// Ends the load, and waits until every span that was taken is at the sink.
async fn all_arrive(sink: &Sink, load: &Mutex<Load>) {
    load.lock().unwrap().stop = true;
    let sent = load.lock().unwrap().taken;
    let began = Instant::now();
    let arrived = || {
        let spans: BTreeSet<String> = sink.spans.lock().unwrap().iter().cloned().collect();
        spans.len() as u64
    };
    while arrived() < sent {
        assert!(began.elapsed() < DEADLINE, "{} of {sent} spans arrived", arrived());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn taken(load: &Arc<Mutex<Load>>, more: u64) {
    let goal = load.lock().unwrap().taken + more;
    let began = Instant::now();
    while load.lock().unwrap().taken < goal {
        assert!(began.elapsed() < DEADLINE, "spans are taken");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_9_a_real_collector_is_upgraded_under_load_with_the_config_that_only_it_can_run() {
    let (server, store, sink) = (Server::start().await, Store::new().await, Sink::default());
    let (port, sink_port) = (free_port(), sink.start().await);
    let host = loaded(&server, &store, port, sink_port);
    let alone = own_start(host.dir.path(), sink_port).await;
    let supervisor = host.start();
    runs(&server, "0.149.0").await;
    let load = Load::start(port);
    taken(&load, 200).await;

    let next = store.add(fs::read(next_collector()).unwrap(), &Says::version("0.150.0"));
    let (offered, pushed) = (offer(&[("otelcol", &next)]), config("a", WITH_ATTRIBUTES));
    server.offer_packages(&offered).await;
    server.say(ServerToAgent { remote_config: Some(pushed.clone()), ..ServerToAgent::default() }).await;
    let known =
        server.until("both came to an end", |known| ended(known, &offered) && known.settled(&pushed)).await;
    let told = known.package("otelcol");
    assert_eq!((told.status, told.error_message.as_str()), (INSTALLED, ""));
    assert_eq!(known.status().status, RemoteConfigStatuses::Applied as i32, "{:?}", known.status());
    runs(&server, "0.150.0").await;
    taken(&load, 200).await;
    assert!(*sink.upgraded.lock().unwrap() > 0, "what the new component adds arrives");
    let gap = load.lock().unwrap().gap;
    println!(
        "upgrade under load: no span was taken for {gap:?}; the new Collector alone takes its first after {alone:?}"
    );

    let old = store.add(fs::read(real_collector()).unwrap(), &Says::version("0.149.0"));
    let told = install(&server, &old).await;
    assert!(told.status == FAILED && told.error_message.contains("does not run what runs"), "{told:?}");
    let back = config(
        "b",
        "receivers: {nop: }\nexporters: {nop: }\nservice: {pipelines: {logs: {receivers: [nop], exporters: [nop]}}}\n",
    );
    assert_eq!(server.push(&back).await.status, RemoteConfigStatuses::Applied as i32);
    let old =
        store.add([fs::read(real_collector()).unwrap(), b"\n".to_vec()].concat(), &Says::version("0.149.0"));
    let told = install(&server, &old).await;
    assert_eq!((told.status, told.agent_has_version.as_str()), (INSTALLED, "0.149.0"), "{told:?}");
    taken(&load, 200).await;
    all_arrive(&sink, &load).await;
    assert!(supervisor.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_110_the_supervisor_is_replaced_under_load_and_no_span_notices() {
    let (server, files, sink) = (Server::start().await, Store::new().await, Sink::default());
    let (port, sink_port) = (free_port(), sink.start().await);
    let host = loaded(&server, &files, port, sink_port);
    let supervisor = host.start();
    runs(&server, "0.149.0").await;
    let (load, collector) = (Load::start(port), host.collector_pid());
    taken(&load, 200).await;
    for (mark, version) in [("one", "0.1.1"), ("two", "0.1.2")] {
        let told = given(&server, &package(&files, &store::supervisor(mark), version)).await;
        assert_eq!((told.status, told.agent_has_version.as_str()), (INSTALLED, version), "{told:?}");
        taken(&load, 200).await;
    }
    assert!(alive(collector) && host.collector_pid() == collector);
    println!("two supervisors later: no span was taken for {:?} at most", load.lock().unwrap().gap);
    all_arrive(&sink, &load).await;
    assert!(supervisor.stop().await.success());
}
