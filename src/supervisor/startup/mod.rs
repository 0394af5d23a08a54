//! From a configuration to a running driver: storage, lock, journal, what is left of an earlier life, what the
//! binary is, the local endpoint, the connection to the server.
//!
//! - `earlier`: what an earlier life left; `local`: where the Collector connects to; `program`: which
//!   Collector that is; `error`: why it cannot run
//! - `succession`: which supervisor runs, and what one before it in this process left

mod earlier;
mod error;
mod local;
mod program;
mod succession;

use std::{fs, path::PathBuf};

use earlier::{open_journal, sweep_orphan};
pub use error::StartError;
use local::listen;
use tokio::sync::{mpsc::Receiver, watch};

use super::{
    agent,
    compose::require_local_files,
    config::{Notice, SupervisorConfig},
    connection::{self, over},
    control,
    driver::{self, Driver, Moving, Parts, Reloads, Successions, Telemetry, heartbeat, package_rules},
    healthcheck::{self, HealthcheckError, Seen, Serving},
    host_key::host_key,
    journal::{Journal, State},
    live::Live,
    local::Endpoint,
    machine::Machine,
    own_telemetry::Store,
    owned::refuse_owned,
    record, sandbox, setup,
    succession::Arrival,
    target,
};
use crate::{
    os::{
        clock::{self, NoRandom},
        fs::ensure_private_dir,
        reaper,
        signals::Signals,
    },
    protocol::client::{Client, ClientOptions},
    telemetry::{
        logs::LevelSwitch,
        otlp::{Exports, Instruments},
    },
    transport::client::{self, ClientHandle},
};

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
    arrival: &mut Arrival,
    exports: Exports,
    instruments: Instruments,
) -> Result<(), StartError> {
    let exporting = exports.start();
    let ended = supervise(config, origin, arrival, instruments).await;
    exporting.finish().await;
    ended
}

async fn supervise(
    config: SupervisorConfig,
    origin: Origin,
    arrival: &mut Arrival,
    instruments: Instruments,
) -> Result<(), StartError> {
    if let Err(error) = reaper::become_subreaper() {
        tracing::debug!(%error, "orphans of the Collector go to init, not to the supervisor");
    }
    refuse_what_is_wrong(&config)?;
    let storage = storage(&config)?;
    let lock = succession::lock(arrival, &storage)?;
    let (mut journal, mut state) = open_journal(&storage, &config)?;
    let role = succession::who_runs(arrival, &mut journal, &mut state, &lock);
    // Until here, a signal ends this process, or waits if a Collector was left to it.
    let mut signals = Signals::listen().map_err(StartError::Signals)?;
    let note = arrival.note().map_err(StartError::HandedOver)?;
    let (seen, _serving) = serve_health(&config).await?;
    let inherits = note.as_ref().is_some_and(|note| note.collector.is_some());
    if !inherits {
        sweep_orphan(&journal).await;
    }
    let mut start = Start { config, storage, journal, state };
    let chosen = tokio::select! {
        chosen = start.choose() => chosen?,
        // A Collector that runs is stopped in order, by the driver.
        () = signals.stop(), if !inherits => return Ok(()),
    };
    let port = start.config.agent.opamp_server_port;
    let listener = match succession::listener(arrival, note.as_ref()) {
        Some(handed) => handed?,
        None => listen(port, &start.storage).await?,
    };
    let local = listener.endpoint();
    let (outfit, back) = start.equip(chosen, &local)?;
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
    let trial = back.is_some().then(|| setup::binary_rules(&start.config.packages));
    let machine = Machine::new(rules, record::past(&start.state, &host, fallback, trial), seed()?);
    let live = Live::open(&start.storage.join("live"), confinement.reader()).map_err(StartError::Storage)?;
    let Start { config, storage, journal, state } = start;
    let components = outfit.facts.as_ref().map(|facts| facts.components.clone());
    let running = outfit.facts.as_ref().map(|facts| facts.version.clone());
    let rules = package_rules(config.capabilities.accepts_packages, &config.packages);
    let shelf = driver::shelf(rules, state.packages.clone(), running, state.paused, &storage);
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
        back,
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
        lock,
        succession: Successions::new(arrival.executable(), role),
    };
    let inherited = succession::inherited(arrival, note, role, &parts.journal).await?;
    arrival.settle();
    Driver::new(parts, Telemetry::new(own, store), shelf).run(inherited).await;
    // What is left over says the same as none: nobody listens.
    let _ = fs::remove_file(socket);
    Ok(())
}

/// What is wrong with the file, whatever was offered since.
fn refuse_what_is_wrong(config: &SupervisorConfig) -> Result<(), StartError> {
    refuse_owned(&config.agent.args)?;
    require_local_files(&config.agent)?;
    target::of(&config.server)?;
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
            capabilities: agent::capabilities(&self.config.capabilities, &self.config.packages),
            link: target.link(),
            heartbeat: heartbeat(settings),
        };
        let (client, notices) = client::spawn(Client::new(options, seed()?), target.clone(), clock::boottime);
        let window = self.config.server.settings_apply_timeout;
        Ok((client, notices, Moving::new(beginning, window)))
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
    // A Collector that is held to its files is let into a directory that is there when it starts.
    let add_ons = config.capabilities.accepts_packages.then_some(sandbox::ADD_ONS);
    for room in ["run", "logs", "staging"].into_iter().chain(add_ons) {
        ensure_private_dir(&dir.path.join(room)).map_err(StartError::Storage)?;
    }
    Ok(dir.path)
}
