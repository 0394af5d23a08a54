//! The server's side of the conversation with one agent over one connection.
//!
//! [`AgentView`] is what a server knows of an agent; it outlives connections and is what a store keeps.
//! [`Session`] lives as long as a connection (over plain HTTP: as long as the agent keeps polling) and
//! remembers what was already asked and offered on it. For each message: [`Session::receive`] folds it into
//! the view; the caller then computes what it wants of the agent, and [`Session::reply`] says it.
//! [`Session::push`] says it unprompted, when what is wanted changed. [`duplicates`] judges two that use one uid.
//!
//! - `offers`: what it says; `errors`: what it says instead

pub mod duplicates;
mod errors;
mod offers;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use errors::{bad_request, unavailable};
pub use offers::NotSupported;
use offers::{Said, named};

use super::report::{Part, Parts, Report, carried};
use crate::wire::{
    AgentCaps, InstanceUid, ServerCaps,
    proto::{
        AgentRemoteConfig, AgentToServer, AgentToServerFlags, ComponentDetails, ConnectionSettingsOffers,
        ConnectionSettingsRequest, CustomMessage, PackagesAvailable, ServerToAgent, ServerToAgentFlags,
    },
};

/// Everything a server knows of one agent from what the agent said.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentView {
    /// Whose view this is.
    pub instance_uid: InstanceUid,
    /// Of the last message that was processed; `None` for an agent never heard from, and while something that
    /// the agent said is known to be missing here. Kept with the rest, so a lost request for the full state
    /// is made again by the next session.
    pub sequence_num: Option<u64>,
    /// As the agent said last; none while it was never heard from.
    pub capabilities: AgentCaps,
    /// The latest of each part of its state.
    pub report: Report,
}

impl AgentView {
    /// Of an agent that was never heard from: its first message is asked to be followed by the full state
    /// (S-SQ-01), unless it is that already.
    #[must_use]
    pub fn new(instance_uid: InstanceUid) -> Self {
        Self {
            instance_uid,
            sequence_num: None,
            capabilities: AgentCaps::default(),
            report: Report::default(),
        }
    }

    /// The hash of the config that the agent last worked on.
    #[must_use]
    pub fn reported_config_hash(&self) -> Option<&[u8]> {
        self.report.remote_config_status.as_ref().map(|status| &*status.last_remote_config_hash)
    }

    /// The hash of the packages that the agent was offered last, as it says.
    #[must_use]
    pub fn reported_packages_hash(&self) -> Option<&[u8]> {
        self.report.package_statuses.as_ref().map(|statuses| &*statuses.server_provided_all_packages_hash)
    }
}

/// What the server wants of this agent now.
#[derive(Clone, Copy, Default)]
pub struct Desired<'a> {
    /// With its hash always set (S-RC-04).
    pub remote_config: Option<&'a AgentRemoteConfig>,
    /// All connection settings that are wanted, with their hash (S-CS-02). What the agent does not take is not sent.
    pub connection_settings: Option<&'a ConnectionSettingsOffers>,
    /// The packages that the agent is to have.
    pub packages: Option<Packages<'a>>,
    /// The custom capabilities of this server; none is the same as an empty list.
    pub custom_capabilities: &'a [String],
    /// Another uid for this agent: it asked for one, or its own is somebody else's.
    pub new_instance_uid: Option<InstanceUid>,
    /// Component maps by hash that this server already has (S-AC-02).
    pub components: Option<&'a dyn KnownComponents>,
}

/// The packages that are wanted of an agent. They are put together when they are sent, for what is needed to download
/// them may be good for some time only.
#[derive(Clone, Copy)]
pub struct Packages<'a> {
    /// See [`packages::hash_of_all`](super::packages::hash_of_all); always there (S-PK-02).
    pub all_packages_hash: &'a [u8],
    /// With that hash.
    pub available: &'a dyn Fn() -> PackagesAvailable,
    /// Whether an agent that has heard of them is to hear of them again.
    pub insistence: Insistence,
}

/// See [`Packages::insistence`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Insistence {
    /// Offered until the agent says that it knows them.
    #[default]
    Once,
    /// Offered once more to one that knows them and failed, so that it tries again.
    Again,
}

/// Component maps that are stored once for all agents that share them.
pub trait KnownComponents {
    /// The components behind a hash that some agent reported, if they were ever told.
    fn by_hash(&self, hash: &[u8]) -> Option<BTreeMap<String, ComponentDetails>>;
}

/// What a message changed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Received {
    /// Parts that are new or different.
    pub changed: Parts,
    /// Messages were lost before this one (S-SQ-01).
    pub gap: bool,
    /// The agent said goodbye (S-AD-01).
    pub disconnect: bool,
    /// The agent asks the server to choose its uid (C-ID-05).
    pub wants_uid: bool,
    /// A message of a custom capability, for whoever advertised that capability (B-CU-05); it may be one that
    /// nobody did.
    pub custom_message: Option<CustomMessage>,
    /// The agent asks for a client certificate, with its CSR (C-CR-02).
    pub connection_settings_request: Option<ConnectionSettingsRequest>,
}

/// What one connection remembers.
#[derive(Clone, Debug)]
pub struct Session {
    caps: ServerCaps,
    /// How often the same is asked or offered before the agent shows that it heard.
    attempts: u8,
    greeted: bool,
    last_sequence_num: Option<u64>,
    state_due: bool,
    /// An answer may have been lost before the message at hand.
    missed: bool,
    asked_state: u8,
    asked_components: Said,
    offered: Said,
    offered_settings: Said,
    offered_packages: Said,
    /// The custom capabilities that the agent was told of. `None` if it may have been told others before, and
    /// should know that there are none any more (B-CU-02).
    told_custom: Option<Vec<String>>,
}

