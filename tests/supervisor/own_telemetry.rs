//! Where the agent's own telemetry goes by the server's word: that of a real Collector, and the supervisor's.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fs,
    sync::{Arc, Mutex},
};

use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use opamp::wire::{
    attrs,
    otlp::{ExportLogs, ExportMetrics, ExportTraces, Resource, any_value::Value},
    proto::{
        ConnectionSettingsOffers, ConnectionSettingsStatuses, Header, Headers, RemoteConfigStatuses,
        ServerToAgent, TelemetryConnectionSettings,
    },
};
use prost::Message;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    time::timeout,
};

use super::harness::{DEADLINE, Host, Known, Server, config, fake_collector, real_collector};

const OURS: &str = "opamp-supervisor";

/// One request: its path, its key, and for each resource in it who that is, whose scope, and what.
#[derive(Clone, Debug)]
struct Got {
    path: String,
    key: Option<String>,
    who: BTreeMap<String, String>,
    ours: bool,
    names: Vec<String>,
}

/// A receiver of OTLP over HTTP.
struct Sink {
    url: String,
    got: Arc<Mutex<Vec<Got>>>,
    count: watch::Receiver<usize>,
}

impl Sink {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (tell, count) = watch::channel(0);
        let got = Arc::<Mutex<Vec<Got>>>::default();
        let kept = got.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tell, kept) = (tell.clone(), kept.clone());
                let service = service_fn(move |request| receive(request, tell.clone(), kept.clone()));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { url, got, count }
    }

    fn all(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }

    async fn until(&self, what: &str, so: impl Fn(&[Got]) -> bool) -> Vec<Got> {
        let mut count = self.count.clone();
        let waited = timeout(DEADLINE, count.wait_for(|_| so(&self.all()))).await;
        assert!(waited.is_ok(), "not within {DEADLINE:?}: {what}; there is {:#?}", self.all());
        self.all()
    }
}

async fn receive(
    request: Request<Incoming>,
    tell: watch::Sender<usize>,
    kept: Arc<Mutex<Vec<Got>>>,
) -> Result<Response<Full<hyper::body::Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    let key = request.headers().get("x-api-key").map(|key| key.to_str().unwrap().to_owned());
    let bytes = request.into_body().collect().await.unwrap().to_bytes();
    kept.lock().unwrap().extend(read(&path, &bytes).into_iter().map(|(resource, ours, names)| Got {
        path: path.clone(),
        key: key.clone(),
        who: who(resource),
        ours,
        names,
    }));
    tell.send_modify(|count| *count += 1);
    Ok(Response::new(Full::default()))
}

type Part = (Option<Resource>, bool, Vec<String>);

fn read(path: &str, bytes: &[u8]) -> Vec<Part> {
    let is_ours = |scope: Option<&opamp::wire::otlp::Scope>| scope.is_some_and(|scope| scope.name == OURS);
    if path.ends_with("metrics") {
        let all = ExportMetrics::decode(bytes).unwrap().resource_metrics.into_iter();
        all.map(|one| {
            let ours = one.scope_metrics.iter().any(|scope| is_ours(scope.scope.as_ref()));
            let metrics = one.scope_metrics.into_iter().flat_map(|scope| scope.metrics);
            (one.resource, ours, metrics.map(|metric| metric.name).collect())
        })
        .collect()
    } else if path.ends_with("logs") {
        let all = ExportLogs::decode(bytes).unwrap().resource_logs.into_iter();
        all.map(|one| {
            let ours = one.scope_logs.iter().any(|scope| is_ours(scope.scope.as_ref()));
            (one.resource, ours, Vec::new())
        })
        .collect()
    } else {
        let all = ExportTraces::decode(bytes).unwrap().resource_spans.into_iter();
        all.map(|one| {
            let ours = one.scope_spans.iter().any(|scope| is_ours(scope.scope.as_ref()));
            let spans = one.scope_spans.into_iter().flat_map(|scope| scope.spans);
            (one.resource, ours, spans.map(|span| span.name).collect())
        })
        .collect()
    }
}

fn who(resource: Option<Resource>) -> BTreeMap<String, String> {
    let attributes = resource.unwrap_or_default().attributes.into_iter();
    let text = |value: Option<Value>| match value {
        Some(Value::StringValue(text)) => text,
        other => format!("{other:?}"),
    };
    attributes.map(|one| (one.key, text(one.value.and_then(|value| value.value)))).collect()
}

fn to(endpoint: &str) -> Option<TelemetryConnectionSettings> {
    let headers = vec![Header { key: "x-api-key".into(), value: "sesame-$x-\"'123".into() }];
    Some(TelemetryConnectionSettings {
        destination_endpoint: endpoint.into(),
        headers: Some(Headers { headers }),
        ..Default::default()
    })
}

