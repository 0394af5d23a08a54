//! Judging the `supervisor.yaml` on disk while another one is in force: it is read, compared, and checked as far
//! as anything can be checked before the Collector or the server is touched.
//!
//! - `changes`: which keys differ, and what each needs
//!
//! Not here: bringing it into force, which is `driver::reload`'s. [`examine`] runs beside the driver, on the main
//! thread since it starts children; what may wait for a disk runs on a thread of its own.

mod changes;

use std::{path::PathBuf, time::Duration};

use serde_json::{Map, Value};
use tokio::time::timeout;

pub(super) use changes::{Changes, Needs};

use super::{
    check::{AskBinary, Check, Refusal, is_within},
    compose::{ComposeError, Composed, Contact, Host, Idle, compose},
    config::{self, AgentConfig, Notice, SupervisorConfig},
    connection::{outdated, over},
    journal::ConnectionState,
    mask::Mask,
    own_telemetry::Rule,
    owned::refuse_owned,
    setup::{self, Outfit, with_fresh_port},
    target::{self, Fingerprint},
};
use crate::{
    collector::{binary::BinaryIdentity, components::Components},
    transport::Target,
    wire::{InstanceUid, proto::AgentRemoteConfig},
};

/// Why the file is read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cause {
    /// It was written.
    File,
    /// Somebody asked: what it names is looked at too, even if it is the same itself.
    Signal,
    /// The same, and waits for what comes of it.
    Command,
}

impl Cause {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::File => "it was written",
            Self::Signal => "SIGHUP",
            Self::Command => "reload",
        }
    }
}

/// What is in force, and what the new one is to be judged with.
#[derive(Clone, Debug)]
pub(super) struct Examination {
    pub path: PathBuf,
    /// Whether what the file names is looked at too, even if the file itself is the same.
    pub whole: bool,
    pub in_force: SupervisorConfig,
    pub server: Fingerprint,
    /// What the server offered to lay over the file.
    pub connection: ConnectionState,
    /// Makes the keys of the Collector's `service.telemetry`.
    pub telemetry: Rule,
    pub outfit: Outfit,
    /// The Collector that is a package; without it, it is that of `agent.executable`.
    pub package: Option<PathBuf>,
    pub components: Option<Components>,
    /// The supervisor's own endpoint for the Collector's extension.
    pub local: String,
    pub instance_uid: InstanceUid,
    /// The remote config in force.
    pub remote: Option<AgentRemoteConfig>,
    /// The others that may run again.
    pub stored: Vec<AgentRemoteConfig>,
    pub running: Option<InPlace>,
    pub storage: PathBuf,
}

/// What the Collector's files are, where anything is there yet.
#[derive(Clone, Debug)]
pub(super) enum InPlace {
    /// Those of the config in force, and how a Collector that reads them is heard from.
    Config(Composed, Contact),
    /// Those that it falls back to.
    Fallback,
}

/// What was found.
#[derive(Debug)]
pub(super) enum Found {
    /// The file says what it said before.
    Nothing,
    /// It will not do; this is everything a person needs to mend it.
    Refused(String),
    Fit(Box<Fit>),
}

/// A `supervisor.yaml` that can come into force.
#[derive(Debug)]
pub(super) struct Fit {
    pub config: SupervisorConfig,
    pub notices: Vec<Notice>,
    pub changes: Changes,
    /// The server to go to, when the way to it is another one.
    pub server: Option<(Target, Fingerprint)>,
    /// When the binary is another one, by name, by content or by how it is called.
    pub outfit: Option<Outfit>,
    pub collector: Touch,
}

/// What the Collector notices of it.
#[derive(Debug)]
pub(super) enum Touch {
    Not,
    /// Other contents in the same files.
    Contents(Composed, Contact),
    /// Other files, another binary, or another way to call it.
    Process(Composed, Contact),
}

/// What everything together may take: the short runs of a binary, its `validate`, and reading the files.
const EXAMINED_WITHIN: Duration = Duration::from_secs(90);

