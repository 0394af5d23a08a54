//! `validate`: the checks that a start and an offer go through, offline. The storage directory is looked at for
//! what is known of the binary, and nothing is written there.
//!
//! - `findings`: what was found, and how it is shown

mod findings;

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use findings::{Findings, Judgement};

use super::{CONFIG, CommandError, FAILED, OK, args::Validate};
use crate::{
    collector::binary::BinaryIdentity,
    os::{
        clock,
        fs::{ensure_private_dir, private_dir_of},
        scratch::ScratchDir,
        signals::Signals,
    },
    supervisor::{
        check::{AskBinary, Check, Refusal},
        compose::{ComposeError, Composed, Host, RemoteLayer, compose_layers},
        config::{self, ConfigError, SupervisorConfig},
        journal::{Peeked, peek},
        mask::Mask,
        own_telemetry::Rule,
        owned::refuse_owned,
        record, sandbox,
        setup::{self, Outfit},
        target,
        upgrade::Places,
    },
    wire::InstanceUid,
};

/// Where a Collector would dial, when no port is known: nobody dials it here.
const SOME_PORT: u16 = 4320;
/// The largest file that is taken for a config.
const MOST_BYTES: u64 = 16 * 1024 * 1024;

pub(super) fn run(file: &Path, wanted: &Validate, out: &mut dyn Write) -> Result<u8, CommandError> {
    // Children end with the thread that started them: this one, which waits for them.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut findings = Findings::default();
    let judgement = match load(file, &mut findings)? {
        Some(config) => {
            findings.mask = Mask::of(&config);
            runtime.block_on(interruptible(judge(file, &config, &wanted.collector_config, &mut findings)))?
        }
        None => Judgement::Made,
    };
    findings.write(&judgement, wanted.output, out)?;
    Ok(match judgement {
        Judgement::Impossible(_) => FAILED,
        Judgement::Made if findings.has_errors() => CONFIG,
        Judgement::Made => OK,
    })
}

/// So that nothing is left in the scratch directory.
async fn interruptible<T>(work: impl Future<Output = Result<T, CommandError>>) -> Result<T, CommandError> {
    let mut signals = Signals::listen()?;
    tokio::select! {
        done = work => done,
        () = signals.stop() => Err(CommandError::Interrupted),
    }
}

