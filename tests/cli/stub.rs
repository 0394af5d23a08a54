//! A server of the shapes that `opampctl` relies on, and a way to run `opampctl` against it.

use std::collections::BTreeMap;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use axum::Json;
use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};
use tokio::sync::broadcast;

pub(super) const TOKEN: &str = "stub-token-0123456789";

/// Objects by `kind/name`, the calls that came in, and what agents answer when they are given a config.
#[derive(Default)]
pub(super) struct World {
    pub(super) objects: BTreeMap<String, Value>,
    pub(super) calls: Vec<String>,
    /// What each agent says of a new config; nothing when it is silent.
    pub(super) verdict: Option<(&'static str, &'static str)>,
}

pub(super) struct Stub {
    pub(super) url: String,
    pub(super) world: Arc<Mutex<World>>,
    pub(super) events: broadcast::Sender<String>,
    home: tempfile::TempDir,
    _runtime: tokio::runtime::Runtime,
}

#[derive(Clone)]
struct Shared(Arc<Mutex<World>>, broadcast::Sender<String>);

/// What `opampctl` said.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) code: i32,
    pub(super) out: String,
    pub(super) err: String,
}

pub(super) fn agent(uid: &str, name: &str) -> Value {
    json!({
        "metadata": {"instanceUid": uid, "namespace": "default", "type": "otelcol", "description": {
            "identifyingAttributes": {"service.name": name, "service.version": "0.149.0"},
            "nonIdentifyingAttributes": {"os.type": "linux", "host.name": "h1"}}},
        "spec": {"remoteConfig": {"remoteConfigNames": []}},
        "status": {"connected": true, "connectionType": "WebSocket", "sequenceNum": 7,
            "componentHealth": {"healthy": true}, "lastReportedAt": "2026-11-21T04:05:50Z"},
    })
}

impl Stub {
    pub(super) fn start() -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let world = Arc::new(Mutex::new(World::default()));
        let (events, _) = broadcast::channel(16);
        let app = router(Shared(world.clone(), events.clone()));
        runtime.spawn(async move { axum::serve(listener, app).await });
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("token"), format!("{TOKEN}\n")).unwrap();
        Self { url, world, events, home, _runtime: runtime }
    }

    pub(super) fn with_agents(names: &[(&str, &str)]) -> Self {
        let stub = Self::start();
        for (uid, name) in names {
            stub.world.lock().unwrap().objects.insert(format!("agents/{uid}"), agent(uid, name));
        }
        stub
    }

    pub(super) fn file(&self, name: &str, text: &str) -> String {
        let path = self.home.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// `opampctl` with this server and a good token, and nothing of the person's own environment.
    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = bare(self.home.path());
        command.args(["--server", &self.url, "--token-file"]).arg(self.home.path().join("token"));
        command.args(arguments);
        command
    }

    pub(super) fn run(&self, arguments: &[&str]) -> Said {
        said(self.command(arguments).output().unwrap())
    }

    pub(super) fn home(&self) -> &std::path::Path {
        self.home.path()
    }

    pub(super) fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.world.lock().unwrap().calls)
    }
}

pub(super) fn bare(home: &std::path::Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_opampctl"));
    command.env_clear().env("HOME", home).stdin(Stdio::null());
    command
}

