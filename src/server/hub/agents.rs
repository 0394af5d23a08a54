//! What a connection does to the fleet.

use std::{
    collections::{BTreeSet, HashMap},
    hash::{DefaultHasher, Hash, Hasher},
    net::IpAddr,
    sync::Arc,
    time::Instant,
};

use jiff::Timestamp;
use tokio::sync::Notify;

use super::{
    Hub, Link, State,
    duplicates::Place,
    messages::Outgoing,
    rollout::{Turns, moves_packages},
};
use crate::{
    protocol::server::{Session, bad_request, duplicates::Weave},
    server::fleet::{Agent, Fleet, Transport, messages::Messages, telling::Telling},
    wire::{
        InstanceUid, ServerCaps,
        proto::{AgentIdentification, AgentToServer, ServerToAgent, ServerToAgentFlags},
    },
};

/// The connection number shared by all plain HTTP exchanges: they are one stream per agent.
pub(super) const HTTP: u64 = 0;

/// One connection, as its task holds it.
pub struct Connection {
    pub(super) id: u64,
    pub(super) transport: Transport,
    /// The other end's address, the same number for the same address.
    pub(super) peer: u64,
    /// Rings when there may be something to push.
    pub wake: Arc<Notify>,
    /// The agents heard on it (B-WS-07).
    pub(super) uids: BTreeSet<InstanceUid>,
    /// The URL that the agent dialled, as far as that can be told.
    reached_at: Option<String>,
}

/// What to send for a message that came in.
pub struct Answer {
    pub reply: ServerToAgent,
    /// Sent right after the reply, where the transport can.
    pub more: Option<ServerToAgent>,
}

/// What to send unprompted, or that the agents of this connection are now heard elsewhere.
pub enum Pushed {
    Send(Pushes),
    Replaced,
}

#[derive(Default)]
pub struct Pushes {
    pub messages: Vec<ServerToAgent>,
    /// Another connection uses a uid of this one: a ping shall show whether this one lives.
    pub ping: bool,
}

impl Hub {
    /// A new WebSocket connection.
    #[must_use]
    pub fn connection(&self) -> Connection {
        Connection::new(self.connection_id(), Transport::WebSocket)
    }

    /// Takes in a message, and says what to answer. There is always an answer (S-SQ-04).
    pub fn receive(&self, connection: &mut Connection, message: AgentToServer) -> Answer {
        let uid = match InstanceUid::try_from(&*message.instance_uid) {
            Ok(uid) => uid,
            Err(error) => {
                self.metrics.malformed.add(1);
                let reply = bad_request(&message.instance_uid, format!("instance_uid: {error}"));
                return Answer { reply, more: None };
            }
        };
        self.metrics.messages.add(1);
        let began = Instant::now();
        let answer = self.take_in(uid, connection, message);
        self.metrics.handling.note(began.elapsed());
        answer
    }

    fn take_in(&self, uid: InstanceUid, connection: &mut Connection, message: AgentToServer) -> Answer {
        let now = Timestamp::now();
        let mut state = self.lock();
        self.adopt(&mut state, uid);
        match self.place(&mut state, uid, connection, &message) {
            Place::Holder => {}
            Place::Aside => return Answer::only(ack(uid)),
            Place::Renamed(new) => return Answer::only(self.renamed(uid, new)),
        }
        let State { fleet, links, dirty, seen, messages, refusals, turns, .. } = &mut *state;
        let new = !fleet.agents.contains_key(&uid);
        let link = links.entry(uid).or_insert_with(|| Link::new(connection, self.caps));
        let (agent, catalogue, register) = fleet.agent_entry(uid, now);
        let telling = Telling { custom: &self.custom, register, now };
        let moved = agent.note_reached(connection.reached_at.as_deref(), catalogue);
        let received = agent.receive(&mut link.session, message, catalogue, now);
        if let Some(custom) = received.custom_message {
            self.hear(messages, uid, custom);
        }
        if received.wants_uid && agent.new_uid().is_none() {
            agent.assigned_uid = Some(fresh_uid(now));
        }
        let connected = (!received.disconnect).then_some(connection.transport);
        let linked = agent.set_connected(connected, now);
        if linked || moves_packages(&received.changed) {
            *turns = Turns::Due;
        }
        let reply = agent.reply(&mut link.session, &telling);
        self.count(&reply);
        let mut answer = self.with_restart(agent, link, connection.transport, reply);
        match connection.transport {
            // What waited for it goes by the way of everything that is pushed.
            Transport::WebSocket if messages.waits(uid) => link.wake.notify_one(),
            Transport::Http if answer.reply.command.is_none() && !received.disconnect => {
                let next = self.outgoing(messages).next(agent, link);
                answer.reply.custom_message = next.and_then(|next| next.custom_message);
            }
            _ => {}
        }
        answer.refuse(uid, refusals, connection.transport);
        // A sequence that began anew is stored at once: after a crash, the number of an earlier run could
        // fit by chance and hide what was lost.
        if new || linked || moved || received.gap || !received.changed.is_empty() {
            dirty.insert(uid);
            self.tell(uid);
        } else if answer.more.is_some() {
            dirty.insert(uid);
        } else {
            seen.insert(uid);
        }
        if received.disconnect {
            connection.uids.remove(&uid);
            self.unlink(&mut state, uid, connection.id);
        }
        answer
    }

