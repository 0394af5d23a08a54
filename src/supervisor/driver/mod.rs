//! The one task that owns the machine, the Collector's process and the journal.
//!
//! ```text
//!   server ◀──▶ transport::client ──notices──▶ ┌────────┐ ──effects──▶ process (spawn, HUP, TERM, KILL)
//!   Collector's extension ─▶ local / watch ──▶ │ driver │ ──────────▶ journal, then status to the server
//!   signals, timers, checks, exits ──────────▶ └────────┘ ──────────▶ health, effective config
//! ```
//!
//! It waits for one thing to happen, tells the [`Machine`], performs what the machine asks for, and waits
//! again. Everything that takes time runs beside it and reports back with a generation.
//!
//! - `happenings`: what can happen, and what the machine is told about it
//! - `effects`: doing what the machine asks for; `files`: the Collector's files
//! - `keeping`: making durable what happened, and saying it only then
//! - `announce`: what a service manager is told; `telling`: what it and others are told
//! - `custom`: messages between the server and the Collector's components
//! - `instruments`: numbers and spans of what happens
//! - `offers`: what the server wants to be run; `connection`, `own_telemetry`: what it offers of connections;
//!   `moving`: to another server and back; `certificate`: asking for one
//! - `packages`: another Collector, add-ons, another supervisor
//! - `reload`: another `supervisor.yaml`; `way_back`: from one that the Collector does not do with
//! - `succession`: another supervisor in the place of this one; `inheritance`: what goes along
//! - `vigil`: a Collector that runs and is silent, or keeps changing its health
//! - `process`: the running Collector: its output, its end, its watch
//! - `requests`: what administrators on this host ask for; `askers`: those who wait for a reload
//!
//! Not here: what to do next, which is the machine's to say. Called by `supervisor::startup`.

mod announce;
mod askers;
mod certificate;
mod connection;
mod custom;
mod effects;
mod files;
mod happenings;
mod inheritance;
mod instruments;
mod keeping;
mod moving;
mod offers;
mod own_telemetry;
mod packages;
mod process;
mod reload;
mod requests;
mod succession;
mod telling;
mod vigil;
mod way_back;

use std::{path::PathBuf, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep, sleep_until},
};

use announce::Announcer;
use askers::Askers;
use certificate::Asking;
use custom::Custom;
use happenings::Happening;
pub(super) use inheritance::Inheritance;
use instruments::UnderWay;
use keeping::Unsaved;
pub(super) use moving::{Moving, heartbeat};
pub(super) use own_telemetry::Telemetry;
use packages::Waiting;
pub(super) use packages::{Shelf, rules as package_rules, shelf};
use process::Collector;
pub(super) use reload::Reloads;
pub(super) use succession::{Role, Successions};
use vigil::Vigil;
use way_back::Before;

use super::{
    compose::{Composed, Contact},
    config::SupervisorConfig,
    control::Asked,
    health::Health,
    healthcheck::Seen,
    journal::{Journal, State},
    live::Live,
    local::{Endpoint, Heard},
    machine::{CheckToken, Generation, Input, Layers, Machine, Verdict},
    record,
    setup::Outfit,
};
use crate::{
    collector::components::Components,
    os::{child::Exit, clock, lock::Lock, signals::Signals},
    telemetry::otlp::Instruments,
    transport::client::{ClientHandle, Notice},
    wire::proto::{AgentDescription, AgentRemoteConfig},
};

/// Everything that start-up made.
pub(super) struct Parts {
    pub config: SupervisorConfig,
    pub storage: PathBuf,
    pub journal: Journal,
    pub state: State,
    pub machine: Machine,
    /// What the host adds to every config, as failures are remembered with it.
    pub host: String,
    pub outfit: Outfit,
    /// What is gone back to from one on trial.
    pub back: Option<Outfit>,
    pub components: Option<Components>,
    pub live: Live,
    pub endpoint: Endpoint,
    pub client: ClientHandle,
    pub notices: mpsc::Receiver<Notice>,
    pub signals: Signals,
    pub asked: mpsc::Receiver<Asked>,
    /// Where the state is told for `healthcheck`, if somebody may ask for it.
    pub seen: Option<watch::Sender<Seen>>,
    pub instruments: Instruments,
    pub reloads: Reloads,
    pub moving: Moving,
    /// That no other supervisor works on the same directory.
    pub lock: Lock,
    pub succession: Successions,
}