pub(super) fn said(output: Output) -> Said {
    Said {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn router(shared: Shared) -> Router {
    Router::new()
        .route(
            "/api/v1/version",
            get(|| async { Json(json!({"gitVersion": "v9", "platform": "linux/amd64"})) }),
        )
        .route(
            "/api/v1/auth/info",
            get(|| async { Json(json!({"authenticated": true, "email": "admin@x"})) }),
        )
        .route("/api/v1/auth/basic", get(basic))
        .route("/api/v1/watch", get(watch))
        .route("/api/v1/namespaces", get(namespaces))
        .route("/api/v1/namespaces/{ns}/{kind}", get(list).post(create))
        .route("/api/v1/namespaces/{ns}/{kind}/{name}", get(read).put(replace).delete(remove))
        .layer(axum::middleware::from_fn_with_state(shared.clone(), note))
        .with_state(shared)
}

async fn note(
    State(shared): State<Shared>,
    request: axum::extract::Request,
    next: axum::middleware::Next,
) -> Response {
    let line = format!("{} {}", request.method(), request.uri());
    shared.0.lock().unwrap().calls.push(line);
    let bearer = request.headers().get("authorization").and_then(|value| value.to_str().ok());
    if bearer != Some(&format!("Bearer {TOKEN}")) && !request.uri().path().ends_with("/auth/basic") {
        return (StatusCode::UNAUTHORIZED, Json(json!({"error": "unauthorized"}))).into_response();
    }
    next.run(request).await
}

async fn basic(headers: HeaderMap) -> Response {
    // admin:pw
    match headers.get("authorization").and_then(|value| value.to_str().ok()) {
        Some("Basic YWRtaW46cHc=") => Json(json!({"token": TOKEN})).into_response(),
        _ => StatusCode::UNAUTHORIZED.into_response(),
    }
}

/// Each agent, a bookmark, then what the test sends.
async fn watch(State(shared): State<Shared>) -> Response {
    use futures_util::stream::unfold;
    let events = shared.1.subscribe();
    let world = shared.0.lock().unwrap();
    let agents = world.objects.iter().filter(|(key, _)| key.starts_with("agents/"));
    let mut first: Vec<String> =
        agents.map(|(_, agent)| json!({"type": "ADDED", "object": agent}).to_string()).collect();
    first.push(json!({"type": "BOOKMARK", "object": {"kind": "Agent"}}).to_string());
    let events = unfold((first.into_iter(), events), |(mut first, mut events)| async move {
        let data = match first.next() {
            Some(data) => data,
            None => events.recv().await.ok()?,
        };
        Some((Ok::<_, std::io::Error>(format!(": alive\n\ndata: {data}\n\n")), (first, events)))
    });
    ([("content-type", "text/event-stream")], axum::body::Body::from_stream(events)).into_response()
}

async fn namespaces() -> Json<Value> {
    let item = |name: &str| json!({"metadata": {"name": name}});
    Json(json!({"metadata": {"continue": ""}, "items": [item("default"), item("team")]}))
}

/// Two items a page, as `continue` an offset, and one empty page at the end, as Commander has it.
async fn list(
    State(shared): State<Shared>,
    Path((ns, kind)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Json<Value> {
    let query = query.unwrap_or_default();
    let pairs: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let from: usize =
        pairs.iter().find(|(key, _)| key == "continue").map_or(0, |(_, value)| value.parse().unwrap());
    let world = shared.0.lock().unwrap();
    let of_kind = world.objects.iter().filter(|(key, _)| key.starts_with(&format!("{kind}/")));
    let all: Vec<&Value> =
        of_kind.map(|(_, value)| value).filter(|v| v["metadata"]["namespace"] == ns).collect();
    let page: Vec<&Value> = all.iter().skip(from).take(2).copied().collect();
    let next = if page.is_empty() { String::new() } else { (from + page.len()).to_string() };
    Json(json!({"metadata": {"continue": next, "remainingItemCount": 0}, "items": page}))
}

fn absent() -> Response {
    let problem = json!({"title": "Not Found", "status": 404, "detail": "The requested resource does not exist.",
        "errors": [{"message": "resource not found", "location": "server"}]});
    (StatusCode::NOT_FOUND, Json(problem)).into_response()
}

async fn read(
    State(shared): State<Shared>,
    Path((_, kind, name)): Path<(String, String, String)>,
) -> Response {
    let world = shared.0.lock().unwrap();
    world.objects.get(&format!("{kind}/{name}")).map_or_else(absent, |value| Json(value).into_response())
}

async fn create(
    State(shared): State<Shared>,
    Path((_, kind)): Path<(String, String)>,
    Json(body): Json<Value>,
) -> Response {
    let name = body["metadata"]["name"].as_str().unwrap().to_owned();
    shared.0.lock().unwrap().objects.insert(format!("{kind}/{name}"), body.clone());
    (StatusCode::CREATED, Json(body)).into_response()
}

async fn replace(
    State(shared): State<Shared>,
    Path((_, kind, name)): Path<(String, String, String)>,
    Json(body): Json<Value>,
) -> Response {
    let mut world = shared.0.lock().unwrap();
    let verdict = world.verdict;
    let Some(object) = world.objects.get_mut(&format!("{kind}/{name}")) else { return absent() };
    if kind != "agents" {
        *object = body;
        return Json(object.clone()).into_response();
    }
    if let Some(names) = body.pointer("/spec/remoteConfig/remoteConfigNames") {
        object["spec"]["remoteConfig"]["remoteConfigNames"] = names.clone();
        object["status"]["desiredConfigHash"] = "aabbccddeeff00112233".into();
    }
    let answer = object.clone();
    if let Some((status, message)) = verdict {
        object["status"]["remoteConfigStatus"] = json!({"status": status, "errorMessage": message,
            "lastRemoteConfigHash": "aabbccddeeff00112233"});
    }
    Json(answer).into_response()
}

async fn remove(
    State(shared): State<Shared>,
    Path((_, kind, name)): Path<(String, String, String)>,
) -> Response {
    let gone = shared.0.lock().unwrap().objects.remove(&format!("{kind}/{name}"));
    gone.map_or_else(absent, |_| StatusCode::NO_CONTENT.into_response())
}
