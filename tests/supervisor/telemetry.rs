//! `telemetry`: what the supervisor says of itself, over OTLP.

use std::{
    convert::Infallible,
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use opamp::wire::{
    otlp::{
        ExportLogs, ExportMetrics, ExportTraces, KeyValue, LogRecord, Metric, Span, any_value::Value,
        number_data_point,
    },
    proto::RemoteConfigStatuses,
};
use prost::Message;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::{TcpListener, TcpStream},
    process::Command,
    sync::watch,
    time::timeout,
};

use super::harness::{DEADLINE, Host, Server, config, fake_collector, real_collector};

const GOOD: &str = "receivers: {otlp: {}}\nexporters: {debug: {}}\nservice: {pipelines: {traces: {receivers: [otlp], exporters: [debug]}}}\n";

/// What an endpoint received.
#[derive(Clone, Debug, Default)]
struct Got {
    logs: Vec<LogRecord>,
    metrics: Vec<Metric>,
    spans: Vec<Span>,
    resource: Vec<KeyValue>,
    keys: Vec<String>,
    requests: usize,
}

impl Got {
    fn logged(&self, words: &str) -> bool {
        self.logs.iter().any(|record| {
            let body = record.body.as_ref().and_then(|body| body.value.as_ref());
            matches!(body, Some(Value::StringValue(text)) if text.contains(words))
        })
    }

    fn resource(&self, key: &str) -> Option<&Value> {
        self.resource.iter().find(|attribute| attribute.key == key)?.value.as_ref()?.value.as_ref()
    }

    /// The last value of a metric with this attribute, or without any.
    fn metric(&self, name: &str, attribute: Option<&str>) -> Option<i64> {
        let points = self.metrics.iter().rev().find(|metric| metric.name == name)?.sum.clone()?.data_points;
        let is = |point: &&opamp::wire::otlp::NumberDataPoint| {
            attribute.is_none_or(|wanted| format!("{:?}", point.attributes).contains(wanted))
        };
        match points.iter().find(is)?.value? {
            number_data_point::Value::AsInt(value) => Some(value),
            number_data_point::Value::AsDouble(value) => panic!("{name} is {value}"),
        }
    }
}

struct Endpoint {
    url: String,
    got: watch::Receiver<Got>,
    refuse: Arc<Mutex<usize>>,
}

impl Endpoint {
    /// One that answers 503 so many times first.
    async fn start(refuse: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (tell, got) = watch::channel(Got::default());
        let refuse = Arc::new(Mutex::new(refuse));
        let refusing = refuse.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tell, refusing) = (tell.clone(), refusing.clone());
                let service = service_fn(move |request| receive(request, tell.clone(), refusing.clone()));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { url, got, refuse }
    }

    async fn until(&self, what: &str, so: impl Fn(&Got) -> bool) -> Got {
        let mut got = self.got.clone();
        let waited = timeout(DEADLINE, got.wait_for(|got| so(got))).await;
        match waited {
            Ok(got) => got.unwrap().clone(),
            Err(_) => panic!("not within {DEADLINE:?}: {what}; there is {:?}", self.got.borrow()),
        }
    }
}

async fn receive(
    request: Request<Incoming>,
    tell: watch::Sender<Got>,
    refuse: Arc<Mutex<usize>>,
) -> Result<Response<Full<hyper::body::Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    let key = request.headers().get("x-api-key").map(|key| key.to_str().unwrap().to_owned());
    let gzipped = request.headers().get("content-encoding").is_some();
    let bytes = request.into_body().collect().await.unwrap().to_bytes();
    let refused = {
        let mut left = refuse.lock().unwrap();
        let refused = *left > 0;
        *left = left.saturating_sub(1);
        refused
    };
    tell.send_modify(|got| got.requests += 1);
    let mut answer = Response::new(Full::default());
    if refused {
        *answer.status_mut() = hyper::StatusCode::SERVICE_UNAVAILABLE;
        return Ok(answer);
    }
    let bytes = if gzipped {
        let mut plain = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&*bytes), &mut plain).unwrap();
        plain.into()
    } else {
        bytes
    };
    tell.send_modify(|got| {
        got.keys.extend(key);
        match path.as_str() {
            "/v1/logs" => {
                for logs in ExportLogs::decode(&*bytes).unwrap().resource_logs {
                    got.resource = logs.resource.unwrap().attributes;
                    got.logs.extend(logs.scope_logs.into_iter().flat_map(|scope| scope.log_records));
                }
            }
            "/v1/metrics" => {
                for metrics in ExportMetrics::decode(&*bytes).unwrap().resource_metrics {
                    got.metrics.extend(metrics.scope_metrics.into_iter().flat_map(|scope| scope.metrics));
                }
            }
            "/v1/traces" => {
                for spans in ExportTraces::decode(&*bytes).unwrap().resource_spans {
                    got.spans.extend(spans.scope_spans.into_iter().flat_map(|scope| scope.spans));
                }
            }
            other => panic!("nothing is sent to {other}"),
        }
    });
    Ok(answer)
}

/// Everything goes to one endpoint, besides the log's file.
fn exporting(host: Host, url: &str) -> Host {
    let log = host.dir.path().join("supervisor.log").display().to_string();
    let exporter = format!(
        "exporter: {{otlp: {{protocol: http/protobuf, endpoint: \"{url}\", compression: gzip, headers: [{{name: x-api-key, value: sesame123}}]}}}}"
    );
    host.telemetry(&format!(
        "telemetry:\n  logs:\n    output_paths: [\"{log}\"]\n    processors: [{{batch: {{schedule_delay: 50, {exporter}}}}}]\n  \
         traces:\n    processors: [{{simple: {{{exporter}}}}}]\n  \
         metrics:\n    level: basic\n    readers: [{{periodic: {{interval: 200, {exporter}}}}}]\n  \
         resource:\n    schema_url: https://opentelemetry.io/schemas/1.30.0\n    attributes: [{{name: site, value: 12, type: int}}]\n    \
         detection/development: {{detectors: [{{host: }}]}}"
    ))
}

