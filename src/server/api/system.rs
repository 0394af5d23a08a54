//! The server itself: is it there, which version, is it ready.

use axum::{Json, extract::State, http::StatusCode, response::IntoResponse};
use serde_json::{Value, json};

use super::Api;
use crate::server::auth::ADMIN;

pub(super) async fn ping() -> Json<Value> {
    Json(json!({"message": "pong"}))
}

/// Kubernetes' version document; what a Go program would say of itself is empty.
pub(super) async fn version() -> Json<Value> {
    Json(json!({
        "major": env!("CARGO_PKG_VERSION_MAJOR"),
        "minor": env!("CARGO_PKG_VERSION_MINOR"),
        "gitVersion": concat!("v", env!("CARGO_PKG_VERSION")),
        "gitCommit": "",
        "gitTreeState": "",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "rustc",
        "platform": platform(),
    }))
}

fn platform() -> String {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("{}/{arch}", std::env::consts::OS)
}

pub(super) async fn auth_info() -> Json<Value> {
    Json(json!({"authenticated": true, "email": ADMIN}))
}

pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// Ready when agents' state can be kept.
pub(super) async fn readyz(State(api): State<Api>) -> impl IntoResponse {
    match api.hub.metrics.store_problem() {
        None => (StatusCode::OK, "ok\n"),
        Some(_) => (StatusCode::SERVICE_UNAVAILABLE, "the store cannot be written; see the server's log\n"),
    }
}
