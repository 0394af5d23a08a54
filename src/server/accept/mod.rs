//! The agent plane: the OpAMP endpoint on both transports. A request whose media type is OpAMP's is a plain HTTP
//! exchange, any other is a WebSocket handshake (S-TC-03).
//!
//! - `admission`: who is let in, and what is made durable before a message is taken in; `certify`: certificates for agents
//! - `ws`: one task for each connection; `http`: one exchange at a time; `load`: who is turned away for now
//! - `packages`: downloads of packages
//!
//! Not here: what a message means (`server::hub`), sockets and their bounds (`server::listen`). Called by `server::run`.

mod admission;
mod certify;
mod http;
mod load;
mod packages;
mod ws;

use std::sync::Arc;

use axum::{
    Router,
    extract::{FromRequestParts, Request, State, ws::WebSocketUpgrade},
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing::{any, get},
};
use tokio::sync::{mpsc, watch};

pub use admission::{Gate, Terms};

use super::{
    fleet::telling::{COMMANDER_PATH, PACKAGES_PATH},
    hub::Hub,
    packages::PackageFiles,
};
use crate::wire::{CONTENT_TYPE, DEFAULT_PATH};
use load::Busy;
pub use load::{Load, LoadLimits};

/// What the endpoint needs.
#[derive(Clone)]
pub struct Accept {
    pub hub: Arc<Hub>,
    pub gate: Arc<Gate>,
    /// Largest message taken or sent, in bytes.
    pub limit: usize,
    /// Whether agents come over TLS.
    pub secure: bool,
    pub load: Arc<Load>,
    pub files: Arc<PackageFiles>,
    /// Turns true when the server stops.
    pub stop: watch::Receiver<bool>,
    /// Held by each WebSocket; when all are gone, everyone has been said goodbye to.
    pub open: mpsc::Sender<()>,
}

impl Accept {
    /// Of the URL that an agent dialled. TLS may have ended at a balancer that says so; who says it without one deceives
    /// itself alone, and nobody is told of a way that is less encrypted than the one at hand.
    fn scheme(&self, headers: &HeaderMap, plain: &'static str, secure: &'static str) -> &'static str {
        if self.secure || ended_before(headers) { secure } else { plain }
    }
}

/// Whether TLS ended before this server. Of several balancers, the first is the one that the agent dialled.
fn ended_before(headers: &HeaderMap) -> bool {
    let given = headers.get("x-forwarded-proto").and_then(|value| value.to_str().ok()).unwrap_or("");
    let first = given.split(',').next().unwrap_or("").trim();
    ["https", "wss"].iter().any(|secure| first.eq_ignore_ascii_case(secure))
}

pub fn router(accept: Accept) -> Router {
    Router::new()
        .route(DEFAULT_PATH, any(opamp))
        .route(COMMANDER_PATH, any(opamp))
        .route(&format!("{PACKAGES_PATH}/{{sha256}}"), get(packages::download))
        .with_state(accept)
}

async fn opamp(State(accept): State<Accept>, request: Request) -> Response {
    if let Some(refused) = of_a_page(&request) {
        return refused;
    }
    let admission = match accept.gate.admit(&request) {
        Ok(admission) => admission,
        Err(answer) => return *answer,
    };
    if http::is_opamp(request.headers()) {
        return http::exchange(&accept, &admission, request).await;
    }
    let who = load::who(request.headers(), load::peer(&request));
    let (mut parts, _) = request.into_parts();
    match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        Ok(upgrade) => match accept.admitted(accept.load.connect(who, accept.hub.missing())) {
            Ok(ticket) => {
                let url = reached_at(accept.scheme(&parts.headers, "ws", "wss"), &parts.headers, &parts.uri);
                ws::upgrade(upgrade, accept, admission, url, ticket)
            }
            Err(busy) => busy.into_response(),
        },
        Err(_) => {
            let text = format!("speak OpAMP: a WebSocket, or a POST with Content-Type {CONTENT_TYPE}\n");
            (StatusCode::UPGRADE_REQUIRED, [(header::UPGRADE, "websocket")], text).into_response()
        }
    }
}

/// Agents have no origin; a web page that tries to be one has (F-104).
fn of_a_page(request: &Request) -> Option<Response> {
    let text = "the OpAMP endpoint takes no requests of web pages\n";
    let origin = request.headers().contains_key(header::ORIGIN);
    origin.then(|| (StatusCode::FORBIDDEN, text).into_response())
}

/// The URL that an agent dialled, so that it can be told to keep it.
fn reached_at(scheme: &str, headers: &HeaderMap, uri: &Uri) -> Option<String> {
    let host = headers.get(header::HOST)?.to_str().ok()?;
    let url = url::Url::parse(&format!("{scheme}://{host}{}", uri.path())).ok()?;
    url.host_str().is_some_and(|host| !host.is_empty()).then(|| url.into())
}

impl Accept {
    /// Counts who is turned away.
    fn admitted<T>(&self, admitted: Result<T, Busy>) -> Result<T, Busy> {
        if let Err(busy) = &admitted {
            match busy {
                Busy::Full { .. } | Busy::Downloads { .. } => self.hub.metrics.full.add(1),
                Busy::Herd { .. } => self.hub.metrics.herd.add(1),
            }
            tracing::debug!(seconds = busy.seconds(), "an agent was asked to come back later");
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s_cs_05_a_balancer_at_which_tls_ends_may_say_so() {
        let says = |text: &str| {
            HeaderMap::from_iter([("x-forwarded-proto".parse().unwrap(), text.parse().unwrap())])
        };
        for text in ["https", "HTTPS", "wss", "https, http", " https ,http"] {
            assert!(ended_before(&says(text)), "{text}");
        }
        for text in ["http", "ws", "", "http, https", "httpsx"] {
            assert!(!ended_before(&says(text)), "{text}");
        }
        assert!(!ended_before(&HeaderMap::new()));
        let host = HeaderMap::from_iter([(header::HOST, "opamp.example.com".parse().unwrap())]);
        let uri = Uri::from_static("/v1/opamp");
        assert_eq!(reached_at("wss", &host, &uri).unwrap(), "wss://opamp.example.com/v1/opamp");
    }
}
