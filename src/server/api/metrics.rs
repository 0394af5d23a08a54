//! Prometheus' text format, by hand: a few numbers that say how the fleet and the server are.

use std::fmt::Write;

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};

use super::Api;
use crate::server::{fleet::Counts, hub::metrics::Histogram};

pub(super) async fn metrics(State(api): State<Api>) -> Response {
    let counts = api.hub.look(|fleet| Counts::of(fleet.agents.values()));
    let counters = &api.hub.metrics;
    let mut text = String::new();
    let mut family = |name: &str, kind: &str, help: &str, samples: &[(&str, u64)]| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in samples {
            let _ = writeln!(text, "{name}{labels} {value}");
        }
    };
    let number = |count: usize| count as u64;
    family(
        "opamp_server_agents",
        "gauge",
        "Agents known, by whether they are connected.",
        &[
            ("{connected=\"true\"}", number(counts.connected)),
            ("{connected=\"false\"}", number(counts.agents - counts.connected)),
        ],
    );
    let labels =
        counts.presence.map(|(presence, count)| (format!("{{presence=\"{presence:?}\"}}"), number(count)));
    family(
        "opamp_server_agents_by_presence",
        "gauge",
        "Agents known, by whether they are connected, stale, disconnected or gone.",
        &labels.each_ref().map(|(label, count)| (label.as_str(), *count)),
    );
    family(
        "opamp_server_connected_agents",
        "gauge",
        "Connected agents, by the health they report; none reported counts as unhealthy.",
        &[("{healthy=\"true\"}", number(counts.healthy)), ("{healthy=\"false\"}", number(counts.unhealthy))],
    );
    let totals = [
        ("messages", "AgentToServer messages taken in.", &counters.messages),
        ("malformed_messages", "Messages that could not be read.", &counters.malformed),
        (
            "full_state_requests",
            "Times an agent was asked for its full state.",
            &counters.full_state_requests,
        ),
        ("config_offers", "Remote configs sent to agents.", &counters.offers),
        ("restart_commands", "Restart commands sent to agents.", &counters.restarts),
        ("custom_messages_sent", "Custom messages sent to agents.", &counters.custom_sent),
        ("custom_messages_received", "Custom messages of agents that were kept.", &counters.custom_received),
        (
            "custom_messages_ignored",
            "Custom messages of a capability that this server lacks.",
            &counters.custom_ignored,
        ),
        (
            "custom_messages_dropped",
            "Custom messages that were too large, too late or not wanted any more.",
            &counters.custom_dropped,
        ),
        ("refused", "Agents' connections and requests that were not let in.", &counters.refused),
        ("dropped_messages", "Messages over the size limit that were not sent.", &counters.dropped),
        ("received_bytes", "Bytes of OpAMP messages from agents, uncompressed.", &counters.received_bytes),
        ("sent_bytes", "Bytes of OpAMP messages to agents, uncompressed.", &counters.sent_bytes),
        (
            "duplicate_uids",
            "Agents whose uid was another's and who were given a new one.",
            &counters.duplicates,
        ),
    ];
    for (name, help, counter) in totals {
        let name = format!("opamp_server_{name}_total");
        family(&name, "counter", help, &[("", counter.value())]);
    }
    family(
        "opamp_server_turned_away_total",
        "counter",
        "Agents asked to come back later: too many there, too many connecting, or one that said too much.",
        &[
            ("{reason=\"full\"}", counters.full.value()),
            ("{reason=\"herd\"}", counters.herd.value()),
            ("{reason=\"flood\"}", counters.flood.value()),
        ],
    );
    handling(&mut text, &counters.handling);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

/// How long the fleet takes for a message, as a histogram.
fn handling(text: &mut String, histogram: &Histogram) {
    let name = "opamp_server_message_seconds";
    let (buckets, took) = histogram.values();
    // Writing to a String cannot fail.
    let _ = writeln!(text, "# HELP {name} Time that a message of an agent takes.\n# TYPE {name} histogram");
    let mut count = 0;
    for (bucket, value) in buckets.iter().enumerate() {
        count += value;
        let bound = Histogram::BOUNDS.get(bucket);
        let bound = bound.map_or("+Inf".to_owned(), |micros| (*micros as f64 / 1e6).to_string());
        let _ = writeln!(text, "{name}_bucket{{le=\"{bound}\"}} {count}");
    }
    let _ = writeln!(text, "{name}_sum {}\n{name}_count {count}", took.as_secs_f64());
}
