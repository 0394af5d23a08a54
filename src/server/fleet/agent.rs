//! One agent as the server holds it: what it said, what operators want of it, and since when.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    Catalogue,
    desired::{Outcome, Unresolved, offer},
    offers::{Packages, PackagesState},
    presence::Presence,
    resource::{AgentSpec, Attributes, check_name},
    selector::Described,
    settings::{Issued, SettingsState, Unsettled, Wanted},
};
use crate::{
    protocol::{
        report::Part,
        server::{AgentView, Received, Session},
    },
    server::identity::register::Standing,
    wire::{
        AgentCaps, InstanceUid, attrs,
        proto::{AgentCapabilities, AgentRemoteConfig, AgentToServer, RemoteConfigStatuses},
    },
};

/// The namespace of an agent that names none.
pub const DEFAULT_NAMESPACE: &str = "default";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Transport {
    WebSocket,
    #[serde(rename = "HTTP")]
    Http,
}

/// The last time each of an agent's states changed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Since {
    pub connected: Timestamp,
    pub health: Timestamp,
    pub config: Timestamp,
    #[serde(default)]
    pub settings: Timestamp,
    #[serde(default)]
    pub packages: Timestamp,
}

/// Where an agent is with the config that is wanted of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum ConfigState {
    /// No config is wanted, or the agent takes none.
    Unmanaged,
    /// Wanted, and not yet reported back.
    Pending,
    Applying,
    Applied,
    Failed,
    /// What is wanted cannot be worked out; see the agent's condition.
    Unresolved,
}

/// What is compared to tell when a state changed: health, config, connection settings, packages.
type States = (Option<bool>, ConfigState, SettingsState, PackagesState);

#[derive(Clone, Debug)]
pub struct Agent {
    pub view: AgentView,
    pub namespace: String,
    pub described: Described,
    pub labels: Attributes,
    pub spec: AgentSpec,
    pub connected: Option<Transport>,
    /// The last transport used, kept while disconnected.
    pub transport: Option<Transport>,
    /// As of the last message or look.
    pub presence: Presence,
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
    pub since: Since,
    pub desired: Option<Arc<AgentRemoteConfig>>,
    pub unresolved: Option<Unresolved>,
    /// This server has given the agent a config, so it may take it away again.
    pub managed: bool,
    /// The connection settings that are wanted, of those that the agent takes.
    pub settings: Option<Wanted>,
    pub unsettled: Option<Unsettled>,
    /// The hash of the settings that were sent last, since this server started.
    pub sent_settings: Vec<u8>,
    /// What the server gave to this agent alone, to connect with.
    pub issued: Option<Issued>,
    /// The agent has connected with what was issued to it.
    pub uses_issued: bool,
    /// The namespace that it was enrolled in, whatever it says of itself.
    pub enrolled_in: Option<String>,
    /// It waits for an operator to approve it: it is heard, and told nothing.
    pub held: bool,
    /// The URL by which the agent reached this server.
    pub reached_at: Option<String>,
    /// What it is offered to install.
    pub packages: Packages,
    pub restart_pending: bool,
    /// The uid chosen for an agent that asked for one.
    pub assigned_uid: Option<InstanceUid>,
}

impl Agent {
    #[must_use]
    pub fn new(uid: InstanceUid, now: Timestamp) -> Self {
        Self {
            view: AgentView::new(uid),
            namespace: DEFAULT_NAMESPACE.to_owned(),
            described: Described::default(),
            labels: Attributes::new(),
            spec: AgentSpec::default(),
            connected: None,
            transport: None,
            presence: Presence::Disconnected,
            first_seen: now,
            last_seen: now,
            since: Since { connected: now, health: now, config: now, settings: now, packages: now },
            desired: None,
            unresolved: None,
            managed: false,
            settings: None,
            unsettled: None,
            sent_settings: Vec::new(),
            issued: None,
            uses_issued: false,
            enrolled_in: None,
            held: false,
            reached_at: None,
            packages: Packages::default(),
            restart_pending: false,
            assigned_uid: None,
        }
    }

