//! What the package offers of a namespace want of one agent, package by package. Of several offers that name one package, one
//! whose selector matches counts before one that the agent was given something of earlier, then the higher priority;
//! offers that differ and are equal in both leave the agent with what it was given.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{Artefact, PackageOfferSpec, Unfit};
use crate::{
    server::fleet::{
        Agent, Catalogue,
        resource::{Key, PackageOffer},
    },
    wire::proto::AgentCapabilities,
};

/// A package that an agent is to have.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    pub artefact: Arc<Artefact>,
    /// Those that say so.
    pub offers: Vec<String>,
}

/// An offer that is for an agent and gives it nothing, or not all that is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub offer: String,
    pub why: NotOffered,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotOffered {
    #[error("the agent takes no packages (it lacks the capability AcceptsPackages)")]
    NotAccepted,
    #[error("agent package {0:?} does not exist")]
    Missing(String),
    #[error("agent package {package:?}: {why}")]
    Unfit { package: String, why: Unfit },
    #[error("package offer {by:?} counts more for package {package:?}")]
    Outranked { package: String, by: String },
    #[error(
        "package offers {} give different packages {package:?}, and none of them counts more; the agent keeps what it was \
         given: give one of them a higher priority, or withdraw one",
        .offers.join(" and ")
    )]
    Conflict { package: String, offers: Vec<String> },
}

impl NotOffered {
    /// Whether somebody has to mend something.
    #[must_use]
    pub const fn is_problem(&self) -> bool {
        !matches!(self, Self::NotAccepted | Self::Outranked { .. })
    }
}

/// All of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Claims {
    pub(super) wanted: BTreeMap<String, Wanted>,
    pub(super) refusals: Vec<Refusal>,
    /// Packages that are offered, wanted or not: what was given of them is not taken back.
    pub(super) named: BTreeSet<String>,
}

/// How much a claim counts; the larger one wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Weight {
    why: Why,
    priority: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Why {
    /// The agent was given something of the offer, and is not what its selector says any more.
    Kept,
    Matches,
}

struct Claim<'a> {
    weight: Weight,
    artefact: Artefact,
    offer: &'a str,
}

impl PackageOfferSpec {
    fn matches(&self, agent: &Agent) -> bool {
        let meant = self.agents.is_empty() || self.agents.contains(&agent.view.instance_uid);
        meant && self.selector.matches(&agent.described)
    }
}

impl Catalogue {
    pub(super) fn claims(&self, agent: &Agent) -> Claims {
        let mut claims = Claims::default();
        let mut by_name: BTreeMap<String, Vec<Claim<'_>>> = BTreeMap::new();
        for offer in self.offers_in(&agent.namespace) {
            let name = offer.metadata.name.as_str();
            let kept = agent.packages.given.values().any(|given| given.offer == name);
            let why = match (offer.spec.matches(agent), kept) {
                (true, _) => Why::Matches,
                (false, true) => Why::Kept,
                (false, false) => continue,
            };
            if !agent.can(AgentCapabilities::AcceptsPackages) {
                claims.refuse(name, NotOffered::NotAccepted);
                continue;
            }
            let weight = Weight { why, priority: offer.spec.priority };
            let (artefacts, refusals) = self.artefacts(offer, agent, &mut claims.named);
            if why == Why::Matches {
                refusals.into_iter().for_each(|why| claims.refuse(name, why));
            }
            for (package, artefact) in artefacts {
                by_name.entry(package).or_default().push(Claim { weight, artefact, offer: name });
            }
        }
        for (package, among) in by_name {
            claims.decide(package, among);
        }
        claims
    }

    /// What an offer has for an agent, by package, and what it has not.
    fn artefacts(
        &self,
        offer: &PackageOffer,
        agent: &Agent,
        named: &mut BTreeSet<String>,
    ) -> (Vec<(String, Artefact)>, Vec<NotOffered>) {
        let (mut found, mut refusals) = (Vec::new(), Vec::new());
        for name in &offer.spec.packages {
            let Some(package) = self.packages.get(&Key::new(&offer.metadata.namespace, name)) else {
                refusals.push(NotOffered::Missing(name.clone()));
                continue;
            };
            let known_as = package.spec.known_as(name);
            named.insert(known_as.to_owned());
            match Artefact::of(known_as, &package.spec, &agent.described) {
                Ok(artefact) => found.push((known_as.to_owned(), artefact)),
                Err(why) => refusals.push(NotOffered::Unfit { package: name.clone(), why }),
            }
        }
        (found, refusals)
    }
}

impl Claims {
    fn refuse(&mut self, offer: &str, why: NotOffered) {
        self.refusals.push(Refusal { offer: offer.to_owned(), why });
    }

    /// Which of the claims on one package counts.
    fn decide(&mut self, package: String, among: Vec<Claim<'_>>) {
        let Some(most) = among.iter().map(|claim| claim.weight).max() else { return };
        let (first, rest): (Vec<_>, Vec<_>) = among.into_iter().partition(|claim| claim.weight == most);
        let offers: Vec<_> = first.iter().map(|claim| claim.offer.to_owned()).collect();
        for claim in rest.iter().filter(|claim| claim.artefact.hash != first[0].artefact.hash) {
            // One that the agent has left for another is none that gives it nothing.
            if claim.weight.why == Why::Matches {
                let (package, by) = (package.clone(), offers[0].clone());
                self.refuse(claim.offer, NotOffered::Outranked { package, by });
            }
        }
        let one = first.iter().all(|claim| claim.artefact.hash == first[0].artefact.hash);
        let Some(claim) = first.into_iter().next().filter(|_| one) else {
            for offer in &offers {
                let (package, offers) = (package.clone(), offers.clone());
                self.refuse(offer, NotOffered::Conflict { package, offers });
            }
            return;
        };
        self.wanted.insert(package, Wanted { artefact: Arc::new(claim.artefact), offers });
    }
}