/// A config whose files are made.
#[derive(Clone, Debug)]
struct Prepared {
    layers: Layers,
    composed: Composed,
    contact: Contact,
}

/// The result of a check that ran beside.
#[derive(Debug)]
pub(super) struct Checked {
    token: CheckToken,
    verdict: Verdict,
}

pub(super) struct Driver {
    parts: Parts,
    health: Health,
    announcer: Announcer,
    /// What the Collector said of itself.
    said: Option<AgentDescription>,
    collector: Option<Collector>,
    generation: Generation,
    /// What the files in `live/` are.
    current: Option<Prepared>,
    candidate: Option<Prepared>,
    /// The host's part from before, while another is on trial.
    before: Option<Box<Before>>,
    askers: Askers,
    asking: Asking,
    checks: (mpsc::Sender<Checked>, mpsc::Receiver<Checked>),
    probes: (mpsc::Sender<Heard>, mpsc::Receiver<Heard>),
    /// An offer that the disk has no room for yet.
    unstored: Option<AgentRemoteConfig>,
    finished: bool,
    stopping: bool,
    /// How the last Collector that died ended, and the end of what it printed, where that is to be told.
    last_words: Option<(String, String)>,
    under_way: UnderWay,
    /// What was shown over HTTP last.
    shown: Option<Seen>,
    /// Why there is no connection to the server, as it was logged.
    away: Option<String>,
    /// Since when there is one, or none.
    server_since: u64,
    started: u64,
    /// What is not on disk yet.
    unsaved: Option<Unsaved>,
    /// How long the host was suspended, as the machine knows it.
    suspended: Duration,
    /// Grows with each life of a config that is watched from here.
    watches: u64,
    vigil: Vigil,
    custom: Custom,
    telemetry: Telemetry,
    shelf: Shelf,
    /// A config that waits for the package that it may be for.
    waiting: Option<Waiting>,
}

impl Driver {
    pub(super) fn new(parts: Parts, telemetry: Telemetry, shelf: Shelf) -> Self {
        let mut health = Health::new(wall_nanos());
        health.paused(parts.machine.is_paused(), wall_nanos());
        Self {
            parts,
            health,
            announcer: Announcer::new(),
            said: None,
            collector: None,
            generation: Generation::default(),
            current: None,
            candidate: None,
            before: None,
            askers: Askers::default(),
            asking: Asking::default(),
            checks: mpsc::channel(4),
            probes: mpsc::channel(4),
            unstored: None,
            finished: false,
            stopping: false,
            last_words: None,
            under_way: UnderWay::default(),
            shown: None,
            away: Some("not connected yet".to_owned()),
            server_since: wall_nanos(),
            started: wall_nanos(),
            unsaved: None,
            suspended: clock::suspended(),
            watches: 0,
            vigil: Vigil::default(),
            custom: Custom::default(),
            telemetry,
            shelf,
            waiting: None,
        }
    }

    /// Runs until the Collector was stopped on request; then says goodbye to the server. A Collector that runs
    /// already is taken over as it is.
    pub(super) async fn run(mut self, inherited: Option<Inheritance>) {
        self.succession_begins();
        if let Some(inherited) = inherited {
            self.take_over(inherited);
        }
        self.introduce();
        self.take_up_settings();
        self.take_up_unfinished();
        self.take_up_packages();
        self.announcer.ready();
        self.calm_down();
        while !self.finished {
            self.perform().await;
            if self.finished {
                break;
            }
            self.forget_way_back();
            self.answer_askers();
            self.conclude_telemetry();
            self.begin_reload();
            self.switch_when_free();
            self.look_at_succession();
            self.take_held_config();
            self.look_at_certificate();
            self.begin_telemetry();
            if let Some(signal) = self.succeed().await {
                self.happened(Happening::Signal(signal)).await;
                continue;
            }
            self.announce();
            self.show();
            let happening = self.next().await;
            self.notice_suspension();
            self.happened(happening).await;
        }
        self.leave_calmly();
        self.finish_exports().await;
        self.parts.client.shutdown(self.parts.notices).await;
        tracing::info!("stopped");
    }

