//! Runs the client machine over a connection: one task that owns the machine, and a handle for whoever owns
//! the agent.
//!
//! Updates never wait: the latest value of each part wins, and changes that come together go out together.
//! Events wait in a bounded queue; while it is full, nothing more is read from the server.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, mpsc},
    task::JoinHandle,
    time::timeout,
};

use super::{
    LinkEnd, Target,
    http::{ExchangeError, HttpLink},
    ws::{self, WsLink},
};
use crate::{
    protocol::{
        backoff::Retry,
        client::{self, Client, Effect, Event},
    },
    wire::{
        AgentCaps,
        proto::{
            AgentDescription, AgentToServer, AvailableComponents, ComponentHealth, ConnectionSettingsStatus,
            CustomCapabilities, CustomMessage, EffectiveConfig, PackageStatuses, RemoteConfigStatus,
        },
    },
};

/// Events that may wait for their reader.
const QUEUE: usize = 32;
/// A shutdown in order may take this long.
const SHUTDOWN_WITHIN: Duration = Duration::from_secs(5);

/// Time since any fixed start.
pub type Clock = fn() -> Duration;

/// A new value of one part of the agent's state.
#[derive(Debug, Clone)]
pub enum Update {
    Description(AgentDescription),
    Health(ComponentHealth),
    EffectiveConfig(EffectiveConfig),
    RemoteConfigStatus(RemoteConfigStatus),
    PackageStatuses(PackageStatuses),
    CustomCapabilities(CustomCapabilities),
    AvailableComponents(AvailableComponents),
    ConnectionSettingsStatus(ConnectionSettingsStatus),
}

/// What the owner of the agent is told.
#[derive(Debug)]
pub enum Notice {
    /// The connection stands; over plain HTTP: the first answer came.
    Connected,
    /// With the reason, for people.
    Disconnected(String),
    Event(Event),
}

/// The way to the task. Dropping it ends the connection without a goodbye.
#[derive(Debug)]
pub struct ClientHandle {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    wishes: Mutex<Wishes>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Wishes {
    updates: Vec<Update>,
    heartbeat: Option<Duration>,
    capabilities: Option<AgentCaps>,
    target: Option<Target>,
    custom: Vec<CustomMessage>,
    csr_pem: Option<String>,
    uid: bool,
    stop: bool,
}

impl Wishes {
    /// Whether a connection attempt is of no use any more.
    const fn elsewhere(&self) -> bool {
        self.stop || self.target.is_some()
    }
}

impl Shared {
    fn wishes(&self) -> std::sync::MutexGuard<'_, Wishes> {
        // Nothing can panic while the lock is held.
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientHandle {
    /// Sets a part of the agent's state; it is sent when it differs from what the server knows.
    pub fn update(&self, update: Update) {
        let mut wishes = self.shared.wishes();
        let kind = std::mem::discriminant(&update);
        wishes.updates.retain(|waiting| std::mem::discriminant(waiting) != kind);
        wishes.updates.push(update);
        self.shared.wake.notify_one();
    }

    pub fn set_heartbeat(&self, period: Duration) {
        self.shared.wishes().heartbeat = Some(period);
        self.shared.wake.notify_one();
    }

    /// Changes what the agent can do; the server is told.
    pub fn set_capabilities(&self, capabilities: AgentCaps) {
        self.shared.wishes().capabilities = Some(capabilities);
        self.shared.wake.notify_one();
    }

    /// Sends a custom message, or tells [`Event::NotSent`] why not.
    pub fn send_custom(&self, message: CustomMessage) {
        self.shared.wishes().custom.push(message);
        self.shared.wake.notify_one();
    }

    /// Asks for a client certificate with a CSR, or tells [`Event::NoRequests`].
    pub fn request_certificate(&self, csr_pem: String) {
        self.shared.wishes().csr_pem = Some(csr_pem);
        self.shared.wake.notify_one();
    }

    /// Asks the server to choose another uid.
    pub fn request_uid(&self) {
        self.shared.wishes().uid = true;
        self.shared.wake.notify_one();
    }

    /// Leaves the server for this one.
    pub fn redirect(&self, target: Target) {
        self.shared.wishes().target = Some(target);
        self.shared.wake.notify_one();
    }

    /// Says goodbye to the server and waits for the end, within bounds.
    pub async fn shutdown(mut self, notices: mpsc::Receiver<Notice>) {
        // The task must not wait for a reader that waits for the task.
        drop(notices);
        self.shared.wishes().stop = true;
        self.shared.wake.notify_one();
        if timeout(SHUTDOWN_WITHIN, &mut self.task).await.is_err() {
            tracing::warn!("the connection to the server did not end in order and was dropped");
        }
    }
}

impl Drop for ClientHandle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Starts the task.
#[must_use]
pub fn spawn(client: Client, target: Target, clock: Clock) -> (ClientHandle, mpsc::Receiver<Notice>) {
    let (tell, notices) = mpsc::channel(QUEUE);
    let shared = Arc::new(Shared::default());
    let shell = Shell { client, target, clock, link: Link::None, shared: shared.clone(), tell };
    let task = tokio::spawn(shell.run());
    (ClientHandle { shared, task }, notices)
}

enum Link {
    None,
    Ws(Box<WsLink>),
    Http { link: Box<HttpLink>, answered: bool },
}

struct Shell {
    client: Client,
    target: Target,
    clock: Clock,
    link: Link,
    shared: Arc<Shared>,
    tell: mpsc::Sender<Notice>,
}

impl Shell {
    async fn run(mut self) {
        loop {
            self.take_wishes().await;
            while let Some(effect) = self.client.poll_effect((self.clock)()) {
                self.perform(effect).await;
            }
            if self.client.is_stopped() {
                return;
            }
            self.wait().await;
        }
    }

