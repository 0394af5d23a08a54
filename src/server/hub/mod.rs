//! The shell around the pure fleet: one place that agents' sessions and operators' requests meet.
//! It owns the clock, the store and the wake-ups. Critical sections are short and never wait.
//!
//! - `agents`: what a connection does: receive, push, detach; `duplicates`: whose a uid is when several use it
//! - `enrolment`: changes of tokens, identities and certificate requests
//! - `flush`: state goes to disk in batches; `presence`: who fell silent; `rollout`: whose turn it is to have a package
//! - `messages`: custom messages, both ways
//! - `metrics`: counters
//!
//! Called by `accept` (agents) and `api` (operators).

mod agents;
mod duplicates;
pub mod enrolment;
mod flush;
mod messages;
pub mod metrics;
mod presence;
mod rollout;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Instant,
};

use jiff::Timestamp;
use tokio::sync::{Notify, broadcast, watch};

pub use agents::{Answer, Connection, Pushed, fresh_uid};
use duplicates::{Contested, Rivals};
pub use messages::Unsent;
use metrics::Metrics;
use rollout::Turns;

use super::{
    fleet::{
        DEFAULT_NAMESPACE, Fleet,
        messages::{self as custom, Messages},
        presence::Windows,
        resource::{Condition, ConditionStatus, Key, Namespace},
    },
    identity::Register,
    store::{Change, Store, StoreError, record::AgentRecord},
};
use crate::{
    protocol::server::{Session, duplicates::Weave},
    wire::{InstanceUid, ServerCaps, proto::ServerCapabilities},
};

/// Events that a watcher may be behind before it is told to start over.
const EVENTS: usize = 1024;

/// Something about an agent changed: it is new, other than before, or gone. Watchers look for themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    pub uid: InstanceUid,
}

/// The one owner of the fleet's state.
pub struct Hub {
    state: Mutex<State>,
    store: Arc<dyn Store>,
    /// Whoever writes to the store takes a turn, so that what is written and what is remembered agree.
    turn: tokio::sync::Mutex<()>,
    events: broadcast::Sender<Event>,
    pub metrics: Metrics,
    next_connection: AtomicU64,
    started: Instant,
    /// The custom capabilities of this server.
    custom: Arc<[String]>,
    /// The number of the last custom message that was kept.
    heard: watch::Sender<u64>,
    windows: Windows,
    /// Agents that are known and not connected, as of the last round.
    missing: AtomicUsize,
    caps: ServerCaps,
}

struct State {
    fleet: Fleet,
    links: HashMap<InstanceUid, Link>,
    /// Agents whose state is newer than the store's.
    dirty: BTreeSet<InstanceUid>,
    /// Agents that only gave a sign of life since the last flush.
    seen: BTreeSet<InstanceUid>,
    /// Agents that took another uid; their old rows go with the next flush.
    gone: BTreeSet<InstanceUid>,
    /// Package offers that were stopped since the last flush.
    stopped: BTreeSet<Key>,
    turns: Turns,
    rivals: Rivals,
    messages: Messages,
    /// Why what an agent asked for is not granted, until it is told.
    refusals: HashMap<InstanceUid, String>,
}

/// The connection over which an agent is reached, with what was said on it.
struct Link {
    connection: u64,
    session: Session,
    wake: Arc<Notify>,
    /// For plain HTTP, whose messages all come over "the same" connection.
    weave: Weave,
    /// An older connection under the same uid, while it is not known which is the agent's.
    contested: Option<Box<Contested>>,
}

/// What a hub is made with, beside its store.
#[derive(Default)]
pub struct Terms<'a> {
    /// Empty, with what it needs to issue credentials.
    pub register: Register,
    /// Capabilities that not every server has.
    pub more: &'a [ServerCapabilities],
}

/// Changes the fleet, and returns the agents that are concerned.
pub type Apply = Box<dyn FnOnce(&mut Fleet, Timestamp) -> Vec<InstanceUid> + Send>;

/// What an operator's request comes to: what to store, then what to do in memory.
pub struct Plan<T> {
    pub changes: Vec<Change>,
    pub apply: Apply,
    pub output: T,
}

/// What every server of ours can do, and what this one can do besides.
fn capabilities(more: &[ServerCapabilities]) -> ServerCaps {
    let always = [
        ServerCapabilities::AcceptsStatus,
        ServerCapabilities::OffersRemoteConfig,
        ServerCapabilities::AcceptsEffectiveConfig,
        ServerCapabilities::OffersConnectionSettings,
        ServerCapabilities::OffersPackages,
        ServerCapabilities::AcceptsPackagesStatus,
    ];
    ServerCaps::of(&[&always, more].concat())
}