fn load(file: &Path, findings: &mut Findings) -> Result<Option<SupervisorConfig>, CommandError> {
    let name = file.display().to_string();
    findings.text(&name, &fs::read(file).unwrap_or_default());
    match config::load(file, &|name| std::env::var(name).ok()) {
        Ok(loaded) => {
            for notice in loaded.notices {
                findings.warning_at(&name, notice.at, notice.message);
            }
            Ok(Some(loaded.config))
        }
        Err(ConfigError::Invalid { problems, .. }) => {
            for problem in problems {
                findings.error_at(&name, problem.at, problem.message);
            }
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

async fn judge(
    file: &Path,
    config: &SupervisorConfig,
    collector_configs: &[PathBuf],
    findings: &mut Findings,
) -> Result<Judgement, CommandError> {
    let name = file.display().to_string();
    if let Err(error) = refuse_owned(&config.agent.args) {
        findings.error_in(&name, error.to_string());
    }
    if let Err(error) = target::of(&config.server) {
        findings.error_in(&name, error.to_string());
    }
    let remote = read_all(collector_configs)?;
    let scratch = ScratchDir::make("opamp-supervisor-validate")?;
    let storage = private_dir_of(&config.storage.directory);
    // Of a directory that this user may not read nothing is known, as before a first start.
    let peeked = peek(&storage).ok().flatten();
    let Some(outfit) = outfit(config, peeked.as_ref(), &scratch, &name, findings).await else {
        return Ok(Judgement::Made);
    };
    let composed = match compose(config, peeked.as_ref(), &outfit, &remote) {
        Ok(composed) => composed,
        Err(error) => {
            findings.not_composed(&name, &remote, error);
            return Ok(Judgement::Made);
        }
    };
    for missing in &composed.missing {
        findings.warning_in(&name, format!("agent.config_files: left out: {missing}"));
    }
    check(config, &outfit, &scratch, &composed, findings).await
}

async fn check(
    config: &SupervisorConfig,
    outfit: &Outfit,
    scratch: &ScratchDir,
    composed: &Composed,
    findings: &mut Findings,
) -> Result<Judgement, CommandError> {
    let ask = if config.agent.validate_config { AskBinary::Yes } else { AskBinary::No };
    let check = Check {
        binary: outfit.binary.clone(),
        components: outfit.facts.as_ref().map(|facts| facts.components.clone()),
        ask,
        restrictions: config.restrictions.clone(),
        staging: scratch.path().join("staging").join("config"),
    };
    for file in &composed.files {
        findings.text(&file.label, &file.contents);
    }
    if ask == AskBinary::No {
        findings.note("agent.validate_config is false: the Collector itself is not asked");
    }
    let confinement = &outfit.binary.confinement;
    ensure_private_dir(&scratch.path().join("staging"))?;
    sandbox::open_way(confinement, scratch.path())?;
    match check.look(composed).await {
        Ok(found) => {
            findings.add(found.diagnostics);
            if let Some(refusal) = found.refusal {
                findings.error(refusal);
            }
            Ok(Judgement::Made)
        }
        Err(Refusal::Unfit(why)) => {
            findings.error(why);
            Ok(Judgement::Made)
        }
        Err(Refusal::Unable(why)) => Ok(Judgement::Impossible(why)),
    }
}

/// What the binary is: as an earlier start learnt it, else as it says now.
async fn outfit(
    config: &SupervisorConfig,
    peeked: Option<&Peeked>,
    scratch: &ScratchDir,
    name: &str,
    findings: &mut Findings,
) -> Option<Outfit> {
    let cached = peeked.and_then(|peeked| record::facts(&peeked.state));
    let known = cached.as_ref().map(|(identity, _)| identity);
    let program = program(config, peeked);
    let identity = match BinaryIdentity::of(&program, known) {
        Ok(identity) => identity,
        Err(error) => {
            findings.error_in(name, format!("agent.executable: {error}"));
            return None;
        }
    };
    let facts = match cached {
        Some((known, facts)) if known.sha256 == identity.sha256 => Some(facts),
        _ => match setup::learn(&config.agent, &program, scratch.path()).await {
            Ok(facts) => Some(facts),
            Err(error) => {
                let message = format!("agent.executable does not say what it is: {error}");
                findings.warning_in(name, message);
                None
            }
        },
    };
    let port = match config.agent.opamp_server_port {
        0 => SOME_PORT,
        port => port,
    };
    let local = format!("ws://127.0.0.1:{port}/v1/opamp");
    match Outfit::new(&config.agent, &program, identity, facts, &local, scratch.path()) {
        Ok(outfit) => Some(outfit),
        Err(error) => {
            findings.error_in(name, error.to_string());
            None
        }
    }
}

/// The Collector that would run: a package that is in force, or `agent.executable`.
fn program(config: &SupervisorConfig, peeked: Option<&Peeked>) -> PathBuf {
    let packaged = peeked.and_then(|peeked| {
        let (name, held) = peeked.state.packages.collector()?;
        Places::of(&private_dir_of(&config.storage.directory)).program(name, held).ok()
    });
    packaged.map_or_else(|| config.agent.executable.clone(), |program| program.path)
}

fn compose(
    config: &SupervisorConfig,
    peeked: Option<&Peeked>,
    outfit: &Outfit,
    remote: &[(String, Vec<u8>)],
) -> Result<Composed, ComposeError> {
    let stored = peeked.map(|peeked| peeked.state.instance_uid).or(config.agent.instance_id);
    // Certificates are only named here: the real directory of the supervisor that runs is not looked into.
    let sent = peeked.map(|peeked| peeked.state.own_telemetry.clone()).unwrap_or_default();
    let dir = config.storage.directory.join(sandbox::OWN_TELEMETRY);
    let telemetry = Rule::new(sent, dir).layer(&config.capabilities);
    let host = Host {
        agent: &config.agent,
        instance_uid: stored.unwrap_or_else(|| InstanceUid::v7(clock::wall_millis(), [0; 10])),
        contact: outfit.contact.clone(),
        idle: outfit.idle,
        describe_resource: outfit.describe_resource,
        telemetry: &telemetry,
    };
    let layers = remote.iter().map(|(label, body)| RemoteLayer { label, body });
    compose_layers(&host, &layers.collect::<Vec<_>>())
}

fn read_all(paths: &[PathBuf]) -> Result<Vec<(String, Vec<u8>)>, CommandError> {
    let read = |path: &PathBuf| {
        let meta = fs::metadata(path)?;
        if meta.len() > MOST_BYTES {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        fs::read(path)
    };
    let layer = |path: &PathBuf| match read(path) {
        Ok(body) => Ok((path.display().to_string(), body)),
        Err(source) => Err(CommandError::Unreadable { path: path.clone(), source }),
    };
    paths.iter().map(layer).collect()
}
