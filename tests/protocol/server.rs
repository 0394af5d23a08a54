//! A server around `protocol::server`: one fleet of one agent, a store that may be behind, and sessions.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use opamp::{
    protocol::{
        client::Link,
        report::{Part, Parts},
        server::{AgentView, Desired, KnownComponents, Received, Session, bad_request, unavailable},
    },
    wire::{
        InstanceUid, ServerCaps,
        proto::{
            AgentConfigMap, AgentConfigObject, AgentRemoteConfig, AgentToServer, ComponentDetails,
            ConnectionSettingsOffers, CustomMessage, OpAmpConnectionSettings, ServerToAgent,
        },
    },
};

use super::{agent::CUSTOM, check::OfferRules};

/// Maps by hash, as a server keeps them for all its agents.
#[derive(Default)]
struct Catalogue(HashMap<Vec<u8>, BTreeMap<String, ComponentDetails>>);

impl KnownComponents for Catalogue {
    fn by_hash(&self, hash: &[u8]) -> Option<BTreeMap<String, ComponentDetails>> {
        self.0.get(hash).cloned()
    }
}

/// How the server takes a message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Well,
    Refusing,
    Overloaded,
}

struct Live {
    connection: u64,
    session: Session,
    rules: OfferRules,
    settings_rules: OfferRules,
    greeted: bool,
}

pub(crate) struct Server {
    pub(crate) up: bool,
    pub(crate) caps: ServerCaps,
    link: Link,
    pub(crate) view: Option<AgentView>,
    stored: Option<AgentView>,
    live: Option<Live>,
    pub(crate) wanted: Option<AgentRemoteConfig>,
    pub(crate) settings: Option<ConnectionSettingsOffers>,
    pub(crate) new_uid: Option<InstanceUid>,
    /// Its custom capabilities.
    pub(crate) custom: Vec<String>,
    custom_sent: u8,
    /// What the agent asked for in the last message, and the number in its custom message.
    pub(crate) heard: Received,
    catalogue: Catalogue,
    /// The harness's own fault: the next answer offers the config, needed or not.
    pub(crate) repeat_offer: bool,
}

impl Live {
    fn contradicted(&mut self) {
        self.rules.contradicted();
        self.settings_rules.contradicted();
    }
}

impl Server {
    pub(crate) fn new(caps: ServerCaps, link: Link) -> Self {
        Self {
            up: true,
            caps,
            link,
            view: None,
            stored: None,
            live: None,
            wanted: None,
            settings: None,
            new_uid: None,
            custom: Vec::new(),
            custom_sent: 0,
            heard: Received::default(),
            catalogue: Catalogue::default(),
            repeat_offer: false,
        }
    }

    pub(crate) fn want(&mut self, number: u64) {
        let body = AgentConfigObject { body: number.to_string().into_bytes(), ..Default::default() };
        let config = AgentConfigMap { config_map: [(String::new(), body)].into() };
        let config_hash = number.to_be_bytes().to_vec();
        self.wanted = Some(AgentRemoteConfig { config: Some(config), config_hash });
    }

    pub(crate) fn want_settings(&mut self, number: u64) {
        let hash = number.to_be_bytes().to_vec();
        let opamp = Some(OpAmpConnectionSettings::default());
        self.settings = Some(ConnectionSettingsOffers { hash, opamp, ..Default::default() });
    }

    /// A number in a message, larger than any before, if the agent takes such messages.
    pub(crate) fn says_custom(&mut self) -> Option<(u64, ServerToAgent)> {
        let (Some(live), Some(view), Link::WebSocket) = (&mut self.live, &self.view, self.link) else {
            return None;
        };
        let message =
            CustomMessage { capability: CUSTOM.into(), data: vec![self.custom_sent], ..Default::default() };
        let message = live.session.custom(view, &self.custom, message).ok()?;
        self.custom_sent += 1;
        Some((live.connection, message))
    }

    /// Writes what it knows to its store.
    pub(crate) fn flush(&mut self) {
        self.stored.clone_from(&self.view);
    }

    pub(crate) fn stop(&mut self) {
        self.up = false;
        self.live = None;
    }

    pub(crate) fn start(&mut self, with_state: bool) {
        self.up = true;
        self.catalogue = Catalogue::default();
        if !with_state {
            self.stored = None;
        }
        self.view.clone_from(&self.stored);
    }

    /// The connection is gone, if it is still the one that counts.
    pub(crate) fn loses(&mut self, connection: u64) {
        if self.link == Link::WebSocket {
            self.live.take_if(|live| live.connection == connection);
        }
    }

    /// What a message leads to. An older connection than the newest counts no more (F-108).
    pub(crate) fn hears(
        &mut self,
        connection: u64,
        message: AgentToServer,
        sent: Duration,
        mood: Mood,
    ) -> Result<Option<ServerToAgent>, String> {
        let connection = if self.link == Link::Http { 0 } else { connection };
        if self.live.as_ref().is_some_and(|live| live.connection > connection) {
            return Ok(None);
        }
        match mood {
            Mood::Well => {}
            Mood::Refusing => {
                // The status of an offered config may be in it.
                self.live.as_mut().into_iter().for_each(Live::contradicted);
                // Who refuses a message knows that something is missing.
                self.view.as_mut().into_iter().for_each(|view| view.sequence_num = None);
                return Ok(Some(bad_request(&message.instance_uid, "not today")));
            }
            Mood::Overloaded => {
                let reply = unavailable(&message.instance_uid, "later", Duration::from_secs(5));
                return Ok(Some(reply));
            }
        }
        let uid = InstanceUid::try_from(&*message.instance_uid).map_err(|error| error.to_string())?;
        self.look_up(uid);
        self.process(connection, message, sent).map(Some)
    }

