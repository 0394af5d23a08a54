//! What a connection does to the fleet.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use jiff::Timestamp;
use tokio::sync::Notify;

use super::{Hub, Link, State, capabilities};
use crate::{
    protocol::server::{Session, bad_request},
    server::fleet::{Agent, Transport},
    wire::{
        InstanceUid,
        proto::{AgentToServer, ServerToAgent, ServerToAgentFlags},
    },
};

/// The connection number shared by all plain HTTP exchanges: they are one stream per agent.
pub(super) const HTTP: u64 = 0;

/// One connection, as its task holds it.
pub struct Connection {
    id: u64,
    transport: Transport,
    /// Rings when there may be something to push.
    pub wake: Arc<Notify>,
    /// The agents heard on it (B-WS-07).
    uids: BTreeSet<InstanceUid>,
}

/// What to send for a message that came in.
pub struct Answer {
    pub reply: ServerToAgent,
    /// Sent right after the reply, where the transport can.
    pub more: Option<ServerToAgent>,
}

/// What to send unprompted, or that the agents of this connection are now heard elsewhere.
pub enum Pushed {
    Send(Vec<ServerToAgent>),
    Replaced,
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
        let now = Timestamp::now();
        let mut state = self.lock();
        self.adopt(&mut state, uid);
        let State { fleet, links, dirty, seen, .. } = &mut *state;
        let new = !fleet.agents.contains_key(&uid);
        let link = attach(links, uid, connection);
        let (agent, catalogue) = fleet.agent_entry(uid, now);
        let received = agent.receive(&mut link.session, message, catalogue, now);
        if received.wants_uid && agent.new_uid().is_none() {
            agent.assigned_uid = Some(fresh_uid(now));
        }
        let connected = (!received.disconnect).then_some(connection.transport);
        let linked = agent.set_connected(connected, now);
        let reply = agent.reply(&mut link.session);
        self.count(&reply);
        let answer = self.with_restart(agent, link, connection.transport, reply);
        if received.disconnect {
            links.remove(&uid);
            connection.uids.remove(&uid);
        }
        // A sequence that began anew is stored at once: after a crash, the number of an earlier run could
        // fit by chance and hide what was lost.
        if new || linked || received.gap || !received.changed.is_empty() {
            dirty.insert(uid);
            self.tell(uid);
        } else if answer.more.is_some() {
            dirty.insert(uid);
        } else {
            seen.insert(uid);
        }
        answer
    }

    /// What the agents of a connection are to be told now.
    pub fn pushes(&self, connection: &mut Connection) -> Pushed {
        let mut state = self.lock();
        let State { fleet, links, dirty, .. } = &mut *state;
        let had = !connection.uids.is_empty();
        connection.uids.retain(|uid| links.get(uid).is_some_and(|link| link.connection == connection.id));
        if had && connection.uids.is_empty() {
            return Pushed::Replaced;
        }
        let mut messages = Vec::new();
        for uid in &connection.uids {
            let (Some(link), Some(agent)) = (links.get_mut(uid), fleet.agents.get_mut(uid)) else { continue };
            if let Some(message) = agent.push(&mut link.session) {
                self.count(&message);
                messages.push(message);
            }
            if let Some(command) = self.restart(agent, &mut link.session) {
                dirty.insert(*uid);
                messages.push(command);
            }
        }
        Pushed::Send(messages)
    }

    /// The connection is gone; so are the agents that were heard on it and nowhere else (S-WS-03).
    pub fn detach(&self, connection: &Connection) {
        let now = Timestamp::now();
        let mut state = self.lock();
        let State { fleet, links, dirty, .. } = &mut *state;
        for uid in &connection.uids {
            if links.get(uid).is_none_or(|link| link.connection != connection.id) {
                continue;
            }
            links.remove(uid);
            if let Some(agent) = fleet.agents.get_mut(uid)
                && agent.set_connected(None, now)
            {
                dirty.insert(*uid);
                self.tell(*uid);
            }
        }
    }

    /// An agent that took the uid it was given is the same agent.
    fn adopt(&self, state: &mut State, uid: InstanceUid) {
        let Some(old) = state.fleet.adopt(uid) else { return };
        let link = state.links.remove(&old);
        state.links.extend(link.map(|link| (uid, link)));
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
            Transport::Http => {
                let empty = ServerToAgent { instance_uid: reply.instance_uid.clone(), ..Default::default() };
                reply == empty
            }
        };
        let command = if room { self.restart(agent, &mut link.session) } else { None };
        match (command, transport) {
            (Some(command), Transport::Http) => Answer { reply: command, more: None },
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

    fn count(&self, message: &ServerToAgent) {
        if message.remote_config.is_some() {
            self.metrics.offers.add(1);
        }
        if message.flags & ServerToAgentFlags::ReportFullState as u64 != 0 {
            self.metrics.full_state_requests.add(1);
        }
    }
}

impl Connection {
    fn new(id: u64, transport: Transport) -> Self {
        Self { id, transport, wake: Arc::default(), uids: BTreeSet::new() }
    }

    /// For one exchange over plain HTTP.
    #[must_use]
    pub fn http() -> Self {
        Self::new(HTTP, Transport::Http)
    }
}

/// The agent's link, which is this connection from now on. An older one is told (F-108).
fn attach<'a>(
    links: &'a mut HashMap<InstanceUid, Link>,
    uid: InstanceUid,
    connection: &mut Connection,
) -> &'a mut Link {
    connection.uids.insert(uid);
    let link = links.entry(uid).or_insert_with(|| Link::new(connection));
    if link.connection != connection.id {
        let older = std::mem::replace(link, Link::new(connection));
        older.wake.notify_one();
    }
    link
}

impl Link {
    fn new(connection: &Connection) -> Self {
        let session = match connection.transport {
            Transport::WebSocket => Session::new(capabilities()),
            Transport::Http => Session::over_http(capabilities()),
        };
        Self { connection: connection.id, session, wake: connection.wake.clone() }
    }
}

fn fresh_uid(now: Timestamp) -> InstanceUid {
    let millis = u64::try_from(now.as_millisecond()).unwrap_or(0);
    InstanceUid::v7(millis, rand::random())
}
