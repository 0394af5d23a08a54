//! What one agent was given of its offers, and what it says became of that. What was given stays: it is stored with the
//! agent, and is what the agent is offered until something else takes its place or nobody offers it any more.

use std::{collections::BTreeMap, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    Artefact, PackageState, Refusal, Source,
    claims::{Claims, Wanted},
};
use crate::{
    protocol::{packages::hash_of_all, server::Insistence},
    server::fleet::{Agent, Catalogue, package::FileHash},
    wire::proto::{Header, PackageStatus, PackageStatusEnum, PackageStatuses, PackagesAvailable},
};

/// An agent that tries again says so by then.
const ANSWERS_WITHIN: SignedDuration = SignedDuration::from_secs(30);

/// The packages of one agent.
#[derive(Clone, Debug, Default)]
pub struct Packages {
    /// What its offers want of it, by name of package.
    pub wanted: BTreeMap<String, Wanted>,
    pub refusals: Vec<Refusal>,
    /// What it was given of that, by name of package.
    pub given: BTreeMap<String, Given>,
    /// It was given something once, so it is told when there is nothing any more.
    managed: bool,
    /// Of all that is given.
    hash: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Given {
    pub artefact: Arc<Artefact>,
    /// By which offer.
    pub offer: String,
    #[serde(default)]
    pub again: Again,
}

/// Whether something that failed is to be tried once more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Again {
    #[default]
    No,
    /// When it is its turn.
    Waiting,
    /// Now.
    Due,
    /// The agent was told then, and has not said anything of it since.
    Sent(Timestamp),
}

impl Packages {
    /// As it was stored.
    #[must_use]
    pub fn stored(given: BTreeMap<String, Given>) -> Self {
        let mut packages = Self { given, managed: true, ..Self::default() };
        packages.rehash();
        packages
    }

    #[must_use]
    pub const fn is_managed(&self) -> bool {
        self.managed
    }

    /// Of what the agent is to know; none if it was never given anything.
    #[must_use]
    pub fn all_packages_hash(&self) -> Option<&[u8]> {
        self.managed.then_some(&*self.hash)
    }

    /// Whether the agent downloads any of it from here.
    #[must_use]
    pub fn lie_here(&self) -> bool {
        self.given.values().any(|given| given.artefact.source == Source::Here)
    }

    /// What the agent is told. `here` knows the URL and the headers for a file that lies here.
    pub fn available(&self, here: impl Fn(FileHash) -> (String, Vec<Header>)) -> PackagesAvailable {
        let offered = |(name, given): (&String, &Given)| (name.clone(), given.artefact.offered(&here));
        PackagesAvailable {
            packages: self.given.iter().map(offered).collect(),
            all_packages_hash: self.hash.clone(),
        }
    }

    #[must_use]
    pub fn insistence(&self) -> Insistence {
        let again = self.given.values().any(|given| matches!(given.again, Again::Due | Again::Sent(_)));
        if again { Insistence::Again } else { Insistence::Once }
    }

    /// The agent was told what there is.
    pub fn sent(&mut self, now: Timestamp) {
        for given in self.given.values_mut().filter(|given| given.again == Again::Due) {
            given.again = Again::Sent(now);
        }
    }

    fn stands_by(&mut self, now: Timestamp) -> bool {
        let silent = |given: &&mut Given| match given.again {
            Again::Sent(at) => now.duration_since(at) >= ANSWERS_WITHIN,
            Again::No | Again::Waiting | Again::Due => false,
        };
        let silent = self.given.values_mut().filter(silent).map(|given| given.again = Again::No);
        silent.count() > 0
    }

    /// The agent says something of these packages.
    pub fn heard(&mut self, statuses: &PackageStatuses) {
        for (name, given) in &mut self.given {
            if matches!(given.again, Again::Sent(_)) && statuses.packages.contains_key(name) {
                given.again = Again::No;
            }
        }
    }

