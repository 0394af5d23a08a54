//! The local OpAMP endpoint: the Collector's unmodified opamp extension dials it, and this is the server it
//! talks to. One listener for the life of the supervisor, so nobody can take the port in between (F-72);
//! one session at a time, the newest.
//!
//! Each session is answered by [`protocol::server`](crate::protocol::server) and what it says is handed to
//! the driver, tagged with the generation of the process that it can only come from.

use std::{
    sync::{
        Arc,
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
    protocol::{
        report::{Part, Report},
        server::{AgentView, Desired, Session},
    },
    transport::{
        LinkEnd, Patience,
        accept::{AgentLink, Listener},
    },
    wire::{
        InstanceUid, ServerCaps,
        proto::{
            AgentDescription, AvailableComponents, ComponentHealth, EffectiveConfig, ServerCapabilities,
        },
    },
};

/// Updates from the Collector that may wait for the driver.
const QUEUE: usize = 64;

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
    generation: Arc<AtomicU64>,
    heard: mpsc::Receiver<Heard>,
    task: JoinHandle<()>,
}

impl Endpoint {
    /// Serves on a bound listener.
    #[must_use]
    pub fn serve(listener: Listener) -> Self {
        let url = listener.endpoint();
        let generation = Arc::new(AtomicU64::new(0));
        let (tell, heard) = mpsc::channel(QUEUE);
        let task = tokio::spawn(accept(listener, generation.clone(), tell));
        Self { url, generation, heard, task }
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

async fn accept(mut listener: Listener, generation: Arc<AtomicU64>, tell: mpsc::Sender<Heard>) {
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
        tokio::spawn(converse(link, from, newest.subscribe()));
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

async fn converse(mut link: AgentLink, from: Tagged, mut newest: watch::Receiver<u64>) {
    let mine = from.session;
    link.set_patience(PATIENCE);
    let ended = tokio::select! {
        ended = answer(&mut link, &from) => ended,
        _ = newest.wait_for(|newest| *newest != mine) => Ended { goodbye: false },
    };
    link.close().await;
    // If the driver is gone, nobody wants to know.
    let _ = from.say(Word::Gone { goodbye: ended.goodbye }).await;
}

async fn answer(link: &mut AgentLink, from: &Tagged) -> Ended {
    let mut session = Session::new(ServerCaps::of(&[
        ServerCapabilities::AcceptsStatus,
        ServerCapabilities::AcceptsEffectiveConfig,
    ]));
    let mut view: Option<AgentView> = None;
    loop {
        let message = match link.recv().await {
            Ok(message) => message,
            Err(error) => {
                tracing::debug!(%error, "the Collector's opamp extension is gone");
                if matches!(error, LinkEnd::Silent { .. }) {
                    let why = format!("has not answered for {} s", PATIENCE.silent_after.as_secs());
                    // If the driver is gone, nobody wants to know.
                    let _ = from.say(Word::Silent { why }).await;
                }
                return Ended { goodbye: false };
            }
        };
        let Ok(uid) = InstanceUid::try_from(&*message.instance_uid) else {
            tracing::warn!("the Collector's opamp extension sent an instance uid that is none");
            return Ended { goodbye: false };
        };
        let view = view.get_or_insert_with(|| AgentView::new(uid));
        view.instance_uid = uid;
        let received = session.receive(view, message);
        for part in received.changed.iter() {
            if let Some(word) = word(&view.report, part)
                && let Err(ended) = from.say(word).await
            {
                return ended;
            }
        }
        if received.disconnect {
            return Ended { goodbye: true };
        }
        let reply = session.reply(view, &Desired::default());
        if let Err(error) = link.send(&reply).await {
            tracing::debug!(%error, "could not answer the Collector's opamp extension");
            return Ended { goodbye: false };
        }
    }
}

fn word(report: &Report, part: Part) -> Option<Word> {
    match part {
        Part::Description => report.description.clone().map(Word::Description),
        Part::Health => report.health.clone().map(Word::Health),
        Part::EffectiveConfig => report.effective_config.clone().map(Word::EffectiveConfig),
        Part::AvailableComponents => report
            .available_components
            .clone()
            .filter(|components| !components.components.is_empty())
            .map(Word::Components),
        Part::RemoteConfigStatus
        | Part::PackageStatuses
        | Part::CustomCapabilities
        | Part::ConnectionSettingsStatus => None,
    }
}
