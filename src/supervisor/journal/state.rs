//! What is kept. Sections that a later supervisor of the same schema adds are carried along unread.

use data_encoding::HEXLOWER_PERMISSIVE;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::{Map, Value};

use super::{connection::ConnectionState, succession::SupervisorState};
use crate::{
    os::fs::FileIdentity,
    supervisor::{
        machine::{ConfigHash, Outcome},
        own_telemetry::OwnTelemetry,
        upgrade::Record as Packages,
    },
    wire::InstanceUid,
};

/// Everything that survives a restart of the supervisor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    pub instance_uid: InstanceUid,
    #[serde(default)]
    pub config: ConfigState,
    /// What failed, and on which host. Oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quarantine: Vec<Quarantined>,
    /// Offers are held, as a person on the host wants it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// What the established supervisor left was looked for: from then on, this is the truth.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub legacy_sought: bool,
    /// What was learnt of the binary, once per binary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentRecord>,
    /// What was learnt of the binary before, while another is on trial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_before: Option<AgentRecord>,
    /// Of packages.
    #[serde(default, skip_serializing_if = "Packages::is_unused")]
    pub packages: Packages,
    /// Of connection settings.
    #[serde(default, skip_serializing_if = "is_unused")]
    pub connection: ConnectionState,
    /// Where the agent's own telemetry goes by the server's word, as the Collector was well with it.
    #[serde(default, skip_serializing_if = "OwnTelemetry::is_empty")]
    pub own_telemetry: OwnTelemetry,
    /// Of supervisors that took the place of one another.
    #[serde(default, skip_serializing_if = "is_as_started")]
    pub supervisor: SupervisorState,
    /// Sections this supervisor does not know.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl State {
    #[must_use]
    pub fn new(instance_uid: InstanceUid) -> Self {
        Self {
            instance_uid,
            config: ConfigState::default(),
            quarantine: Vec::new(),
            paused: false,
            legacy_sought: false,
            agent: None,
            agent_before: None,
            packages: Packages::default(),
            own_telemetry: OwnTelemetry::default(),
            connection: ConnectionState::default(),
            supervisor: SupervisorState::default(),
            rest: Map::new(),
        }
    }

    /// The configs whose bodies must be kept.
    #[must_use]
    pub fn configs(&self) -> BTreeSet<ConfigHash> {
        let ConfigState { live, last_good, previous, trial, status, .. } = &self.config;
        // What failed may be tried with another binary.
        let last = status.as_ref().map(|status| &status.hash);
        let trial = trial.as_ref().map(|trial| &trial.hash);
        let previous = previous.as_ref().and_then(|previous| previous.hash.as_ref());
        [live.as_ref(), last_good.as_ref(), previous, trial, last].into_iter().flatten().cloned().collect()
    }
}

fn is_unused(connection: &ConnectionState) -> bool {
    *connection == ConnectionState::default()
}

fn is_as_started(supervisor: &SupervisorState) -> bool {
    *supervisor == SupervisorState::default()
}

/// The remote config; none means that the host's own layers run alone.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ConfigState {
    /// The one the Collector is to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<ConfigHash>,
    /// The last one that proved itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_good: Option<ConfigHash>,
    /// The one that was the last good one before that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Previous>,
    /// The offer at work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<Trial>,
    /// How many lives of the supervisor have watched the live config prove itself for good (F-106).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub watched: u32,
    /// What the server was told, or is about to be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<StatusRecord>,
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// A config to go back to; without a hash, the host's own layers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Previous {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<ConfigHash>,
}

/// A config that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    pub hash: ConfigHash,
    /// What the host added to it and ran it with, as a digest; empty stands for any.
    #[serde(default)]
    pub host: String,
    pub why: String,
}

/// An offer on its way, and how often it got how far (F-106).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    pub hash: ConfigHash,
    pub phase: Phase,
    #[serde(default)]
    pub entries: BTreeMap<Phase, u32>,
}

/// How far an offer got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Being checked; what runs is untouched.
    Checking,
    /// The Collector is being switched to it, and it has yet to prove itself.
    Proving,
}

impl Trial {
    /// A new offer, which has entered no phase yet.
    #[must_use]
    pub fn of(hash: ConfigHash) -> Self {
        Self { hash, phase: Phase::Checking, entries: BTreeMap::new() }
    }

    /// Enters a phase. To be committed before the phase's work begins.
    pub fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        let entries = self.entries.entry(phase).or_default();
        *entries = entries.saturating_add(1);
    }

    /// How often it entered the phase it is in.
    #[must_use]
    pub fn entered(&self) -> u32 {
        self.entries.get(&self.phase).copied().unwrap_or(0)
    }
}

/// The outcome of the last config, as the server is told it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusRecord {
    pub hash: ConfigHash,
    #[serde(flatten, with = "outcome")]
    pub outcome: Outcome,
}

/// What was learnt of one binary.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentRecord {
    /// While these are the same, the hash need not be computed again.
    pub file: FileIdentity,
    /// SHA-256 in hex.
    pub sha256: String,
    /// What bootstrap found, in bootstrap's own form.
    pub facts: Value,
}

/// A hash is opaque bytes; on disk it is hex.
impl Serialize for ConfigHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ConfigHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes());
        bytes.map(Self).map_err(|_| D::Error::custom(format!("{text:?} is not hex")))
    }
}

/// `{"status": "applied"}`, `{"status": "failed", "error": "…"}`.
mod outcome {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Outcome;

    #[derive(Serialize, Deserialize)]
    #[serde(tag = "status", rename_all = "snake_case")]
    enum OnDisk {
        Applying,
        Applied,
        Failed {
            #[serde(default)]
            error: String,
        },
    }

    pub(super) fn serialize<S: Serializer>(outcome: &Outcome, serializer: S) -> Result<S::Ok, S::Error> {
        match outcome.clone() {
            Outcome::Applying => OnDisk::Applying,
            Outcome::Applied => OnDisk::Applied,
            Outcome::Failed(error) | Outcome::PutOff(error) => OnDisk::Failed { error },
        }
        .serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Outcome, D::Error> {
        Ok(match OnDisk::deserialize(deserializer)? {
            OnDisk::Applying => Outcome::Applying,
            OnDisk::Applied => Outcome::Applied,
            OnDisk::Failed { error } => Outcome::Failed(error),
        })
    }
}
