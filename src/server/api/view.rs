//! The model as JSON: Commander's shapes, and beside them what people and tests need to see.

pub(super) mod identity;
mod packages;
mod settings;

use data_encoding::HEXLOWER;
use std::collections::BTreeMap;

use jiff::Timestamp;
pub(super) use packages::offer;
use serde_json::{Map, Value, json};

use crate::{
    server::{
        fleet::{
            Agent, ConfigState, Counts, Fleet,
            resource::{AgentGroup, Condition, ConditionStatus, Namespace, Resource},
        },
        hub::seconds,
    },
    wire::{
        attrs,
        proto::{
            ComponentDetails, ComponentHealth, EffectiveConfig, RemoteConfigStatus, RemoteConfigStatuses,
        },
    },
};

/// How much of an agent is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Detail {
    Full,
    /// Without the effective config, the components and the health of each component.
    Summary,
}

fn rfc3339(time: Timestamp) -> String {
    seconds(time).to_string()
}

/// A time of the wire, where 0 says that there is none.
fn from_nanos(nanos: u64) -> Value {
    match Timestamp::from_nanosecond(nanos.into()) {
        Ok(time) if nanos != 0 => rfc3339(time).into(),
        _ => Value::Null,
    }
}

pub(super) fn agent(agent: &Agent, detail: Detail) -> Value {
    let report = &agent.view.report;
    let kind = agent.described.identifying.get("service.name").filter(|name| {
        matches!(
            name.rsplit('/').next(),
            Some("otelcol" | "otelcol-contrib" | "otelcol-k8s" | "otelcol-otlp")
        )
    });
    let mut metadata = json!({
        "instanceUid": agent.view.instance_uid,
        "namespace": agent.namespace,
        "type": kind.map_or("unknown", |name| name.rsplit('/').next().unwrap_or("unknown")),
        "description": {
            "identifyingAttributes": agent.described.identifying,
            "nonIdentifyingAttributes": agent.described.non_identifying,
        },
        "capabilities": agent.view.capabilities.bits(),
    });
    if !agent.labels.is_empty() {
        metadata["labels"] = json!(agent.labels);
    }
    if let Some(custom) = &report.custom_capabilities {
        metadata["customCapabilities"] = json!({"capabilities": custom.capabilities});
    }
    json!({"metadata": metadata, "spec": agent.spec, "status": status(agent, detail)})
}

fn status(agent: &Agent, detail: Detail) -> Value {
    let report = &agent.view.report;
    let mut status = json!({
        "componentHealth": report.health.as_ref().map_or_else(|| json!({"healthy": false}), |h| health(h, detail)),
        "remoteConfigStatus": config_status(report.remote_config_status.as_ref()),
        "configState": agent.config_state(),
        "desiredConfigHash": agent.desired.as_ref().map_or_else(String::new, |wanted| HEXLOWER.encode(&wanted.config_hash)),
        "conditions": conditions(agent),
        "connected": agent.connected.is_some(),
        "presence": agent.presence,
        "sequenceNum": agent.view.sequence_num.unwrap_or(0),
        "lastReportedAt": rfc3339(agent.last_seen),
        "lastReportedAtPrecise": agent.last_seen.to_string(),
    });
    for (field, value) in settings::fields(agent).into_iter().chain(packages::fields(agent)) {
        status[field] = value;
    }
    if let Some(transport) = agent.transport {
        status["connectionType"] = json!(transport);
    }
    let components = report.available_components.as_ref();
    if let Some(components) = components {
        status["availableComponents"] = json!({"hash": HEXLOWER.encode(&components.hash)});
    }
    if detail == Detail::Summary {
        return status;
    }
    if let Some(components) = components {
        status["availableComponents"]["components"] = details(&components.components);
    }
    if let Some(config) = &report.effective_config {
        status["effectiveConfig"] = effective_config(config);
    }
    if let Some(wanted) = &agent.desired {
        let names: Vec<_> = wanted.config.iter().flat_map(|config| config.config_map.keys()).collect();
        status["desiredConfigNames"] = json!(names);
    }
    status
}

