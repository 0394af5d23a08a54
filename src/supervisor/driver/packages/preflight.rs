//! A new Collector before it runs as one: what it says it is, and whether it would run what runs. Nothing that runs is
//! touched.

use std::path::PathBuf;

use serde_json::{Map, Value};

use super::{Driver, Fit, Told, What, condemned, put_off, refused};
use crate::{
    collector::{
        binary::BinaryIdentity,
        bootstrap::{BootstrapError, Facts},
    },
    os::{child::SpawnError, run::RunError},
    supervisor::{
        check::{AskBinary, Check, Refusal},
        compose::{Host, compose},
        config::AgentConfig,
        driver::Prepared,
        fence::Restrictions,
        machine::{Layers, Running},
        setup::{self, LearnError, Outfit, with_fresh_port},
        upgrade::{Failed, Held, Places, Work, machine::Token, version},
    },
    wire::{InstanceUid, proto::AgentRemoteConfig},
};

/// Everything that is asked about.
struct Preflight {
    agent: AgentConfig,
    name: String,
    held: Held,
    places: Places,
    storage: PathBuf,
    local: String,
    instance_uid: InstanceUid,
    with: Running,
    remote: Option<AgentRemoteConfig>,
    telemetry: Map<String, Value>,
    restrictions: Option<Restrictions>,
}

impl Driver {
    pub(super) fn begin_preflight(&mut self, token: Token, work: &Work) {
        let Some(held) = work.made.clone() else {
            return self.stage_done(token, Err(put_off("it is not unpacked")));
        };
        let with = self.parts.machine.live().clone();
        let preflight = Preflight {
            agent: self.parts.config.agent.clone(),
            name: work.name.clone(),
            held,
            places: self.shelf.places.clone(),
            storage: self.parts.storage.clone(),
            local: self.parts.endpoint.url().to_owned(),
            instance_uid: self.parts.state.instance_uid,
            remote: with.as_ref().and_then(|hash| self.body_of(hash)),
            with,
            telemetry: self.telemetry_layer(&self.telemetry.in_force),
            restrictions: self.parts.config.restrictions.clone(),
        };
        let (tell, mask) = (self.shelf.told.0.clone(), self.secrets());
        // On this thread: children end with the thread that started them.
        self.shelf.task = Some(tokio::spawn(async move {
            let what = match preflight.judge().await {
                Ok(fit) => What::Fit(Box::new(fit)),
                Err(Failed { why, then }) => What::Failed(Failed { why: mask.text(&why), then }),
            };
            // The driver is gone only when everything ends.
            let _ = tell.send(Told { token, what }).await;
        }));
    }
}

impl Preflight {
    async fn judge(self) -> Result<Fit, Failed> {
        let (path, identity) = self.intact()?;
        let facts = match setup::learn(&self.agent, &path, &self.storage).await {
            Ok(facts) => facts,
            Err(error) => return Err(of_learning(&error)),
        };
        is_version(&facts, &self.held.version).map_err(condemned)?;
        let components = facts.components.clone();
        let outfit = Outfit::new(&self.agent, &path, identity, Some(facts), &self.local, &self.storage)
            .map_err(put_off)?;
        let prepared = self.compose(&outfit)?;
        let check = Check {
            binary: outfit.binary.clone(),
            components: Some(components),
            ask: if self.agent.validate_config { AskBinary::Yes } else { AskBinary::No },
            restrictions: self.restrictions.clone(),
            staging: self.storage.join("staging").join("package"),
        };
        let config = self
            .with
            .as_ref()
            .map_or_else(|| "the host's own config".to_owned(), |hash| format!("config {hash}"));
        check.judge(&prepared.composed).await.map_err(|refusal| match refusal {
            Refusal::Unfit(why) => {
                refused(format!("the new Collector does not run what runs, {config}: {why}"))
            }
            Refusal::Unable(why) => {
                put_off(format!("the new Collector could not be asked about {config}: {why}"))
            }
        })?;
        Ok(Fit { outfit, with: self.with, prepared })
    }

    /// Not a byte that was not verified is run, not even for this (I3).
    fn intact(&self) -> Result<(PathBuf, BinaryIdentity), Failed> {
        let program = self.places.program(&self.name, &self.held).map_err(put_off)?;
        let identity = BinaryIdentity::of(&program.path, None).map_err(put_off)?;
        if identity.sha256 == program.sha256 {
            return Ok((program.path, identity));
        }
        Err(put_off(format!("{} is not what was unpacked", program.path.display())))
    }

    fn compose(&self, outfit: &Outfit) -> Result<Prepared, Failed> {
        let contact = with_fresh_port(&outfit.contact);
        let host = Host {
            agent: &self.agent,
            instance_uid: self.instance_uid,
            contact: contact.clone(),
            idle: outfit.idle,
            describe_resource: outfit.describe_resource,
            telemetry: &self.telemetry,
        };
        let composed = compose(&host, self.remote.as_ref().and_then(|remote| remote.config.as_ref()));
        let layers = Layers::Config(self.with.clone());
        Ok(Prepared { layers, composed: composed.map_err(put_off)?, contact })
    }
}

/// The version that it says must be the one that was signed (F-36).
pub(super) fn is_version(facts: &Facts, signed: &str) -> Result<(), String> {
    if facts.version.is_empty() || version(&facts.version) == version(signed) {
        return Ok(());
    }
    Err(format!("it says that it is version {}, and the package is {signed}", facts.version))
}

/// What the host does not let it do says nothing about it.
fn of_learning(error: &LearnError) -> Failed {
    let LearnError::Bootstrap(BootstrapError::Run { source: RunError::Spawn(spawn), .. }) = error else {
        return match error {
            LearnError::Bootstrap(_) => condemned(error),
            LearnError::Scratch(_) | LearnError::Sandbox(_) => put_off(error),
        };
    };
    match spawn {
        SpawnError::WrongFormat { .. } | SpawnError::MissingInterpreter { .. } => condemned(error),
        _ => put_off(format!("{error}: {spawn}")),
    }
}
