//! An agent around `protocol::client`: its state, what it does with an offer, and what outlives its process.

use std::{collections::BTreeMap, time::Duration};

use opamp::{
    protocol::{
        backoff::Retry,
        client::{Client, ClientOptions, DEFAULT_HEARTBEAT, Link},
        report::{Part, Report},
    },
    wire::{
        AgentCaps, InstanceUid,
        proto::{
            AgentConfigMap, AgentConfigObject, AgentDescription, AvailableComponents, ComponentDetails,
            ComponentHealth, ConnectionSettingsStatus, ConnectionSettingsStatuses, CustomCapabilities,
            CustomMessage, EffectiveConfig, PackageStatuses, RemoteConfigStatus, RemoteConfigStatuses,
        },
    },
};

use super::{check::AgentRules, random::Random};

/// A custom capability of both ends.
pub(crate) const CUSTOM: &str = "org.example.numbers/v1";

/// One agent across its restarts; `client` is `None` while its process is not there.
pub(crate) struct Agent {
    pub(crate) uid: InstanceUid,
    pub(crate) caps: AgentCaps,
    pub(crate) link: Link,
    pub(crate) incarnation: u64,
    pub(crate) client: Option<Client>,
    pub(crate) rules: AgentRules,
    /// What it remembers over a restart.
    kept: Report,
    counter: u64,
    /// A certificate request that was made and neither reached the server nor was refused.
    pub(crate) csr: Option<String>,
    custom_sent: u8,
    pub(crate) custom_heard: u64,
}

impl Agent {
    pub(crate) fn new(uid: InstanceUid, caps: AgentCaps, link: Link) -> Self {
        Self {
            uid,
            caps,
            link,
            incarnation: 0,
            client: None,
            rules: AgentRules::new(link),
            kept: Report::default(),
            counter: 0,
            csr: None,
            custom_sent: 0,
            custom_heard: 0,
        }
    }

    pub(crate) fn start(&mut self, random: &mut Random) {
        self.incarnation += 1;
        self.rules = AgentRules::new(self.link);
        self.csr = None;
        let options = ClientOptions {
            instance_uid: self.uid,
            capabilities: self.caps,
            link: self.link,
            heartbeat: DEFAULT_HEARTBEAT,
        };
        self.client = Some(Client::new(options, random.next()));
        let kept = self.kept.clone();
        let config = kept.effective_config.clone();
        let status = kept.remote_config_status.clone();
        let settings = kept.connection_settings_status.clone();
        for part in [Part::Description, Part::Health, Part::AvailableComponents, Part::CustomCapabilities] {
            self.change(part);
        }
        if let Some(client) = &mut self.client {
            config.into_iter().for_each(|config| client.set_effective_config(config));
            status.into_iter().for_each(|status| client.set_remote_config_status(status));
            settings.into_iter().for_each(|status| client.set_connection_settings_status(status));
        }
    }

    /// The process is gone; what it kept stays.
    pub(crate) fn stop(&mut self) {
        if let Some(client) = self.client.take() {
            self.kept = client.report().clone();
        }
    }

