//! Runs the client machine over a connection: one task that owns the machine, and a handle for whoever owns
//! the agent.
//!
//! - `handle`: the handle, and what is wished for through it
//!
//! Updates never wait: the latest value of each part wins, and changes that come together go out together.
//! Events wait in a bounded queue; while it is full, nothing more is read from the server.

mod handle;

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::mpsc,
    time::{Instant, sleep, sleep_until},
};

pub use handle::{ClientHandle, Update};
use handle::{Shared, elsewhere_wanted};

use super::{
    DialError, LinkEnd, Patience, Target,
    http::{ExchangeError, ExchangeFailure, HttpLink},
    ws::{self, WsLink},
};
use crate::{
    protocol::{
        backoff::Retry,
        client::{self, Client, Effect, Event},
    },
    wire::proto::{AgentToServer, ServerToAgent},
};

/// Events that may wait for their reader, and custom messages for the task.
const QUEUE: usize = 32;
/// What a server that is left over plain HTTP has to answer.
const LEAVE_WITHIN: Duration = Duration::from_secs(3);
/// While there is no connection, files of its TLS settings are looked at this often.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// A shutdown in order may take this long.
const SHUTDOWN_WITHIN: Duration = Duration::from_secs(5);

/// Time since any fixed start.
pub type Clock = fn() -> Duration;

/// What the owner of the agent is told.
#[derive(Debug)]
pub enum Notice {
    /// The connection stands; over plain HTTP: the first answer came.
    Connected,
    /// There is no connection, or the one there was is gone. The task goes on by itself.
    Disconnected(Ended),
    /// Another server is gone to: whatever was told before is of the one before. The number is that of
    /// [`ClientHandle::redirect`].
    Redirected(u64),
    /// Something that the server asked for or said.
    Event(Event),
}

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// For people.
    pub why: String,
    /// The same attempt ends the same way until somebody changes something, there or here.
    pub permanent: bool,
    /// When it is tried again, unless something changes before.
    pub again_in: Option<Duration>,
}

impl Ended {
    fn of_dial(error: &DialError) -> Self {
        Self { why: error.to_string(), permanent: error.is_permanent(), again_in: None }
    }

    fn of_exchange(error: &ExchangeError) -> Self {
        Self { why: error.to_string(), permanent: error.is_permanent(), again_in: None }
    }

    fn of_link(end: &LinkEnd) -> Self {
        Self { why: end.to_string(), permanent: false, again_in: None }
    }

    fn left() -> Self {
        Self {
            why: format!("no answer within {LEAVE_WITHIN:?} to a server that is left"),
            permanent: false,
            again_in: None,
        }
    }
}

/// Starts the task.
#[must_use]
pub fn spawn(client: Client, target: Target, clock: Clock) -> (ClientHandle, mpsc::Receiver<Notice>) {
    let (tell, notices) = mpsc::channel(QUEUE);
    let shared = Arc::new(Shared::default());
    let shell = Shell {
        client,
        target,
        clock,
        link: Link::None,
        looked: Instant::now(),
        shared: shared.clone(),
        tell,
    };
    let task = tokio::spawn(shell.run());
    (ClientHandle { shared, task }, notices)
}

enum Link {
    None,
    Ws(Box<WsLink>),
    Http { link: Box<HttpLink>, answered: bool },
}

impl Link {
    const fn set_patience(&mut self, patience: Patience) {
        match self {
            Self::None => {}
            Self::Ws(link) => link.set_patience(patience),
            Self::Http { link, .. } => link.set_patience(patience),
        }
    }
}

struct Shell {
    client: Client,
    target: Target,
    clock: Clock,
    link: Link,
    /// When the files of the target's TLS settings were looked at.
    looked: Instant,
    shared: Arc<Shared>,
    tell: mpsc::Sender<Notice>,
}

impl Shell {
    async fn run(mut self) {
        loop {
            self.take_wishes().await;
            self.perform_all().await;
            if self.client.is_stopped() {
                return;
            }
            self.wait().await;
        }
    }

    async fn perform_all(&mut self) {
        while let Some(effect) = self.client.poll_effect((self.clock)()) {
            self.perform(effect).await;
        }
    }

