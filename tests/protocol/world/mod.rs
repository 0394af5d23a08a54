//! The network, the clock and the mischief between one agent and one server.

mod asks;
mod steps;

use std::{collections::BTreeMap, time::Duration};

use opamp::{
    protocol::{
        backoff::Retry,
        client::{Effect, Event, Link},
        report::{Part, Parts, carried},
    },
    wire::{
        AgentCaps, InstanceUid, ServerCaps,
        proto::{AgentCapabilities, AgentToServer, ServerCapabilities, ServerToAgent, ServerToAgentFlags},
    },
};

use crate::{
    agent::Agent,
    check::{Counts, Violation},
    random::Random,
    server::{Mood, Server},
};

/// The mischief ends here.
const QUIET_FROM: Duration = Duration::from_secs(400);
/// By then the server must know all: a backoff, a heartbeat, an exchange and the answers to them.
const CONVERGED_BY: Duration = Duration::from_secs(400 + 200);
/// Until here nothing but heartbeats may be said.
const END: Duration = Duration::from_secs(400 + 200 + 100);
const EXCHANGE_WITHIN: Duration = Duration::from_secs(30);

/// A fault built into the harness, to see that it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plant {
    RepeatedPart,
    RepeatedMessage,
    RepeatedOffer,
    ForgottenChange,
}

/// What a seed stands for.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) seed: u64,
    pub(crate) link: Link,
    pub(crate) agent_caps: AgentCaps,
    pub(crate) server_caps: ServerCaps,
    /// Chance in percent that a message is lost, or takes its connection with it.
    pub(crate) loss: u64,
    pub(crate) longest_delay: u64,
    /// Milliseconds between two acts of mischief, at most.
    pub(crate) pace: u64,
    pub(crate) plant: Option<Plant>,
}

impl Options {
    pub(crate) fn of(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut agent_caps = AgentCaps::of(&[
            AgentCapabilities::ReportsStatus,
            AgentCapabilities::AcceptsRemoteConfig,
            AgentCapabilities::ReportsRemoteConfig,
            AgentCapabilities::ReportsHeartbeat,
        ]);
        for bit in [
            AgentCapabilities::ReportsHealth,
            AgentCapabilities::ReportsEffectiveConfig,
            AgentCapabilities::ReportsPackageStatuses,
            AgentCapabilities::ReportsAvailableComponents,
            AgentCapabilities::ReportsConnectionSettingsStatus,
            AgentCapabilities::AcceptsOpAmpConnectionSettings,
        ] {
            agent_caps = if random.percent(80) { agent_caps.with(bit) } else { agent_caps };
        }
        let mut server_caps =
            ServerCaps::of(&[ServerCapabilities::AcceptsStatus, ServerCapabilities::OffersRemoteConfig]);
        for bit in [
            ServerCapabilities::AcceptsEffectiveConfig,
            ServerCapabilities::AcceptsPackagesStatus,
            ServerCapabilities::OffersConnectionSettings,
            ServerCapabilities::AcceptsConnectionSettingsRequest,
        ] {
            server_caps = if random.percent(80) { server_caps.with(bit) } else { server_caps };
        }
        Self {
            seed,
            link: if random.percent(50) { Link::WebSocket } else { Link::Http },
            agent_caps,
            server_caps,
            loss: [0, 3, 10, 25][usize::try_from(random.below(4)).unwrap_or(0)],
            longest_delay: [20, 500, 5_000, 40_000][usize::try_from(random.below(4)).unwrap_or(0)],
            pace: [1_000, 5_000, 20_000][usize::try_from(random.below(3)).unwrap_or(0)],
            plant: None,
        }
    }
}

#[derive(Debug)]
enum Happening {
    Dialled { connection: u64, failed: Option<Retry> },
    ToServer { connection: u64, id: u64, sent: Duration, message: Box<AgentToServer> },
    ToAgent { connection: u64, answers: Option<u64>, message: Box<ServerToAgent> },
    AgentLoses { connection: u64, exchange: Option<u64> },
    ServerLoses { connection: u64 },
    Mischief,
    Applied { incarnation: u64, hash: Vec<u8>, well: bool },
    AgentStarts,
    ServerStarts { with_state: bool },
}

/// The connection that the agent believes in.
#[derive(Default)]
struct Connection {
    number: u64,
    standing: bool,
    cut: bool,
    last_up: Duration,
    last_down: Duration,
    exchange: Option<u64>,
}

