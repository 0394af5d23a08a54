//! One conversation with the Collector's opamp extension, from its first word to its end.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::{Ended, PATIENCE, Tagged, Word};
use crate::{
    protocol::{
        report::{Part, Report},
        server::{AgentView, Desired, Session},
    },
    transport::{LinkEnd, accept::AgentLink},
    wire::{
        InstanceUid, ServerCaps,
        proto::{AgentToServer, CustomMessage, ServerCapabilities, ServerToAgent},
    },
};

/// What the extension is told besides answers.
pub(super) struct Custom {
    pub(super) of_server: watch::Receiver<Arc<[String]>>,
    pub(super) to_pass: mpsc::Receiver<CustomMessage>,
}

pub(super) async fn converse(
    link: AgentLink,
    from: Tagged,
    mut newest: watch::Receiver<u64>,
    mut custom: Custom,
) {
    let mine = from.session;
    let mut conversation = Conversation {
        link,
        from,
        session: Session::new(ServerCaps::of(&[
            ServerCapabilities::AcceptsStatus,
            ServerCapabilities::AcceptsEffectiveConfig,
        ])),
        view: None,
        told: Arc::default(),
    };
    conversation.link.set_patience(PATIENCE);
    let ended = tokio::select! {
        ended = conversation.hold(&mut custom) => ended,
        _ = newest.wait_for(|newest| *newest != mine) => Ended { goodbye: false },
    };
    conversation.link.close().await;
    // If the driver is gone, nobody wants to know.
    let _ = conversation.from.say(Word::Gone { goodbye: ended.goodbye }).await;
}

struct Conversation {
    link: AgentLink,
    from: Tagged,
    session: Session,
    view: Option<AgentView>,
    /// The server's custom capabilities as of now.
    told: Arc<[String]>,
}

/// What happens in a conversation.
enum Turn {
    Heard(Box<Result<AgentToServer, LinkEnd>>),
    Told(Arc<[String]>),
    Pass(CustomMessage),
}

impl Conversation {
    async fn hold(&mut self, custom: &mut Custom) -> Ended {
        self.told = custom.of_server.borrow_and_update().clone();
        loop {
            let turn = tokio::select! {
                heard = self.link.recv() => Turn::Heard(Box::new(heard)),
                // The other ends are the endpoint's; without it this task is over.
                Ok(()) = custom.of_server.changed() => Turn::Told(custom.of_server.borrow_and_update().clone()),
                // An agent is told nothing before it spoke.
                Some(message) = custom.to_pass.recv(), if self.view.is_some() => Turn::Pass(message),
            };
            let ended = match turn {
                Turn::Heard(heard) => match *heard {
                    Ok(message) => self.answer(message).await,
                    Err(error) => Err(self.lost(&error).await),
                },
                Turn::Told(list) => {
                    self.told = list;
                    self.push().await
                }
                Turn::Pass(message) => self.pass(message).await,
            };
            if let Err(ended) = ended {
                return ended;
            }
        }
    }

    async fn answer(&mut self, message: AgentToServer) -> Result<(), Ended> {
        let Ok(uid) = InstanceUid::try_from(&*message.instance_uid) else {
            tracing::warn!("the Collector's opamp extension sent an instance uid that is none");
            return Err(Ended { goodbye: false });
        };
        let view = self.view.get_or_insert_with(|| AgentView::new(uid));
        view.instance_uid = uid;
        let received = self.session.receive(view, message);
        for part in received.changed.iter() {
            if let Some(word) = word(&view.report, part) {
                self.from.say(word).await?;
            }
        }
        if let Some(message) = received.custom_message {
            self.from.say(Word::Custom(message)).await?;
        }
        if received.disconnect {
            return Err(Ended { goodbye: true });
        }
        let reply = self.session.reply(view, &desired(&self.told));
        self.send(&reply).await
    }

    async fn lost(&self, error: &LinkEnd) -> Ended {
        tracing::debug!(%error, "the Collector's opamp extension is gone");
        if matches!(error, LinkEnd::Silent { .. }) {
            let why = format!("has not answered for {} s", PATIENCE.silent_after.as_secs());
            // If the driver is gone, nobody wants to know.
            let _ = self.from.say(Word::Silent { why }).await;
        }
        Ended { goodbye: false }
    }

    /// Says unprompted what changed.
    async fn push(&mut self) -> Result<(), Ended> {
        let push = self.view.as_ref().and_then(|view| self.session.push(view, &desired(&self.told)));
        match push {
            Some(push) => self.send(&push).await,
            None => Ok(()),
        }
    }

    async fn pass(&mut self, message: CustomMessage) -> Result<(), Ended> {
        let Some(view) = &self.view else { return Ok(()) };
        match self.session.custom(view, &self.told, message) {
            Ok(message) => self.send(&message).await,
            Err(why) => {
                // One of the two lists changed while it was on its way.
                tracing::warn!("a custom message does not go to the Collector: {why}");
                Ok(())
            }
        }
    }

    async fn send(&mut self, message: &ServerToAgent) -> Result<(), Ended> {
        self.link.send(message).await.map_err(|error| {
            tracing::debug!(%error, "could not speak to the Collector's opamp extension");
            Ended { goodbye: false }
        })
    }
}

/// Nothing is wanted of the extension; it is only told what the server can do.
fn desired(custom_capabilities: &[String]) -> Desired<'_> {
    Desired { custom_capabilities, ..Desired::default() }
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
        Part::CustomCapabilities => report.custom_capabilities.clone().map(Word::CustomCapabilities),
        Part::RemoteConfigStatus | Part::PackageStatuses | Part::ConnectionSettingsStatus => None,
    }
}