    fn fresh(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    /// A new value of one part.
    pub(crate) fn change(&mut self, part: Part) {
        let number = self.fresh();
        let text = number.to_string();
        self.rules.changed(part);
        let Some(client) = &mut self.client else { return };
        match part {
            Part::Description => {
                let attribute = opamp::wire::attrs::string("service.version", text);
                let identifying_attributes = vec![attribute];
                client.set_description(AgentDescription { identifying_attributes, ..Default::default() });
            }
            Part::Health => client.set_health(ComponentHealth { status: text, ..Default::default() }),
            Part::EffectiveConfig => client.set_effective_config(effective(number)),
            Part::RemoteConfigStatus => {}
            Part::PackageStatuses => {
                client.set_package_statuses(PackageStatuses { error_message: text, ..Default::default() });
            }
            Part::CustomCapabilities => {
                let capabilities = vec![CUSTOM.into(), text];
                client.set_custom_capabilities(CustomCapabilities { capabilities });
            }
            Part::AvailableComponents => client.set_available_components(components(number % 3)),
            Part::ConnectionSettingsStatus => {
                let now = client.report().connection_settings_status.clone().unwrap_or_default();
                client
                    .set_connection_settings_status(ConnectionSettingsStatus { error_message: text, ..now });
            }
        }
    }

    /// A config was offered. Says whether it is a new one.
    pub(crate) fn offered(&mut self, hash: &[u8]) -> bool {
        let known = self.client.as_ref().and_then(|client| client.report().remote_config_status.as_ref());
        if known.is_some_and(|status| status.last_remote_config_hash == hash) {
            return false;
        }
        self.report(hash, RemoteConfigStatuses::Applying);
        true
    }

    /// The work on a config is done, unless a newer one came meanwhile.
    pub(crate) fn applied(&mut self, hash: &[u8], well: bool) {
        let current = self.client.as_ref().and_then(|client| client.report().remote_config_status.as_ref());
        if current.is_none_or(|status| status.last_remote_config_hash != hash) {
            return;
        }
        self.report(hash, if well { RemoteConfigStatuses::Applied } else { RemoteConfigStatuses::Failed });
        if well {
            self.change(Part::EffectiveConfig);
        }
    }

    fn report(&mut self, hash: &[u8], status: RemoteConfigStatuses) {
        let status = RemoteConfigStatus {
            last_remote_config_hash: hash.to_vec(),
            status: status as i32,
            error_message: String::new(),
        };
        self.rules.changed(Part::RemoteConfigStatus);
        self.client.as_mut().into_iter().for_each(|client| client.set_remote_config_status(status.clone()));
    }

    /// Settings were offered; this agent follows all of them.
    pub(crate) fn settings_offered(&mut self, hash: &[u8]) {
        self.rules.changed(Part::ConnectionSettingsStatus);
        let status = ConnectionSettingsStatus {
            last_connection_settings_hash: hash.to_vec(),
            status: ConnectionSettingsStatuses::Applied as i32,
            error_message: String::new(),
        };
        self.client
            .as_mut()
            .into_iter()
            .for_each(|client| client.set_connection_settings_status(status.clone()));
    }

    /// A number in a message, larger than any before, if the server takes such messages.
    pub(crate) fn says_custom(&mut self) {
        let message =
            CustomMessage { capability: CUSTOM.into(), data: vec![self.custom_sent], ..Default::default() };
        let Some(client) = &mut self.client else { return };
        if client.send_custom(message).is_ok() {
            self.custom_sent += 1;
            self.rules.may_ask();
        }
    }

    pub(crate) fn asks_for_certificate(&mut self) {
        let csr = self.fresh().to_string();
        let Some(client) = &mut self.client else { return };
        if client.request_certificate(csr.clone()).is_ok() {
            self.csr = Some(csr);
            self.rules.may_ask();
        }
    }

    pub(crate) fn asks_for_uid(&mut self) {
        self.rules.may_ask();
        self.client.as_mut().into_iter().for_each(Client::request_uid);
    }

    pub(crate) fn disconnected(&mut self, why: Retry, now: Duration) {
        match why {
            Retry::Unanswered => self.rules.unanswered(),
            _ => self.rules.lost(),
        }
        self.client.as_mut().into_iter().for_each(|client| client.disconnected(why, now));
    }
}

fn effective(number: u64) -> EffectiveConfig {
    let body = AgentConfigObject { body: number.to_string().into_bytes(), ..Default::default() };
    EffectiveConfig { config_map: Some(AgentConfigMap { config_map: [(String::new(), body)].into() }) }
}

fn components(number: u64) -> AvailableComponents {
    let mut components = BTreeMap::new();
    components.insert(format!("set-{number}"), ComponentDetails::default());
    AvailableComponents { components, hash: vec![u8::try_from(number).unwrap_or(0) + 1; 4] }
}
