//! What the supervisor sends itself, as the same agent: its own logs and spans, the agent's state as numbers, and
//! what the Collector's process uses.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

use super::{Outlet, OwnTelemetry};
use crate::{
    telemetry::otlp::{Batching, Destination, KeyValue, Plan, text},
    transport::tls,
    wire::{attrs, proto::AgentDescription},
};

/// From one report of metrics to the next (C-OT-02).
const EVERY: Duration = Duration::from_secs(10);
const WITHIN: Duration = Duration::from_secs(10);
const BATCHING: Batching = Batching { delay: Duration::from_secs(1), most: 512, queue: 1024 };

/// The telemetry's resource says who the agent is as the server knows it (C-OT-07, C-OT-08).
pub(in crate::supervisor) fn plan(
    telemetry: &OwnTelemetry,
    agent: &AgentDescription,
) -> Result<Plan, String> {
    let batched = |outlet: &Option<Outlet>| {
        outlet.iter().map(|outlet| Ok((destination(outlet)?, BATCHING))).collect::<Result<Vec<_>, String>>()
    };
    Ok(Plan {
        attributes: attributes(agent),
        schema_url: String::new(),
        logs: batched(&telemetry.logs)?,
        spans: batched(&telemetry.traces)?,
        metrics: telemetry
            .metrics
            .iter()
            .map(|outlet| Ok((destination(outlet)?, EVERY)))
            .collect::<Result<_, String>>()?,
        of_agent: true,
    })
}

fn attributes(agent: &AgentDescription) -> Vec<KeyValue> {
    let all = agent.identifying_attributes.iter().chain(&agent.non_identifying_attributes);
    all.map(|attribute| text(&attribute.key, attribute.value.as_ref().map(attrs::text).unwrap_or_default()))
        .collect()
}

fn destination(outlet: &Outlet) -> Result<Destination, String> {
    let url = Url::parse(&outlet.endpoint).map_err(|error| error.to_string())?;
    let tls = if url.scheme() == "https" { outlet.tls().build() } else { tls::unused() };
    let mut headers = HeaderMap::new();
    for header in &outlet.headers {
        // Both were checked when they were offered.
        if let (Ok(name), Ok(mut value)) =
            (HeaderName::from_bytes(header.name.as_bytes()), HeaderValue::from_str(header.secret.expose()))
        {
            value.set_sensitive(true);
            headers.append(name, value);
        }
    }
    let tls = tls.map_err(|error| error.to_string())?;
    Ok(Destination { url, headers, tls, gzip: false, timeout: WITHIN })
}