pub(crate) struct World {
    options: Options,
    random: Random,
    now: Duration,
    queue: BTreeMap<(Duration, u64), Happening>,
    ids: u64,
    agent: Agent,
    server: Server,
    connection: Connection,
    counts: Counts,
    /// The number in the last custom message that the server heard.
    custom_heard: u64,
    talkative: bool,
}

impl World {
    pub(crate) fn new(options: &Options) -> Self {
        let uid = InstanceUid::from_bytes([1; 16]);
        Self {
            random: Random::new(options.seed ^ 0xabcd),
            now: Duration::ZERO,
            queue: BTreeMap::new(),
            ids: 0,
            agent: Agent::new(uid, options.agent_caps, options.link),
            server: Server::new(options.server_caps, options.link),
            connection: Connection::default(),
            counts: Counts::default(),
            custom_heard: 0,
            talkative: std::env::var_os("OPAMP_SIM_SEED").is_some(),
            options: options.clone(),
        }
    }

    pub(crate) fn run(mut self) -> Result<Counts, Violation> {
        match self.play() {
            Ok(()) => Ok(self.counts),
            Err(what) => Err(Violation { at: self.now, what }),
        }
    }

    fn play(&mut self) -> Result<(), String> {
        self.agent.start(&mut self.random);
        self.after(Duration::from_secs(1), Happening::Mischief);
        self.after(CONVERGED_BY, Happening::Mischief);
        while self.now < END {
            self.perform_effects()?;
            self.perform_pushes()?;
            let timer = self.agent.client.as_ref().and_then(|client| client.poll_timeout());
            let next = self.queue.first_key_value().map(|(key, _)| key.0);
            match (timer, next) {
                (Some(timer), next) if next.is_none_or(|next| timer < next) => {
                    self.now = self.now.max(timer);
                    let now = self.now;
                    self.agent.client.as_mut().into_iter().for_each(|client| client.handle_timeout(now));
                }
                _ => {
                    let Some(((at, _), happening)) = self.queue.pop_first() else { break };
                    self.now = self.now.max(at);
                    self.say(|| format!("{happening:?}"));
                    self.happen(happening)?;
                }
            }
            if self.now >= CONVERGED_BY {
                self.check_convergence()?;
            }
        }
        Ok(())
    }

    fn say(&self, what: impl FnOnce() -> String) {
        if self.talkative {
            println!("{:>10.3} {}", self.now.as_secs_f64(), what());
        }
    }

    fn calm(&self) -> bool {
        self.now >= QUIET_FROM
    }

    fn id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    fn at(&mut self, at: Duration, happening: Happening) {
        let id = self.id();
        self.queue.insert((at, id), happening);
    }

    fn after(&mut self, wait: Duration, happening: Happening) {
        self.at(self.now + wait, happening);
    }

    fn delay(&mut self) -> Duration {
        let longest = if self.calm() { 50 } else { self.options.longest_delay };
        self.random.millis(1, longest + 1)
    }

    fn unlucky(&mut self) -> bool {
        !self.calm() && self.random.percent(self.options.loss)
    }

    fn planted(&mut self, plant: Plant) -> bool {
        self.options.plant == Some(plant) && self.random.percent(20)
    }

    fn perform_effects(&mut self) -> Result<(), String> {
        while let Some(effect) = self.agent.client.as_mut().and_then(|client| client.poll_effect(self.now)) {
            match effect {
                Effect::Dial => self.dial(),
                Effect::Send(message) => self.send(*message)?,
                Effect::Close => self.close(),
                Effect::Event(Event::RemoteConfig(config)) => self.apply(config.config_hash),
                Effect::Event(Event::InstanceUid(uid)) => {
                    self.counts.new_uids += 1;
                    self.agent.uid = uid;
                }
                Effect::Event(event) => self.agent_is_told(&event)?,
            }
        }
        Ok(())
    }

    fn perform_pushes(&mut self) -> Result<(), String> {
        if let Some((connection, message)) = self.server.pushes()? {
            self.counts.offers += u64::from(message.remote_config.is_some());
            self.counts.settings += u64::from(message.connection_settings.is_some());
            self.down(connection, None, message);
        }
        Ok(())
    }

    fn dial(&mut self) {
        let number = self.id();
        self.connection = Connection { number, ..Connection::default() };
        let unlucky = self.unlucky();
        let failed = if !self.server.up || (unlucky && self.random.percent(70)) {
            Some(Retry::Failed)
        } else if unlucky {
            Some(Retry::Overloaded { after: Some(Duration::from_secs(3)) })
        } else {
            None
        };
        // Over plain HTTP there is nothing to fail before the first exchange.
        let failed = failed.filter(|_| self.options.link == Link::WebSocket);
        let wait = self.delay();
        self.after(wait, Happening::Dialled { connection: number, failed });
    }