/// Judges the file.
pub(super) async fn examine(examination: Examination) -> Found {
    match timeout(EXAMINED_WITHIN, examination.judge()).await {
        Ok(Ok(Some(fit))) => Found::Fit(Box::new(fit)),
        Ok(Ok(None)) => Found::Nothing,
        Ok(Err(why)) => Found::Refused(why),
        Err(_) => Found::Refused(format!(
            "it could not be judged within {EXAMINED_WITHIN:?}; is one of the files that it names a pipe, or on a \
             disk that does not answer?"
        )),
    }
}

/// Runs what may wait for a disk beside the main thread.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.map_err(|error| format!("it could not be read: {error}"))
}

impl Examination {
    async fn judge(self) -> Result<Option<Fit>, String> {
        let path = self.path.clone();
        let loaded = aside(move || config::load(&path, &|name| std::env::var(name).ok())).await?;
        let config::Loaded { config, notices } = loaded.map_err(|error| error.to_string())?;
        if !self.whole && config == self.in_force {
            return Ok(None);
        }
        // What is said against it may repeat what is in it.
        let mask = Mask::of(&config);
        self.compare(config, notices).await.map(Some).map_err(|why| mask.text(&why))
    }

    async fn compare(&self, mut config: SupervisorConfig, notices: Vec<Notice>) -> Result<Fit, String> {
        let changes = Changes::settle(&self.in_force, &mut config);
        refuse_owned(&config.agent.args).map_err(|error| error.to_string())?;
        self.within_restrictions(&config)?;
        let server = self.server(&config).await?;
        let outfit = self.outfit(&config).await?;
        let collector = self.collector(&config, &changes, outfit.as_ref()).await?;
        Ok(Fit { config, notices, changes, server, outfit, collector })
    }

    /// What runs, or may run again, has to be what the new file would take.
    fn within_restrictions(&self, config: &SupervisorConfig) -> Result<(), String> {
        let Some(restrictions) = &config.restrictions else { return Ok(()) };
        let mut maps = self.remote.iter().chain(&self.stored).filter_map(|remote| remote.config.as_ref());
        if maps.all(|map| is_within(restrictions, map)) {
            return Ok(());
        }
        Err("restrictions: a remote config that is stored is not within them; offer one that is, or restart the \
             supervisor, which then does without it"
            .to_owned())
    }

    async fn server(&self, config: &SupervisorConfig) -> Result<Option<(Target, Fingerprint)>, String> {
        let kept = self.connection.valid.as_ref().filter(|_| outdated(config, &self.connection).is_none());
        let (server, known) = (over(&config.server, kept), self.server);
        let dialled = aside(move || {
            let fingerprint = target::fingerprint(&server);
            Ok((target::of(&server)?, fingerprint))
        });
        let found: Result<_, target::TargetError> = dialled.await?;
        let (target, fingerprint) = found.map_err(|error| error.to_string())?;
        Ok((fingerprint != known).then_some((target, fingerprint)))
    }

    /// A binary that was replaced under its name is another one.
    async fn outfit(&self, config: &SupervisorConfig) -> Result<Option<Outfit>, String> {
        let program = self.package.clone().unwrap_or_else(|| config.agent.executable.clone());
        let (executable, known) = (program.clone(), self.outfit.identity.clone());
        let identity = aside(move || BinaryIdentity::of(&executable, Some(&known))).await?;
        let identity = identity.map_err(|error| format!("agent.executable: {error}"))?;
        let same = identity.sha256 == self.outfit.identity.sha256;
        let facts = match &self.outfit.facts {
            Some(facts) if same => Some(facts.clone()),
            None if same => setup::learn(&config.agent, &program, &self.storage).await.ok(),
            _ => {
                let learnt = setup::learn(&config.agent, &program, &self.storage).await;
                Some(learnt.map_err(|error| format!("agent.executable does not say what it is: {error}"))?)
            }
        };
        let mut outfit = Outfit::new(&config.agent, &program, identity, facts, &self.local, &self.storage)
            .map_err(|error| error.to_string())?;
        let as_before = same && outfit.facts == self.outfit.facts;
        if as_before {
            outfit.contact.clone_from(&self.outfit.contact);
        }
        Ok((!as_before || outfit.binary != self.outfit.binary).then_some(outfit))
    }

