//! The agent's side of the conversation.
//!
//! ```text
//!              Dial                connected             first reply
//!  Waiting ───────────▶ Dialling ───────────▶ Online ───────────────────▶ Online, synced
//!     ▲                    │                     │  ▲  Send: changes, heartbeat or poll
//!     │     disconnected   │     disconnected    │  └────────────────────────────┘
//!     └────────────────────┴─────────────────────┤
//!                                                │ shutdown: agent_disconnect, Close
//!                                                ▼
//!                                             Stopped   (also from Waiting and Dialling)
//!
//!  Waiting ◀── redirect, from everywhere before a shutdown ── agent_disconnect, Close
//! ```
//!
//! A shell performs the [`Effect`]s, and tells the machine what came of them: [`Client::connected`],
//! [`Client::received`], [`Client::disconnected`]. Over plain HTTP a "connection" is the readiness to make
//! exchanges; one is in flight at a time (C-HT-05).
//!
//! Nothing is remembered about which message a reply belongs to: if one was lost, the server sees a gap in
//! `sequence_num` and asks for everything. What was sent and not answered before a connection broke counts
//! as unsent.
//!
//! - `effects`: what the machine wants done and told; `receive`: what a reply of the server means
//! - `pace`: heartbeats, polls, and an attempt before its time
//! - `setters`: the parts of the agent's state; `asks`: custom messages, certificate requests, another uid

mod asks;
mod effects;
mod pace;
mod receive;
mod setters;
#[cfg(test)]
mod tests;

use std::{collections::VecDeque, time::Duration};

use asks::Asks;
pub use asks::NoRequests;
pub use effects::{Effect, Event};

use super::{
    backoff::{Backoff, Retry},
    report::{Parts, Report},
};
use crate::wire::{
    AgentCaps, InstanceUid, ServerCaps,
    proto::{AgentCapabilities, AgentDisconnect, AgentToServer, CustomCapabilities},
};

/// The heartbeat and poll period unless told otherwise (C-HB-03, C-HT-03).
pub const DEFAULT_HEARTBEAT: Duration = Duration::from_secs(30);

/// The transport, as far as the rules differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// One connection that carries messages both ways, whenever either end has one.
    WebSocket,
    /// The agent asks and the server answers: one request under way at a time (C-HT-05), and a poll when there is
    /// nothing else to say (C-HT-02).
    Http,
}

/// What a client is made of.
#[derive(Clone, Copy, Debug)]
pub struct ClientOptions {
    /// Chosen once and kept by whoever owns the agent; the server may replace it ([`Event::InstanceUid`]).
    pub instance_uid: InstanceUid,
    /// What the agent does. Offers that belong to none of these are not handed on (C-CP-05).
    pub capabilities: AgentCaps,
    /// The transport at hand. [`Client::redirect`] changes it.
    pub link: Link,
    /// The period of heartbeats (with the capability `ReportsHeartbeat`) or polls, until the server sets another.
    pub heartbeat: Duration,
}

#[derive(Clone, Debug, PartialEq)]
enum Phase {
    Waiting { until: Duration },
    Dialling,
    Online { greeted: bool, last_sent: Duration, in_flight: bool },
    Stopping,
    Stopped,
}

/// The machine. See the module's diagram.
#[derive(Debug)]
pub struct Client {
    uid: InstanceUid,
    /// The uid before the last change on this connection: what was under way then still counts.
    former_uid: Option<InstanceUid>,
    caps: AgentCaps,
    server_caps: ServerCaps,
    link: Link,
    heartbeat: Duration,
    sequence_num: u64,
    report: Report,
    dirty: Parts,
    /// Sent on this connection, and no reply since.
    unconfirmed: Parts,
    /// Something other than a part must be said: a capability change, or the answer to nothing but a greeting.
    speak: bool,
    components_in_full: bool,
    asks: Asks,
    phase: Phase,
    /// The wait is one that the server asked for.
    asked_to_wait: bool,
    backoff: Backoff,
    effects: VecDeque<Effect>,
}

