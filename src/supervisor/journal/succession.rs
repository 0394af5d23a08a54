//! What is kept of supervisors that took the place of one another.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::os::fs::FileIdentity;

/// The section `supervisor` of the state.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SupervisorState {
    /// The one that a start ends up with; none while it is whatever is started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<Active>,
    /// The one that has yet to prove itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<SuccessorTrial>,
    /// How it went with the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Succession>,
    /// Those that failed. Oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<FailedSupervisor>,
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// An executable of the supervisor, and which one exactly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    pub executable: PathBuf,
    /// While these are the same, the hash need not be computed again.
    pub file: FileIdentity,
    /// SHA-256 in hex.
    pub sha256: String,
    pub version: String,
}

/// The supervisor that proved itself last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Active {
    #[serde(flatten)]
    pub program: Program,
    /// It stands in for an executable that failed: the SHA-256 of that. Another one in its place is run instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead_of: Option<String>,
    /// How often it was started by another one and has not stood since.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub starts: u32,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// A supervisor on trial. It is written down before it is run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuccessorTrial {
    /// Grows with each trial.
    pub number: u64,
    pub target: Program,
    pub previous: Program,
    pub way_back: WayBack,
    /// How often it may still be started.
    pub tries_left: u32,
    pub proof: Proof,
    /// Why it is tried, for people.
    pub why: String,
    /// When it was written down: the boot, and milliseconds since it.
    pub boot_id: String,
    pub armed_at_ms: u64,
}

/// Where the one before is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WayBack {
    /// Where it was.
    InPlace,
    /// In a copy of ours, because the new one lies where it was.
    Copy,
}

/// What a supervisor on trial has to show, besides that it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// That it reaches the server, as the one before did.
    Server,
    /// Nothing: the one before did not reach the server either.
    Standing,
}

/// The end of an attempt to put another supervisor in place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Succession {
    pub number: u64,
    pub executable: PathBuf,
    /// As far as it was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    #[serde(flatten)]
    pub end: SuccessionEnd,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum SuccessionEnd {
    /// It runs, for good.
    Committed,
    /// It was never run.
    Refused { why: String },
    /// It ran, and the one before runs again.
    Undone { why: String },
}

/// A supervisor that failed its trial, and is not tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedSupervisor {
    pub sha256: String,
    pub why: String,
}
