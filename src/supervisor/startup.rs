//! From a configuration to a running driver: storage, lock, journal, what is left of an earlier life, what the
//! binary is, the local endpoint, the connection to the server.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use prost::Message;
use tokio::sync::{mpsc::Receiver, watch};

use super::{
    agent,
    check::is_within,
    compose::{ComposeError, require_local_files},
    config::{Notice, SupervisorConfig},
    connection::{self, over},
    control,
    driver::{Driver, Moving, Parts, Reloads, Telemetry, heartbeat},
    healthcheck::{self, HealthcheckError, Seen, Serving},
    host_key::host_key,
    journal::{ConfigState, Journal, JournalError, Opened, State},
    legacy::Legacy,
    live::Live,
    local::Endpoint,
    machine::{ConfigHash, Machine},
    own_telemetry::Store,
    owned::{OwnedKey, refuse_owned},
    record,
    sandbox::{self, SandboxError},
    setup::{self, LearnError, Outfit},
    target::{self, TargetError},
};
use crate::{
    collector::{binary::BinaryIdentity, bootstrap::Facts},
    os::{
        clock::{self, NoRandom},
        fs::{FsError, ensure_private_dir, replace_file_contents},
        lock::{Lock, LockError},
        orphan::{Swept, sweep},
        reaper,
        signals::Signals,
    },
    protocol::client::{Client, ClientOptions},
    telemetry::{
        logs::LevelSwitch,
        otlp::{Exports, Instruments},
    },
    transport::{
        accept::Listener,
        client::{self, ClientHandle},
    },
    wire::{InstanceUid, proto::AgentRemoteConfig},
};