impl Client {
    /// At rest: the first [`Client::handle_timeout`] asks for the first dial. The seed spreads the waits between
    /// attempts ([`backoff`](crate::protocol::backoff)) and should be random.
    #[must_use]
    pub fn new(options: ClientOptions, seed: u64) -> Self {
        Self {
            uid: options.instance_uid,
            former_uid: None,
            caps: options.capabilities.with(AgentCapabilities::ReportsStatus),
            server_caps: ServerCaps::default(),
            link: options.link,
            heartbeat: options.heartbeat,
            sequence_num: 0,
            report: Report::default(),
            dirty: Parts::ALL,
            unconfirmed: Parts::NONE,
            speak: false,
            components_in_full: false,
            asks: Asks::default(),
            phase: Phase::Waiting { until: Duration::ZERO },
            asked_to_wait: false,
            backoff: Backoff::new(seed),
            effects: VecDeque::new(),
        }
    }

    /// The uid in use, which the server may have changed.
    #[must_use]
    pub const fn instance_uid(&self) -> InstanceUid {
        self.uid
    }

    /// Whether there is a connection to send on; over plain HTTP also before the first answer.
    #[must_use]
    pub const fn is_online(&self) -> bool {
        matches!(self.phase, Phase::Online { .. })
    }

    /// Whether [`Client::shutdown`] is done. Nothing follows, and the shell may drop the machine.
    #[must_use]
    pub const fn is_stopped(&self) -> bool {
        matches!(self.phase, Phase::Stopped)
    }

    /// What this agent reports now.
    #[must_use]
    pub const fn report(&self) -> &Report {
        &self.report
    }

    /// The connection stands; a status report goes out first (C-TC-02).
    pub fn connected(&mut self, now: Duration) {
        if self.phase == Phase::Dialling {
            self.phase = Phase::Online { greeted: false, last_sent: now, in_flight: false };
            self.former_uid = None;
            self.speak = true;
        }
    }

    /// Dialling failed, an exchange failed, or the connection is gone.
    pub fn disconnected(&mut self, why: Retry, now: Duration) {
        match self.phase {
            Phase::Stopping => self.phase = Phase::Stopped,
            Phase::Dialling | Phase::Online { .. } => self.wait(why, now),
            Phase::Waiting { .. } | Phase::Stopped => {}
        }
    }

    /// The last message was too large to send, or for the server to take: it is not sent again (C-LM-07,
    /// C-LM-13).
    pub fn undeliverable(&mut self) {
        if self.unconfirmed.is_empty() {
            self.answered();
        } else {
            // It was the parts that made the message large.
            self.ask_again();
        }
        self.unconfirmed = Parts::NONE;
        if let Phase::Online { in_flight, .. } = &mut self.phase {
            *in_flight = false;
        }
    }

    /// Says goodbye if there is somebody to say it to (C-AD-01, C-WS-01), and ends.
    pub fn shutdown(&mut self, now: Duration) {
        match self.phase {
            Phase::Online { in_flight: false, .. } => self.say_goodbye(now),
            Phase::Online { in_flight: true, .. } => self.phase = Phase::Stopping,
            Phase::Stopping | Phase::Stopped => {}
            Phase::Waiting { .. } | Phase::Dialling => {
                self.phase = Phase::Stopped;
                self.effects.push_back(Effect::Close);
            }
        }
    }

    /// The next thing for the shell to do. Changes made by several setters go out in one message.
    pub fn poll_effect(&mut self, now: Duration) -> Option<Effect> {
        if self.effects.is_empty() {
            self.flush(now);
        }
        self.effects.pop_front()
    }