#[tokio::test]
async fn logs_numbers_and_spans_reach_an_otlp_endpoint() {
    let (server, endpoint) = (Server::start().await, Endpoint::start(0).await);
    let host = exporting(Host::new(&server.endpoint, &fake_collector()).fake(""), &endpoint.url);
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    let status = server.push(&config("p.yaml", GOOD)).await;
    assert_eq!(status.status, RemoteConfigStatuses::Applied as i32, "{status:?}");
    let got = endpoint
        .until("all three are there", |got| {
            got.logged("the config is applied")
                && got.metric("supervisor.agent.health_status", None) == Some(1)
                && got.metric("supervisor.server.connected", None) == Some(1)
                && got.metric("supervisor.config.applies", Some("applied")) == Some(1)
                && got.spans.iter().any(|span| span.name == "apply a remote config")
                && got.spans.iter().any(|span| span.name == "start the Collector")
        })
        .await;
    assert_eq!(got.resource("service.name"), Some(&Value::StringValue("opamp-supervisor".into())));
    assert_eq!(got.resource("site"), Some(&Value::IntValue(12)));
    assert!(got.resource("host.name").is_some(), "{:?}", got.resource);
    assert!(got.keys.iter().all(|key| key == "sesame123") && !got.keys.is_empty());
    assert!(!host.log().contains("sesame123"));

    // A dead Collector is a 0, and the supervisor's last words come out too.
    server.push(&config("p.yaml", "receivers: {nonsense: {}}\n")).await;
    endpoint
        .until("the failure is counted", |got| {
            got.metric("supervisor.config.applies", Some("failed")) == Some(1)
                && got.spans.iter().any(|span| span.status.as_ref().is_some_and(|status| status.code == 2))
        })
        .await;
    assert!(supervisor.stop().await.success());
    endpoint
        .until("the last words", |got| got.logged("stopping the Collector") && got.logged("stopped"))
        .await;
}

#[tokio::test]
async fn an_endpoint_that_refuses_at_first_gets_everything_later_and_is_told_of_once() {
    let (server, endpoint) = (Server::start().await, Endpoint::start(4).await);
    let host = exporting(Host::new(&server.endpoint, &fake_collector()).fake(""), &endpoint.url);
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    endpoint.until("what was refused comes again", |got| got.logged("the Collector runs")).await;
    assert_eq!(*endpoint.refuse.lock().unwrap(), 0);
    assert!(supervisor.stop().await.success());
    let log = host.log();
    let told = log.lines().filter(|line| line.contains("logs cannot be exported")).count();
    assert!(told == 1 && log.contains("503"), "told once: {log}");
}

#[tokio::test]
async fn an_endpoint_that_is_away_keeps_nobody_from_working_or_stopping() {
    let server = Server::start().await;
    let host = exporting(Host::new(&server.endpoint, &fake_collector()).fake(""), "http://127.0.0.1:9");
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    let status = server.push(&config("p.yaml", GOOD)).await;
    assert_eq!(status.status, RemoteConfigStatuses::Applied as i32, "{status:?}");
    let stopping = timeout(Duration::from_secs(15), supervisor.stop());
    assert!(stopping.await.expect("it stops in time").success());
    let told = host.log().lines().filter(|line| line.contains("metrics cannot be exported")).count();
    assert_eq!(told, 1, "told once, not at each interval: {}", host.log());
}

#[tokio::test]
async fn a_real_collector_understands_what_is_exported() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let pipeline = "{receivers: [otlp], exporters: [debug]}";
    let receiver = format!(
        "yaml:{{receivers: {{otlp: {{protocols: {{http: {{endpoint: \"127.0.0.1:{port}\"}}}}}}}}, exporters: {{debug: {{verbosity: detailed}}}}, \
         service: {{telemetry: {{metrics: {{level: none}}}}, pipelines: {{logs: {pipeline}, metrics: {pipeline}, traces: {pipeline}}}}}}}"
    );
    let mut collector = Command::new(real_collector())
        .args(["--config", &receiver])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(collector.stderr.take().unwrap()).lines();
    let ready = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.contains("Everything is ready") {
                return;
            }
        }
        panic!("the receiving Collector ended");
    };
    timeout(DEADLINE, ready).await.expect("the receiving Collector is ready");
    drop(TcpStream::connect(("127.0.0.1", port)).await.unwrap());

    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("");
    let host = exporting(host, &format!("http://127.0.0.1:{port}"));
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    let mut missing = vec![
        "Name: supervisor.agent.health_status",
        "AggregationTemporality: Cumulative",
        "service.name: Str(opamp-supervisor)",
        "site: Int(12)",
        "SchemaURL: https://opentelemetry.io/schemas/1.30.0",
        "Body: Str(the Collector runs)",
        "SeverityText: INFO",
        "SeverityNumber: Info(9)",
        "Name           : start the Collector",
        "Status code    : Ok",
        "Kind           : Internal",
        "Value: 1",
    ];
    let reading = async {
        while !missing.is_empty() {
            let line = lines.next_line().await.unwrap().expect("the receiving Collector runs");
            missing.retain(|words| !line.contains(words));
        }
    };
    let read = timeout(DEADLINE, reading).await;
    assert!(read.is_ok(), "the Collector does not show {missing:?}");
    assert!(supervisor.stop().await.success());
}
