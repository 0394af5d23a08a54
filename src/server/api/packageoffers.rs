//! Package offers: which agents are to have which packages, how far that is, and another try for those that failed.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::{Path, State},
};
use jiff::Timestamp;
use serde_json::Value;

use super::{
    Api,
    agents::{detail, keyed},
    body::condition,
    problem::Problem,
    query::Query,
    resources::{Spec, find},
    view,
};
use crate::server::{
    fleet::{
        Catalogue, Fleet,
        offers::STOPPED,
        resource::{Condition, Key, Metadata, PackageOffer, PackageOfferSpec},
    },
    hub::Plan,
    store::Change,
};

impl Spec for PackageOfferSpec {
    const KIND: &'static str = "PackageOffer";
    const PLURAL: &'static str = "packageoffers";
    const WORDS: &'static str = "package offer";

    fn check(self, metadata: &Metadata, fleet: &Fleet, _: &Api) -> Result<Self, Problem> {
        let known_as = |name: &str| {
            let (key, package) =
                fleet.catalogue.packages.get_key_value(&Key::new(&metadata.namespace, name))?;
            Some(package.spec.known_as(&key.name))
        };
        Self::check(&self, known_as)?;
        Ok(self)
    }

    fn all(catalogue: &Catalogue) -> &BTreeMap<Key, PackageOffer> {
        &catalogue.offers
    }

    fn all_mut(catalogue: &mut Catalogue) -> &mut BTreeMap<Key, PackageOffer> {
        &mut catalogue.offers
    }

    fn show(fleet: &Fleet, offer: &PackageOffer) -> Value {
        view::offer(fleet, offer)
    }

    fn written(offer: PackageOffer) -> Change {
        Change::Offer(offer)
    }

    fn removed(key: Key) -> Option<Change> {
        Some(Change::DeleteOffer(key))
    }

    /// Whoever writes it anew has looked at why it was stopped.
    fn outlives(condition: &Condition) -> bool {
        condition.r#type != STOPPED
    }
}

/// The agents that an offer is for, also those that get nothing of it.
pub(super) async fn agents(
    State(api): State<Api>,
    Path((ns, name)): Path<(String, String)>,
    query: Query,
) -> Result<Json<Value>, Problem> {
    let (filter, detail) = (query.filter()?, detail(&query)?);
    api.hub.look(|fleet| {
        find::<PackageOfferSpec>(fleet, &Key::new(&ns, &name))?;
        let agents = fleet.agents.values().filter(|agent| agent.namespace == ns && agent.is_offered(&name));
        query
            .page("Agent", agents.filter(|agent| filter.holds(agent)).map(keyed), |agent| {
                view::agent(agent, detail)
            })
            .map(Json)
    })
}

/// Those that failed wait for their turn again, and an offer that was stopped goes on.
pub(super) async fn retry(
    State(api): State<Api>,
    Path((ns, name)): Path<(String, String)>,
) -> Result<Json<Value>, Problem> {
    let key = Key::new(&ns, &name);
    api.hub
        .operate(|fleet, now| {
            let mut offer = find::<PackageOfferSpec>(fleet, &key)?.clone();
            offer.conditions.retain(PackageOfferSpec::outlives);
            offer.conditions.retain(|old| old.r#type != "Retried");
            offer.conditions.push(condition("Retried", "Agents that failed are to try again", now));
            let key = key.clone();
            Ok::<_, Problem>(Plan {
                changes: vec![Change::Offer(offer.clone())],
                apply: Box::new(move |fleet: &mut Fleet, now: Timestamp| {
                    fleet.catalogue.offers.insert(key.clone(), offer);
                    fleet.retry(&key, now)
                }),
                output: (),
            })
        })
        .await?;
    api.hub.look(|fleet| find(fleet, &key).map(|offer| Json(view::offer(fleet, offer))))
}