    /// When [`Self::handle_timeout`] wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        match self.phase {
            Phase::Waiting { until } => Some(until),
            Phase::Online { in_flight: false, last_sent, .. } => {
                self.period().map(|period| last_sent.saturating_add(period))
            }
            Phase::Online { .. } | Phase::Dialling | Phase::Stopping | Phase::Stopped => None,
        }
    }

    /// Called when [`Client::poll_timeout`] says so, and once at the start; too early or too often does no harm.
    /// What is due then comes out of [`Client::poll_effect`].
    pub fn handle_timeout(&mut self, now: Duration) {
        match self.phase {
            Phase::Waiting { until } if now >= until => {
                self.phase = Phase::Dialling;
                self.effects.push_back(Effect::Dial);
            }
            Phase::Online { in_flight: false, last_sent, .. } => {
                // Measured from the last message of any sort (C-HB-09).
                self.speak |= self.period().is_some_and(|period| now >= last_sent.saturating_add(period));
            }
            _ => {}
        }
    }

    /// Changes what the agent can do (C-CP-04).
    pub fn set_capabilities(&mut self, caps: AgentCaps) {
        let caps = caps.with(AgentCapabilities::ReportsStatus);
        self.speak |= caps != self.caps;
        self.caps = caps;
    }

    fn wait(&mut self, why: Retry, now: Duration) {
        // The answer that was lost may have asked for everything, and a server asks a polling agent but so often.
        let unsaid = if why == Retry::Unanswered { Parts::ALL } else { self.unconfirmed };
        self.dirty = self.dirty.or(unsaid);
        self.unconfirmed = Parts::NONE;
        self.ask_again();
        self.asked_to_wait = matches!(why, Retry::Overloaded { .. });
        self.phase = Phase::Waiting { until: now + self.backoff.next(why) };
    }

    /// The agent belongs to another server from now on, or to the same one under other terms: the one at hand
    /// is told goodbye if it listens, and the next is told everything.
    pub fn redirect(&mut self, link: Link, now: Duration) {
        match self.phase {
            Phase::Stopping | Phase::Stopped => return,
            Phase::Online { in_flight: false, .. } => self.farewell(now),
            Phase::Online { .. } | Phase::Waiting { .. } | Phase::Dialling => {
                self.effects.push_back(Effect::Close);
            }
        }
        self.link = link;
        self.asked_to_wait = false;
        self.phase = Phase::Waiting { until: now };
        self.backoff.reset();
        self.former_uid = None;
        self.server_caps = ServerCaps::default();
        if !self.asks.peer.is_empty() {
            // The next server has said nothing yet (B-CU-02).
            self.asks.peer.clear();
            self.effects.push_back(Effect::Event(Event::CustomCapabilities(CustomCapabilities::default())));
            self.sift();
        }
        self.ask_anew();
        self.dirty = Parts::ALL;
        self.unconfirmed = Parts::NONE;
        self.components_in_full = false;
    }

    fn say_goodbye(&mut self, now: Duration) {
        self.farewell(now);
        self.phase = Phase::Stopped;
    }

    /// The last message carries what changed and was not said yet.
    fn farewell(&mut self, now: Duration) {
        let mut message = self.message(now);
        self.report.copy_into(self.to_report(), &mut message);
        message.agent_disconnect = Some(AgentDisconnect {});
        self.effects.push_back(Effect::Send(Box::new(message)));
        self.effects.push_back(Effect::Close);
    }

    /// Sends what there is to say, if it may be said now.
    fn flush(&mut self, now: Duration) {
        let Phase::Online { in_flight, .. } = self.phase else { return };
        if in_flight && self.link == Link::Http {
            return;
        }
        self.sift();
        let parts = self.to_report();
        let components = self.components_in_full && self.report.available_components.is_some();
        if parts.is_empty() && !components && !self.speak && !self.has_asks() {
            return;
        }
        let mut message = self.message(now);
        self.report.copy_into(parts, &mut message);
        if components {
            message.available_components.clone_from(&self.report.available_components);
        }
        self.ask(&mut message);
        self.components_in_full = false;
        self.speak = false;
        self.dirty = self.dirty.minus(parts);
        self.unconfirmed = self.unconfirmed.or(parts);
        self.effects.push_back(Effect::Send(Box::new(message)));
    }

    /// The parts that differ from what the server was told, that this agent reports and that server takes.
    fn to_report(&self) -> Parts {
        self.dirty
            .and(self.report.present())
            .and(Parts::of_agent(self.caps))
            .and(Parts::of_server(self.server_caps))
    }

    /// A bare message: what a heartbeat or poll consists of (N1), and the start of every other one.
    fn message(&mut self, now: Duration) -> AgentToServer {
        if let Phase::Online { last_sent, in_flight, .. } = &mut self.phase {
            *last_sent = now;
            *in_flight = self.link == Link::Http;
        }
        self.sequence_num += 1;
        AgentToServer {
            instance_uid: self.uid.to_vec(),
            sequence_num: self.sequence_num,
            capabilities: self.caps.bits(),
            ..AgentToServer::default()
        }
    }
}
