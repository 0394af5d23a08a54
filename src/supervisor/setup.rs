//! What a configuration means for the Collector: its binary and what that is, how it is heard from, how it runs
//! with nothing to do, and the machine's rules. A start and a reload ask the same questions here.
//!
//! Not here: storage, journal, connections, which `startup` opens once.

use std::{
    net::{Ipv4Addr, TcpListener},
    path::Path,
    time::Duration,
};

use super::{
    compose::{Contact, Idle},
    config::{AgentConfig, PackagesConfig},
    machine::{BinaryRules, ReloadRule, Rollback, Settings},
    own_telemetry::OwnTelemetry,
    sandbox::{self, SandboxError},
};
use crate::{
    collector::{
        binary::{Binary, BinaryIdentity},
        bootstrap::{self, BootstrapError, Facts},
        components::Section,
    },
    os::{
        fs::{FsError, ensure_private_dir},
        sandbox::let_read,
    },
};

/// How long a new config has until its first healthy report, unless the file says otherwise.
const FIRST_HEALTH: Duration = Duration::from_secs(60);
/// How long a config is watched after it was applied.
const PROBATION: Duration = Duration::from_secs(30);
/// How long a Collector has to stop; Kubernetes gives 30 s in all.
const STOP_GRACE: Duration = Duration::from_secs(20);
/// The least that the short runs of the binary are given, whatever `agent.bootstrap_timeout` says.
const BOOTSTRAP_FLOOR: Duration = Duration::from_secs(10);

/// The binary, and all that follows from what it is.
#[derive(Clone, Debug)]
pub(super) struct Outfit {
    /// What is run: of `agent.executable`, or of a package.
    pub binary: Binary,
    /// Which file it was when it was looked at.
    pub identity: BinaryIdentity,
    pub facts: Option<Facts>,
    pub contact: Contact,
    pub idle: Idle,
    /// The Collector's extension is asked to describe the whole resource.
    pub describe_resource: bool,
}

impl Outfit {
    /// `local` is the endpoint that a Collector with the opamp extension dials.
    pub(super) fn new(
        agent: &AgentConfig,
        program: &Path,
        identity: BinaryIdentity,
        facts: Option<Facts>,
        local: &str,
        storage: &Path,
    ) -> Result<Self, SandboxError> {
        let mut binary = binary(agent, program, storage)?;
        let idle = idle(facts.as_ref(), &mut binary);
        let contact = contact(facts.as_ref(), local.to_owned());
        let wanted = agent.description.include_resource_attributes;
        let describe_resource = wanted && facts.as_ref().is_some_and(|facts| facts.describes_resource);
        if wanted && !describe_resource {
            tracing::warn!(
                "agent.description.include_resource_attributes has no effect: this Collector's opamp extension \
                 does not know it"
            );
        }
        Ok(Self { binary, identity, facts, contact, idle, describe_resource })
    }
}

/// The binary as the file has it called, without what is only known once it was asked.
pub(super) fn binary(agent: &AgentConfig, program: &Path, storage: &Path) -> Result<Binary, SandboxError> {
    let env = agent.env.iter().map(|(name, value)| (name.clone(), value.expose().to_owned()));
    Ok(Binary {
        executable: program.to_owned(),
        args: agent.args.clone(),
        feature_gates: Vec::new(),
        env: env.collect(),
        confinement: sandbox::confinement(agent, storage)?,
    })
}

/// The binary cannot be asked what it is.
#[derive(Debug, thiserror::Error)]
pub(super) enum LearnError {
    #[error(transparent)]
    Scratch(#[from] FsError),
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
}

/// Asks the binary what it is, by short runs of it. On the main thread.
pub(super) async fn learn(agent: &AgentConfig, program: &Path, storage: &Path) -> Result<Facts, LearnError> {
    let binary = binary(agent, program, storage)?;
    let scratch = ensure_private_dir(&storage.join("staging").join("bootstrap"))?.path;
    sandbox::open_way(&binary.confinement, storage)?;
    let_read(&scratch, binary.confinement.reader())?;
    let deadline = agent.bootstrap_timeout.max(BOOTSTRAP_FLOOR);
    Ok(bootstrap::learn(&binary, &scratch, deadline).await?)
}

/// The machine's rules.
///
/// A Collector that sends telemetry of its own sends the rest before it reads its config again, and ends if that
/// fails: an endpoint that is away would turn each SIGHUP into a death, so such a one is run anew instead.
pub(super) fn settings(agent: &AgentConfig, contact: &Contact, telemetry: &OwnTelemetry) -> Settings {
    let reload = match (agent.use_hup_config_reload, contact) {
        _ if !telemetry.is_empty() => ReloadRule::Never,
        (Some(false), _) | (_, Contact::Process) => ReloadRule::Never,
        (Some(true) | None, _) => ReloadRule::ContentsOnly,
    };
    Settings {
        first_health: agent.config_apply_timeout.unwrap_or(FIRST_HEALTH),
        probation: PROBATION,
        stop_grace: STOP_GRACE,
        reload,
        rollback: if agent.automatic_config_rollback { Rollback::Automatic } else { Rollback::Never },
    }
}

/// What another Collector has to show.
pub(super) const fn binary_rules(packages: &PackagesConfig) -> BinaryRules {
    BinaryRules { first_health: packages.trial.first_health, healthy_for: packages.trial.healthy_for }
}

fn contact(facts: Option<&Facts>, endpoint: String) -> Contact {
    match facts {
        Some(facts) => Contact::best(&facts.components, endpoint, free_port().unwrap_or(0)),
        // Nothing is known of it; most Collectors that are supervised have the extension.
        None => Contact::Extension { endpoint },
    }
}

/// How to run with nothing to do; a Collector that can do without pipelines is told so.
fn idle(facts: Option<&Facts>, binary: &mut Binary) -> Idle {
    const GATE: &str = "service.AllowNoPipelines";
    // Nothing is known of it: a pipeline of nops may start, none at all never does.
    let Some(facts) = facts else { return Idle::Nop };
    let has = |section| facts.components.has(section, "nop");
    if facts.has_gate(GATE) {
        binary.feature_gates.push(GATE.to_owned());
        Idle::NoPipeline
    } else if has(Section::Receivers) && has(Section::Exporters) {
        Idle::Nop
    } else {
        Idle::NoPipeline
    }
}

/// A probe on a port of its own proves which config it belongs to.
pub(super) fn with_fresh_port(contact: &Contact) -> Contact {
    match contact {
        Contact::HealthCheck { port } => Contact::HealthCheck { port: free_port().unwrap_or(*port) },
        other => other.clone(),
    }
}

/// A port that was free a moment ago.
fn free_port() -> Option<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
    listener.local_addr().ok().map(|address| address.port())
}
