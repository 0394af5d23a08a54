//! How far a package offer is, and whose turn it is. Agents come in the order of a hash of their uid, so that the first few
//! are spread over a fleet and are the same each time it is worked out.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::{NotOffered, PackageState};
use crate::{
    server::fleet::{
        Agent, Fleet,
        resource::{Condition, ConditionStatus, Key, PackageOffer},
    },
    wire::InstanceUid,
};

/// The condition of an offer that was stopped. It stays until somebody tries again or writes the offer anew.
pub const STOPPED: &str = "Stopped";
/// What is told of an agent's failure.
const LONGEST_WORD: usize = 200;

/// How far an offer is, all in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    Progressing,
    /// Too many failed.
    Stopped,
    /// By an operator.
    Paused,
    /// Every agent that it is for is done.
    Complete,
}

impl Phase {
    pub const ALL: [Self; 4] = [Self::Progressing, Self::Stopped, Self::Paused, Self::Complete];
}

/// How the agents of an offer are doing. Each counts once, however many packages it gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub targets: usize,
    pub waiting: usize,
    pub in_flight: usize,
    pub installed: usize,
    pub failed: usize,
    /// Given to agents that do not say what becomes of it.
    pub unreported: usize,
    /// Agents that it is for and that get nothing of it.
    pub excluded: usize,
    /// The first agent that failed, and what it says.
    pub failure: Option<(InstanceUid, String)>,
    /// Who waits and could be told now, in order.
    ready: BTreeMap<[u8; 32], InstanceUid>,
}

/// What came of rolling on.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Rolled {
    /// Agents that were given something.
    pub agents: Vec<InstanceUid>,
    /// Offers that were stopped.
    pub offers: Vec<Key>,
}

/// One agent of one offer.
enum Step {
    Waiting,
    InFlight,
    Installed,
    Failed(String),
    Unreported,
}

impl Agent {
    /// Where it is with an offer: with the slowest of its packages, and a failure counts when all have come to an end.
    fn step(&self, offer: &str) -> Option<Step> {
        let wanted =
            self.packages.wanted.values().filter(|wanted| wanted.offers.iter().any(|one| one == offer));
        let states: Vec<_> = wanted.map(|wanted| self.state_of(&wanted.artefact)).collect();
        if states.is_empty() {
            return None;
        }
        if states.contains(&PackageState::Waiting) {
            return Some(Step::Waiting);
        }
        if states.iter().any(PackageState::is_in_flight) {
            return Some(Step::InFlight);
        }
        let failed = states.iter().find_map(|state| match state {
            PackageState::Failed(why) => Some(Step::Failed(why.clone())),
            _ => None,
        });
        let rest =
            if states.contains(&PackageState::Unreported) { Step::Unreported } else { Step::Installed };
        Some(failed.unwrap_or(rest))
    }

    /// Whether an offer is for it, be it that it gets nothing of that.
    #[must_use]
    pub fn is_offered(&self, offer: &str) -> bool {
        self.step(offer).is_some() || self.packages.refusals.iter().any(|refusal| refusal.offer == offer)
    }

    /// Whether it can be told of packages now.
    fn hears(&self) -> bool {
        self.connected.is_some() && !self.held
    }
}

impl Progress {
    fn add(&mut self, uid: InstanceUid, agent: &Agent, step: Step) {
        self.targets += 1;
        match step {
            Step::Waiting => {
                self.waiting += 1;
                if agent.hears() {
                    self.ready.insert(Sha256::digest(uid.as_bytes()).into(), uid);
                }
            }
            Step::InFlight => self.in_flight += 1,
            Step::Installed => self.installed += 1,
            Step::Unreported => self.unreported += 1,
            Step::Failed(why) => {
                self.failed += 1;
                self.failure.get_or_insert((uid, why));
            }
        }
    }

    #[must_use]
    pub fn phase(&self, offer: &PackageOffer) -> Phase {
        if offer.spec.paused {
            Phase::Paused
        } else if self.stop(offer).is_some() {
            Phase::Stopped
        } else if self.targets > 0 && self.waiting == 0 && self.in_flight == 0 {
            Phase::Complete
        } else {
            Phase::Progressing
        }
    }

    /// Why it was stopped, or is about to be.
    #[must_use]
    pub fn stop(&self, offer: &PackageOffer) -> Option<String> {
        stopped(offer).map(str::to_owned).or_else(|| self.too_much(offer))
    }

    /// Why it has to stop, if it has to.
    fn too_much(&self, offer: &PackageOffer) -> Option<String> {
        let done = self.failed + self.installed;
        if !offer.spec.too_many_failed(self.failed, done, self.targets) {
            return None;
        }
        let (failed, most) = (self.failed, offer.spec.may_fail());
        let mut text = format!("{failed} of {done} agents failed, and maxFailed is {most}");
        if let Some((uid, why)) = &self.failure {
            let why: String = why.chars().take(LONGEST_WORD).collect();
            text += &format!("; agent {uid}: {why}");
        }
        Some(text)
    }
}

