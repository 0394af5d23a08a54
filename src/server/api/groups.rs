//! Groups: which agents get which configs. A deleted group stays to be looked at, marked.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::{Path, State},
    response::IntoResponse,
};
use serde_json::Value;

use super::{
    Api,
    agents::{detail, keyed},
    body::{Body, Given},
    problem::Problem,
    query::Query,
    resources::{self, Spec, find},
    view,
};
use crate::server::{
    fleet::{
        Catalogue, DEFAULT_NAMESPACE, Fleet,
        resource::{AgentGroup, AgentGroupSpec, Key, Metadata},
    },
    store::Change,
};

impl Spec for AgentGroupSpec {
    const KIND: &'static str = "AgentGroup";
    const PLURAL: &'static str = "agentgroups";
    const WORDS: &'static str = "agent group";

    fn check(mut self, _: &Metadata, _: &Fleet, _: &Api) -> Result<Self, Problem> {
        if let Some(config) = &mut self.agent_config {
            config.normalise();
        }
        Self::check(&self)?;
        Ok(self)
    }

    fn all(catalogue: &Catalogue) -> &BTreeMap<Key, AgentGroup> {
        &catalogue.groups
    }

    fn all_mut(catalogue: &mut Catalogue) -> &mut BTreeMap<Key, AgentGroup> {
        &mut catalogue.groups
    }

    fn show(fleet: &Fleet, group: &AgentGroup) -> Value {
        view::group(fleet, group)
    }

    fn written(group: AgentGroup) -> Change {
        Change::Group(group)
    }

    fn removed(_: Key) -> Option<Change> {
        None
    }
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

/// The older path, with the namespace in the body or the default one.
pub(super) async fn post_anywhere(
    state: State<Api>,
    Body(given): Body<Given<AgentGroupSpec>>,
) -> Result<impl IntoResponse, Problem> {
    let ns = match given.metadata.namespace.as_str() {
        "" => DEFAULT_NAMESPACE.to_owned(),
        named => named.to_owned(),
    };
    resources::post(state, Path(ns), Body(given)).await
}
