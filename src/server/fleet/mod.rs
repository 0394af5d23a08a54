//! The pure model of the fleet: agents, and the groups and configs that operators give them.
//! No clock, no socket, no file: times come in, and `server::hub` performs what follows.
//!
//! - [`agent`]: one agent; [`telling`]: what it is told; [`presence`]: whether it is there
//! - [`resource`], [`package`]: what operators write; [`selector`]: which agents are meant
//! - [`desired`]: the config each agent should run; [`settings`]: the connections it should use; [`offers`]: the packages
//!   it should have, and when
//! - [`messages`]: custom messages under way
//!
//! Owned by `server::hub`, shown by `server::api`, stored by `server::store`.

pub mod agent;
pub mod desired;
pub mod messages;
pub mod offers;
pub mod package;
pub mod presence;
pub mod resource;
pub mod selector;
pub mod settings;
pub mod telling;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

pub use agent::{Agent, ConfigState, DEFAULT_NAMESPACE, Transport};
use package::FileHash;
use presence::Presence;
use resource::{AgentGroup, AgentPackage, AgentRemoteConfig, Key, Namespace, PackageOffer};

use super::identity::{Identity, IdentityState, Register};
use crate::wire::InstanceUid;

/// What operators wrote.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    pub namespaces: BTreeMap<String, Namespace>,
    /// Deleted groups stay here, marked, so that they can be looked at.
    pub groups: BTreeMap<Key, AgentGroup>,
    pub configs: BTreeMap<Key, AgentRemoteConfig>,
    pub packages: BTreeMap<Key, AgentPackage>,
    pub offers: BTreeMap<Key, PackageOffer>,
}

impl Catalogue {
    /// The groups of one namespace that are not deleted.
    pub fn groups_in(&self, namespace: &str) -> impl Iterator<Item = &AgentGroup> {
        self.groups
            .values()
            .filter(move |group| group.metadata.namespace == namespace && group.metadata.deleted_at.is_none())
    }

    /// The package offers of one namespace.
    pub fn offers_in(&self, namespace: &str) -> impl Iterator<Item = &PackageOffer> {
        self.offers.values().filter(move |offer| offer.metadata.namespace == namespace)
    }

    /// The packages that name an uploaded file.
    pub fn users_of(&self, file: FileHash) -> impl Iterator<Item = &Key> {
        let names = move |package: &AgentPackage| package.spec.files().any(|named| named == file);
        self.packages.iter().filter(move |(_, package)| names(package)).map(|(key, _)| key)
    }
}

#[derive(Clone, Debug, Default)]
pub struct Fleet {
    pub agents: BTreeMap<InstanceUid, Agent>,
    pub catalogue: Catalogue,
    /// Who may speak as which agent.
    pub register: Register,
}

/// How the agents of a group are doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    pub agents: usize,
    pub connected: usize,
    pub healthy: usize,
    pub unhealthy: usize,
    pub presence: [(Presence, usize); 4],
}

impl Default for Counts {
    fn default() -> Self {
        let presence = Presence::ALL.map(|presence| (presence, 0));
        Self { agents: 0, connected: 0, healthy: 0, unhealthy: 0, presence }
    }
}

impl Fleet {
    /// The agent of this uid, made if it is new, with what else a message needs.
    pub fn agent_entry(&mut self, uid: InstanceUid, now: Timestamp) -> (&mut Agent, &Catalogue, &Register) {
        let agent = self.agents.entry(uid).or_insert_with(|| {
            let mut agent = Agent::new(uid, now);
            agent.stand(self.register.standing(uid));
            agent
        });
        (agent, &self.catalogue, &self.register)
    }

    /// Moves the agent that was told to take this uid to it, unless the uid has an agent already. Returns the
    /// uid that it had.
    pub fn adopt(&mut self, uid: InstanceUid) -> Option<InstanceUid> {
        if self.agents.contains_key(&uid) {
            return None;
        }
        let old = self.agents.values().find(|agent| agent.new_uid() == Some(uid))?.view.instance_uid;
        let mut agent = self.agents.remove(&old)?;
        agent.view.instance_uid = uid;
        agent.spec.new_instance_uid = None;
        agent.assigned_uid = None;
        self.agents.insert(uid, agent);
        Some(old)
    }

