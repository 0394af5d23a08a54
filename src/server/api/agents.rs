//! Agents: looking at them, and what an operator wants of each.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    Api,
    body::Body,
    problem::{Problem, Reason},
    query::Query,
    view::{self, Detail},
    watch,
};
use crate::{
    server::{
        fleet::{
            Agent, Fleet,
            resource::{AgentSpec, Attributes, Key, PushedConfig, SpecRemoteConfig},
        },
        hub::{Plan, record},
        store::Change,
    },
    wire::{InstanceUid, proto::AgentCapabilities},
};

/// The name of a config that was written for one agent alone.
const PUSHED: &str = "pushed";

pub(super) fn detail(query: &Query) -> Result<Detail, Problem> {
    match query.get("view") {
        None | Some("full") => Ok(Detail::Full),
        Some("summary") => Ok(Detail::Summary),
        Some(other) => Err(Problem::bad_parameter("view", other, "say full or summary")),
    }
}

pub(super) async fn list(
    State(api): State<Api>,
    Path(ns): Path<String>,
    query: Query,
) -> Result<Response, Problem> {
    if query.flag("watch")? == Some(true) {
        return watch::stream(&api, Some(ns), &query);
    }
    let (filter, detail) = (query.filter()?, detail(&query)?);
    let page = api.hub.look(|fleet| {
        let agents = fleet.agents.values().filter(|agent| agent.namespace == ns && filter.holds(agent));
        query.page("Agent", agents.map(keyed), |agent| view::agent(agent, detail))
    })?;
    Ok(Json(page).into_response())
}

pub(super) fn keyed(agent: &Agent) -> (String, &Agent) {
    (agent.view.instance_uid.to_string(), agent)
}

pub(super) async fn search(
    State(api): State<Api>,
    Path(ns): Path<String>,
    query: Query,
) -> Result<Json<Value>, Problem> {
    let wanted = query.get("q").unwrap_or("").to_ascii_lowercase();
    if wanted.is_empty() || !wanted.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
        return Err(Problem::bad_parameter(
            "q",
            &wanted,
            "give part of an instance uid: letters, digits and '-'",
        ));
    }
    let detail = detail(&query)?;
    let page = api.hub.look(|fleet| {
        let agents = fleet.agents.values().filter(|agent| agent.namespace == ns).map(keyed);
        query.page("Agent", agents.filter(|(uid, _)| uid.contains(&wanted)), |agent| {
            view::agent(agent, detail)
        })
    })?;
    Ok(Json(page))
}

pub(super) async fn get(
    State(api): State<Api>,
    Path((ns, uid)): Path<(String, String)>,
) -> Result<Json<Value>, Problem> {
    let uid = parse(&uid)?;
    api.hub.look(|fleet| find(fleet, &ns, uid).map(|agent| Json(view::agent(agent, Detail::Full))))
}

pub(super) async fn groups(
    State(api): State<Api>,
    Path((ns, uid)): Path<(String, String)>,
    query: Query,
) -> Result<Json<Value>, Problem> {
    let uid = parse(&uid)?;
    api.hub.look(|fleet| {
        let agent = find(fleet, &ns, uid)?;
        let groups =
            fleet.catalogue.groups_in(&ns).filter(|group| group.spec.selector.matches(&agent.described));
        let keyed = groups.map(|group| (group.metadata.name.clone(), group));
        query.page("AgentGroup", keyed, |group| view::group(fleet, group)).map(Json)
    })
}

pub(super) fn parse(uid: &str) -> Result<InstanceUid, Problem> {
    uid.parse().map_err(|error: crate::wire::InvalidUid| {
        Problem::new(Reason::BadRequest, error.to_string()).at("path.uid", error.to_string()).with_value(uid)
    })
}

pub(super) fn find<'a>(fleet: &'a Fleet, ns: &str, uid: InstanceUid) -> Result<&'a Agent, Problem> {
    let agent = fleet.agents.get(&uid).filter(|agent| agent.namespace == ns);
    agent.ok_or_else(|| Problem::missing("agent", &uid.to_string()))
}