    async fn take_wishes(&mut self) {
        let wishes = self.shared.take();
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
        if let Some(capabilities) = wishes.capabilities {
            self.client.set_capabilities(capabilities);
        }
        if let Some((number, target)) = wishes.target {
            self.client.redirect(target.link(), (self.clock)());
            // The goodbye goes to the one that is left.
            self.perform_all().await;
            self.target = target;
            self.tell(Notice::Redirected(number)).await;
        }
        // What a period of zero means depends on the transport.
        if let Some(period) = wishes.heartbeat {
            self.client.set_heartbeat(period);
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
                    dialled.map(|link| Link::Ws(Box::new(link))).map_err(|error| (error.retry(), Ended::of_dial(&error)))
                }
                () = elsewhere => return,
            }
        } else {
            Ok(Link::Http { link: Box::new(HttpLink::new(&self.target)), answered: false })
        };
        match dialled {
            Ok(mut link) => {
                link.set_patience(Patience::of_heartbeat(self.client.heartbeat()));
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
                Err(end) => self.lost(Retry::Lost, Ended::of_link(&end)).await,
            },
            Link::Http { link, answered } => match exchange(link, message, &self.shared).await {
                Ok(None) => self.lost(Retry::Unanswered, Ended::left()).await,
                Ok(Some(answer)) => {
                    let first = !std::mem::replace(answered, true);
                    self.client.received(answer, (self.clock)());
                    if first {
                        self.tell(Notice::Connected).await;
                    }
                }
                Err(
                    error @ ExchangeError {
                        why: ExchangeFailure::NotSent(_) | ExchangeFailure::TooLargeForServer,
                        ..
                    },
                ) => self.dropped(&error),
                Err(error) => self.lost(error.retry(), Ended::of_exchange(&error)).await,
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
                Some(until) => sleep(until.saturating_sub(now)).await,
                None => std::future::pending().await,
            }
        };
        let renewed = renewed(&self.target, self.looked, self.client.is_online());
        let message = async {
            match &mut self.link {
                Link::Ws(link) => link.recv().await,
                Link::None | Link::Http { .. } => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.shared.wake.notified() => {}
            () = timer => self.client.handle_timeout((self.clock)()),
            changed = renewed => self.looked_at_files(changed),
            received = message => match received {
                Ok(message) => self.client.received(message, (self.clock)()),
                Err(end) => self.lost(Retry::Lost, Ended::of_link(&end)).await,
            },
        }
    }

    /// A connection is made anew with files that changed (F-93), and one that failed is tried at once.
    fn looked_at_files(&mut self, changed: bool) {
        self.looked = Instant::now();
        let now = (self.clock)();
        match (changed, self.client.is_online()) {
            (false, _) => {}
            (true, true) => self.client.redirect(self.target.link(), now),
            (true, false) => self.client.hurry(now),
        }
    }

    async fn lost(&mut self, retry: Retry, why: Ended) {
        self.link = Link::None;
        let now = (self.clock)();
        self.client.disconnected(retry, now);
        let again_in = self.client.poll_timeout().map(|until| until.saturating_sub(now));
        self.tell(Notice::Disconnected(Ended { again_in, ..why })).await;
    }

    async fn tell(&self, notice: Notice) {
        // Nobody listens any more only while the agent shuts down.
        let _ = self.tell.send(notice).await;
    }
}

/// Resolves when it is time to look at the files of the target's TLS settings, with whether there are others in
/// them that can be used. What is dialled reads them anyway.
async fn renewed(target: &Target, looked: Instant, online: bool) -> bool {
    let files = target.tls.as_ref().filter(|tls| tls.is_of_files());
    let every = files.and_then(|tls| if online { tls.reload_interval() } else { Some(LOOK_EVERY) });
    let (Some(tls), Some(every)) = (files, every) else { return std::future::pending().await };
    sleep_until(looked + every).await;
    tls.has_changed().await
}

/// One exchange; nothing when the server that is left, or is about to be, takes too long to answer.
async fn exchange(
    link: &mut HttpLink,
    message: &AgentToServer,
    shared: &Shared,
) -> Result<Option<ServerToAgent>, ExchangeError> {
    let patience = async {
        if message.agent_disconnect.is_none() {
            elsewhere_wanted(shared).await;
        }
        sleep(LEAVE_WITHIN).await;
    };
    let answer = tokio::select! {
        answer = link.exchange(message) => answer.map(Some),
        () = patience => Ok(None),
    };
    // What was wished for meanwhile woke nobody else.
    shared.wake.notify_one();
    answer
}