    /// Folds a message in. The config wanted of the agent is worked out anew if it described itself anew.
    pub fn receive(
        &mut self,
        session: &mut Session,
        message: AgentToServer,
        catalogue: &Catalogue,
        now: Timestamp,
    ) -> Received {
        let before = self.states();
        let caps = self.view.capabilities;
        if let Some(statuses) = &message.package_statuses {
            self.packages.heard(statuses);
        }
        let received = session.receive(&mut self.view, message);
        self.last_seen = now;
        let described = received.changed.has(Part::Description);
        if described {
            self.redescribe();
        }
        if described || caps != self.view.capabilities {
            self.resolve(catalogue);
        }
        self.note_changes(before, now);
        received
    }

    /// The attribute maps and the namespace that the description gives.
    pub fn redescribe(&mut self) {
        let Some(description) = &self.view.report.description else { return };
        self.described = Described {
            identifying: attrs::to_map(&description.identifying_attributes),
            non_identifying: attrs::to_map(&description.non_identifying_attributes),
        };
        self.place();
    }

    /// Where it was enrolled, else where it says that it is.
    fn place(&mut self) {
        let named = self.described.identifying.get("service.namespace");
        let named = named.filter(|name| check_name("service.namespace", name).is_ok());
        let named = self.enrolled_in.as_ref().or(named);
        self.namespace = named.map_or_else(|| DEFAULT_NAMESPACE.to_owned(), Clone::clone);
    }

    /// Takes over what follows from the identity that speaks for it; says whether that is anything new. Labels come from
    /// its enrolment once; operators may change them afterwards.
    pub fn stand(&mut self, standing: Standing) -> bool {
        let Standing { namespace, labels, held, issued, used } = standing;
        let before = (&self.enrolled_in, self.held, &self.issued, self.uses_issued);
        if before == (&namespace, held, &issued, used) {
            return false;
        }
        for (key, value) in labels {
            self.labels.entry(key).or_insert(value);
        }
        (self.enrolled_in, self.held, self.issued, self.uses_issued) = (namespace, held, issued, used);
        self.place();
        true
    }

    /// Works out the wanted config, connection settings and packages; says whether they are others than before. An agent
    /// that has not yet said what it is belongs to no group.
    pub fn resolve(&mut self, catalogue: &Catalogue) -> bool {
        if self.view.report.description.is_none() {
            return false;
        }
        let before = self.desired.as_ref().map(|desired| desired.config_hash.clone());
        match catalogue.resolve(&self.namespace, &self.described, &self.spec) {
            Outcome::Config(config) => {
                self.managed = true;
                self.unresolved = None;
                self.desired = Some(config);
            }
            Outcome::Unmanaged => {
                self.unresolved = None;
                self.desired = self.managed.then(|| Arc::new(offer(Default::default())));
            }
            Outcome::Unresolved(problem) => self.unresolved = Some(problem),
        }
        let settled = self.settle(catalogue);
        let claimed = self.claim(catalogue);
        self.desired.as_ref().map(|desired| &desired.config_hash) != before.as_ref() || settled || claimed
    }

    /// Replaces the operator's wishes. A restart time that was not there before asks for one restart.
    pub fn set_spec(&mut self, spec: AgentSpec, catalogue: &Catalogue, now: Timestamp) -> bool {
        if spec.restart_required_at != self.spec.restart_required_at {
            self.restart_pending = spec.restart_required_at.is_some();
        }
        self.spec = spec;
        self.reconsider(catalogue, now)
    }

    /// Like [`Self::resolve`], and keeps the time of a changed config state.
    pub fn reconsider(&mut self, catalogue: &Catalogue, now: Timestamp) -> bool {
        let before = self.states();
        let problems = (self.unresolved.clone(), self.unsettled.clone());
        let changed =
            self.resolve(catalogue) || problems != (self.unresolved.clone(), self.unsettled.clone());
        self.note_changes(before, now);
        changed
    }

