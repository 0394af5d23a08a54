//! Messages, as bytes, into the machines of both ends: the agent's reads what a server might send, the server's what
//! an agent might, and in between they talk to each other. Nothing panics, and what leaves keeps the rules.

use std::time::Duration;

use opamp::{
    protocol::{
        backoff::Retry,
        client::{Client, ClientOptions, Effect, Event, Link},
        server::{AgentView, Desired, Session},
    },
    wire::{
        AgentCaps, InstanceUid, ServerCaps,
        proto::{
            AgentRemoteConfig, AgentToServer, ComponentHealth, ConnectionSettingsOffers, CustomCapabilities,
            CustomMessage, ServerToAgent,
        },
    },
};
use prost::Message;

/// More effects than this at once would be a machine that talks to itself.
const EFFECTS: usize = 64;
const CUSTOM: &str = "org.example.fuzz/v1";

pub(crate) fn exercise(data: &[u8]) {
    let Some((setup, mut steps)) = data.split_at_checked(4) else { return };
    let mut pair = Pair::new(setup);
    while let Some((step, rest)) = steps.split_first() {
        steps = pair.step(*step, rest);
        pair.check();
    }
}

struct Pair {
    now: Duration,
    stopping: bool,
    link: Link,
    client: Client,
    sequence_num: u64,
    /// What the agent said and the server did not hear yet.
    sent: Vec<AgentToServer>,
    view: AgentView,
    session: Session,
    caps: ServerCaps,
    remote_config: AgentRemoteConfig,
    settings: ConnectionSettingsOffers,
}

/// The next so many bytes, as the first of them says, and the rest.
fn chunk(bytes: &[u8]) -> (&[u8], &[u8]) {
    let Some((length, rest)) = bytes.split_first() else { return (&[], &[]) };
    rest.split_at(rest.len().min(usize::from(*length)))
}

impl Pair {
    fn new(setup: &[u8]) -> Self {
        let link = if setup[0] & 1 == 0 { Link::WebSocket } else { Link::Http };
        let uid = InstanceUid::from_bytes([7; 16]);
        let capabilities = AgentCaps::from_wire(u64::from(u16::from_be_bytes([setup[1], setup[2]])));
        let options =
            ClientOptions { instance_uid: uid, capabilities, link, heartbeat: Duration::from_secs(30) };
        let mut client = Client::new(options, 1);
        client.set_custom_capabilities(CustomCapabilities { capabilities: vec![CUSTOM.into()] });
        let caps = ServerCaps::from_wire(u64::from(setup[3]));
        Self {
            now: Duration::ZERO,
            stopping: false,
            link,
            client,
            sequence_num: 0,
            sent: Vec::new(),
            view: AgentView::new(uid),
            session: session(link, caps),
            caps,
            remote_config: AgentRemoteConfig { config_hash: vec![1], ..Default::default() },
            settings: ConnectionSettingsOffers { hash: vec![1], ..Default::default() },
        }
    }

