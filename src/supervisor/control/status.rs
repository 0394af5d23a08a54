//! What is known of supervisor, server, Collector and config; as JSON it is `status -o json`.
//!
//! Times are RFC 3339. Of anything that others say (the Collector, a config, a server), lengths and numbers
//! are bounded here.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::PackagesStatus;
use crate::{supervisor::machine::ConfigHash, wire::proto::ComponentHealth};

/// Most components that are named, and the longest text of one.
const MOST_UNWELL: usize = 50;
const MOST_TEXT: usize = 4 * 1024;

/// Who named the server.
pub const FILE: &str = "file";
pub const OFFER: &str = "offer";

/// Everything that `status` tells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    pub supervisor: SupervisorStatus,
    pub agent: AgentStatus,
    /// None of a supervisor that does not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerStatus>,
    pub collector: CollectorStatus,
    pub config: ConfigStatus,
    /// None of a host that never had to do with packages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packages: Option<PackagesStatus>,
    /// What a person should know and do something about.
    #[serde(default)]
    pub notices: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SupervisorStatus {
    pub running: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    pub storage: String,
    /// What runs, by the name of its file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executable: Option<String>,
    /// Its SHA-256, where another one's place was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// It has yet to prove itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<OnTrial>,
    /// How it went with the last one that was to take another's place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<LastSuccession>,
}

/// A supervisor that has yet to prove itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OnTrial {
    pub number: u64,
    pub executable: String,
    pub sha256: String,
    pub version: String,
    /// What runs again if it does not.
    pub previous: String,
    pub tries_left: u32,
    /// While it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_s: Option<u64>,
}

/// The end of an attempt to put another supervisor in place.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LastSuccession {
    pub number: u64,
    pub executable: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// `committed`, `refused` or `undone`.
    pub outcome: String,
    #[serde(default)]
    pub error: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AgentStatus {
    pub instance_uid: String,
    /// The binary's own name and version, as far as they are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executable: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServerStatus {
    pub endpoint: String,
    pub connected: bool,
    /// Since when it is so.
    pub since: String,
    /// Why there is no connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// `file` or `offer`: who named the endpoint and the terms.
    #[serde(default)]
    pub source: String,
    /// The end of the client certificate that is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_expires: Option<String>,
    /// How it went with the last connection settings that the server offered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offer: Option<LastOutcome>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CollectorStatus {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    pub healthy: bool,
    /// In the words of the Collector's component status.
    pub status: String,
    #[serde(default)]
    pub error: String,
    /// The components that are not well, leaves only.
    #[serde(default)]
    pub unwell: Vec<Unwell>,
    /// How many more there are.
    #[serde(default)]
    pub unwell_more: usize,
    /// Its output; none when it goes to the supervisor's own log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Unwell {
    pub component: String,
    pub status: String,
    pub error: String,
}

/// Configs by their hash in hex; without one, the host's own layers run alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ConfigStatus {
    #[serde(default)]
    pub live: Option<String>,
    #[serde(default)]
    pub last_good: Option<String>,
    /// How much longer the live one is watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probation_left_s: Option<u64>,
    /// The one that is being checked or has yet to prove itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_work: Option<String>,
    /// How it went with the last one that was offered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<LastOutcome>,
    /// Those that failed on this host as it is and are not tried again, the newest last.
    #[serde(default)]
    pub failed: Vec<FailedConfig>,
    /// Offers of the server are held.
    #[serde(default)]
    pub paused: bool,
    /// Local layers that are left out.
    #[serde(default)]
    pub missing: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LastOutcome {
    pub hash: String,
    /// `applying`, `applied` or `failed`.
    pub outcome: String,
    #[serde(default)]
    pub error: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FailedConfig {
    pub hash: String,
    pub why: String,
}

impl CollectorStatus {
    /// From the tree that the server is told.
    #[must_use]
    pub fn of(tree: &ComponentHealth) -> Self {
        let mut status = Self {
            healthy: tree.healthy,
            status: bounded(&tree.status),
            error: bounded(&tree.last_error),
            since: time_of(tree.start_time_unix_nano),
            ..Self::default()
        };
        status.add_unwell("", tree);
        status
    }

    fn add_unwell(&mut self, path: &str, tree: &ComponentHealth) {
        let mut children: Vec<_> = tree.component_health_map.iter().collect();
        children.sort_by_key(|(name, _)| *name);
        for (name, child) in children {
            let path = if path.is_empty() { name.clone() } else { format!("{path} / {name}") };
            if !child.component_health_map.is_empty() {
                self.add_unwell(&path, child);
            } else if child.healthy {
            } else if self.unwell.len() < MOST_UNWELL {
                self.unwell.push(Unwell {
                    component: bounded(&path),
                    status: bounded(&child.status),
                    error: bounded(&child.last_error),
                });
            } else {
                self.unwell_more += 1;
            }
        }
    }
}

/// Nanoseconds of the wall clock as people write it; none for the zero that stands for "never".
#[must_use]
pub fn time_of(nanos: u64) -> Option<String> {
    let seconds = i64::try_from(nanos / 1_000_000_000).ok().filter(|seconds| *seconds > 0)?;
    Timestamp::from_second(seconds).ok().map(|time| time.to_string())
}

pub(in crate::supervisor) fn hex(hash: Option<&ConfigHash>) -> Option<String> {
    hash.map(ToString::to_string)
}

pub(in crate::supervisor) fn bounded(text: &str) -> String {
    let end = text.floor_char_boundary(MOST_TEXT);
    if end == text.len() { text.to_owned() } else { format!("{}…", &text[..end]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(healthy: bool, error: &str) -> ComponentHealth {
        ComponentHealth { healthy, last_error: error.into(), ..Default::default() }
    }

    #[test]
    fn of_the_tree_only_the_leaves_that_are_not_well_are_told_and_not_without_end() {
        let mut pipeline = leaf(false, "");
        pipeline.component_health_map.insert("exporter:otlp".into(), leaf(false, "refused"));
        pipeline.component_health_map.insert("receiver:otlp".into(), leaf(true, ""));
        let mut tree = leaf(false, "exporter:otlp: refused");
        tree.component_health_map.insert("pipeline:traces".into(), pipeline);
        let status = CollectorStatus::of(&tree);
        assert_eq!(status.unwell.len(), 1);
        assert_eq!(status.unwell[0].component, "pipeline:traces / exporter:otlp");
        for number in 0..1000 {
            tree.component_health_map.insert(format!("x{number}"), leaf(false, &"long".repeat(9000)));
        }
        let status = CollectorStatus::of(&tree);
        assert_eq!(status.unwell.len() + status.unwell_more, 1001);
        assert!(serde_json::to_vec(&status).unwrap().len() < super::super::MOST_ANSWERED);
    }

    #[test]
    fn times_are_readable_and_never_is_no_time() {
        assert_eq!(time_of(1_700_000_000_000_000_000).as_deref(), Some("2023-11-14T22:13:20Z"));
        assert_eq!(time_of(0), None);
    }
}
