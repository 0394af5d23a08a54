//! Resources of a namespace that are written whole: the handlers that all kinds of them share.

use axum::{
    Json,
    extract::{Path, State},
    http::{StatusCode, header},
    response::IntoResponse,
    routing::{MethodRouter, get},
};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;

use super::{
    Api,
    body::{Body, Given, condition, set_condition},
    namespaces::exists,
    problem::{Problem, Reason},
    query::Query,
};
use crate::server::{
    fleet::{
        Catalogue, Fleet,
        resource::{Condition, Key, Metadata, Resource},
    },
    hub::Plan,
    store::Change,
};

/// A kind of resource, by what it specifies.
pub(super) trait Spec: Clone + DeserializeOwned + Send + 'static {
    const KIND: &'static str;
    /// In paths.
    const PLURAL: &'static str;
    /// In messages.
    const WORDS: &'static str;

    /// Brings what was sent into its one form, or refuses it.
    fn check(self, metadata: &Metadata, fleet: &Fleet, api: &Api) -> Result<Self, Problem>;
    fn all(catalogue: &Catalogue) -> &BTreeMap<Key, Resource<Self>>;
    fn all_mut(catalogue: &mut Catalogue) -> &mut BTreeMap<Key, Resource<Self>>;
    fn show(fleet: &Fleet, resource: &Resource<Self>) -> Value;
    fn written(resource: Resource<Self>) -> Change;
    /// What takes it out of the store; `None` where a deleted one stays to be looked at, marked.
    fn removed(key: Key) -> Option<Change>;

    /// Whether a condition still holds of what is written anew.
    fn outlives(_: &Condition) -> bool {
        true
    }
}

/// The methods of the list, and of each resource in it.
pub(super) fn routes<S: Spec>() -> [(String, MethodRouter<Api>); 2] {
    let one = get(read::<S>).put(put::<S>).delete(delete::<S>);
    [(format!("/{}", S::PLURAL), get(list::<S>).post(post::<S>)), (format!("/{}/{{name}}", S::PLURAL), one)]
}

pub(super) fn find<'a, S: Spec>(fleet: &'a Fleet, key: &Key) -> Result<&'a Resource<S>, Problem> {
    let found = S::all(&fleet.catalogue).get(key).filter(|found| found.metadata.deleted_at.is_none());
    found.ok_or_else(|| Problem::missing(S::WORDS, &key.name))
}

async fn list<S: Spec>(
    State(api): State<Api>,
    Path(ns): Path<String>,
    query: Query,
) -> Result<Json<Value>, Problem> {
    let deleted = query.flag("includeDeleted")? == Some(true);
    api.hub.look(|fleet| {
        let found = S::all(&fleet.catalogue).iter().filter(|(key, resource)| {
            key.namespace == ns && (deleted || resource.metadata.deleted_at.is_none())
        });
        let named = found.map(|(key, resource)| (key.name.clone(), resource));
        query.page(S::KIND, named, |resource| S::show(fleet, resource)).map(Json)
    })
}

async fn read<S: Spec>(
    State(api): State<Api>,
    Path((ns, name)): Path<(String, String)>,
    query: Query,
) -> Result<Json<Value>, Problem> {
    let deleted = query.flag("includeDeleted")? == Some(true);
    let key = Key::new(&ns, &name);
    api.hub.look(|fleet| {
        let any = S::all(&fleet.catalogue).get(&key).filter(|_| deleted);
        any.map_or_else(|| find(fleet, &key), Ok).map(|resource| Json(S::show(fleet, resource)))
    })
}

pub(super) async fn post<S: Spec>(
    State(api): State<Api>,
    Path(ns): Path<String>,
    Body(given): Body<Given<S>>,
) -> Result<impl IntoResponse, Problem> {
    let key = api
        .hub
        .operate(|fleet, now| {
            exists(fleet, &ns)?;
            let metadata = given.metadata(S::KIND, &ns, None, now)?;
            if find::<S>(fleet, &Key::new(&ns, &metadata.name)).is_ok() {
                let detail = format!("{} already exists: {ns}/{}", S::WORDS, metadata.name);
                return Err(Problem::new(Reason::Conflict, detail.clone()).at("body.metadata.name", detail));
            }
            let spec = given.spec()?.check(&metadata, fleet, &api)?;
            let conditions = vec![condition("Created", &happened::<S>("created"), now)];
            Ok(replace(Resource { metadata, spec, conditions }))
        })
        .await?;
    let location = format!("/api/v1/namespaces/{}/{}/{}", key.namespace, S::PLURAL, key.name);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], shown::<S>(&api, &key)?))
}

async fn put<S: Spec>(
    State(api): State<Api>,
    Path((ns, name)): Path<(String, String)>,
    Body(given): Body<Given<S>>,
) -> Result<Json<Value>, Problem> {
    let key = api
        .hub
        .operate(|fleet, now| {
            let old = find::<S>(fleet, &Key::new(&ns, &name))?;
            let mut metadata = given.metadata(S::KIND, &ns, Some(&name), now)?;
            metadata.created_at = old.metadata.created_at;
            let mut conditions = old.conditions.clone();
            conditions.retain(S::outlives);
            set_condition(&mut conditions, condition("Updated", &happened::<S>("updated"), now));
            let spec = given.spec()?.check(&metadata, fleet, &api)?;
            Ok::<_, Problem>(replace(Resource { metadata, spec, conditions }))
        })
        .await?;
    shown::<S>(&api, &key)
}

/// Agents that were given something keep it; what refers to it says so until that is mended.
async fn delete<S: Spec>(
    State(api): State<Api>,
    Path((ns, name)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    api.hub
        .operate(|fleet, now| {
            let key = Key::new(&ns, &name);
            let mut marked = find::<S>(fleet, &key)?.clone();
            let Some(removed) = S::removed(key.clone()) else {
                marked.metadata.deleted_at = Some(now);
                let deleted = condition("Deleted", &happened::<S>("deleted"), now);
                set_condition(&mut marked.conditions, deleted);
                return Ok(replace(marked));
            };
            Ok::<_, Problem>(Plan {
                changes: vec![removed],
                output: key.clone(),
                apply: Box::new(move |fleet: &mut Fleet, now: Timestamp| {
                    S::all_mut(&mut fleet.catalogue).remove(&key);
                    fleet.reconsider(&key.namespace, now)
                }),
            })
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Puts a resource in place, and gives agents what follows from it.
fn replace<S: Spec>(resource: Resource<S>) -> Plan<Key> {
    let key = resource.key();
    Plan {
        changes: vec![S::written(resource.clone())],
        output: key.clone(),
        apply: Box::new(move |fleet: &mut Fleet, now: Timestamp| {
            let namespace = key.namespace.clone();
            S::all_mut(&mut fleet.catalogue).insert(key, resource);
            fleet.reconsider(&namespace, now)
        }),
    }
}

fn shown<S: Spec>(api: &Api, key: &Key) -> Result<Json<Value>, Problem> {
    api.hub.look(|fleet| find(fleet, key).map(|resource| Json(S::show(fleet, resource))))
}

/// `Agent group created`.
fn happened<S: Spec>(what: &str) -> String {
    let (first, rest) = S::WORDS.split_at(1);
    format!("{}{rest} {what}", first.to_uppercase())
}
