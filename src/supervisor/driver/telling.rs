//! What others are told: the server, a service manager, whoever asks over HTTP.

use super::Driver;
use crate::{
    supervisor::{
        healthcheck::Seen,
        mask::{Mask, yaml},
    },
    transport::client::Update,
    wire::proto::EffectiveConfig,
};

impl Driver {
    /// Tells the server who is there.
    pub(super) fn introduce(&mut self) {
        self.describe();
        self.look_at_sandbox();
        self.report_health();
        self.report_status();
        self.report_settings_status();
        self.report_components();
        self.report_packages();
        self.advertise();
    }

    pub(super) fn report_components(&self) {
        if let Some(components) = &self.parts.components {
            self.parts.client.update(Update::AvailableComponents(components.to_wire()));
        }
    }

    /// The state in one line, for whoever runs `systemctl status`.
    pub(super) fn announce(&mut self) {
        let Self { announcer, health, away, parts, .. } = self;
        announcer.status(|| {
            let tree = health.tree();
            let collector = if tree.healthy { "healthy".to_owned() } else { tree.last_error };
            let config = parts
                .machine
                .live()
                .as_ref()
                .map_or_else(|| "the host's own".to_owned(), ToString::to_string);
            let server = away.as_deref().unwrap_or("connected");
            let refused = parts.reloads.refused.as_deref();
            let file = refused
                .map_or_else(String::new, |why| format!("supervisor.yaml on disk is not in force: {why}; "));
            format!("{file}Collector: {collector}; config: {config}; server: {server}")
        });
    }

    /// The state for whoever asks over HTTP.
    pub(super) fn show(&mut self) {
        let Some(seen) = &self.parts.seen else { return };
        let now = Seen::new(&self.health.tree(), self.away.as_deref(), self.parts.machine.live());
        if self.shown.as_ref() != Some(&now) {
            seen.send_replace(now.masked(&self.secrets()));
            self.shown = Some(now);
        }
    }

    pub(super) fn describe(&mut self) {
        let description = self.description();
        self.parts.client.update(Update::Description(description.clone()));
        self.export_as(description);
    }

    pub(super) fn report_health(&mut self) {
        self.count_change(self.health.tree().healthy);
        let mut tree = self.health.tree();
        self.measure_health(tree.healthy);
        tree.last_error = self.with_last_words(tree.last_error);
        self.parts.client.update(Update::Health(tree));
    }

    /// The secrets that texts about the Collector may hold: of `supervisor.yaml`, and of the layers that run or
    /// are being tried.
    pub(super) fn mask(&self) -> Mask {
        let mut mask = self.secrets();
        for prepared in self.current.iter().chain(&self.candidate) {
            for file in &prepared.composed.files {
                mask.know_yaml(&String::from_utf8_lossy(&file.contents));
            }
        }
        mask
    }

    /// What the Collector runs with, without the secrets in it: those that it hides itself are some of them.
    pub(super) fn report_effective_config(&self, mut config: EffectiveConfig) {
        let mask = self.secrets();
        let objects = config.config_map.iter_mut().flat_map(|map| map.config_map.values_mut());
        for object in objects {
            if let Ok(text) = std::str::from_utf8(&object.body) {
                object.body = mask.text(&yaml(text)).into_bytes();
            }
        }
        self.parts.client.update(Update::EffectiveConfig(config));
    }
}