    /// What the agents of a connection are to be told now.
    pub fn pushes(&self, connection: &mut Connection) -> Pushed {
        let now = Timestamp::now();
        let mut state = self.lock();
        let had = !connection.uids.is_empty();
        connection.uids.retain(|uid| state.concerns(*uid, connection.id));
        if had && connection.uids.is_empty() {
            return Pushed::Replaced;
        }
        let mut pushes = Pushes::default();
        for uid in &connection.uids {
            pushes.ping |= state.ping_due(*uid, connection.id);
            if let Some(new) = state.rivals.unsaid(connection.id, *uid) {
                pushes.messages.push(self.renamed(*uid, new));
            }
            let State { fleet, links, dirty, messages, refusals, .. } = &mut *state;
            let Fleet { agents, register, .. } = fleet;
            let link = links.get_mut(uid).filter(|link| link.connection == connection.id);
            let (Some(link), Some(agent)) = (link, agents.get_mut(uid)) else { continue };
            let telling = Telling { custom: &self.custom, register, now };
            if let Some(message) = agent.push(&mut link.session, &telling) {
                self.count(&message);
                pushes.messages.push(message);
            }
            if let Some(command) = self.restart(agent, &mut link.session) {
                dirty.insert(*uid);
                pushes.messages.push(command);
            }
            let mut outgoing = self.outgoing(messages);
            pushes.messages.extend(std::iter::from_fn(|| outgoing.next(agent, link)));
            pushes.messages.extend(refusals.remove(uid).map(|why| bad_request(uid.as_bytes(), why)));
        }
        Pushed::Send(pushes)
    }

    /// The connection is gone; so are the agents that were heard on it and nowhere else (S-WS-03).
    pub fn detach(&self, connection: &Connection) {
        let mut state = self.lock();
        for uid in &connection.uids {
            self.unlink(&mut state, *uid, connection.id);
        }
    }

    /// An agent that took the uid it was given is the same agent.
    fn adopt(&self, state: &mut State, uid: InstanceUid) {
        let Some(old) = state.fleet.adopt(uid) else { return };
        let link = state.links.remove(&old);
        state.links.extend(link.map(|link| (uid, link)));
        state.messages.rename(old, uid);
        state.dirty.remove(&old);
        state.seen.remove(&old);
        state.gone.insert(old);
        state.dirty.insert(uid);
        self.tell(old);
        self.tell(uid);
    }

    /// Adds a restart that is due. Over plain HTTP it takes the place of an answer that says nothing else.
    fn with_restart(
        &self,
        agent: &mut Agent,
        link: &mut Link,
        transport: Transport,
        reply: ServerToAgent,
    ) -> Answer {
        let room = match transport {
            Transport::WebSocket => true,
            Transport::Http => says_nothing(&reply),
        };
        let command = if room { self.restart(agent, &mut link.session) } else { None };
        match (command, transport) {
            (Some(command), Transport::Http) => Answer::only(command),
            (more, _) => Answer { reply, more },
        }
    }

