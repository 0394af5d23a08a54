//! Prometheus' text format, by hand: a few numbers that say how the fleet and the server are.

use std::{collections::BTreeMap, fmt::Write};

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};

use super::Api;
use crate::server::{
    fleet::{
        Counts, Fleet,
        offers::{PackagesState, Phase},
    },
    hub::metrics::Histogram,
};

pub(super) async fn metrics(State(api): State<Api>) -> Response {
    let (counts, packages) = api.hub.look(|fleet| (Counts::of(fleet.agents.values()), Packages::of(fleet)));
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
        ("package_offers", "PackagesAvailable sent to agents.", &counters.package_offers),
        ("package_downloads", "Answers with a file of a package, or a part of one.", &counters.downloads),
        ("package_download_bytes", "Bytes of packages handed over to be sent.", &counters.download_bytes),
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
    let downloading = number(api.load.downloading());
    family(
        "opamp_server_package_downloads_active",
        "gauge",
        "Downloads of packages under way.",
        &[("", downloading)],
    );
    packages.families(&mut family);
    handling(&mut text, &counters.handling);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

/// How far packages are.
struct Packages {
    /// Of each package of each agent.
    states: BTreeMap<PackagesState, u64>,
    offers: BTreeMap<Phase, u64>,
}

impl Packages {
    fn of(fleet: &Fleet) -> Self {
        let mut states: BTreeMap<_, _> = PackagesState::OF_ONE.into_iter().map(|state| (state, 0)).collect();
        for agent in fleet.agents.values() {
            for wanted in agent.packages.wanted.values() {
                *states.entry(agent.state_of(&wanted.artefact).into()).or_default() += 1;
            }
        }
        let mut offers: BTreeMap<_, _> = Phase::ALL.into_iter().map(|phase| (phase, 0)).collect();
        for offer in fleet.catalogue.offers.values() {
            *offers.entry(fleet.progress(offer).phase(offer)).or_default() += 1;
        }
        Self { states, offers }
    }

    fn families(&self, family: &mut impl FnMut(&str, &str, &str, &[(&str, u64)])) {
        let labels: Vec<_> =
            self.states.iter().map(|(state, count)| (format!("{{state=\"{state:?}\"}}"), *count)).collect();
        let samples: Vec<_> = labels.iter().map(|(label, count)| (label.as_str(), *count)).collect();
        let help = "Packages that are wanted of agents, by where they are with each.";
        family("opamp_server_packages", "gauge", help, &samples);
        let labels: Vec<_> =
            self.offers.iter().map(|(phase, count)| (format!("{{phase=\"{phase:?}\"}}"), *count)).collect();
        let samples: Vec<_> = labels.iter().map(|(label, count)| (label.as_str(), *count)).collect();
        family("opamp_server_packageoffers", "gauge", "Package offers, by how far they are.", &samples);
    }
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