fn effective_config(config: &EffectiveConfig) -> Value {
    let files: BTreeMap<_, _> = config
        .config_map
        .iter()
        .flat_map(|map| &map.config_map)
        .map(|(name, object)| {
            let body = String::from_utf8_lossy(&object.body);
            (name, json!({"body": body, "contentType": object.content_type}))
        })
        .collect();
    json!({"configMap": {"configMap": files}})
}

fn config_status(status: Option<&RemoteConfigStatus>) -> Value {
    let word = match status.map_or(RemoteConfigStatuses::Unset, RemoteConfigStatus::status) {
        RemoteConfigStatuses::Unset => "UNSET",
        RemoteConfigStatuses::Applied => "APPLIED",
        RemoteConfigStatuses::Applying => "APPLYING",
        RemoteConfigStatuses::Failed => "FAILED",
    };
    json!({
        "status": word,
        "lastRemoteConfigHash": status.map_or_else(String::new, |status| HEXLOWER.encode(&status.last_remote_config_hash)),
        "errorMessage": status.map_or("", |status| &status.error_message),
    })
}

/// `componentsMap` is Commander's, flat and of text; `components` is the tree.
fn health(root: &ComponentHealth, detail: Detail) -> Value {
    let mut shown = one_health(root);
    if detail == Detail::Full && !root.component_health_map.is_empty() {
        let flat: BTreeMap<_, _> =
            root.component_health_map.iter().map(|(name, child)| (name, word(child))).collect();
        shown["componentsMap"] = json!(flat);
        shown["components"] = health_tree(root);
    }
    shown
}

fn health_tree(parent: &ComponentHealth) -> Value {
    let mut children = Map::new();
    for (name, child) in &parent.component_health_map {
        let mut shown = one_health(child);
        if !child.component_health_map.is_empty() {
            shown["components"] = health_tree(child);
        }
        children.insert(name.clone(), shown);
    }
    Value::Object(children)
}

fn one_health(health: &ComponentHealth) -> Value {
    let mut shown = json!({
        "healthy": health.healthy,
        "startTime": from_nanos(health.start_time_unix_nano),
        "status": health.status,
        "statusTime": from_nanos(health.status_time_unix_nano),
    });
    if !health.last_error.is_empty() {
        shown["lastError"] = json!(health.last_error);
    }
    if !health.attributes.is_empty() {
        shown["attributes"] = json!(attrs::to_map(&health.attributes));
    }
    shown
}

fn word(health: &ComponentHealth) -> &str {
    match (health.status.as_str(), health.healthy) {
        ("", true) => "healthy",
        ("", false) => "unhealthy",
        (status, _) => status,
    }
}

/// `type` and `version` are Commander's; `metadata` and `components` are all that the agent says.
fn details(components: &BTreeMap<String, ComponentDetails>) -> Value {
    let mut shown = Map::new();
    for (name, component) in components {
        let metadata = attrs::to_map(&component.metadata);
        let mut one = Map::new();
        for (field, keys) in [("type", ["type", "code.namespace"]), ("version", ["version", "code.version"])]
        {
            if let Some(value) = keys.iter().find_map(|key| metadata.get(*key)) {
                one.insert(field.to_owned(), json!(value));
            }
        }
        if !metadata.is_empty() {
            one.insert("metadata".to_owned(), json!(metadata));
        }
        if !component.sub_component_map.is_empty() {
            one.insert("components".to_owned(), details(&component.sub_component_map));
        }
        shown.insert(name.clone(), Value::Object(one));
    }
    Value::Object(shown)
}

