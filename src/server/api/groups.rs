//! Groups: which agents get which configs. A deleted group stays to be looked at, marked.

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
    agents::{detail, keyed},
    body::{Body, Given, condition, set_condition},
    namespaces::exists,
    problem::{Problem, Reason},
    query::Query,
    view,
};
use crate::server::{
    fleet::{
        DEFAULT_NAMESPACE, Fleet,
        resource::{AgentGroup, AgentGroupSpec, Invalid, Key},
    },
    hub::Plan,
    store::Change,
};

const KIND: &str = "AgentGroup";

fn find<'a>(fleet: &'a Fleet, key: &Key) -> Result<&'a AgentGroup, Problem> {
    let group = fleet.catalogue.groups.get(key).filter(|group| group.metadata.deleted_at.is_none());
    group.ok_or_else(|| Problem::missing("agent group", &key.name))
}

pub(super) async fn list(
    State(api): State<Api>,
    Path(ns): Path<String>,
    query: Query,
) -> Result<Json<Value>, Problem> {
    let deleted = query.flag("includeDeleted")? == Some(true);
    api.hub.look(|fleet| {
        let groups = fleet.catalogue.groups.values().filter(|group| {
            group.metadata.namespace == ns && (deleted || group.metadata.deleted_at.is_none())
        });
        let keyed = groups.map(|group| (group.metadata.name.clone(), group));
        query.page(KIND, keyed, |group| view::group(fleet, group)).map(Json)
    })
}

pub(super) async fn get(
    State(api): State<Api>,
    Path((ns, name)): Path<(String, String)>,
    query: Query,
) -> Result<Json<Value>, Problem> {
    let deleted = query.flag("includeDeleted")? == Some(true);
    let key = Key::new(&ns, &name);
    api.hub.look(|fleet| {
        let any = fleet.catalogue.groups.get(&key).filter(|_| deleted);
        any.map_or_else(|| find(fleet, &key), Ok).map(|group| Json(view::group(fleet, group)))
    })
}

pub(super) async fn agents(
    State(api): State<Api>,
    Path((ns, name)): Path<(String, String)>,
    query: Query,
) -> Result<Json<Value>, Problem> {
    let (filter, detail) = (query.filter()?, detail(&query)?);
    api.hub.look(|fleet| {
        let group = find(fleet, &Key::new(&ns, &name))?;
        let members = fleet.members(group).filter(|agent| filter.holds(agent)).map(keyed);
        query.page("Agent", members, |agent| view::agent(agent, detail)).map(Json)
    })
}

fn spec(given: Given<AgentGroupSpec>) -> Result<AgentGroupSpec, Invalid> {
    let mut spec = given.spec()?;
    if let Some(config) = &mut spec.agent_config {
        config.normalise();
    }
    spec.check()?;
    Ok(spec)
}

/// The older path, with the namespace in the body or the default one.
pub(super) async fn post_anywhere(
    state: State<Api>,
    Body(given): Body<Given<AgentGroupSpec>>,
) -> Result<impl IntoResponse, Problem> {
    let ns = match given.metadata.namespace.as_str() {
        "" => DEFAULT_NAMESPACE.to_owned(),
        named => named.to_owned(),
    };
    post(state, Path(ns), Body(given)).await
}

pub(super) async fn post(
    State(api): State<Api>,
    Path(ns): Path<String>,
    Body(given): Body<Given<AgentGroupSpec>>,
) -> Result<impl IntoResponse, Problem> {
    let key = api
        .hub
        .operate(|fleet, now| {
            exists(fleet, &ns)?;
            let metadata = given.metadata(KIND, &ns, None, now)?;
            if find(fleet, &Key::new(&ns, &metadata.name)).is_ok() {
                let detail = format!("agent group already exists: {ns}/{}", metadata.name);
                return Err(Problem::new(Reason::Conflict, detail.clone()).at("body.metadata.name", detail));
            }
            let conditions = vec![condition("Created", "Agent group created", now)];
            Ok(replace(AgentGroup { metadata, spec: spec(given)?, conditions }))
        })
        .await?;
    let location = format!("/api/v1/namespaces/{}/agentgroups/{}", key.namespace, key.name);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], show(&api, &key)?))
}

pub(super) async fn put(
    State(api): State<Api>,
    Path((ns, name)): Path<(String, String)>,
    Body(given): Body<Given<AgentGroupSpec>>,
) -> Result<Json<Value>, Problem> {
    let key = api
        .hub
        .operate(|fleet, now| {
            let old = find(fleet, &Key::new(&ns, &name))?;
            let mut metadata = given.metadata(KIND, &ns, Some(&name), now)?;
            metadata.created_at = old.metadata.created_at;
            let mut conditions = old.conditions.clone();
            set_condition(&mut conditions, condition("Updated", "Agent group updated", now));
            Ok::<_, Problem>(replace(AgentGroup { metadata, spec: spec(given)?, conditions }))
        })
        .await?;
    show(&api, &key)
}

pub(super) async fn delete(
    State(api): State<Api>,
    Path((ns, name)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    api.hub
        .operate(|fleet, now| {
            let mut group = find(fleet, &Key::new(&ns, &name))?.clone();
            group.metadata.deleted_at = Some(now);
            set_condition(&mut group.conditions, condition("Deleted", "Agent group deleted", now));
            Ok::<_, Problem>(replace(group))
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Puts a group in place, and gives its agents what follows from it.
fn replace(group: AgentGroup) -> Plan<Key> {
    let key = Key::new(&group.metadata.namespace, &group.metadata.name);
    let output = key.clone();
    Plan {
        changes: vec![Change::Group(group.clone())],
        apply: Box::new(move |fleet: &mut Fleet, now: Timestamp| {
            let namespace = key.namespace.clone();
            fleet.catalogue.groups.insert(key, group);
            fleet.reconsider(&namespace, now)
        }),
        output,
    }
}

fn show(api: &Api, key: &Key) -> Result<Json<Value>, Problem> {
    api.hub.look(|fleet| find(fleet, key).map(|group| Json(view::group(fleet, group))))
}
