//! The way to the task: what its owner wishes for waits here, and the latest wish of each kind wins.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, mpsc},
    task::JoinHandle,
    time::timeout,
};

use super::{Notice, QUEUE, SHUTDOWN_WITHIN};
use crate::{
    protocol::custom,
    transport::Target,
    wire::{
        AgentCaps,
        proto::{
            AgentDescription, AvailableComponents, ComponentHealth, ConnectionSettingsStatus,
            CustomCapabilities, CustomMessage, EffectiveConfig, PackageStatuses, RemoteConfigStatus,
        },
    },
};

/// A new value of one part of the agent's state.
#[derive(Debug, Clone)]
pub enum Update {
    /// As [`Client::set_description`](crate::protocol::client::Client::set_description), and so on.
    Description(AgentDescription),
    /// The health of the agent and its components.
    Health(ComponentHealth),
    /// What runs, secrets removed.
    EffectiveConfig(EffectiveConfig),
    /// What became of the last config offered.
    RemoteConfigStatus(RemoteConfigStatus),
    /// What is installed, and what is on its way.
    PackageStatuses(PackageStatuses),
    /// The whole list; one that is left out is taken back.
    CustomCapabilities(CustomCapabilities),
    /// The whole map with its hash; what of it goes out is the machine's to decide.
    AvailableComponents(AvailableComponents),
    /// What became of the last connection settings offered.
    ConnectionSettingsStatus(ConnectionSettingsStatus),
}

/// The way to the task. Dropping it ends the connection without a goodbye.
#[derive(Debug)]
pub struct ClientHandle {
    pub(super) shared: Arc<Shared>,
    pub(super) task: JoinHandle<()>,
}

#[derive(Debug, Default)]
pub(super) struct Shared {
    wishes: Mutex<Wishes>,
    pub(super) wake: Notify,
}

#[derive(Debug, Default)]
pub(super) struct Wishes {
    pub(super) updates: Vec<Update>,
    pub(super) heartbeat: Option<Duration>,
    pub(super) capabilities: Option<AgentCaps>,
    pub(super) target: Option<(u64, Target)>,
    redirects: u64,
    pub(super) custom: Vec<CustomMessage>,
    pub(super) csr_pem: Option<String>,
    pub(super) uid: bool,
    pub(super) stop: bool,
}

impl Wishes {
    /// Everything that is wished for; the count of redirects goes on.
    fn taken(&mut self) -> Self {
        std::mem::replace(self, Self { redirects: self.redirects, ..Self::default() })
    }

    /// Whether a connection attempt is of no use any more.
    const fn elsewhere(&self) -> bool {
        self.stop || self.target.is_some()
    }
}

impl Shared {
    /// Everything that is wished for since the last time.
    pub(super) fn take(&self) -> Wishes {
        self.wishes().taken()
    }

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

    /// Sets the period of heartbeats or polls. Zero is none over WebSocket (C-HB-06), and no change over plain
    /// HTTP (N2).
    pub fn set_heartbeat(&self, period: Duration) {
        self.shared.wishes().heartbeat = Some(period);
        self.shared.wake.notify_one();
    }

    /// Changes what the agent can do; the server is told.
    pub fn set_capabilities(&self, capabilities: AgentCaps) {
        self.shared.wishes().capabilities = Some(capabilities);
        self.shared.wake.notify_one();
    }

    /// Sends a custom message, or tells [`Event::NotSent`](crate::protocol::client::Event::NotSent) why not. While
    /// as many as may wait do, it is refused here.
    pub fn send_custom(&self, message: CustomMessage) -> Result<(), custom::Refused> {
        let mut wishes = self.shared.wishes();
        if wishes.custom.len() >= QUEUE {
            return Err(custom::Refused::Full(QUEUE));
        }
        wishes.custom.push(message);
        self.shared.wake.notify_one();
        Ok(())
    }

    /// Asks for a client certificate with a CSR, or tells
    /// [`Event::NoRequests`](crate::protocol::client::Event::NoRequests).
    pub fn request_certificate(&self, csr_pem: String) {
        self.shared.wishes().csr_pem = Some(csr_pem);
        self.shared.wake.notify_one();
    }

    /// Asks the server to choose another uid.
    pub fn request_uid(&self) {
        self.shared.wishes().uid = true;
        self.shared.wake.notify_one();
    }

    /// Leaves the server for this one, of several the last. [`Notice::Redirected`] with this number comes once it
    /// is so.
    pub fn redirect(&self, target: Target) -> u64 {
        let mut wishes = self.shared.wishes();
        wishes.redirects += 1;
        let number = wishes.redirects;
        wishes.target = Some((number, target));
        self.shared.wake.notify_one();
        number
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

/// Resolves when a stop or another server is wished for; all wishes stay to be taken later.
pub(super) async fn elsewhere_wanted(shared: &Shared) {
    loop {
        let woken = shared.wake.notified();
        if shared.wishes().elsewhere() {
            return shared.wake.notify_one();
        }
        woken.await;
    }
}
