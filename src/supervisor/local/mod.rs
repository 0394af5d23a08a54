//! The local OpAMP endpoint: the Collector's unmodified opamp extension dials it, and this is the server it
//! talks to. One listener for the life of the supervisor, so nobody can take the port in between (F-72);
//! one session at a time, the newest.
//!
//! Each session is answered by [`protocol::server`](crate::protocol::server) and what it says is handed to
//! the driver, tagged with the generation of the process that it can only come from.
//!
//! - `session`: one conversation
//!
//! Custom messages pass through here both ways, each way in a queue with an end: while the driver is busy the
//! extension is not read from, and what finds the extension's queue full is refused.

mod session;

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};

use super::machine::Generation;
use crate::{
    transport::{Patience, accept::Listener},
    wire::proto::{
        AgentDescription, AvailableComponents, ComponentHealth, CustomCapabilities, CustomMessage,
        EffectiveConfig,
    },
};

/// Updates from the Collector that may wait for the driver.
const QUEUE: usize = 64;
/// Custom messages that may wait for the extension.
const CUSTOM_QUEUE: usize = 16;

/// How long a Collector that was heard from may say nothing before it counts as hung (F-68).
pub(super) const PATIENCE: Patience =
    Patience { ping_after: Duration::from_secs(5), silent_after: Duration::from_secs(25) };

/// Something the Collector's extension said.
#[derive(Debug)]
pub struct Heard {
    pub generation: Generation,
    /// Grows with each session.
    pub session: u64,
    pub word: Word,
}

/// What it said.
#[derive(Debug)]
pub enum Word {
    Description(AgentDescription),
    Health(ComponentHealth),
    EffectiveConfig(EffectiveConfig),
    Components(AvailableComponents),
    /// Custom capabilities of the Collector's components.
    CustomCapabilities(CustomCapabilities),
    /// For the server.
    Custom(CustomMessage),
    /// It was heard from, and does not answer any more.
    Silent {
        why: String,
    },
    /// The session is over; `goodbye` tells whether the extension said so.
    Gone {
        goodbye: bool,
    },
}

/// The endpoint at work.
#[derive(Debug)]
pub struct Endpoint {
    url: String,
    token: Option<Arc<str>>,
    generation: Arc<AtomicU64>,
    heard: mpsc::Receiver<Heard>,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
    /// The listener itself, for the next supervisor in this process.
    socket: Option<OwnedFd>,
}

impl Endpoint {
    /// The listener and its token, where that can be had.
    #[must_use]
    pub fn listener(&self) -> Option<(BorrowedFd<'_>, Option<&str>)> {
        self.socket.as_ref().map(|socket| (socket.as_fd(), self.token.as_deref()))
    }
}

/// What the sessions have in common.
#[derive(Debug)]
struct Shared {
    /// The server's custom capabilities, as the extension is told them.
    of_server: watch::Sender<Arc<[String]>>,
    /// Into the newest session.
    custom: Mutex<Option<mpsc::Sender<CustomMessage>>>,
}

/// A custom message does not go to the Collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotPassed {
    #[error("the Collector's opamp extension is not connected")]
    NoSession,
    #[error("{CUSTOM_QUEUE} custom messages wait for the Collector already")]
    Full,
}

impl Endpoint {
    /// Serves on a bound listener.
    #[must_use]
    pub fn serve(listener: Listener) -> Self {
        let url = listener.endpoint();
        let (token, socket) = (listener.token(), listener.as_fd().try_clone_to_owned().ok());
        let generation = Arc::new(AtomicU64::new(0));
        let (tell, heard) = mpsc::channel(QUEUE);
        let (of_server, _) = watch::channel(Arc::default());
        let shared = Arc::new(Shared { of_server, custom: Mutex::default() });
        let task = tokio::spawn(accept(listener, generation.clone(), tell, shared.clone()));
        Self { url, token, generation, heard, shared, task, socket }
    }

    /// What the extension dials.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Sessions from now on belong to this process.
    pub fn expect(&self, generation: Generation) {
        self.generation.store(generation.0, Ordering::Relaxed);
    }

    /// What the server can do with custom messages; the extension is told when it changes.
    pub fn set_custom_capabilities(&self, of_server: Vec<String>) {
        self.shared.of_server.send_if_modified(|known| {
            let other = **known != *of_server;
            if other {
                *known = of_server.into();
            }
            other
        });
    }

    /// Hands a custom message to the newest session. Never waits.
    pub fn pass(&self, message: CustomMessage) -> Result<(), NotPassed> {
        let custom = self.shared.custom.lock().unwrap_or_else(PoisonError::into_inner);
        let session = custom.as_ref().ok_or(NotPassed::NoSession)?;
        session.try_send(message).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => NotPassed::Full,
            mpsc::error::TrySendError::Closed(_) => NotPassed::NoSession,
        })
    }

    /// The next word; never, once the endpoint has ended.
    pub async fn heard(&mut self) -> Heard {
        match self.heard.recv().await {
            Some(heard) => heard,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(
    mut listener: Listener,
    generation: Arc<AtomicU64>,
    tell: mpsc::Sender<Heard>,
    shared: Arc<Shared>,
) {
    let (newest, _) = watch::channel(0u64);
    let newest = Arc::new(newest);
    loop {
        let link = match listener.accept().await {
            Ok(link) => link,
            Err(error) => {
                tracing::debug!(%error, "refused a connection to the local OpAMP endpoint");
                continue;
            }
        };
        let session = *newest.borrow() + 1;
        newest.send_replace(session);
        let from = Tagged {
            generation: Generation(generation.load(Ordering::Relaxed)),
            session,
            tell: tell.clone(),
        };
        let (custom, to_pass) = mpsc::channel(CUSTOM_QUEUE);
        *shared.custom.lock().unwrap_or_else(PoisonError::into_inner) = Some(custom);
        let of_server = shared.of_server.subscribe();
        tokio::spawn(session::converse(
            link,
            from,
            newest.subscribe(),
            session::Custom { of_server, to_pass },
        ));
    }
}

struct Tagged {
    generation: Generation,
    session: u64,
    tell: mpsc::Sender<Heard>,
}

impl Tagged {
    async fn say(&self, word: Word) -> Result<(), Ended> {
        let heard = Heard { generation: self.generation, session: self.session, word };
        self.tell.send(heard).await.map_err(|_| Ended { goodbye: false })
    }
}

/// How a session ended.
struct Ended {
    goodbye: bool,
}