/// On a WebSocket what was sent arrives, or the connection ends and so does the session.
const ATTEMPTS_WEBSOCKET: u8 = 1;
/// Over plain HTTP an answer may be lost without a trace. The bound is against an agent that never complies.
const ATTEMPTS_HTTP: u8 = 16;
/// The full state is asked for again after each further gap, on either transport, but not forever.
const ATTEMPTS_STATE: u8 = 16;
/// An agent that starts counts from 0 or 1, and says all there is.
const FIRST_SEQUENCE_NUM: u64 = 1;

impl Session {
    /// For one WebSocket connection.
    #[must_use]
    pub fn new(caps: ServerCaps) -> Self {
        Self::with_attempts(caps, ATTEMPTS_WEBSOCKET)
    }

    /// For an agent that polls over plain HTTP, across its requests.
    #[must_use]
    pub fn over_http(caps: ServerCaps) -> Self {
        Self::with_attempts(caps, ATTEMPTS_HTTP)
    }

    fn with_attempts(caps: ServerCaps, attempts: u8) -> Self {
        Self {
            caps,
            attempts,
            greeted: false,
            last_sequence_num: None,
            state_due: true,
            missed: false,
            asked_state: 0,
            asked_components: Said::default(),
            offered: Said::default(),
            offered_settings: Said::default(),
            offered_packages: Said::default(),
            told_custom: None,
        }
    }

    const fn is_polled(&self) -> bool {
        self.attempts > ATTEMPTS_WEBSOCKET
    }

    /// Folds a message into the view.
    pub fn receive(&mut self, view: &mut AgentView, mut message: AgentToServer) -> Received {
        let caps = AgentCaps::from_wire(message.capabilities);
        if !caps.is_unspecified() {
            view.capabilities = caps;
        }
        let gap = self.follow(view, message.sequence_num, carried(&message));
        let packages = view.reported_packages_hash().map(<[u8]>::to_vec);
        let changed = view.report.take_from(&mut message);
        // Progress is reported under the hash that was known already, and is no reason to offer.
        if view.reported_packages_hash() != packages.as_deref() {
            self.offered_packages = Said::default();
        }
        // A new status that names another hash than the wanted one is a reason to offer (S-RC-03).
        if changed.has(Part::RemoteConfigStatus) {
            self.offered = Said::default();
        }
        if changed.has(Part::ConnectionSettingsStatus) {
            self.offered_settings = Said::default();
        }
        Received {
            changed,
            gap,
            disconnect: message.agent_disconnect.is_some(),
            wants_uid: message.flags & AgentToServerFlags::RequestInstanceUid as u64 != 0,
            custom_message: message.custom_message,
            connection_settings_request: message.connection_settings_request,
        }
    }

    /// Notices that something is missing, or that this message brings all of it. Says whether there was a gap.
    fn follow(&mut self, view: &mut AgentView, sequence_num: u64, parts: Parts) -> bool {
        let last = self.last_sequence_num.replace(sequence_num).or(view.sequence_num);
        let gap = last.map(|last| last.wrapping_add(1)) != Some(sequence_num);
        let missing = gap || view.sequence_num.is_none();
        let all = Parts::of_agent(view.capabilities).and(Parts::of_server(self.caps));
        let needed = if sequence_num <= FIRST_SEQUENCE_NUM || self.asked_state > 0 {
            // Some parts may not exist yet, and come when they do (N12).
            all.minus(optional())
        } else {
            all
        };
        let complete = needed.minus(parts).is_empty();
        if complete && missing {
            // What was lost may have been the components in full.
            self.asked_components = Said::default();
        }
        let anew = all.minus(optional()).minus(parts).is_empty();
        // So speaks an agent that starts or that missed an answer, and it may have been the one with these.
        self.missed = self.is_polled() && (gap || anew);
        if self.missed {
            self.greeted = false;
            self.told_custom = None;
        }
        if complete {
            self.asked_state = 0;
        }
        self.state_due |= gap || complete || self.is_polled();
        view.sequence_num = (!missing || complete).then_some(sequence_num);
        gap
    }

    /// The answer to the message just received. There is always one (S-SQ-04), be it empty (S-SQ-05).
    pub fn reply(&mut self, view: &mut AgentView, desired: &Desired<'_>) -> ServerToAgent {
        let mut reply = named(view);
        self.greet(&mut reply);
        self.ask_state_into(&mut reply, view);
        if self.lacks_components(view, desired) {
            reply.flags |= ServerToAgentFlags::ReportAvailableComponents as u64;
        }
        self.offer_into(&mut reply, view, desired);
        reply
    }

    /// What is known of the agent is not trusted any more, so it is asked for all of it.
    pub fn distrust(&mut self, view: &mut AgentView) {
        view.sequence_num = None;
        self.state_due = true;
        self.asked_state = 0;
    }

    fn ask_state_into(&mut self, message: &mut ServerToAgent, view: &AgentView) {
        if view.sequence_num.is_none() && self.state_due && self.asked_state < ATTEMPTS_STATE {
            self.state_due = false;
            self.asked_state += 1;
            message.flags |= ServerToAgentFlags::ReportFullState as u64;
        }
    }
}

/// Parts that an agent may have nothing to say about yet.
fn optional() -> Parts {
    let mut parts = Parts::NONE;
    for part in [
        Part::EffectiveConfig,
        Part::RemoteConfigStatus,
        Part::PackageStatuses,
        Part::CustomCapabilities,
        Part::ConnectionSettingsStatus,
    ] {
        parts.insert(part);
    }
    parts
}
