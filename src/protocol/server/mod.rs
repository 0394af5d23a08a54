//! The server's side of the conversation with one agent over one connection.
//!
//! [`AgentView`] is what a server knows of an agent; it outlives connections and is what a store keeps.
//! [`Session`] lives as long as a connection (over plain HTTP: as long as the agent keeps polling) and
//! remembers what was already asked and offered on it. For each message: [`Session::receive`] folds it into
//! the view; the caller then computes what it wants of the agent, and [`Session::reply`] says it.
//! [`Session::push`] says it unprompted, when what is wanted changed. [`duplicates`] judges two that use one uid.

pub mod duplicates;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use super::{
    custom,
    report::{Part, Parts, Report, carried},
    settings,
};
use crate::wire::{
    AgentCaps, InstanceUid, ServerCaps,
    proto::{
        AgentCapabilities, AgentIdentification, AgentRemoteConfig, AgentToServer, CommandType,
        ComponentDetails, ConnectionSettingsOffers, ConnectionSettingsRequest, CustomCapabilities,
        CustomMessage, RetryInfo, ServerErrorResponse, ServerErrorResponseType, ServerToAgent,
        ServerToAgentCommand, ServerToAgentFlags, server_error_response::Details,
    },
};

/// Everything a server knows of one agent from what the agent said.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentView {
    pub instance_uid: InstanceUid,
    /// Of the last message that was processed; `None` for an agent never heard from, and while something that
    /// the agent said is known to be missing here. Kept with the rest, so a lost request for the full state
    /// is made again by the next session.
    pub sequence_num: Option<u64>,
    pub capabilities: AgentCaps,
    pub report: Report,
}

impl AgentView {
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
}

/// What the server wants of this agent now.
#[derive(Clone, Copy, Default)]
pub struct Desired<'a> {
    /// With its hash always set (S-RC-04).
    pub remote_config: Option<&'a AgentRemoteConfig>,
    /// All connection settings that are wanted, with their hash (S-CS-02). What the agent does not take is not sent.
    pub connection_settings: Option<&'a ConnectionSettingsOffers>,
    /// The custom capabilities of this server; none is the same as an empty list.
    pub custom_capabilities: &'a [String],
    /// Another uid for this agent: it asked for one, or its own is somebody else's.
    pub new_instance_uid: Option<InstanceUid>,
    /// Component maps by hash that this server already has (S-AC-02).
    pub components: Option<&'a dyn KnownComponents>,
}

/// Component maps that are stored once for all agents that share them.
pub trait KnownComponents {
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
    pub custom_message: Option<CustomMessage>,
    pub connection_settings_request: Option<ConnectionSettingsRequest>,
}

/// The agent does not accept the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the agent does not have the capability AcceptsRestartCommand")]
pub struct NotSupported;

/// What one connection remembers.
#[derive(Clone, Debug)]
pub struct Session {
    caps: ServerCaps,
    /// How often the same is asked or offered before the agent shows that it heard.
    attempts: u8,
    greeted: bool,
    last_sequence_num: Option<u64>,
    state_due: bool,
    asked_state: u8,
    asked_components: Said,
    offered: Said,
    offered_settings: Said,
    /// The custom capabilities that the agent was told of.
    told_custom: Vec<String>,
}

/// A hash that was named to the agent, and how often.
#[derive(Clone, Debug, Default)]
struct Said {
    hash: Vec<u8>,
    times: u8,
}

