//! The Collector's files: made for a config, checked, and put where it reads them.

use super::{Driver, Prepared, wall_nanos};
use crate::{
    os::fs::FsError,
    supervisor::{
        check::{AskBinary, Check},
        compose::{ComposeError, Contact, Host, compose, compose_fallback},
        machine::Layers,
        setup::with_fresh_port,
    },
    wire::proto::AgentRemoteConfig,
};

impl Driver {
    /// The files of a config, as they would be written now.
    fn prepare(&self, layers: &Layers, contact: Contact) -> Result<Prepared, ComposeError> {
        let remote = match layers {
            Layers::Config(Some(hash)) => self.body_of(hash),
            Layers::Config(None) | Layers::Fallback => None,
        };
        self.compose(layers, remote.as_ref(), contact)
    }

    pub(super) fn compose(
        &self,
        layers: &Layers,
        remote: Option<&AgentRemoteConfig>,
        contact: Contact,
    ) -> Result<Prepared, ComposeError> {
        let telemetry = self.telemetry_layer(&self.telemetry.in_force);
        self.compose_with(layers, remote, contact, &telemetry)
    }

    /// The same with these keys of `service.telemetry`.
    pub(super) fn compose_with(
        &self,
        layers: &Layers,
        remote: Option<&AgentRemoteConfig>,
        contact: Contact,
        telemetry: &serde_json::Map<String, serde_json::Value>,
    ) -> Result<Prepared, ComposeError> {
        let host = Host {
            agent: &self.parts.config.agent,
            instance_uid: self.parts.state.instance_uid,
            contact: contact.clone(),
            idle: self.parts.outfit.idle,
            describe_resource: self.parts.outfit.describe_resource,
            telemetry,
        };
        let composed = match layers {
            Layers::Config(_) => compose(&host, remote.and_then(|remote| remote.config.as_ref()))?,
            Layers::Fallback => compose_fallback(&host)?,
        };
        Ok(Prepared { layers: layers.clone(), composed, contact })
    }

    pub(super) fn checker(&self) -> Check {
        let validate = self.parts.config.agent.validate_config;
        Check {
            binary: self.parts.outfit.binary.clone(),
            components: self.parts.components.clone(),
            restrictions: self.parts.config.restrictions.clone(),
            ask: if validate { AskBinary::Yes } else { AskBinary::No },
            staging: self.parts.storage.join("staging").join("config"),
        }
    }

    /// A config that differs from what runs, with a contact of its own where its proof needs one.
    pub(super) fn refreshed(
        &self,
        prepared: Prepared,
        body: &AgentRemoteConfig,
    ) -> Result<Prepared, ComposeError> {
        match prepared.contact {
            Contact::HealthCheck { .. } => self.compose(&prepared.layers, Some(body), self.fresh_contact()),
            Contact::Extension { .. } | Contact::Process => Ok(prepared),
        }
    }

    pub(super) fn fresh_contact(&self) -> Contact {
        with_fresh_port(&self.parts.outfit.contact)
    }

    /// Puts the files of these layers in place: as they were checked, as they are, or made anew.
    pub(super) fn put(&mut self, layers: &Layers) -> Result<Prepared, NotPut> {
        let of = |prepared: &&Prepared| prepared.layers == *layers;
        let known = self.candidate.as_ref().filter(of).or_else(|| self.current.as_ref().filter(of)).cloned();
        let prepared = match known {
            Some(prepared) => prepared,
            None => self.prepare(layers, self.fresh_contact())?,
        };
        self.parts.live.put(&prepared.composed)?;
        self.say_what_is_left_out(&prepared);
        self.current = Some(prepared.clone());
        Ok(prepared)
    }

    /// In log and health, once for each change.
    fn say_what_is_left_out(&mut self, prepared: &Prepared) {
        let missing = &prepared.composed.missing;
        if !self.health.left_out(missing, wall_nanos()) {
            return;
        }
        for missing in missing {
            tracing::warn!("a file of agent.config_files is left out: {missing}");
        }
        if missing.is_empty() {
            tracing::info!("all files of agent.config_files are there again");
        }
        self.report_health();
    }
}

/// Files could not be put in place.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotPut {
    #[error(transparent)]
    Compose(#[from] ComposeError),
    #[error(transparent)]
    Write(#[from] FsError),
}