/// Offers these settings, and waits for what came of it.
async fn offer(server: &Server, hash: u8, settings: ConnectionSettingsOffers) -> (i32, String) {
    let settings = ConnectionSettingsOffers { hash: vec![hash], ..settings };
    server.say(ServerToAgent { connection_settings: Some(settings), ..Default::default() }).await;
    let settled = |known: &Known| {
        status(known)
            .filter(|(of, status, _)| *of == [hash] && *status != ConnectionSettingsStatuses::Applying as i32)
    };
    let known = server.until("the settings are applied or failed", |known| settled(known).is_some()).await;
    let (_, status, why) = settled(&known).unwrap();
    (status, why)
}

fn status(known: &Known) -> Option<(Vec<u8>, i32, String)> {
    let status = known.view.as_ref()?.report.connection_settings_status.clone()?;
    Some((status.last_connection_settings_hash, status.status, status.error_message))
}

const APPLIED: i32 = ConnectionSettingsStatuses::Applied as i32;
const FAILED: i32 = ConnectionSettingsStatuses::Failed as i32;

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A supervisor that lets the server say where everything goes, and a Collector with a port for metrics of its own.
fn telling(server: &Server, executable: &std::path::Path) -> Host {
    let host = Host::new(&server.endpoint, executable)
        .capability("reports_own_logs: true")
        .capability("reports_own_traces: true");
    let base = host.dir.path().join("base.yaml");
    let reader =
        format!("{{pull: {{exporter: {{prometheus: {{host: 127.0.0.1, port: {}}}}}}}}}", free_port());
    fs::write(&base, format!("service: {{telemetry: {{metrics: {{readers: [{reader}]}}}}}}\n")).unwrap();
    host.agent(&format!("config_files: [\"{}\", $OWN_TELEMETRY_CONFIG, $REMOTE_CONFIG]", base.display()))
}

fn pipeline(port: u16) -> String {
    format!(
        "receivers: {{otlp: {{protocols: {{http: {{endpoint: \"127.0.0.1:{port}\"}}}}}}}}\nexporters: {{debug: {{}}}}\n\
         service: {{pipelines: {{traces: {{receivers: [otlp], exporters: [debug]}}}}}}\n"
    )
}

