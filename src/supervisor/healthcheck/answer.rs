//! A request's path and what is known, to a status and a body.

use http::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    supervisor::{machine::Running, mask::Mask},
    wire::proto::ComponentHealth,
};

/// The longest reason that is told.
const MOST_TEXT: usize = 1024;

/// What the driver sees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::supervisor) struct Seen {
    healthy: bool,
    status: String,
    error: String,
    since: u64,
    /// Why there is no connection to the server.
    away: Option<String>,
    config: Option<String>,
}

impl Seen {
    /// Before the driver has seen anything.
    pub(in crate::supervisor) fn starting() -> Self {
        Self {
            status: "StatusStarting".to_owned(),
            error: "the supervisor is starting".to_owned(),
            away: Some("not connected yet".to_owned()),
            ..Self::default()
        }
    }

    /// From the root of the tree that is reported, and what is known of the server.
    pub(in crate::supervisor) fn new(tree: &ComponentHealth, away: Option<&str>, config: &Running) -> Self {
        Self {
            healthy: tree.healthy,
            status: tree.status.clone(),
            error: short(&tree.last_error),
            since: tree.status_time_unix_nano,
            away: away.map(short),
            config: config.as_ref().map(ToString::to_string),
        }
    }

    /// Whoever asks may be anybody.
    pub(in crate::supervisor) fn masked(&self, mask: &Mask) -> Self {
        Self {
            error: mask.text(&self.error),
            away: self.away.as_deref().map(|why| mask.text(why)),
            ..self.clone()
        }
    }

    fn collector(&self) -> Value {
        let mut collector = json!({ "healthy": self.healthy, "status": self.status });
        if self.since > 0
            && let Ok(since) = Timestamp::from_nanosecond(i128::from(self.since))
        {
            collector["since"] = json!(since.to_string());
        }
        if !self.error.is_empty() {
            collector["error"] = json!(self.error);
        }
        collector
    }

    fn server(&self) -> Value {
        match &self.away {
            None => json!({ "connected": true }),
            Some(why) => json!({ "connected": false, "error": why }),
        }
    }

    fn config(&self) -> Value {
        match &self.config {
            Some(hash) => json!({ "remote": hash }),
            None => json!({ "remote": null }),
        }
    }
}

/// What to answer.
pub(super) fn answer(method: &Method, path: &str, seen: &Seen) -> (StatusCode, Value) {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return (StatusCode::METHOD_NOT_ALLOWED, json!({ "error": "ask with GET" }));
    }
    let of = |well: bool| if well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    match path {
        "/health" => {
            let status = if seen.healthy { "healthy" } else { "unhealthy" };
            let whole = json!({
                "status": status,
                "collector": seen.collector(),
                "server": seen.server(),
                "config": seen.config(),
            });
            (of(seen.healthy), whole)
        }
        "/health/live" => (StatusCode::OK, json!({ "status": "alive" })),
        "/health/collector" => (of(seen.healthy), seen.collector()),
        "/health/server" => (of(seen.away.is_none()), seen.server()),
        _ => {
            let paths = "/health, /health/live, /health/collector, /health/server";
            (StatusCode::NOT_FOUND, json!({ "error": format!("nothing here; there are {paths}") }))
        }
    }
}

fn short(text: &str) -> String {
    let end = text.floor_char_boundary(MOST_TEXT);
    if end == text.len() { text.to_owned() } else { format!("{}…", &text[..end]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(healthy: bool, away: Option<&str>) -> Seen {
        let last_error = if healthy { "" } else { "exited with code 1" }.to_owned();
        Seen::new(&ComponentHealth { healthy, last_error, ..Default::default() }, away, &None)
    }

    #[test]
    fn collector_and_server_are_told_apart() {
        for (healthy, away) in
            [(true, None), (true, Some("refused")), (false, None), (false, Some("refused"))]
        {
            let seen = seen(healthy, away);
            let code = |path| answer(&Method::GET, path, &seen).0.as_u16();
            let expected = |well| if well { 200 } else { 503 };
            assert_eq!(code("/health"), expected(healthy), "the server's absence is no fault of this host");
            assert_eq!(code("/health/collector"), expected(healthy));
            assert_eq!(code("/health/server"), expected(away.is_none()));
            assert_eq!(code("/health/live"), 200);
            let body = answer(&Method::GET, "/health", &seen).1;
            assert_eq!(body["collector"]["healthy"], healthy);
            assert_eq!(body["server"]["connected"], away.is_none());
        }
    }

    #[test]
    fn other_paths_and_methods_are_refused_and_long_reasons_cut() {
        let long = "é".repeat(4000);
        let seen = seen(true, Some(&long));
        assert_eq!(answer(&Method::POST, "/health", &seen).0, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(answer(&Method::GET, "/healthz", &seen).0, StatusCode::NOT_FOUND);
        assert!(answer(&Method::GET, "/health", &seen).1.to_string().len() < 2048);
    }
}