    /// Waits for the next thing to happen.
    async fn next(&mut self) -> Happening {
        let now = clock::boottime();
        let timer = until(self.parts.machine.poll_timeout(), now);
        let exit = async {
            match &self.collector {
                Some(collector) => collector.ended().await,
                None => std::future::pending::<Exit>().await,
            }
        };
        let save_again = until_instant(self.unsaved.as_ref().map(|unsaved| unsaved.again));
        let trial = until(self.parts.moving.poll_timeout(), now);
        let certificate = until(self.asking.poll_timeout(), now);
        let packages = until(self.shelf.machine.poll_timeout(), now);
        let waited = until_instant(self.config_waits_until());
        let succession = until(self.parts.succession.poll_timeout(now), now);
        tokio::select! {
            biased;
            signal = self.parts.signals.next() => Happening::Signal(signal),
            exit = exit => Happening::Exited(exit),
            heard = self.parts.endpoint.heard() => Happening::Heard(heard),
            Some(heard) = self.probes.1.recv() => Happening::Heard(heard),
            Some(checked) = self.checks.1.recv() => Happening::Checked(checked),
            Some(notice) = self.parts.notices.recv() => Happening::Notice(notice),
            Some(asked) = self.parts.asked.recv() => Happening::Asked(asked),
            happening = self.parts.reloads.next() => happening,
            answer = self.custom.answer() => Happening::ServicesFound(answer),
            told = self.shelf.told() => Happening::Package(told),
            judged = self.telemetry.judged() => Happening::TelemetryJudged(Box::new(judged)),
            examined = self.parts.succession.found() => examined,
            () = timer => Happening::Timer,
            () = succession => Happening::SuccessionDue,
            () = trial => Happening::TrialOver,
            () = certificate => Happening::CertificateDue,
            () = packages => Happening::PackagesDue,
            () = waited => Happening::ConfigWaited,
            () = save_again => Happening::SaveAgain,
            () = self.vigil.due() => Happening::LookAround,
            () = self.announcer.due() => Happening::SignOfLife,
        }
    }

    /// The machine counts time that went on for the Collector too.
    fn notice_suspension(&mut self) {
        let suspended = clock::suspended();
        let more = suspended.saturating_sub(self.suspended);
        if more >= NOTICED {
            tracing::info!("the host was suspended for {more:.0?}");
            self.suspended = suspended;
            self.tell(Input::Slept(more));
        }
    }

    /// The Collector is started, and an offer that was under way when the supervisor ended is judged again;
    /// one over which it ended twice is given up.
    fn take_up_unfinished(&mut self) {
        let condemned = record::condemned(&self.parts.state);
        if record::watches(&mut self.parts.state) {
            self.save_or_later();
        }
        let unfinished = record::unfinished_offer(&self.parts.state);
        if let Some((config, why)) = condemned {
            tracing::error!(%config, "{why}");
            self.tell(Input::Condemn { config, why });
        }
        self.tell(Input::Start);
        let unfinished = unfinished.filter(|hash| !self.parts.machine.is_quarantined(hash));
        if let Some(hash) = unfinished {
            self.tell(Input::Offer(hash));
        }
    }

    fn tell(&mut self, input: Input) {
        self.parts.machine.handle(input, clock::boottime());
    }
}

/// Waits for a time since boot; for ever without one.
async fn until(at: Option<Duration>, now: Duration) {
    match at {
        Some(at) => sleep(at.saturating_sub(now)).await,
        None => std::future::pending().await,
    }
}

async fn until_instant(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Wall-clock nanoseconds, for what people and servers read.
fn wall_nanos() -> u64 {
    clock::wall_millis().saturating_mul(1_000_000)
}

/// The least suspension that is worth a word; reading two clocks takes time too.
const NOTICED: Duration = Duration::from_millis(100);

/// How long a Collector that can only be seen as a process must live to count as healthy.
const LIVES: Duration = Duration::from_secs(1);