    async fn collector(
        &self,
        config: &SupervisorConfig,
        changes: &Changes,
        new: Option<&Outfit>,
    ) -> Result<Touch, String> {
        let outfit = new.unwrap_or(&self.outfit);
        let composer = Composer {
            agent: config.agent.clone(),
            instance_uid: self.instance_uid,
            idle: outfit.idle,
            describe_resource: outfit.describe_resource,
            remote: self.remote.clone(),
            telemetry: self.telemetry.layer(&config.capabilities),
        };
        let running = match &self.running {
            Some(InPlace::Config(files, heard)) if outfit.contact == self.outfit.contact => {
                Some((files.clone(), heard.clone()))
            }
            _ => None,
        };
        let contact = outfit.contact.clone();
        let composed = aside(move || composer.next(&contact, running)).await?;
        let (composed, contact) = composed.map_err(|error| error.to_string())?;
        let anew = new.is_some() || changes.needs(Needs::Process);
        if !anew && self.reads_already(&composed, changes) {
            return Ok(Touch::Not);
        }
        self.checker(config, outfit).judge(&composed).await.map_err(|refusal| match refusal {
            Refusal::Unfit(why) => why,
            Refusal::Unable(why) => format!("the Collector's config cannot be checked: {why}"),
        })?;
        match &self.running {
            Some(InPlace::Config(files, _)) if !anew && files.same_files(&composed) => {
                Ok(Touch::Contents(composed, contact))
            }
            _ => Ok(Touch::Process(composed, contact)),
        }
    }

    /// Whether these files are what the Collector has. On the fallback it has others in any case; whether the
    /// config in force may do by now is told by what the host adds to it.
    fn reads_already(&self, composed: &Composed, changes: &Changes) -> bool {
        match &self.running {
            Some(InPlace::Config(files, _)) => files.files == composed.files,
            Some(InPlace::Fallback) => !changes.needs(Needs::Files),
            None => false,
        }
    }

    fn checker(&self, config: &SupervisorConfig, outfit: &Outfit) -> Check {
        let same = outfit.identity.sha256 == self.outfit.identity.sha256;
        let components = match &self.components {
            Some(known) if same => Some(known.clone()),
            _ => outfit.facts.as_ref().map(|facts| facts.components.clone()),
        };
        Check {
            binary: outfit.binary.clone(),
            components,
            restrictions: config.restrictions.clone(),
            ask: if config.agent.validate_config { AskBinary::Yes } else { AskBinary::No },
            staging: self.storage.join("staging").join("reload"),
        }
    }
}

/// What the Collector's files are made from.
struct Composer {
    agent: AgentConfig,
    instance_uid: InstanceUid,
    idle: Idle,
    describe_resource: bool,
    remote: Option<AgentRemoteConfig>,
    telemetry: Map<String, Value>,
}

impl Composer {
    /// The files as they would be now. With the probe's port as it is they may be what already runs; if they are
    /// not, a port of their own tells them apart.
    fn next(
        &self,
        contact: &Contact,
        running: Option<(Composed, Contact)>,
    ) -> Result<(Composed, Contact), ComposeError> {
        if let Some((running, contact)) = running {
            let composed = self.compose(&contact)?;
            if composed.files == running.files || !matches!(contact, Contact::HealthCheck { .. }) {
                return Ok((composed, contact));
            }
        }
        let contact = with_fresh_port(contact);
        Ok((self.compose(&contact)?, contact))
    }

    fn compose(&self, contact: &Contact) -> Result<Composed, ComposeError> {
        let host = Host {
            agent: &self.agent,
            instance_uid: self.instance_uid,
            contact: contact.clone(),
            idle: self.idle,
            describe_resource: self.describe_resource,
            telemetry: &self.telemetry,
        };
        compose(&host, self.remote.as_ref().and_then(|remote| remote.config.as_ref()))
    }
}