    /// The view of this uid; one agent at a time is kept.
    fn look_up(&mut self, uid: InstanceUid) {
        let adopted = self.new_uid.take_if(|new| *new == uid).is_some();
        let view = self.view.get_or_insert_with(|| AgentView::new(uid));
        if adopted {
            view.instance_uid = uid;
        } else if view.instance_uid != uid {
            *view = AgentView::new(uid);
            self.live = None;
        }
    }

    fn process(
        &mut self,
        connection: u64,
        message: AgentToServer,
        sent: Duration,
    ) -> Result<ServerToAgent, String> {
        let echoed = message.instance_uid.clone();
        let (caps, link) = (self.caps, self.link);
        let live = match &mut self.live {
            Some(live) if live.connection == connection => live,
            other => other.insert(Live {
                connection,
                session: if link == Link::Http { Session::over_http(caps) } else { Session::new(caps) },
                rules: OfferRules::of("config"),
                settings_rules: OfferRules::of("settings"),
                greeted: false,
            }),
        };
        let Some(view) = &mut self.view else { return Err("no view".into()) };
        let starting = message.sequence_num == 1;
        let anew = message.agent_description.is_some();
        let received = live.session.receive(view, message);
        if received.changed.has(Part::RemoteConfigStatus) {
            live.rules.contradicted();
        }
        // Over plain HTTP an agent that speaks so may have missed the offer.
        let missed = link == Link::Http && (anew || received.gap);
        if missed || received.changed.has(Part::ConnectionSettingsStatus) {
            live.settings_rules.contradicted();
        }
        if let Some(part) = &view.report.available_components
            && !part.components.is_empty()
        {
            self.catalogue.0.insert(part.hash.clone(), part.components.clone());
        }
        let desired = Desired {
            remote_config: self.wanted.as_ref(),
            connection_settings: self.settings.as_ref(),
            packages: None,
            custom_capabilities: &self.custom,
            new_instance_uid: self.new_uid,
            components: Some(&self.catalogue),
        };
        self.heard = received;
        let mut reply = live.session.reply(view, &desired);
        if std::mem::take(&mut self.repeat_offer) {
            reply.remote_config.clone_from(&self.wanted);
        }
        if reply.instance_uid != echoed {
            return Err("another uid than the agent's own (S-ID-01)".into());
        }
        // Over plain HTTP the first answer may have been lost.
        let again = std::mem::replace(&mut live.greeted, true);
        if (reply.capabilities != 0) == again && (reply.capabilities == 0 || link == Link::WebSocket) {
            return Err("capabilities belong in the first answer, only (S-CP-02)".into());
        }
        if let Some(settings) = &reply.connection_settings {
            live.settings_rules.offers(&settings.hash, (link == Link::Http).then_some(sent))?;
        }
        if let Some(config) = &reply.remote_config {
            live.rules.offers(&config.config_hash, (link == Link::Http).then_some(sent))?;
            if view.reported_config_hash() == Some(&*config.config_hash) {
                return Err("a config that the agent already reports is offered (S-RC-06)".into());
            }
        }
        // The numbers of another incarnation of the agent would be mistaken for this one's.
        if starting {
            self.flush();
        }
        Ok(reply)
    }

    /// What is to be said unprompted, on which connection.
    pub(crate) fn pushes(&mut self) -> Result<Option<(u64, ServerToAgent)>, String> {
        let (Some(live), Some(view)) = (&mut self.live, &self.view) else { return Ok(None) };
        if self.link == Link::Http {
            return Ok(None);
        }
        let desired = Desired {
            remote_config: self.wanted.as_ref(),
            connection_settings: self.settings.as_ref(),
            packages: None,
            custom_capabilities: &self.custom,
            new_instance_uid: self.new_uid,
            components: None,
        };
        let Some(message) = live.session.push(view, &desired) else { return Ok(None) };
        if let Some(config) = &message.remote_config {
            live.rules.offers(&config.config_hash, None)?;
        }
        if let Some(settings) = &message.connection_settings {
            live.settings_rules.offers(&settings.hash, None)?;
        }
        Ok(Some((live.connection, message)))
    }

    /// An offer reached the agent.
    pub(crate) fn delivered(&mut self, message: &ServerToAgent, now: Duration) {
        let Some(live) = &mut self.live else { return };
        if let Some(config) = &message.remote_config {
            live.rules.delivered(&config.config_hash, now);
        }
        if let Some(settings) = &message.connection_settings {
            live.settings_rules.delivered(&settings.hash, now);
        }
    }

    /// The parts that this server takes.
    pub(crate) fn takes(&self) -> Parts {
        Parts::of_server(self.caps)
    }
}