/// What a Collector that outlived its supervisor gets: it was told to stop already when that one died.
const ORPHAN_GRACE: Duration = Duration::from_secs(5);
/// The supervisor cannot run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("storage.directory: {}{}", .0, .0.advice())]
    Storage(#[source] FsError),
    #[error(transparent)]
    Locked(#[from] LockError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("agent.executable: {0}")]
    Executable(#[source] FsError),
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    #[error(transparent)]
    OwnedKey(#[from] OwnedKey),
    #[error(transparent)]
    LocalFiles(#[from] ComposeError),
    #[error(
        "agent.opamp_server_port: cannot listen on 127.0.0.1:{port}: {source}; free the port, or set 0 to take a free one"
    )]
    LocalPort { port: u16, source: io::Error },
    #[error(transparent)]
    Healthcheck(#[from] HealthcheckError),
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error(transparent)]
    NoRandom(#[from] NoRandom),
    #[error("cannot listen for signals: {0}")]
    Signals(#[source] io::Error),
}

impl StartError {
    /// The exit code of the program (sysexits).
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Locked(LockError::Held { .. }) => 75,
            Self::Storage(error) if error.is_of_settings() => 78,
            Self::Executable(_) | Self::OwnedKey(_) | Self::LocalFiles(_) | Self::Sandbox(_) => 78,
            Self::LocalPort { .. } | Self::Healthcheck(_) | Self::Target(_) => 78,
            _ => 1,
        }
    }
}

/// What the program knows besides the configuration.
#[derive(Debug)]
pub struct Origin {
    /// Where the configuration was read, and is read again.
    pub path: PathBuf,
    pub log_level: LevelSwitch,
    /// What its reader should know of it.
    pub notices: Vec<Notice>,
}

/// Runs the supervisor until it is told to stop. On the main thread: children are tied to their thread.
/// What it says of itself is in `exports`, where that is to go anywhere.
pub async fn run(
    config: SupervisorConfig,
    origin: Origin,
    exports: Exports,
    instruments: Instruments,
) -> Result<(), StartError> {
    let exporting = exports.start();
    let ended = supervise(config, origin, instruments).await;
    exporting.finish().await;
    ended
}

async fn supervise(
    config: SupervisorConfig,
    origin: Origin,
    instruments: Instruments,
) -> Result<(), StartError> {
    let mut signals = Signals::listen().map_err(StartError::Signals)?;
    if let Err(error) = reaper::become_subreaper() {
        tracing::debug!(%error, "orphans of the Collector go to init, not to the supervisor");
    }
    refuse_owned(&config.agent.args)?;
    require_local_files(&config.agent)?;
    // A wrong file is wrong whatever was offered since.
    target::of(&config.server)?;
    let storage = storage(&config)?;
    let _lock = Lock::take(&storage)?;
    let (seen, _serving) = serve_health(&config).await?;
    let (journal, state) = open_journal(&storage, &config)?;
    sweep_orphan(&journal).await;
    let mut start = Start { config, storage, journal, state };
    let (identity, facts) = tokio::select! {
        learnt = start.learn() => learnt?,
        () = signals.stop() => return Ok(()),
    };
    let port = start.config.agent.opamp_server_port;
    let listener = listen(port, &start.storage).await?;
    let outfit = Outfit::new(&start.config.agent, identity, facts, &listener.endpoint(), &start.storage)?;
    let confinement = &outfit.binary.confinement;
    sandbox::open_way(confinement, &start.storage).map_err(StartError::Storage)?;
    let (client, notices, moving) = start.connect()?;
    let valid = start.state.connection.valid.as_ref();
    let reloads = Reloads::new(origin, &over(&start.config.server, valid));
    let sha256 = start.state.agent.as_ref().map(|agent| agent.sha256.as_str());
    let host = host_key(&start.config, sha256);
    let own = start.state.own_telemetry.clone();
    let store = Store::new(start.storage.join(sandbox::OWN_TELEMETRY), confinement.reader());
    if let Err(error) = store.put(&own) {
        tracing::warn!("certificates of the Collector's own telemetry cannot be written: {error}");
    }
    let allowed = own.allowed(&start.config.capabilities);
    let rules = setup::settings(&start.config.agent, &outfit.contact, &allowed);
    let fallback = !start.config.agent.startup_fallback_configs.is_empty();
    let machine = Machine::new(rules, record::past(&start.state, &host, fallback), seed()?);
    let live = Live::open(&start.storage.join("live"), confinement.reader()).map_err(StartError::Storage)?;
    let Start { config, storage, journal, state } = start;
    let components = outfit.facts.as_ref().map(|facts| facts.components.clone());
    let endpoint = Endpoint::serve(listener);
    let socket = control::socket_of(&storage);
    let asked = control::serve(&socket);
    let parts = Parts {
        config,
        storage,
        journal,
        state,
        machine,
        host,
        outfit,
        components,
        live,
        endpoint,
        client,
        notices,
        signals,
        asked,
        seen,
        instruments,
        reloads,
        moving,
    };
    Driver::new(parts, Telemetry::new(own, store)).run().await;
    // What is left over says the same as none: nobody listens.
    let _ = fs::remove_file(socket);
    Ok(())
}

/// Where the driver says what it sees, and the endpoint that tells it, if there is to be one.
async fn serve_health(
    config: &SupervisorConfig,
) -> Result<(Option<watch::Sender<Seen>>, Option<Serving>), HealthcheckError> {
    let Some(config) = &config.healthcheck else { return Ok((None, None)) };
    let bound = healthcheck::Bound::bind(config).await?;
    let (seen, asked) = watch::channel(Seen::starting());
    Ok((Some(seen), Some(bound.serve(asked))))
}

struct Start {
    config: SupervisorConfig,
    storage: PathBuf,
    journal: Journal,
    state: State,
}

impl Start {
    /// What the binary is, from the cache when the file has not changed. A binary that does not answer is run
    /// all the same: its own words at the start say more.
    async fn learn(&mut self) -> Result<(BinaryIdentity, Option<Facts>), StartError> {
        let cached = record::facts(&self.state);
        let known = cached.as_ref().map(|(identity, _)| identity);
        let identity =
            BinaryIdentity::of(&self.config.agent.executable, known).map_err(StartError::Executable)?;
        if let Some((known, facts)) = cached
            && known.sha256 == identity.sha256
        {
            return Ok((identity, Some(facts)));
        }
        match setup::learn(&self.config.agent, &self.storage).await {
            Ok(facts) => {
                record::keep_facts(&mut self.state, &identity, &facts);
                if let Err(error) = self.journal.commit(&self.state) {
                    tracing::warn!(
                        "what the Collector's binary is cannot be kept for the next start: {error}"
                    );
                }
                Ok((identity, Some(facts)))
            }
            Err(LearnError::Scratch(error)) => Err(StartError::Storage(error)),
            Err(LearnError::Sandbox(error)) => Err(error.into()),
            Err(LearnError::Bootstrap(error)) => {
                tracing::error!(
                    "agent.executable does not say what it is: {error}; it is started without checks of components"
                );
                Ok((identity, None))
            }
        }
    }

    /// Dials the server that holds, or first one that an earlier life was trying.
    fn connect(&mut self) -> Result<(ClientHandle, Receiver<client::Notice>, Moving), StartError> {
        let before = self.state.connection.clone();
        let beginning = connection::begin(&self.config, &mut self.state.connection)?;
        if self.state.connection != before {
            self.journal.forget_copy();
            if let Err(error) = self.journal.commit(&self.state) {
                tracing::warn!("where the offered connection stands cannot be kept for now: {error}");
            }
        }
        let kept = &self.state.connection;
        let (target, settings) = match &beginning.candidate {
            Some(target) => (target, kept.candidate.as_ref().map(|candidate| &candidate.settings)),
            None => (&beginning.valid, kept.valid.as_ref()),
        };
        let options = ClientOptions {
            instance_uid: self.state.instance_uid,
            capabilities: agent::capabilities(&self.config.capabilities),
            link: target.link(),
            heartbeat: heartbeat(settings),
        };
        let (client, notices) = client::spawn(Client::new(options, seed()?), target.clone(), clock::boottime);
        let window = self.config.server.settings_apply_timeout;
        Ok((client, notices, Moving::new(beginning, window)))
    }
}

/// Before this is on disk, nothing else is done with the state: a crash in between costs nothing.
fn take_over_once(
    legacy: Option<Legacy>,
    journal: &mut Journal,
    state: &mut State,
) -> Result<(), JournalError> {
    let lived = state.config != ConfigState::default();
    match legacy {
        Some(legacy) if !state.legacy_sought && !lived => legacy.take_over(journal, state),
        _ => Ok(()),
    }
}

/// Opens the journal; at the first start, what the established supervisor left is taken over.
fn open_journal(storage: &Path, config: &SupervisorConfig) -> Result<(Journal, State), StartError> {
    let legacy = Legacy::find(storage);
    let fresh = match legacy.as_ref().and_then(|legacy| legacy.instance_uid) {
        Some(uid) => uid,
        None => identity(config)?,
    };
    let Opened { mut journal, mut state, notes } = Journal::open(storage, fresh)?;
    for note in notes {
        tracing::warn!("{note}");
    }
    for lost in record::forget_lost(&mut state, |hash| journal.configs.is_stored(hash)) {
        tracing::warn!(config = %lost, "the body of this config is lost; the server is asked for it again");
    }
    take_over_once(legacy, &mut journal, &mut state)?;
    forget_forbidden(&journal, &mut state, config);
    Ok((journal, state))
}

/// Restrictions hold for what is stored as for what is offered. What is forgotten here the server offers again,
/// and hears then what is wrong with it.
fn forget_forbidden(journal: &Journal, state: &mut State, config: &SupervisorConfig) {
    let Some(restrictions) = &config.restrictions else { return };
    let within = |hash: &_| {
        let offer = journal.configs.load(hash).ok().and_then(|body| AgentRemoteConfig::decode(&*body).ok());
        offer.is_some_and(|offer| offer.config.is_none_or(|map| is_within(restrictions, &map)))
    };
    for hash in record::forget_lost(state, within) {
        tracing::warn!(config = %hash, "this config is not within restrictions any more and is not run");
    }
}

/// Who this is when nothing is stored: what the file says, else somebody new.
fn identity(config: &SupervisorConfig) -> Result<InstanceUid, StartError> {
    match config.agent.instance_id {
        Some(given) => Ok(given),
        None => Ok(InstanceUid::v7(clock::wall_millis(), clock::random()?)),
    }
}

/// With a free port, the one of the start before if it is free, and the token of that start: what the Collector reads stays the same, so
/// it starts even when the disk has no room for anything new (F-58).
async fn listen(port: u16, storage: &Path) -> Result<Listener, StartError> {
    let run = storage.join("run");
    Ok(bind(port, &run).await?.requiring(&token(&run)?))
}

async fn bind(port: u16, run: &Path) -> Result<Listener, StartError> {
    let failed = |source| StartError::LocalPort { port, source };
    if port != 0 {
        return Listener::bind(port).await.map_err(failed);
    }
    let path = run.join("local-port");
    let before = fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok());
    if let Some(before) = before
        && let Ok(listener) = Listener::bind(before).await
    {
        return Ok(listener);
    }
    let listener = Listener::bind(0).await.map_err(failed)?;
    keep(&path, &listener.port().to_string());
    Ok(listener)
}

/// What the Collector shows so that no other user of the host is taken for it.
fn token(run: &Path) -> Result<String, NoRandom> {
    let path = run.join("local-token");
    let fits = |token: &String| token.len() == 32 && token.bytes().all(|byte| byte.is_ascii_hexdigit());
    if let Some(token) = fs::read_to_string(&path).ok().filter(fits) {
        return Ok(token);
    }
    let token = ConfigHash(clock::random::<16>()?.to_vec()).to_string();
    keep(&path, &token);
    Ok(token)
}

fn keep(path: &Path, text: &str) {
    if let Err(error) = replace_file_contents(path, text.as_bytes()) {
        tracing::debug!(%error, "this is not kept for the next start");
    }
}

fn seed() -> Result<u64, NoRandom> {
    clock::random().map(u64::from_le_bytes)
}

fn storage(config: &SupervisorConfig) -> Result<PathBuf, StartError> {
    let dir = ensure_private_dir(&config.storage.directory).map_err(StartError::Storage)?;
    if let Some(note) = dir.note {
        tracing::warn!("{note}");
    }
    for room in ["run", "logs", "staging"] {
        ensure_private_dir(&dir.path.join(room)).map_err(StartError::Storage)?;
    }
    Ok(dir.path)
}

/// Ends what a killed supervisor left behind, if it still is what was written down.
async fn sweep_orphan(journal: &Journal) {
    let Some(facts) = journal.recorded_process() else { return };
    match sweep(&facts, ORPHAN_GRACE).await {
        Ok(Swept::NotThere) => {}
        Ok(swept) => {
            tracing::warn!(pid = facts.pid, ?swept, "a Collector was left behind by an earlier supervisor")
        }
        Err(error) => tracing::warn!(pid = facts.pid, %error, "a Collector left behind could not be ended"),
    }
}