    /// Does something, and keeps the time of each state that changes by it.
    pub(super) fn noting<T>(&mut self, now: Timestamp, act: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.states();
        let done = act(self);
        self.note_changes(before, now);
        done
    }

    fn states(&self) -> States {
        (self.healthy(), self.config_state(), self.settings_state(), self.packages_state())
    }

    fn note_changes(&mut self, before: States, now: Timestamp) {
        if before.0 != self.healthy() {
            self.since.health = now;
        }
        if before.1 != self.config_state() {
            self.since.config = now;
        }
        if before.2 != self.settings_state() {
            self.since.settings = now;
        }
        if before.3 != self.packages_state() {
            self.since.packages = now;
        }
    }

    /// Takes note of the URL by which the agent reached this server, if that is known; says whether it is another one.
    pub fn note_reached(&mut self, url: Option<&str>, catalogue: &Catalogue) -> bool {
        if url.is_none() || url == self.reached_at.as_deref() {
            return false;
        }
        self.reached_at = url.map(str::to_owned);
        self.resolve(catalogue);
        true
    }

    /// What was issued, as far as it is to be offered. An agent that never says what it was offered last would be offered
    /// the same in each session, and reconnect on each offer, for ever.
    #[must_use]
    pub fn issued_to_offer(&self) -> Option<&Issued> {
        let silent = !self.can(AgentCapabilities::ReportsConnectionSettingsStatus);
        self.issued.as_ref().filter(|_| !(silent && self.uses_issued))
    }

    /// Says whether this is news.
    pub fn set_connected(&mut self, connected: Option<Transport>, now: Timestamp) -> bool {
        let before = self.presence;
        self.presence = if connected.is_some() { Presence::Connected } else { Presence::Disconnected };
        if self.connected == connected {
            return before != self.presence;
        }
        self.connected = connected;
        self.transport = connected.or(self.transport);
        self.since.connected = now;
        true
    }

    /// Another uid that this agent shall take.
    #[must_use]
    pub fn new_uid(&self) -> Option<InstanceUid> {
        self.spec.new_instance_uid.or(self.assigned_uid).filter(|uid| *uid != self.view.instance_uid)
    }

    #[must_use]
    pub fn can(&self, capability: AgentCapabilities) -> bool {
        let caps: AgentCaps = self.view.capabilities;
        caps.has(capability)
    }

    /// `None` if the agent never said.
    #[must_use]
    pub fn healthy(&self) -> Option<bool> {
        self.view.report.health.as_ref().map(|health| health.healthy)
    }

    #[must_use]
    pub fn config_state(&self) -> ConfigState {
        if self.unresolved.is_some() {
            return ConfigState::Unresolved;
        }
        let Some(desired) =
            self.desired.as_ref().filter(|_| self.can(AgentCapabilities::AcceptsRemoteConfig))
        else {
            return ConfigState::Unmanaged;
        };
        let Some(status) = &self.view.report.remote_config_status else { return ConfigState::Pending };
        if status.last_remote_config_hash != desired.config_hash {
            return ConfigState::Pending;
        }
        match status.status() {
            RemoteConfigStatuses::Unset => ConfigState::Pending,
            RemoteConfigStatuses::Applying => ConfigState::Applying,
            RemoteConfigStatuses::Applied => ConfigState::Applied,
            RemoteConfigStatuses::Failed => ConfigState::Failed,
        }
    }

    /// An attribute or label, wherever it is said.
    #[must_use]
    pub fn lookup(&self, key: &str) -> Option<&str> {
        let maps = [&self.labels, &self.described.identifying, &self.described.non_identifying];
        maps.into_iter().find_map(|map| map.get(key)).map(String::as_str)
    }
}