/// Why an offer was stopped, if it was.
fn stopped(offer: &PackageOffer) -> Option<&str> {
    let held =
        |condition: &&Condition| condition.r#type == STOPPED && condition.status == ConditionStatus::True;
    offer.conditions.iter().find(held).map(|condition| condition.message.as_str())
}

impl Fleet {
    /// How far one offer is.
    #[must_use]
    pub fn progress(&self, offer: &PackageOffer) -> Progress {
        let name = offer.metadata.name.as_str();
        let mut progress = Progress::default();
        for (uid, agent) in
            self.agents.iter().filter(|(_, agent)| agent.namespace == offer.metadata.namespace)
        {
            match agent.step(name) {
                Some(step) => progress.add(*uid, agent, step),
                None => {
                    let refused = agent.packages.refusals.iter().any(|refusal| refusal.offer == name);
                    progress.excluded += usize::from(refused);
                }
            }
        }
        progress
    }

    /// The agents that an offer is for and what keeps it from them, as far as somebody has to mend it.
    pub fn refused<'a>(
        &'a self,
        offer: &'a PackageOffer,
    ) -> impl Iterator<Item = (InstanceUid, &'a NotOffered)> {
        let (namespace, name) = (&offer.metadata.namespace, &offer.metadata.name);
        let agents = self.agents.iter().filter(move |(_, agent)| agent.namespace == *namespace);
        agents.flat_map(move |(uid, agent)| {
            let refusals = agent.packages.refusals.iter().filter(move |refusal| refusal.offer == *name);
            refusals.filter(|refusal| refusal.why.is_problem()).map(move |refusal| (*uid, &refusal.why))
        })
    }

    /// Gives the next agents what they wait for, as far as each offer allows, and stops offers of which too much fails.
    pub fn roll(&mut self, now: Timestamp) -> Rolled {
        let mut rolled = Rolled::default();
        if self.catalogue.offers.is_empty() {
            return rolled;
        }
        for (uid, agent) in &mut self.agents {
            if agent.noting(now, Agent::give_known) {
                rolled.agents.push(*uid);
            }
        }
        let keys: Vec<_> = self.catalogue.offers.keys().cloned().collect();
        for key in keys {
            self.roll_one(&key, now, &mut rolled);
        }
        rolled
    }

    fn roll_one(&mut self, key: &Key, now: Timestamp, rolled: &mut Rolled) {
        let Some(offer) = self.catalogue.offers.get(key) else { return };
        let progress = self.progress(offer);
        let too_much = progress.too_much(offer).filter(|_| stopped(offer).is_none());
        let (phase, room) = (progress.phase(offer), offer.spec.most_in_flight(progress.targets));
        if let Some(message) = too_much {
            self.stop(key, message, now);
            rolled.offers.push(key.clone());
            return;
        }
        if phase != Phase::Progressing {
            return;
        }
        let room = room.map_or(usize::MAX, |most| most.saturating_sub(progress.in_flight));
        for uid in progress.ready.into_values().take(room) {
            let Some(agent) = self.agents.get_mut(&uid) else { continue };
            let waits = |(_, wanted): &(&String, &super::claims::Wanted)| {
                wanted.offers.contains(&key.name) && agent.state_of(&wanted.artefact) == PackageState::Waiting
            };
            let names: Vec<_> =
                agent.packages.wanted.iter().filter(waits).map(|(name, _)| name.clone()).collect();
            agent.noting(now, |agent| names.iter().for_each(|name| agent.give(name)));
            rolled.agents.push(uid);
        }
    }

    fn stop(&mut self, key: &Key, message: String, now: Timestamp) {
        let Some(offer) = self.catalogue.offers.get_mut(key) else { return };
        offer.conditions.retain(|condition| condition.r#type != STOPPED);
        offer.conditions.push(Condition {
            r#type: STOPPED.to_owned(),
            last_transition_time: now,
            status: ConditionStatus::True,
            reason: "TooManyFailed".to_owned(),
            message,
        });
    }

    /// Lets the agents of an offer that failed wait for their turn again; returns them.
    pub fn retry(&mut self, key: &Key, now: Timestamp) -> Vec<InstanceUid> {
        let agents = self.agents.iter_mut().filter(|(_, agent)| agent.namespace == key.namespace);
        agents
            .filter_map(|(uid, agent)| agent.noting(now, |agent| agent.retry(&key.name)).then_some(*uid))
            .collect()
    }
}