/// The states of an agent and since when each holds.
fn conditions(agent: &Agent) -> Vec<Condition> {
    let one = |kind: &str, time: Timestamp, status: Option<bool>, reason: &str, message: String| Condition {
        r#type: kind.to_owned(),
        last_transition_time: seconds(time),
        status: match status {
            Some(true) => ConditionStatus::True,
            Some(false) => ConditionStatus::False,
            None => ConditionStatus::Unknown,
        },
        reason: reason.to_owned(),
        message,
    };
    let connected = agent.connected.is_some();
    let health = agent.view.report.health.as_ref();
    let said = health.map_or("", |health| &health.last_error).to_owned();
    let state = agent.config_state();
    let applied = match state {
        ConfigState::Applied => Some(true),
        ConfigState::Failed | ConfigState::Unresolved => Some(false),
        ConfigState::Unmanaged | ConfigState::Pending | ConfigState::Applying => None,
    };
    let why = match (&agent.unresolved, state) {
        (Some(problem), _) => problem.to_string(),
        (None, ConfigState::Failed) => agent
            .view
            .report
            .remote_config_status
            .as_ref()
            .map_or_else(String::new, |s| s.error_message.clone()),
        _ => String::new(),
    };
    let (settled, settings, unsettled) = settings::applied(agent);
    let (installed, packages, lacking) = packages::installed(agent);
    let (there, gone) = ("Agent connected".to_owned(), "Agent not connected".to_owned());
    vec![
        one("Registered", agent.first_seen, Some(true), "system", "Agent registered".to_owned()),
        one(
            "Connected",
            agent.since.connected,
            Some(connected),
            "agent",
            if connected { there } else { gone },
        ),
        one("Healthy", agent.since.health, agent.healthy(), "agent", said),
        one("RemoteConfigApplied", agent.since.config, applied, &format!("{state:?}"), why),
        one("ConnectionSettingsApplied", agent.since.settings, settled, &format!("{settings:?}"), unsettled),
        one("PackagesInstalled", agent.since.packages, installed, &format!("{packages:?}"), lacking),
    ]
}

pub(super) fn namespace(namespace: &Namespace) -> Value {
    json!({
        "kind": "Namespace",
        "apiVersion": "v1",
        "metadata": {"name": namespace.name, "createdAt": rfc3339(namespace.created_at)},
        "status": {"conditions": namespace.conditions},
    })
}

pub(super) fn resource<S: serde::Serialize>(kind: &str, resource: &Resource<S>) -> Value {
    json!({
        "kind": kind,
        "apiVersion": "v1",
        "metadata": resource.metadata,
        "spec": resource.spec,
        "status": {"conditions": resource.conditions},
    })
}

/// A group with how its agents are doing, and what keeps its configs from being given.
pub(super) fn group(fleet: &Fleet, group: &AgentGroup) -> Value {
    let counts = Counts::of(fleet.members(group));
    let mut conditions = group.conditions.clone();
    let problem = fleet.catalogue.configs_of(group).err();
    let problem = problem.or_else(|| fleet.members(group).find_map(|agent| agent.unresolved.clone()));
    let unsettled = fleet.members(group).find_map(|agent| agent.unsettled.clone());
    let problems = [
        ("RemoteConfigApplied", problem.map(|problem| problem.to_string())),
        ("ConnectionSettingsApplied", unsettled.map(|problem| problem.to_string())),
    ];
    let last = conditions.last().map_or(group.metadata.created_at, |c: &Condition| c.last_transition_time);
    for (kind, problem) in problems {
        conditions.extend(problem.map(|message| Condition {
            r#type: kind.to_owned(),
            last_transition_time: last,
            status: ConditionStatus::False,
            reason: "Unresolved".to_owned(),
            message,
        }));
    }
    json!({
        "kind": "AgentGroup",
        "apiVersion": "v1",
        "metadata": group.metadata,
        "spec": group.spec,
        "status": {
            "numAgents": counts.agents,
            "numConnectedAgents": counts.connected,
            "numHealthyAgents": counts.healthy,
            "numUnhealthyAgents": counts.unhealthy,
            "numNotConnectedAgents": counts.agents - counts.connected,
            "conditions": conditions,
        },
    })
}