    fn restart(&self, agent: &mut Agent, session: &mut Session) -> Option<ServerToAgent> {
        if !agent.restart_due() {
            return None;
        }
        let command = session.restart(&agent.view).ok()?;
        agent.restart_pending = false;
        self.metrics.restarts.add(1);
        Some(command)
    }

    fn outgoing<'a>(&'a self, messages: &'a mut Messages) -> Outgoing<'a> {
        Outgoing { messages, metrics: &self.metrics, ours: &self.custom }
    }

    /// The answer to an agent that shall use another uid (S-ID-05). It may be the first that this agent gets.
    #[must_use]
    pub fn renamed(&self, uid: InstanceUid, new: InstanceUid) -> ServerToAgent {
        ServerToAgent {
            capabilities: self.caps.bits(),
            agent_identification: Some(AgentIdentification { new_instance_uid: new.to_vec() }),
            ..ack(uid)
        }
    }

    fn count(&self, message: &ServerToAgent) {
        if message.remote_config.is_some() {
            self.metrics.offers.add(1);
        }
        if message.packages_available.is_some() {
            self.metrics.package_offers.add(1);
        }
        if message.flags & ServerToAgentFlags::ReportFullState as u64 != 0 {
            self.metrics.full_state_requests.add(1);
        }
    }
}

impl Answer {
    const fn only(reply: ServerToAgent) -> Self {
        Self { reply, more: None }
    }

    /// Adds what the agent is refused (S-CR-03). Over plain HTTP it takes the place of an answer that says nothing else,
    /// or waits for the next.
    fn refuse(
        &mut self,
        uid: InstanceUid,
        refusals: &mut HashMap<InstanceUid, String>,
        transport: Transport,
    ) {
        let room = match transport {
            Transport::WebSocket => self.more.is_none(),
            Transport::Http => says_nothing(&self.reply),
        };
        let Some(why) = (if room { refusals.remove(&uid) } else { None }) else { return };
        let refusal = bad_request(uid.as_bytes(), why);
        match transport {
            Transport::WebSocket => self.more = Some(refusal),
            Transport::Http => self.reply = refusal,
        }
    }
}

fn says_nothing(reply: &ServerToAgent) -> bool {
    let ServerToAgent { instance_uid, .. } = reply;
    *reply == ServerToAgent { instance_uid: instance_uid.clone(), ..Default::default() }
}

impl Connection {
    fn new(id: u64, transport: Transport) -> Self {
        Self { id, transport, peer: 0, wake: Arc::default(), uids: BTreeSet::new(), reached_at: None }
    }

    /// The same connection, with the address that it comes from.
    #[must_use]
    pub fn of(self, peer: Option<IpAddr>) -> Self {
        let mut hasher = DefaultHasher::new();
        peer.hash(&mut hasher);
        Self { peer: hasher.finish(), ..self }
    }

    /// The same connection, with the URL by which the agent came.
    #[must_use]
    pub fn reached_at(self, url: Option<String>) -> Self {
        Self { reached_at: url, ..self }
    }

    /// Whether no agent was heard on it yet.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.uids.is_empty()
    }

    /// How many agents are on it.
    #[must_use]
    pub fn agents(&self) -> usize {
        self.uids.len()
    }

    /// The agents heard on it.
    pub fn uids(&self) -> impl Iterator<Item = InstanceUid> {
        self.uids.iter().copied()
    }

    /// For one exchange over plain HTTP.
    #[must_use]
    pub fn http() -> Self {
        Self::new(HTTP, Transport::Http)
    }
}

/// An answer that says nothing (S-SQ-05).
fn ack(uid: InstanceUid) -> ServerToAgent {
    ServerToAgent { instance_uid: uid.to_vec(), ..Default::default() }
}

impl Link {
    pub(super) fn new(connection: &Connection, caps: ServerCaps) -> Self {
        let session = match connection.transport {
            Transport::WebSocket => Session::new(caps),
            Transport::Http => Session::over_http(caps),
        };
        Self {
            connection: connection.id,
            session,
            wake: connection.wake.clone(),
            weave: Weave::default(),
            contested: None,
        }
    }
}

/// A uid for an agent that needs one (S-ID-03).
pub fn fresh_uid(now: Timestamp) -> InstanceUid {
    let millis = u64::try_from(now.as_millisecond()).unwrap_or(0);
    InstanceUid::v7(millis, rand::random())
}