/// What a PUT may say; the rest of an agent is the agent's to say, and is not looked at.
#[derive(Deserialize)]
pub(super) struct GivenAgent {
    #[serde(default)]
    metadata: Option<GivenAgentMetadata>,
    #[serde(default)]
    spec: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
struct GivenAgentMetadata {
    #[serde(default)]
    labels: Option<Map<String, Value>>,
}

/// Merges: a field that is left out stays, one that is null goes (Commander's `restart` relies on it).
pub(super) async fn put(
    State(api): State<Api>,
    Path((ns, uid)): Path<(String, String)>,
    Body(given): Body<GivenAgent>,
) -> Result<Json<Value>, Problem> {
    let uid = parse(&uid)?;
    change(&api, &ns, uid, |agent| {
        let spec = merge(&agent.spec, given.spec.unwrap_or_default())?;
        let labels = given.metadata.and_then(|metadata| metadata.labels).unwrap_or_default();
        Ok((spec, merge_labels(&agent.labels, labels)?))
    })
    .await
}

/// The older path: the body becomes this agent's own config.
pub(super) async fn update_config(
    State(api): State<Api>,
    Path(uid): Path<String>,
    Body(given): Body<crate::server::fleet::resource::AgentRemoteConfigSpec>,
) -> Result<Json<Value>, Problem> {
    let uid = parse(&uid)?;
    let ns = api.hub.look(|fleet| fleet.agents.get(&uid).map(|agent| agent.namespace.clone()));
    let ns = ns.ok_or_else(|| Problem::missing("agent", &uid.to_string()))?;
    change(&api, &ns, uid, |agent| {
        let pushed = PushedConfig { body: given.value, content_type: given.content_type };
        let remote_config = SpecRemoteConfig {
            remote_config_names: Vec::new(),
            config_map: [(PUSHED.to_owned(), pushed)].into(),
        };
        let spec = AgentSpec { remote_config: Some(remote_config), ..agent.spec.clone() };
        Ok((spec, agent.labels.clone()))
    })
    .await
}

async fn change(
    api: &Api,
    ns: &str,
    uid: InstanceUid,
    decide: impl FnOnce(&Agent) -> Result<(AgentSpec, Attributes), Problem>,
) -> Result<Json<Value>, Problem> {
    api.hub
        .operate(|fleet, now| {
            let agent = find(fleet, ns, uid)?;
            let (spec, labels) = decide(agent)?;
            check(fleet, agent, &spec)?;
            let mut changed = agent.clone();
            changed.labels.clone_from(&labels);
            changed.set_spec(spec.clone(), &fleet.catalogue, now);
            Ok::<_, Problem>(Plan {
                changes: vec![record(&changed)],
                apply: Box::new(move |fleet, now| {
                    let Some(agent) = fleet.agents.get_mut(&uid) else { return Vec::new() };
                    agent.labels = labels;
                    agent.set_spec(spec, &fleet.catalogue, now);
                    vec![uid]
                }),
                output: (),
            })
        })
        .await?;
    api.hub.look(|fleet| find(fleet, ns, uid).map(|agent| Json(view::agent(agent, Detail::Full))))
}

/// Refuses what could only fail later, out of sight.
fn check(fleet: &Fleet, agent: &Agent, spec: &AgentSpec) -> Result<(), Problem> {
    let names = spec.remote_config.iter().flat_map(|config| &config.remote_config_names);
    for name in names {
        if !fleet.catalogue.configs.contains_key(&Key::new(&agent.namespace, name)) {
            let detail =
                format!("agent remote config {name:?} does not exist in namespace {:?}", agent.namespace);
            return Err(Problem::new(Reason::BadRequest, detail.clone())
                .at("body.spec.remoteConfig.remoteConfigNames", detail));
        }
    }
    let known = !agent.view.capabilities.is_unspecified();
    let asks_restart =
        spec.restart_required_at != agent.spec.restart_required_at && spec.restart_required_at.is_some();
    if asks_restart && known && !agent.can(AgentCapabilities::AcceptsRestartCommand) {
        let detail = "This agent does not accept the restart command (capability AcceptsRestartCommand).";
        return Err(Problem::new(Reason::Conflict, detail).at("body.spec.restartRequiredAt", detail));
    }
    if let Some(new) = spec.new_instance_uid.filter(|new| *new != agent.view.instance_uid)
        && fleet.agents.contains_key(&new)
    {
        let detail = format!("another agent already has the instance uid {new}");
        return Err(Problem::new(Reason::Conflict, detail.clone()).at("body.spec.newInstanceUid", detail));
    }
    Ok(())
}

/// Fields given replace those there are; `remoteConfig` and `connectionSettings` do so one level down.
fn merge(spec: &AgentSpec, given: Map<String, Value>) -> Result<AgentSpec, Problem> {
    let wrong = |error: serde_json::Error| {
        Problem::new(Reason::BadRequest, format!("spec: {error}")).at("body.spec", error.to_string())
    };
    let mut merged = serde_json::to_value(spec).map_err(wrong)?;
    for (field, value) in given {
        match (field.as_str(), &value, &mut merged[&field]) {
            ("remoteConfig" | "connectionSettings", Value::Object(given), Value::Object(there)) => {
                there.extend(given.iter().map(|(name, value)| (name.clone(), value.clone())));
                there.retain(|_, value| !value.is_null());
            }
            (_, _, place) => *place = value,
        }
    }
    if let Some(fields) = merged.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    let mut spec: AgentSpec = serde_json::from_value(merged).map_err(wrong)?;
    if let Some(settings) = &mut spec.connection_settings {
        settings.normalise();
        settings.check("spec.connectionSettings")?;
    }
    Ok(spec)
}

fn merge_labels(labels: &Attributes, given: Map<String, Value>) -> Result<Attributes, Problem> {
    let mut merged = labels.clone();
    for (name, value) in given {
        match value {
            Value::Null => drop(merged.remove(&name)),
            Value::String(text) => drop(merged.insert(name, text)),
            _ => {
                let detail = format!("label {name:?} must be text");
                return Err(
                    Problem::new(Reason::BadRequest, detail.clone()).at("body.metadata.labels", detail)
                );
            }
        }
    }
    Ok(merged)
}

/// Forgets an agent. One that is connected would be back with its next message.
pub(super) async fn delete(
    State(api): State<Api>,
    Path((ns, uid)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let uid = parse(&uid)?;
    api.hub
        .operate(|fleet, _| {
            if find(fleet, &ns, uid)?.connected.is_some() {
                let detail = "The agent is connected; stop it first.";
                return Err(Problem::new(Reason::Conflict, detail).at("path.uid", detail));
            }
            Ok(Plan {
                changes: vec![Change::DeleteAgent(uid)],
                apply: Box::new(move |fleet, _| {
                    fleet.agents.remove(&uid);
                    Vec::new()
                }),
                output: (),
            })
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
