//! Custom messages: from operators to agents, and back to whoever asks.

use jiff::Timestamp;
use tokio::sync::watch;

use super::{Hub, Link, State, metrics::Metrics};
use crate::{
    server::fleet::{
        Agent,
        messages::{Messages, Received, Refused},
    },
    wire::{
        InstanceUid,
        proto::{CustomMessage, ServerToAgent},
    },
};

/// Why an agent is not sent a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsent {
    #[error("the agent does not exist")]
    Missing,
    #[error("the agent is not connected")]
    Away,
    #[error(
        "this server does not have the custom capability {0:?}; it is started with --custom-capability for those of operators"
    )]
    NotOurs(String),
    #[error("the agent does not advertise the custom capability {0:?}")]
    NotTheirs(String),
    #[error(transparent)]
    Refused(#[from] Refused),
}

impl Hub {
    /// The custom capabilities of this server.
    pub fn custom_capabilities(&self) -> &[String] {
        &self.custom
    }

    /// Sends a message to an agent, or lets it wait for the agent's next poll. Returns the number of the last message that
    /// came in before: answers have larger ones.
    pub fn send_custom(&self, uid: InstanceUid, message: CustomMessage) -> Result<u64, Unsent> {
        let mut state = self.lock();
        let State { fleet, links, messages, .. } = &mut *state;
        let agent = fleet.agents.get(&uid).ok_or(Unsent::Missing)?;
        if !self.custom.contains(&message.capability) {
            return Err(Unsent::NotOurs(message.capability));
        }
        let theirs = agent.view.report.custom_capabilities.as_ref();
        if !theirs.is_some_and(|list| list.capabilities.contains(&message.capability)) {
            return Err(Unsent::NotTheirs(message.capability));
        }
        let link = links.get(&uid).filter(|_| agent.connected.is_some()).ok_or(Unsent::Away)?;
        messages.queue(uid, message, Timestamp::now())?;
        link.wake.notify_one();
        Ok(messages.last())
    }

    /// The kept messages of an agent after that number.
    pub fn received_custom(&self, uid: InstanceUid, after: u64) -> Vec<Received> {
        self.lock().messages.after(uid, after).cloned().collect()
    }

    /// Changes when any agent sent a message that is kept.
    pub fn custom_news(&self) -> watch::Receiver<u64> {
        self.heard.subscribe()
    }

    /// Keeps what an agent sent, if it is of a capability that this server has (B-CU-04).
    pub(super) fn hear(&self, messages: &mut Messages, uid: InstanceUid, message: CustomMessage) {
        let (capability, kind) = (message.capability.clone(), message.r#type.clone());
        if !self.custom.contains(&capability) {
            self.metrics.custom_ignored.add(1);
            tracing::debug!(agent = %uid, capability, r#type = kind, "a custom message of no capability of ours");
            return;
        }
        match messages.keep(uid, message, Timestamp::now()) {
            Ok(()) => {
                self.metrics.custom_received.add(1);
                self.heard.send_replace(messages.last());
            }
            Err(error) => {
                self.metrics.custom_dropped.add(1);
                tracing::warn!(agent = %uid, capability, r#type = kind, %error, "a custom message was not kept");
            }
        }
    }
}

/// What waits for an agent, as messages to send. Those that the agent does not take any more are dropped, which is said
/// in the log.
pub(super) struct Outgoing<'a> {
    pub(super) messages: &'a mut Messages,
    pub(super) metrics: &'a Metrics,
    pub(super) ours: &'a [String],
}

impl Outgoing<'_> {
    pub(super) fn next(&mut self, agent: &Agent, link: &mut Link) -> Option<ServerToAgent> {
        let uid = agent.view.instance_uid;
        loop {
            let (message, late) = self.messages.next(uid, Timestamp::now());
            if late > 0 {
                self.metrics.custom_dropped.add(late as u64);
                tracing::warn!(agent = %uid, late, "custom messages waited too long and are not sent");
            }
            let message = message?;
            let (capability, kind) = (message.capability.clone(), message.r#type.clone());
            match link.session.custom(&agent.view, self.ours, message) {
                Ok(message) => {
                    self.metrics.custom_sent.add(1);
                    return Some(message);
                }
                Err(error) => {
                    self.metrics.custom_dropped.add(1);
                    tracing::warn!(agent = %uid, capability, r#type = kind, %error, "a custom message is not sent");
                }
            }
        }
    }
}
