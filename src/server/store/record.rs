//! An agent as it is stored: its report as one protobuf message, the large parts of it apart, since many
//! agents share them, and what the server knows beyond the report as JSON.

use std::collections::BTreeMap;

use jiff::Timestamp;
use prost::Message;
use serde::{Deserialize, Serialize};

use super::StoreError;
use crate::{
    protocol::{
        report::{Part, Parts},
        server::AgentView,
    },
    server::fleet::{
        Agent, Transport,
        agent::Since,
        offers::{Given, Packages},
        resource::{AgentSpec, Attributes},
    },
    wire::{
        AgentCaps, InstanceUid,
        proto::{AgentToServer, AvailableComponents, EffectiveConfig},
    },
};

/// An agent, ready to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentRecord {
    pub uid: InstanceUid,
    pub sequence_num: Option<u64>,
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
    /// The parts of the report, but for the two below.
    pub report: Vec<u8>,
    pub effective_config: Option<Vec<u8>>,
    pub available_components: Option<Vec<u8>>,
    /// `Known` as JSON.
    pub known: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Known {
    labels: Attributes,
    spec: AgentSpec,
    since: Since,
    managed: bool,
    restart_pending: bool,
    transport: Option<Transport>,
    #[serde(default)]
    reached_at: Option<String>,
    /// None if it was never given any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    packages: Option<BTreeMap<String, Given>>,
}

impl AgentRecord {
    #[must_use]
    pub fn of(agent: &Agent) -> Self {
        let report = &agent.view.report;
        let mut message =
            AgentToServer { capabilities: agent.view.capabilities.bits(), ..Default::default() };
        let mut small = Parts::ALL;
        for part in [Part::EffectiveConfig, Part::AvailableComponents] {
            let mut one = Parts::NONE;
            one.insert(part);
            small = small.minus(one);
        }
        report.copy_into(small, &mut message);
        let known = Known {
            labels: agent.labels.clone(),
            spec: agent.spec.clone(),
            since: agent.since,
            managed: agent.managed,
            restart_pending: agent.restart_pending,
            transport: agent.transport,
            reached_at: agent.reached_at.clone(),
            packages: agent.packages.is_managed().then(|| agent.packages.given.clone()),
        };
        Self {
            uid: agent.view.instance_uid,
            sequence_num: agent.view.sequence_num,
            first_seen: agent.first_seen,
            last_seen: agent.last_seen,
            report: message.encode_to_vec(),
            effective_config: report.effective_config.as_ref().map(Message::encode_to_vec),
            available_components: report.available_components.as_ref().map(Message::encode_to_vec),
            // Maps with text keys and plain enums always serialise.
            known: serde_json::to_string(&known).unwrap_or_default(),
        }
    }

    /// The agent as it was, not connected. What it should run is worked out by the caller.
    pub fn into_agent(self) -> Result<Agent, StoreError> {
        let bad =
            |detail: String| StoreError::Row { table: "agents", detail: format!("{}: {detail}", self.uid) };
        let mut message = AgentToServer::decode(&*self.report).map_err(|error| bad(error.to_string()))?;
        message.effective_config = self
            .effective_config
            .map(|bytes| EffectiveConfig::decode(&*bytes))
            .transpose()
            .map_err(|error| bad(error.to_string()))?;
        message.available_components = self
            .available_components
            .map(|bytes| AvailableComponents::decode(&*bytes))
            .transpose()
            .map_err(|error| bad(error.to_string()))?;
        let known: Known = serde_json::from_str(&self.known).map_err(|error| bad(error.to_string()))?;
        let mut view = AgentView::new(self.uid);
        view.sequence_num = self.sequence_num;
        view.capabilities = AgentCaps::from_wire(message.capabilities);
        view.report.take_from(&mut message);
        let mut agent = Agent::new(self.uid, self.first_seen);
        agent.view = view;
        agent.last_seen = self.last_seen;
        agent.labels = known.labels;
        agent.spec = known.spec;
        agent.since = known.since;
        agent.managed = known.managed;
        agent.restart_pending = known.restart_pending;
        agent.transport = known.transport;
        agent.reached_at = known.reached_at;
        agent.packages = known.packages.map_or_else(Packages::default, Packages::stored);
        agent.redescribe();
        Ok(agent)
    }
}