    /// Gives what is wanted under this name.
    fn give(&mut self, name: &str, again: Again) {
        let Some(Wanted { artefact, offers }) = self.wanted.get(name) else { return };
        let before = self.given.get(name).filter(|given| given.artefact.hash == artefact.hash);
        let artefact = before.map_or(artefact, |given| &given.artefact).clone();
        let offer = before.map_or(&offers[0], |given| &given.offer);
        let offer = if offers.contains(offer) { offer.clone() } else { offers[0].clone() };
        self.given.insert(name.to_owned(), Given { artefact, offer, again });
        self.managed = true;
        self.rehash();
    }

    /// Takes over what is wanted now; what nobody offers any more is taken back. Says whether anything is new.
    fn take_over(&mut self, claims: Claims) -> bool {
        let Claims { mut wanted, refusals, named } = claims;
        for (name, wanted) in &mut wanted {
            // Equal ones share their text.
            if let Some(given) =
                self.given.get(name).filter(|given| given.artefact.hash == wanted.artefact.hash)
            {
                wanted.artefact = given.artefact.clone();
            }
        }
        let before = self.given.len();
        self.given.retain(|name, _| named.contains(name));
        let changed = before != self.given.len() || self.refusals != refusals || self.wanted != wanted;
        (self.wanted, self.refusals) = (wanted, refusals);
        self.rehash();
        changed
    }

    fn rehash(&mut self) {
        let all = self.given.iter().map(|(name, given)| (name.as_str(), &*given.artefact.hash));
        self.hash = hash_of_all(all);
    }
}

impl Agent {
    /// Works out what its offers want of the agent; says whether that is anything new. When it is given is not decided
    /// here.
    pub(in crate::server::fleet) fn claim(&mut self, catalogue: &Catalogue) -> bool {
        if catalogue.offers.is_empty() && self.packages.is_untouched() {
            return false;
        }
        let claims = catalogue.claims(self);
        self.packages.take_over(claims)
    }

    /// An agent that was told again and says nothing new stands by what it said: unchanged, it is not reported again.
    /// Says whether there is such a package.
    pub fn stands_by(&mut self, now: Timestamp) -> bool {
        let told = self.packages.given.values().any(|given| matches!(given.again, Again::Sent(_)));
        told && self.noting(now, |agent| agent.packages.stands_by(now))
    }

    /// Gives it what is no news to it: what it has, or was offered before, as it says. That makes nobody wait.
    pub(super) fn give_known(&mut self) -> bool {
        let mut known = Vec::new();
        for (name, wanted) in &self.packages.wanted {
            let given = self.packages.given.get(name);
            match given.filter(|given| given.artefact.hash == wanted.artefact.hash) {
                Some(given) if wanted.offers.contains(&given.offer) => {}
                Some(given) => known.push((name.clone(), given.again)),
                None if self.says(&wanted.artefact).is_some_and(|status| !failed(status)) => {
                    known.push((name.clone(), Again::No));
                }
                None => {}
            }
        }
        known.iter().for_each(|(name, again)| self.packages.give(name, *again));
        !known.is_empty()
    }

    /// It is the turn of what waits under this name. An agent that once failed with just this has it tried again.
    pub(super) fn give(&mut self, name: &str) {
        let Some(wanted) = self.packages.wanted.get(name) else { return };
        let again = if self.says(&wanted.artefact).is_some_and(failed) { Again::Due } else { Again::No };
        self.packages.give(name, again);
    }

    /// What failed is to be tried again when it is its turn. Says whether there is any.
    pub(super) fn retry(&mut self, offer: &str) -> bool {
        let mut found = false;
        let wanted =
            self.packages.wanted.iter().filter(|(_, wanted)| wanted.offers.iter().any(|one| one == offer));
        let failed: Vec<_> = wanted
            .filter(|(_, wanted)| matches!(self.state_of(&wanted.artefact), PackageState::Failed(_)))
            .map(|(name, _)| name.clone())
            .collect();
        for name in failed {
            if let Some(given) = self.packages.given.get_mut(&name) {
                (given.again, found) = (Again::Waiting, true);
            }
        }
        found
    }
}

fn failed(status: &PackageStatus) -> bool {
    status.status() == PackageStatusEnum::InstallFailed
}

impl Packages {
    fn is_untouched(&self) -> bool {
        self.wanted.is_empty() && self.refusals.is_empty() && self.given.is_empty()
    }
}