/// A request that the Collector's receiver makes a span of.
async fn be_traced(port: u16) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let request = "POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\
                   connection: close\r\n\r\n{}";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(DEADLINE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn c_ot_02_03_05_06_07_08_c_id_08_12_collector_and_supervisor_report_as_one_agent_where_the_server_wants()
 {
    let (server, sink) = (Server::start().await, Sink::start().await);
    let host = telling(&server, &real_collector());
    let supervisor = host.start();
    server.until("the agent is healthy", Known::healthy).await;
    let port = free_port();
    let applied = server.push(&config("p.yaml", &pipeline(port))).await;
    assert_eq!(applied.status, RemoteConfigStatuses::Applied as i32, "{applied:?}");
    let settings = ConnectionSettingsOffers {
        own_metrics: to(&format!("{}/m/v1/metrics", sink.url)),
        own_traces: to(&format!("{}/t/v1/traces", sink.url)),
        own_logs: to(&format!("{}/l/v1/logs", sink.url)),
        ..Default::default()
    };
    assert_eq!(offer(&server, 1, settings).await, (APPLIED, String::new()));
    server.until("it is healthy with it", Known::healthy).await;
    be_traced(port).await;
    server.restart().await;
    let has =
        |got: &[Got], path: &str, ours: bool| got.iter().any(|one| one.path == path && one.ours == ours);
    let got = sink
        .until("all three of both", |got| {
            let paths = ["/m/v1/metrics", "/t/v1/traces", "/l/v1/logs"];
            paths.iter().all(|path| has(got, path, true) && has(got, path, false))
        })
        .await;
    assert!(got.iter().all(|one| one.key.as_deref() == Some("sesame-$x-\"'123")), "{got:#?}");
    let names: Vec<_> = got.iter().filter(|one| one.ours).flat_map(|one| &one.names).collect();
    for name in
        ["process.cpu.time", "process.memory.usage", "process.uptime", "supervisor.agent.health_status"]
    {
        assert!(names.iter().any(|known| *known == name), "{name} is not among {names:?}");
    }
    let known = server.until("the agent is described", |known| known.view.is_some()).await;
    let description = known.view.unwrap().report.description.unwrap();
    for attribute in &description.identifying_attributes {
        let value = attribute.value.as_ref().map(attrs::text);
        for one in &got {
            assert_eq!(one.who.get(&attribute.key), value.as_ref(), "{}: {one:?}", attribute.key);
        }
    }
    let said = attrs::to_map(&description.non_identifying_attributes);
    for one in &got {
        let copied = one.who.iter().filter_map(|(key, value)| Some((value, said.get(key)?)));
        copied.for_each(|(value, said)| assert_eq!(value, said, "{one:?}"));
    }
    assert!(!host.log().contains("sesame-$x"));
    let known =
        server.until("the effective config", |known| known.effective().contains("/m/v1/metrics")).await;
    assert!(!known.effective().contains("sesame-"), "{}", known.effective());
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn an_endpoint_that_is_away_costs_the_collector_neither_its_config_nor_its_end_in_time() {
    let server = Server::start().await;
    let host = telling(&server, &real_collector());
    let supervisor = host.start();
    server.until("the agent is healthy", Known::healthy).await;
    let nowhere = to("http://127.0.0.1:9/v1/x");
    let settings =
        ConnectionSettingsOffers { own_metrics: nowhere.clone(), own_logs: nowhere, ..Default::default() };
    assert_eq!(offer(&server, 1, settings).await.0, APPLIED);
    // A SIGHUP would be its death now: it cannot send what it has, and ends.
    let status = server.push(&config("p.yaml", &pipeline(free_port()))).await;
    assert_eq!(status.status, RemoteConfigStatuses::Applied as i32, "{status:?}");
    assert!(supervisor.stop().await.success());
    assert!(!host.log().contains("SIGKILL"), "{}", host.log());
}

#[tokio::test]
async fn c_cs_01_10_c_ot_01_c_ct_04_settings_are_partial_survive_a_restart_and_can_be_taken_back() {
    let server = Server::start().await;
    let host = telling(&server, &fake_collector()).fake("");
    let supervisor = host.start();
    server.until("the agent is healthy", Known::healthy).await;
    let (metrics, logs) = ("http://127.0.0.1:9/one/v1/metrics", "http://127.0.0.1:9/two/v1/logs");
    let one = ConnectionSettingsOffers { own_metrics: to(metrics), ..Default::default() };
    assert_eq!(offer(&server, 1, one).await, (APPLIED, String::new()));
    let two = ConnectionSettingsOffers { own_logs: to(logs), ..Default::default() };
    assert_eq!(offer(&server, 2, two).await, (APPLIED, String::new()));
    let both =
        |known: &Known| known.healthy() && [metrics, logs].iter().all(|url| known.effective().contains(url));
    server.until("both are in effect", both).await;

    // What cannot be honoured touches nothing.
    let pid = host.collector_pid();
    let wrong = ConnectionSettingsOffers { own_traces: to("grpc://127.0.0.1:4317"), ..Default::default() };
    let (status, why) = offer(&server, 3, wrong).await;
    assert!(status == FAILED && why.contains("own_traces: destination_endpoint"), "{why}");
    assert_eq!(host.collector_pid(), pid);
    assert!(supervisor.stop().await.success());

    let supervisor = host.start();
    server.until("both are in effect again", |known| known.connections == 2 && both(known)).await;
    let none = Some(TelemetryConnectionSettings::default());
    let back = ConnectionSettingsOffers { own_metrics: none, ..Default::default() };
    assert_eq!(offer(&server, 4, back).await, (APPLIED, String::new()));
    server.until("one is taken back", |known| !known.effective().contains(metrics)).await;
    assert!(server.until("it is well", Known::healthy).await.effective().contains(logs));
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn c_cs_10_settings_that_the_collector_does_not_do_with_are_taken_back_and_failed() {
    let server = Server::start().await;
    let host = telling(&server, &fake_collector()).fake("config_marker=poison");
    let supervisor = host.start();
    server.until("the agent is healthy", Known::healthy).await;
    let good = "http://127.0.0.1:9/good/v1/metrics";
    let one = ConnectionSettingsOffers { own_metrics: to(good), ..Default::default() };
    assert_eq!(offer(&server, 1, one).await, (APPLIED, String::new()));
    let bad = ConnectionSettingsOffers { own_metrics: to("http://127.0.0.1:9/poison"), ..Default::default() };
    let (status, why) = offer(&server, 2, bad).await;
    assert!(status == FAILED && why.contains("with it, the Collector"), "{why}");
    server.until("what was before runs", |known| known.healthy() && known.effective().contains(good)).await;
    assert!(!host.log().contains("supervisor.yaml on disk is not in force"), "{}", host.log());

    // And it is what the next start runs with.
    assert!(supervisor.stop().await.success());
    let supervisor = host.start();
    let again = |known: &Known| known.connections == 2 && known.healthy() && known.effective().contains(good);
    server.until("the good one is in effect", again).await;
    assert!(supervisor.stop().await.success());
}