    async fn take_wishes(&mut self) {
        let wishes = std::mem::take(&mut *self.shared.wishes());
        for update in wishes.updates {
            match update {
                Update::Description(value) => self.client.set_description(value),
                Update::Health(value) => self.client.set_health(value),
                Update::EffectiveConfig(value) => self.client.set_effective_config(value),
                Update::RemoteConfigStatus(value) => self.client.set_remote_config_status(value),
                Update::PackageStatuses(value) => self.client.set_package_statuses(value),
                Update::CustomCapabilities(value) => self.client.set_custom_capabilities(value),
                Update::AvailableComponents(value) => self.client.set_available_components(value),
                Update::ConnectionSettingsStatus(value) => self.client.set_connection_settings_status(value),
            }
        }
        if let Some(period) = wishes.heartbeat {
            self.client.set_heartbeat(period);
        }
        if let Some(capabilities) = wishes.capabilities {
            self.client.set_capabilities(capabilities);
        }
        if let Some(target) = wishes.target {
            self.client.redirect(target.link(), (self.clock)());
            self.target = target;
        }
        for message in wishes.custom {
            if let Err(refused) = self.client.send_custom(message) {
                self.tell(Notice::Event(Event::NotSent(refused))).await;
            }
        }
        if let Some(Err(refused)) = wishes.csr_pem.map(|csr| self.client.request_certificate(csr)) {
            self.tell(Notice::Event(Event::NoRequests(refused))).await;
        }
        if wishes.uid {
            self.client.request_uid();
        }
        if wishes.stop {
            self.client.shutdown((self.clock)());
        }
    }

    async fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Dial => self.dial().await,
            Effect::Send(message) => self.send(&message).await,
            Effect::Close => self.close().await,
            Effect::Event(event) => self.tell(Notice::Event(event)).await,
        }
    }

    /// Dials, unless somebody wants to stop or to go elsewhere meanwhile.
    async fn dial(&mut self) {
        let dialled = if self.target.link() == client::Link::WebSocket {
            let elsewhere = elsewhere_wanted(&self.shared);
            tokio::select! {
                dialled = ws::connect(&self.target, self.client.instance_uid()) => {
                    dialled.map(|link| Link::Ws(Box::new(link))).map_err(|error| (error.retry(), error.to_string()))
                }
                () = elsewhere => return,
            }
        } else {
            HttpLink::new(&self.target)
                .map(|link| Link::Http { link: Box::new(link), answered: false })
                .map_err(|error| (error.retry(), error.to_string()))
        };
        match dialled {
            Ok(link) => {
                self.link = link;
                self.client.connected((self.clock)());
                if matches!(self.link, Link::Ws(_)) {
                    self.tell(Notice::Connected).await;
                }
            }
            Err((retry, why)) => self.lost(retry, why).await,
        }
    }

    async fn send(&mut self, message: &AgentToServer) {
        match &mut self.link {
            Link::None => {}
            Link::Ws(link) => match link.send(message).await {
                Ok(()) => {}
                Err(LinkEnd::NotSent(error)) => self.dropped(&error),
                Err(end) => self.lost(Retry::Lost, end.to_string()).await,
            },
            Link::Http { link, answered } => match link.exchange(message).await {
                Ok(answer) => {
                    let first = !std::mem::replace(answered, true);
                    self.client.received(answer, (self.clock)());
                    if first {
                        self.tell(Notice::Connected).await;
                    }
                }
                Err(error @ (ExchangeError::NotSent { .. } | ExchangeError::TooLargeForServer { .. })) => {
                    self.dropped(&error);
                }
                Err(error) => self.lost(error.retry(), error.to_string()).await,
            },
        }
    }

    /// Recorded, and not sent again (C-LM-06, C-LM-07, C-LM-14).
    fn dropped(&mut self, error: &dyn std::fmt::Display) {
        tracing::error!(%error, "a message to the server was dropped");
        self.client.undeliverable();
    }

    async fn close(&mut self) {
        if let Link::Ws(mut link) = std::mem::replace(&mut self.link, Link::None) {
            link.close().await;
        }
    }

    /// Waits for a message, a wish or a timer, whichever comes first.
    async fn wait(&mut self) {
        let until = self.client.poll_timeout();
        let now = (self.clock)();
        let timer = async {
            match until {
                Some(until) => tokio::time::sleep(until.saturating_sub(now)).await,
                None => std::future::pending().await,
            }
        };
        let message = async {
            match &mut self.link {
                Link::Ws(link) => link.recv().await,
                Link::None | Link::Http { .. } => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.shared.wake.notified() => {}
            () = timer => self.client.handle_timeout((self.clock)()),
            received = message => match received {
                Ok(message) => self.client.received(message, (self.clock)()),
                Err(end) => self.lost(Retry::Lost, end.to_string()).await,
            },
        }
    }

    async fn lost(&mut self, retry: Retry, why: String) {
        self.link = Link::None;
        self.client.disconnected(retry, (self.clock)());
        self.tell(Notice::Disconnected(why)).await;
    }

    async fn tell(&self, notice: Notice) {
        // Nobody listens any more only while the agent shuts down.
        let _ = self.tell.send(notice).await;
    }
}

/// Resolves when a stop or another server is wished for; all wishes stay to be taken later.
async fn elsewhere_wanted(shared: &Shared) {
    loop {
        let woken = shared.wake.notified();
        if shared.wishes().elsewhere() {
            return shared.wake.notify_one();
        }
        woken.await;
    }
}