impl Said {
    /// Whether to say it once more; counts it if so.
    fn again(&mut self, hash: &[u8], attempts: u8) -> bool {
        if self.hash != hash {
            *self = Self { hash: hash.to_vec(), times: 0 };
        }
        let due = self.times < attempts;
        self.times += u8::from(due);
        due
    }
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
            asked_state: 0,
            asked_components: Said::default(),
            offered: Said::default(),
            offered_settings: Said::default(),
            told_custom: Vec::new(),
        }
    }

    /// Folds a message into the view.
    pub fn receive(&mut self, view: &mut AgentView, mut message: AgentToServer) -> Received {
        let caps = AgentCaps::from_wire(message.capabilities);
        if !caps.is_unspecified() {
            view.capabilities = caps;
        }
        let gap = self.follow(view, message.sequence_num, carried(&message));
        let changed = view.report.take_from(&mut message);
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
            wants_uid: message.flags & 1 != 0,
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
        if complete {
            self.asked_state = 0;
        }
        self.state_due |= gap || complete || self.attempts > ATTEMPTS_WEBSOCKET;
        view.sequence_num = (!missing || complete).then_some(sequence_num);
        gap
    }

    /// The answer to the message just received. There is always one (S-SQ-04), be it empty (S-SQ-05).
    pub fn reply(&mut self, view: &mut AgentView, desired: &Desired<'_>) -> ServerToAgent {
        let mut reply = ServerToAgent { instance_uid: view.instance_uid.to_vec(), ..Default::default() };
        if !self.greeted {
            reply.capabilities = self.caps.bits();
            self.greeted = true;
        }
        self.ask_state_into(&mut reply, view);
        if self.lacks_components(view, desired) {
            reply.flags |= ServerToAgentFlags::ReportAvailableComponents as u64;
        }
        self.offer_into(&mut reply, view, desired);
        reply
    }

    /// What is to be said unprompted, if anything (S-RC-07). Before the agent spoke there is nothing.
    pub fn push(&mut self, view: &AgentView, desired: &Desired<'_>) -> Option<ServerToAgent> {
        if !self.greeted {
            return None;
        }
        let mut message = ServerToAgent { instance_uid: view.instance_uid.to_vec(), ..Default::default() };
        let nothing = message.clone();
        self.ask_state_into(&mut message, view);
        self.offer_into(&mut message, view, desired);
        (message != nothing).then_some(message)
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

    /// What is wanted of the agent and not yet so.
    fn offer_into(&mut self, message: &mut ServerToAgent, view: &AgentView, desired: &Desired<'_>) {
        message.remote_config = self.offer(view, desired).cloned();
        message.connection_settings = self.offer_settings(view, desired);
        message.agent_identification =
            desired.new_instance_uid.map(|uid| AgentIdentification { new_instance_uid: uid.to_vec() });
        if self.told_custom != desired.custom_capabilities {
            self.told_custom = desired.custom_capabilities.to_vec();
            message.custom_capabilities = Some(CustomCapabilities { capabilities: self.told_custom.clone() });
        }
    }

    /// The restart command, alone in its message (S-CM-01), for an agent that takes it (S-CM-02).
    pub fn restart(&mut self, view: &AgentView) -> Result<ServerToAgent, NotSupported> {
        if !view.capabilities.has(AgentCapabilities::AcceptsRestartCommand) {
            return Err(NotSupported);
        }
        let capabilities = if self.greeted { 0 } else { self.caps.bits() };
        self.greeted = true;
        Ok(ServerToAgent {
            instance_uid: view.instance_uid.to_vec(),
            capabilities,
            command: Some(ServerToAgentCommand { r#type: CommandType::Restart as i32 }),
            ..Default::default()
        })
    }

    /// The wanted config, if the agent takes one, does not report it already, and was not offered it since.
    fn offer<'a>(&mut self, view: &AgentView, desired: &Desired<'a>) -> Option<&'a AgentRemoteConfig> {
        let wanted = desired.remote_config?;
        let takes = view.capabilities.has(AgentCapabilities::AcceptsRemoteConfig);
        if !takes || view.reported_config_hash() == Some(&*wanted.config_hash) {
            return None;
        }
        self.offered.again(&wanted.config_hash, self.attempts).then_some(wanted)
    }

    /// The wanted settings that the agent takes, if it does not report them already and was not offered them since
    /// (S-CS-06, S-CS-07). An agent that reports no status is offered them once in each session.
    fn offer_settings(
        &mut self,
        view: &AgentView,
        desired: &Desired<'_>,
    ) -> Option<ConnectionSettingsOffers> {
        let wanted = desired.connection_settings?;
        let taken = settings::for_agent(wanted, view.capabilities);
        let reported = view.report.connection_settings_status.as_ref();
        let known = reported.is_some_and(|status| status.last_connection_settings_hash == wanted.hash);
        if known || settings::is_empty(&taken) {
            return None;
        }
        self.offered_settings.again(&wanted.hash, self.attempts).then_some(taken)
    }

    /// A custom message for the agent, of a capability that both ends advertise (B-CU-06).
    pub fn custom(
        &self,
        view: &AgentView,
        ours: &[String],
        message: CustomMessage,
    ) -> Result<ServerToAgent, custom::Refused> {
        let theirs = view.report.custom_capabilities.as_ref();
        custom::check(&message, ours, theirs.map_or(&[], |list| &list.capabilities))?;
        Ok(ServerToAgent {
            instance_uid: view.instance_uid.to_vec(),
            custom_message: Some(message),
            ..Default::default()
        })
    }

    /// Whether the map behind the reported hash is known neither from this agent nor from another.
    fn lacks_components(&mut self, view: &mut AgentView, desired: &Desired<'_>) -> bool {
        if !view.capabilities.has(AgentCapabilities::ReportsAvailableComponents) {
            return false;
        }
        let Some(reported) = &mut view.report.available_components else { return false };
        if !reported.components.is_empty() {
            // Should the agent come back to the set that was asked for, it is asked again.
            self.asked_components = Said::default();
            return false;
        }
        if let Some(known) = desired.components.and_then(|store| store.by_hash(&reported.hash)) {
            reported.components = known;
            return false;
        }
        self.asked_components.again(&reported.hash, self.attempts)
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

/// An answer to a message that could not be processed (S-TH-04, S-TH-05); nothing else goes with it (S-HL-03).
#[must_use]
pub fn bad_request(instance_uid: &[u8], why: impl Into<String>) -> ServerToAgent {
    error(instance_uid, ServerErrorResponseType::BadRequest, why.into(), None)
}

/// An answer that asks the agent to come back later (S-TH-01).
#[must_use]
pub fn unavailable(instance_uid: &[u8], why: impl Into<String>, after: std::time::Duration) -> ServerToAgent {
    let nanoseconds = u64::try_from(after.as_nanos()).unwrap_or(u64::MAX);
    let details = Details::RetryInfo(RetryInfo { retry_after_nanoseconds: nanoseconds });
    error(instance_uid, ServerErrorResponseType::Unavailable, why.into(), Some(details))
}

fn error(uid: &[u8], kind: ServerErrorResponseType, why: String, details: Option<Details>) -> ServerToAgent {
    ServerToAgent {
        instance_uid: uid.to_vec(),
        error_response: Some(ServerErrorResponse { r#type: kind as i32, error_message: why, details }),
        ..Default::default()
    }
}