    fn send(&mut self, mut message: AgentToServer) -> Result<(), String> {
        self.counts.messages += 1;
        if self.now > CONVERGED_BY && !carried(&message).is_empty() {
            return Err("a part is sent although all is known".into());
        }
        if self.planted(Plant::RepeatedPart) {
            let report = self.agent.client.as_ref().map(|client| client.report().clone());
            report.unwrap_or_default().copy_into(Parts::ALL, &mut message);
        }
        if self.options.plant == Some(Plant::ForgottenChange) {
            message.agent_description = None;
        }
        let repeated = self.planted(Plant::RepeatedMessage).then(|| message.clone());
        for message in [Some(message), repeated].into_iter().flatten() {
            let id = self.id();
            self.say(|| format!("agent sends #{id} {message:?}"));
            self.agent.rules.sends(id, &message, self.now)?;
            self.up(id, message);
        }
        Ok(())
    }

    fn up(&mut self, id: u64, message: AgentToServer) {
        let connection = self.connection.number;
        if !self.connection.standing {
            return;
        }
        let mut at = self.now + self.delay();
        let lost = self.unlucky();
        if self.options.link == Link::Http {
            self.connection.exchange = Some(id);
            let gives_up = if lost { self.random.millis(1, 30_000) } else { EXCHANGE_WITHIN };
            self.after(gives_up, Happening::AgentLoses { connection, exchange: Some(id) });
        } else {
            at = at.max(self.connection.last_up);
            self.connection.last_up = at;
            if lost {
                self.cut();
            }
        }
        if lost || self.connection.cut {
            self.counts.losses += 1;
        } else {
            let message = Box::new(message);
            self.at(at, Happening::ToServer { connection, id, sent: self.now, message });
        }
    }

    fn down(&mut self, connection: u64, answers: Option<u64>, message: ServerToAgent) {
        if self.connection.number != connection || self.connection.cut {
            return;
        }
        let mut at = self.now + self.delay();
        if self.unlucky() {
            self.counts.losses += 1;
            if self.options.link == Link::WebSocket {
                self.cut();
            }
            return;
        }
        if self.options.link == Link::WebSocket {
            at = at.max(self.connection.last_down);
            self.connection.last_down = at;
        }
        self.at(at, Happening::ToAgent { connection, answers, message: Box::new(message) });
    }

    /// From now on nothing gets through; each end notices some time later.
    fn cut(&mut self) {
        let connection = self.connection.number;
        if self.options.link == Link::Http || !self.connection.standing || self.connection.cut {
            return;
        }
        self.connection.cut = true;
        let (agent, server) = (self.random.millis(1, 60_000), self.random.millis(1, 60_000));
        self.after(agent, Happening::AgentLoses { connection, exchange: None });
        self.after(server, Happening::ServerLoses { connection });
    }

    fn close(&mut self) {
        let connection = std::mem::take(&mut self.connection);
        self.after(Duration::from_millis(5), Happening::ServerLoses { connection: connection.number });
    }

    fn apply(&mut self, hash: Vec<u8>) {
        if self.agent.offered(&hash) {
            let wait = self.random.millis(1, 10_000);
            let well = self.random.percent(80);
            let incarnation = self.agent.incarnation;
            self.after(wait, Happening::Applied { incarnation, hash, well });
        }
    }

    fn happen(&mut self, happening: Happening) -> Result<(), String> {
        match happening {
            Happening::Dialled { connection, failed } => self.dialled(connection, failed),
            Happening::ToServer { connection, id, sent, message } => {
                self.server_hears(connection, id, sent, *message)?;
            }
            Happening::ToAgent { connection, answers, message } => {
                self.agent_hears(connection, answers, *message);
            }
            Happening::AgentLoses { connection, exchange } => self.agent_loses(connection, exchange),
            Happening::ServerLoses { connection } => self.server.loses(connection),
            Happening::Mischief => self.mischief(),
            Happening::Applied { incarnation, hash, well } => {
                if incarnation == self.agent.incarnation {
                    self.agent.applied(&hash, well);
                }
            }
            Happening::AgentStarts => {
                self.counts.agent_restarts += 1;
                self.agent.start(&mut self.random);
                self.resume_work();
            }
            Happening::ServerStarts { with_state } => {
                self.counts.server_restarts += 1;
                self.server.start(with_state);
            }
        }
        Ok(())
    }
}