    /// Works out anew what the agents of a namespace should run; returns those for whom that changed.
    pub fn reconsider(&mut self, namespace: &str, now: Timestamp) -> Vec<InstanceUid> {
        let catalogue = &self.catalogue;
        let agents = self.agents.values_mut().filter(|agent| agent.namespace == namespace);
        agents
            .filter_map(|agent| agent.reconsider(catalogue, now).then_some(agent.view.instance_uid))
            .collect()
    }

    /// Puts an identity in place; returns the agents for which something follows.
    pub fn put_identity(&mut self, identity: Identity, now: Timestamp) -> Vec<InstanceUid> {
        let (uids, is_cut_off) = (identity.uids.clone(), matches!(identity.state, IdentityState::Revoked(_)));
        self.register.put_identity(identity);
        let mut concerned = self.restand(&uids, now);
        if is_cut_off {
            concerned.extend(self.end_polling(&uids, now));
        }
        concerned
    }

    /// Takes an identity away; returns the agents for which something follows.
    pub fn forget_identity(&mut self, name: &str, now: Timestamp) -> Vec<InstanceUid> {
        let Some(uids) = self.register.identities().get(name).map(|identity| identity.uids.clone()) else {
            return Vec::new();
        };
        self.register.remove_identity(name);
        let mut concerned = self.restand(&uids, now);
        concerned.extend(self.end_polling(&uids, now));
        concerned
    }

    /// Agents that may poll no more are gone; there is no connection of theirs whose end would say so.
    fn end_polling(&mut self, uids: &BTreeSet<InstanceUid>, now: Timestamp) -> Vec<InstanceUid> {
        let mut ended = Vec::new();
        for uid in uids {
            let agent = self.agents.get_mut(uid).filter(|agent| agent.connected == Some(Transport::Http));
            if agent.is_some_and(|agent| agent.set_connected(None, now)) {
                ended.push(*uid);
            }
        }
        ended
    }

    /// Works out anew what follows for these agents from the identities that speak for them.
    fn restand(&mut self, uids: &BTreeSet<InstanceUid>, now: Timestamp) -> Vec<InstanceUid> {
        let mut concerned = Vec::new();
        for uid in uids {
            let Some(agent) = self.agents.get_mut(uid) else { continue };
            if agent.stand(self.register.standing(*uid)) {
                agent.reconsider(&self.catalogue, now);
                concerned.push(*uid);
            }
        }
        concerned
    }

    /// The agents of a group.
    pub fn members<'a>(&'a self, group: &'a AgentGroup) -> impl Iterator<Item = &'a Agent> {
        self.agents.values().filter(|agent| {
            agent.namespace == group.metadata.namespace && group.spec.selector.matches(&agent.described)
        })
    }

    /// Every namespace there is: those written by operators and those that agents name.
    #[must_use]
    pub fn namespaces(&self) -> BTreeMap<String, Namespace> {
        let mut all = self.catalogue.namespaces.clone();
        for agent in self.agents.values() {
            if !all.contains_key(&agent.namespace) {
                let implied = Namespace {
                    name: agent.namespace.clone(),
                    created_at: agent.first_seen,
                    conditions: Vec::new(),
                };
                all.insert(agent.namespace.clone(), implied);
            }
        }
        all
    }
}

impl Counts {
    #[must_use]
    pub fn of<'a>(agents: impl Iterator<Item = &'a Agent>) -> Self {
        agents.fold(Self::default(), |mut counts, agent| {
            counts.presence[agent.presence as usize].1 += 1;
            let healthy = agent.connected.is_some() && agent.healthy() == Some(true);
            Self {
                agents: counts.agents + 1,
                connected: counts.connected + usize::from(agent.connected.is_some()),
                healthy: counts.healthy + usize::from(healthy),
                unhealthy: counts.unhealthy + usize::from(agent.connected.is_some() && !healthy),
                presence: counts.presence,
            }
        })
    }
}