impl Hub {
    /// Takes over what the store holds.
    pub async fn load(store: Arc<dyn Store>, terms: Terms<'_>) -> Result<Self, StoreError> {
        let snapshot = store.load().await?;
        let caps = capabilities(terms.more);
        let mut fleet = Fleet { register: terms.register, ..Fleet::default() };
        snapshot.tokens.into_iter().for_each(|token| fleet.register.put_token(token));
        snapshot.identities.into_iter().for_each(|identity| fleet.register.put_identity(identity));
        snapshot.requests.into_iter().for_each(|request| fleet.register.put_request(request));
        let catalogue = &mut fleet.catalogue;
        for namespace in snapshot.namespaces {
            catalogue.namespaces.insert(namespace.name.clone(), namespace);
        }
        catalogue.groups = snapshot.groups.into_iter().map(|group| (group.key(), group)).collect();
        catalogue.configs = snapshot.configs.into_iter().map(|config| (config.key(), config)).collect();
        catalogue.packages = snapshot.packages.into_iter().map(|package| (package.key(), package)).collect();
        catalogue.offers = snapshot.offers.into_iter().map(|offer| (offer.key(), offer)).collect();
        for mut agent in snapshot.agents {
            agent.stand(fleet.register.standing(agent.view.instance_uid));
            agent.resolve(&fleet.catalogue);
            fleet.agents.insert(agent.view.instance_uid, agent);
        }
        if !fleet.catalogue.namespaces.contains_key(DEFAULT_NAMESPACE) {
            let namespace = default_namespace(seconds(Timestamp::now()));
            store.write(vec![Change::Namespace(namespace.clone())]).await?;
            fleet.catalogue.namespaces.insert(DEFAULT_NAMESPACE.to_owned(), namespace);
        }
        let state = State {
            fleet,
            links: HashMap::new(),
            dirty: BTreeSet::new(),
            seen: BTreeSet::new(),
            gone: BTreeSet::new(),
            stopped: BTreeSet::new(),
            turns: Turns::Due,
            rivals: Rivals::default(),
            messages: Messages::new(numbers(), custom::LARGEST),
            refusals: HashMap::new(),
        };
        Ok(Self {
            state: Mutex::new(state),
            store,
            turn: tokio::sync::Mutex::new(()),
            events: broadcast::Sender::new(EVENTS),
            metrics: Metrics::default(),
            next_connection: AtomicU64::new(agents::HTTP + 1),
            custom: Arc::default(),
            heard: watch::Sender::new(0),
            started: Instant::now(),
            windows: Windows::default(),
            missing: AtomicUsize::new(0),
            caps,
        })
    }

    /// With these custom capabilities, and at most so many bytes in a custom message.
    #[must_use]
    pub fn with_custom(mut self, capabilities: Vec<String>, largest: usize) -> Self {
        self.custom = capabilities.into();
        self.lock().messages = Messages::new(numbers(), largest);
        self
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while the lock was held has left whole values; going on beats stopping for all agents.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the fleet. The closure must be quick: agents wait for it.
    pub fn look<T>(&self, at: impl FnOnce(&Fleet) -> T) -> T {
        at(&self.lock().fleet)
    }

    pub fn watch(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// Does what an operator asks: decides, makes it durable, then lets agents know.
    pub async fn operate<T, E: From<StoreError>>(
        &self,
        plan: impl FnOnce(&Fleet, Timestamp) -> Result<Plan<T>, E>,
    ) -> Result<T, E> {
        let _turn = self.turn.lock().await;
        let now = seconds(Timestamp::now());
        let plan = self.look(|fleet| plan(fleet, now))?;
        let deleted: Vec<_> = plan.changes.iter().filter_map(deleted_agent).collect();
        let offered = plan.changes.iter().any(rollout::changes_offers);
        self.store.write(plan.changes).await?;
        let mut state = self.lock();
        let State { fleet, links, dirty, seen, messages, .. } = &mut *state;
        let concerned = (plan.apply)(fleet, Timestamp::now());
        for uid in deleted {
            dirty.remove(&uid);
            seen.remove(&uid);
            messages.forget(uid);
            self.tell(uid);
        }
        for uid in concerned {
            dirty.insert(uid);
            self.tell(uid);
            if let Some(link) = links.get(&uid) {
                link.wake.notify_one();
            }
        }
        state.turns = Turns::Due;
        if offered {
            // Whoever asked sees what came of it in the answer.
            self.roll(&mut state, Timestamp::now());
        }
        Ok(plan.output)
    }

    /// Nobody watching is no error.
    fn tell(&self, uid: InstanceUid) {
        let _ = self.events.send(Event { uid });
    }

    /// A number for a new WebSocket connection.
    fn connection_id(&self) -> u64 {
        self.next_connection.fetch_add(1, Ordering::Relaxed)
    }
}

fn deleted_agent(change: &Change) -> Option<InstanceUid> {
    if let Change::DeleteAgent(uid) = change { Some(*uid) } else { None }
}

/// What is shown to operators has no fractions of a second.
#[must_use]
pub fn seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

fn default_namespace(now: Timestamp) -> Namespace {
    let created = Condition {
        r#type: "Created".to_owned(),
        last_transition_time: now,
        status: ConditionStatus::True,
        reason: "system".to_owned(),
        message: "Namespace created".to_owned(),
    };
    Namespace { name: DEFAULT_NAMESPACE.to_owned(), created_at: now, conditions: vec![created] }
}

/// Where messages are counted from: a number that no earlier run gave.
fn numbers() -> u64 {
    u64::try_from(Timestamp::now().as_microsecond()).unwrap_or(0)
}

/// A stored copy of an agent.
#[must_use]
pub fn record(agent: &super::fleet::Agent) -> Change {
    Change::Agent(Box::new(AgentRecord::of(agent)))
}
