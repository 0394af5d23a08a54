//! Namespaces. One that an agent names exists by that; operators may make more.

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
    problem::{Problem, Reason},
    query::Query,
    view,
};
use crate::server::{
    fleet::{
        DEFAULT_NAMESPACE, Fleet,
        resource::{Invalid, Namespace, check_name},
    },
    hub::Plan,
    store::Change,
};

const KIND: &str = "Namespace";

/// Refuses what would be written into a namespace that is not there.
pub(super) fn exists(fleet: &Fleet, name: &str) -> Result<(), Problem> {
    let named = || fleet.agents.values().any(|agent| agent.namespace == name);
    if fleet.catalogue.namespaces.contains_key(name) || named() {
        return Ok(());
    }
    Err(Problem::missing("namespace", name))
}

fn find(fleet: &Fleet, name: &str) -> Result<Namespace, Problem> {
    fleet.namespaces().remove(name).ok_or_else(|| Problem::missing("namespace", name))
}

pub(super) async fn list(State(api): State<Api>, query: Query) -> Result<Json<Value>, Problem> {
    let all = api.hub.look(Fleet::namespaces);
    query.page(KIND, all.iter().map(|(name, ns)| (name.clone(), ns)), view::namespace).map(Json)
}

pub(super) async fn get(State(api): State<Api>, Path(name): Path<String>) -> Result<Json<Value>, Problem> {
    api.hub.look(|fleet| find(fleet, &name)).map(|namespace| Json(view::namespace(&namespace)))
}

pub(super) async fn post(
    State(api): State<Api>,
    Body(given): Body<Given<Value>>,
) -> Result<impl IntoResponse, Problem> {
    let name = given.metadata.name;
    let namespace = api
        .hub
        .operate(|fleet, now| {
            check_name("metadata.name", &name)?;
            if fleet.catalogue.namespaces.contains_key(&name) {
                let detail = format!("namespace already exists: {name}");
                return Err(Problem::new(Reason::Conflict, detail.clone()).at("body.metadata.name", detail));
            }
            let conditions = vec![condition("Created", "Namespace created", now)];
            Ok(replace(Namespace { name, created_at: now, conditions }))
        })
        .await?;
    let location = format!("/api/v1/namespaces/{}", namespace.name);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(view::namespace(&namespace))))
}

pub(super) async fn put(
    State(api): State<Api>,
    Path(name): Path<String>,
    Body(given): Body<Given<Value>>,
) -> Result<Json<Value>, Problem> {
    let namespace = api
        .hub
        .operate(|fleet, now| {
            let mut namespace = find(fleet, &name)?;
            if !given.metadata.name.is_empty() && given.metadata.name != name {
                let message = format!("is {:?}, but the path says {name:?}", given.metadata.name);
                return Err(Invalid::new("metadata.name", message).into());
            }
            set_condition(&mut namespace.conditions, condition("Updated", "Namespace updated", now));
            Ok::<_, Problem>(replace(namespace))
        })
        .await?;
    Ok(Json(view::namespace(&namespace)))
}

/// Only an empty one goes, and never the default one.
pub(super) async fn delete(State(api): State<Api>, Path(name): Path<String>) -> Result<StatusCode, Problem> {
    api.hub
        .operate(|fleet, _| {
            find(fleet, &name)?;
            if let Some(what) = content(fleet, &name) {
                let detail = format!("The namespace {name:?} {what}.");
                return Err(Problem::new(Reason::Conflict, detail.clone()).at("path.ns", detail));
            }
            let name = name.clone();
            Ok(Plan {
                changes: vec![Change::DeleteNamespace(name.clone())],
                apply: Box::new(move |fleet: &mut Fleet, _: Timestamp| {
                    fleet.catalogue.namespaces.remove(&name);
                    Vec::new()
                }),
                output: (),
            })
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

fn content(fleet: &Fleet, name: &str) -> Option<&'static str> {
    if name == DEFAULT_NAMESPACE {
        return Some("is the one of agents that name none");
    }
    if fleet.agents.values().any(|agent| agent.namespace == name) {
        return Some("has agents");
    }
    if fleet.catalogue.groups_in(name).next().is_some() {
        return Some("has agent groups");
    }
    if fleet.register.tokens().keys().any(|key| key.namespace == name) {
        return Some("has enrolment tokens");
    }
    if fleet.catalogue.packages.keys().any(|key| key.namespace == name) {
        return Some("has agent packages");
    }
    if fleet.catalogue.offers_in(name).next().is_some() {
        return Some("has package offers");
    }
    fleet.catalogue.configs.keys().any(|key| key.namespace == name).then_some("has agent remote configs")
}

fn replace(namespace: Namespace) -> Plan<Namespace> {
    let output = namespace.clone();
    Plan {
        changes: vec![Change::Namespace(namespace.clone())],
        apply: Box::new(move |fleet: &mut Fleet, _: Timestamp| {
            fleet.catalogue.namespaces.insert(namespace.name.clone(), namespace);
            Vec::new()
        }),
        output,
    }
}
