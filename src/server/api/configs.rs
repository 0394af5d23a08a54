//! Agent remote configs: named Collector configs that groups and agents refer to.

use axum::{
    Json,
    extract::{Path, State},
    http::{StatusCode, header},
    response::IntoResponse,
};
use jiff::Timestamp;
use serde_json::Value;

use super::{
    Api,
    body::{Body, Given, condition, set_condition},
    namespaces::exists,
    problem::{Problem, Reason},
    query::Query,
    view,
};
use crate::server::{
    fleet::{
        Fleet,
        resource::{AgentRemoteConfig, AgentRemoteConfigSpec, Invalid, Key},
    },
    hub::Plan,
    store::Change,
};

const KIND: &str = "AgentRemoteConfig";

fn find<'a>(fleet: &'a Fleet, key: &Key) -> Result<&'a AgentRemoteConfig, Problem> {
    fleet.catalogue.configs.get(key).ok_or_else(|| Problem::missing("agent remote config", &key.name))
}

pub(super) async fn list(
    State(api): State<Api>,
    Path(ns): Path<String>,
    query: Query,
) -> Result<Json<Value>, Problem> {
    api.hub.look(|fleet| {
        let configs = fleet.catalogue.configs.iter().filter(|(key, _)| key.namespace == ns);
        let keyed = configs.map(|(key, config)| (key.name.clone(), config));
        query.page(KIND, keyed, view::config).map(Json)
    })
}

pub(super) async fn get(
    State(api): State<Api>,
    Path((ns, name)): Path<(String, String)>,
) -> Result<Json<Value>, Problem> {
    show(&api, &Key::new(&ns, &name))
}

fn spec(given: Given<AgentRemoteConfigSpec>) -> Result<AgentRemoteConfigSpec, Invalid> {
    let mut spec = given.spec()?;
    if spec.content_type.is_empty() {
        "text/yaml".clone_into(&mut spec.content_type);
    }
    Ok(spec)
}

pub(super) async fn post(
    State(api): State<Api>,
    Path(ns): Path<String>,
    Body(given): Body<Given<AgentRemoteConfigSpec>>,
) -> Result<impl IntoResponse, Problem> {
    let key = api
        .hub
        .operate(|fleet, now| {
            exists(fleet, &ns)?;
            let metadata = given.metadata(KIND, &ns, None, now)?;
            if find(fleet, &Key::new(&ns, &metadata.name)).is_ok() {
                let detail = format!("agent remote config already exists: {ns}/{}", metadata.name);
                return Err(Problem::new(Reason::Conflict, detail.clone()).at("body.metadata.name", detail));
            }
            let conditions = vec![condition("Created", "Agent remote config created", now)];
            Ok(replace(AgentRemoteConfig { metadata, spec: spec(given)?, conditions }))
        })
        .await?;
    let location = format!("/api/v1/namespaces/{}/agentremoteconfigs/{}", key.namespace, key.name);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], show(&api, &key)?))
}

pub(super) async fn put(
    State(api): State<Api>,
    Path((ns, name)): Path<(String, String)>,
    Body(given): Body<Given<AgentRemoteConfigSpec>>,
) -> Result<Json<Value>, Problem> {
    let key = api
        .hub
        .operate(|fleet, now| {
            let old = find(fleet, &Key::new(&ns, &name))?;
            let mut metadata = given.metadata(KIND, &ns, Some(&name), now)?;
            metadata.created_at = old.metadata.created_at;
            let mut conditions = old.conditions.clone();
            set_condition(&mut conditions, condition("Updated", "Agent remote config updated", now));
            Ok::<_, Problem>(replace(AgentRemoteConfig { metadata, spec: spec(given)?, conditions }))
        })
        .await?;
    show(&api, &key)
}

/// Agents that were given the config keep it; what refers to it says so until that is mended.
pub(super) async fn delete(
    State(api): State<Api>,
    Path((ns, name)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let key = Key::new(&ns, &name);
    api.hub
        .operate(|fleet, _| {
            find(fleet, &key)?;
            let key = key.clone();
            Ok::<_, Problem>(Plan {
                changes: vec![Change::DeleteConfig(key.clone())],
                apply: Box::new(move |fleet: &mut Fleet, now: Timestamp| {
                    fleet.catalogue.configs.remove(&key);
                    fleet.reconsider(&key.namespace, now)
                }),
                output: (),
            })
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Puts a config in place, and gives it to the agents that it is for.
fn replace(config: AgentRemoteConfig) -> Plan<Key> {
    let key = Key::new(&config.metadata.namespace, &config.metadata.name);
    let output = key.clone();
    Plan {
        changes: vec![Change::Config(config.clone())],
        apply: Box::new(move |fleet: &mut Fleet, now: Timestamp| {
            let namespace = key.namespace.clone();
            fleet.catalogue.configs.insert(key, config);
            fleet.reconsider(&namespace, now)
        }),
        output,
    }
}

fn show(api: &Api, key: &Key) -> Result<Json<Value>, Problem> {
    api.hub.look(|fleet| find(fleet, key).map(|config| Json(view::config(config))))
}