    fn step<'a>(&mut self, step: u8, rest: &'a [u8]) -> &'a [u8] {
        let (bytes, after) = chunk(rest);
        match step % 16 {
            0..=3 => {
                if let Ok(message) = ServerToAgent::decode(bytes) {
                    self.client.received(message, self.now);
                    self.sent.clear();
                }
            }
            4..=6 => {
                if let Ok(message) = AgentToServer::decode(bytes) {
                    self.session.receive(&mut self.view, message);
                    self.answer();
                }
            }
            7 => self.now += Duration::from_secs(rest.first().copied().unwrap_or(1).into()),
            8 => {
                self.client.disconnected(retry(rest), self.now);
                self.sent.clear();
            }
            9 => self.talk(),
            10 => self.change(rest, bytes),
            11 => self.client.set_heartbeat(Duration::from_secs(number(bytes))),
            12 => self.client.set_capabilities(AgentCaps::from_wire(number(bytes))),
            13 => self.session = session(self.link, self.caps),
            14 => {
                self.remote_config.config_hash = bytes.to_vec();
                self.settings = ConnectionSettingsOffers::decode(bytes).unwrap_or_default();
            }
            _ => self.end(rest),
        }
        match step % 16 {
            0..=6 | 11 | 12 | 14 => after,
            9 | 13 => rest,
            _ => rest.get(1..).unwrap_or_default(),
        }
    }

    /// All that the agent said reaches the server, and its answers the agent.
    fn talk(&mut self) {
        self.perform();
        for message in std::mem::take(&mut self.sent) {
            self.session.receive(&mut self.view, message);
            let answer = self.answer();
            self.client.received(answer, self.now);
        }
    }

    fn answer(&mut self) -> ServerToAgent {
        let desired = Desired {
            remote_config: Some(&self.remote_config),
            connection_settings: Some(&self.settings),
            custom_capabilities: &[CUSTOM.into()],
            ..Desired::default()
        };
        let answer = self.session.reply(&mut self.view, &desired);
        assert_eq!(answer.instance_uid, self.view.instance_uid.to_vec());
        assert_eq!(answer.capabilities & !ServerCaps::DEFINED, 0);
        // Over plain HTTP an answer may be lost, so what is wanted is said again.
        if self.link == Link::WebSocket {
            let pushed = self.session.push(&self.view, &desired);
            assert!(pushed.is_none(), "what was just said is said again: {pushed:?}");
        }
        answer
    }

    fn change(&mut self, rest: &[u8], bytes: &[u8]) {
        match rest.first().copied().unwrap_or_default() % 4 {
            0 => self
                .client
                .set_health(ComponentHealth { start_time_unix_nano: number(bytes), ..Default::default() }),
            1 => self.client.request_uid(),
            2 => drop(self.client.request_certificate("a request".into())),
            _ => {
                let message = CustomMessage { capability: CUSTOM.into(), ..Default::default() };
                drop(self.client.send_custom(message));
            }
        }
    }

    fn end(&mut self, rest: &[u8]) {
        match rest.first().copied().unwrap_or_default() % 8 {
            0 => {
                self.stopping = true;
                self.client.shutdown(self.now);
            }
            1..=3 if !self.stopping => {
                self.link = if self.link == Link::Http { Link::WebSocket } else { Link::Http };
                self.client.redirect(self.link, self.now);
                self.session = session(self.link, self.caps);
            }
            _ => {
                self.client.undeliverable();
                self.sent.clear();
            }
        }
    }

    fn perform(&mut self) {
        self.client.handle_timeout(self.now);
        for count in 0.. {
            let Some(effect) = self.client.poll_effect(self.now) else { break };
            assert!(count < EFFECTS, "the machine talks to itself");
            match effect {
                Effect::Dial => self.client.connected(self.now),
                Effect::Send(message) => self.sends(*message),
                Effect::Close => self.sent.clear(),
                Effect::Event(Event::InstanceUid(uid)) => self.view = AgentView::new(uid),
                Effect::Event(_) => {}
            }
        }
    }

    fn sends(&mut self, message: AgentToServer) {
        self.sequence_num += 1;
        assert_eq!(message.sequence_num, self.sequence_num);
        assert_eq!(message.instance_uid.len(), 16);
        let caps = AgentCaps::from_wire(message.capabilities);
        assert_eq!(caps.bits(), message.capabilities);
        assert!(message.capabilities & 1 == 1, "every agent reports its status");
        let goodbye = message.agent_disconnect.is_some();
        self.sent.push(message);
        assert!(self.link == Link::WebSocket || goodbye || self.sent.len() == 1, "two requests in flight");
    }

    fn check(&mut self) {
        self.perform();
        if self.sent.len() > EFFECTS {
            self.sent.clear();
        }
    }
}

fn session(link: Link, caps: ServerCaps) -> Session {
    if link == Link::Http { Session::over_http(caps) } else { Session::new(caps) }
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn retry(rest: &[u8]) -> Retry {
    match rest.first().copied().unwrap_or_default() {
        0..64 => Retry::Lost,
        64..128 => Retry::Failed,
        128..192 => Retry::Unanswered,
        wait => Retry::Overloaded { after: (wait & 1 == 0).then(|| Duration::from_secs(number(&rest[1..]))) },
    }
}
