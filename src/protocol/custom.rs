//! Custom messages: which may be sent, by either end.
//!
//! A custom capability is a name that both ends advertise, and messages of types that whoever owns the name defines
//! (B-CU-03). Each end tells the other its list; a message goes only where both lists have its capability:
//!
//! ```
//! use std::time::Duration;
//!
//! use opamp::{
//!     protocol::{
//!         client::{Client, ClientOptions, DEFAULT_HEARTBEAT, Effect, Event, Link},
//!         custom::{Refused, check_name},
//!         server::{AgentView, Desired, Session},
//!     },
//!     wire::{
//!         AgentCaps, InstanceUid, ServerCaps,
//!         proto::{AgentDescription, CustomCapabilities, CustomMessage, ServerCapabilities},
//!     },
//! };
//!
//! const WEATHER: &str = "org.example.weather/v1";
//! check_name(WEATHER)?;
//! let message = |kind: &str| CustomMessage { capability: WEATHER.into(), r#type: kind.into(), data: vec![] };
//!
//! // The agent's end: the list is a part of its state like any other.
//! let uid = InstanceUid::v7(1_700_000_000_000, [7; 10]);
//! let options = ClientOptions {
//!     instance_uid: uid,
//!     capabilities: AgentCaps::default(),
//!     link: Link::WebSocket,
//!     heartbeat: DEFAULT_HEARTBEAT,
//! };
//! let mut agent = Client::new(options, 1);
//! agent.set_description(AgentDescription::default());
//! agent.set_custom_capabilities(CustomCapabilities { capabilities: vec![WEATHER.into()] });
//! assert_eq!(agent.send_custom(message("question")), Err(Refused::NotTheirs(WEATHER.into())), "not yet");
//!
//! // The server's end: the list goes along with what else is wanted of the agent.
//! let ours = [WEATHER.to_owned()];
//! let desired = Desired { custom_capabilities: &ours, ..Desired::default() };
//! let mut view = AgentView::new(uid);
//! let mut session = Session::new(ServerCaps::of(&[ServerCapabilities::AcceptsStatus]));
//!
//! let now = Duration::ZERO;
//! let mut heard_back = None;
//! agent.handle_timeout(now);
//! while let Some(effect) = agent.poll_effect(now) {
//!     match effect {
//!         Effect::Dial => agent.connected(now),
//!         Effect::Send(said) => {
//!             let heard = session.receive(&mut view, *said);
//!             agent.received(session.reply(&mut view, &desired), now);
//!             if heard.custom_message.is_some() {
//!                 agent.received(session.custom(&view, &ours, message("answer"))?, now);
//!             }
//!         }
//!         Effect::Event(Event::CustomCapabilities(_)) => agent.send_custom(message("question"))?,
//!         Effect::Event(Event::CustomMessage(answer)) => heard_back = Some(answer),
//!         Effect::Event(_) | Effect::Close => {}
//!     }
//! }
//! assert_eq!(heard_back, Some(message("answer")));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A message is sent once at most: one that a broken connection took with it is gone, and who needs to know has the peer
//! answer. `examples/custom_capability.rs` is the same over sockets.

use crate::wire::proto::CustomMessage;

/// A custom message that is not sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The sender itself has not said that it can do this.
    #[error("this end does not advertise the custom capability {0:?}")]
    NotOurs(String),
    /// The peer has not said that it can do this, or has not said anything yet.
    #[error("the peer does not advertise the custom capability {0:?}")]
    NotTheirs(String),
    /// As many as may wait do, because the connection is slow or not there.
    #[error("{0} custom messages wait to be sent already; try again later")]
    Full(usize),
}

/// Whether both ends advertise the message's capability (B-CU-06).
pub fn check(message: &CustomMessage, ours: &[String], theirs: &[String]) -> Result<(), Refused> {
    let capability = &message.capability;
    if !ours.contains(capability) {
        return Err(Refused::NotOurs(capability.clone()));
    }
    if !theirs.contains(capability) {
        return Err(Refused::NotTheirs(capability.clone()));
    }
    Ok(())
}

/// Service discovery, which both ends of this project have: `docs/discovery.md`.
pub const DISCOVERY: &str = "io.github.opamp-supervisor.discovery/v1";

/// A name that no custom capability can have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no name of a custom capability; write a reverse domain name of at least two parts, and a version behind a \
     slash if it has one, such as com.example.echo/v1"
)]
pub struct BadName(pub String);

/// Checks a custom capability's name (B-CU-03): a reverse domain name with the capability's own name as its last
/// part, and perhaps a version.
pub fn check_name(name: &str) -> Result<(), BadName> {
    let (path, version) = name.split_once('/').map_or((name, None), |(path, version)| (path, Some(version)));
    let part = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    };
    let version = version.is_none_or(|version| version.split('.').all(part));
    let good = path.split('.').count() >= 2 && path.split('.').all(part) && version && name.len() <= 255;
    if good { Ok(()) } else { Err(BadName(name.chars().take(80).collect())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b_cu_03_names_are_reverse_domain_names_with_perhaps_a_version() {
        for good in [DISCOVERY, "com.example.echo", "org.opentelemetry.collector.receiver/1.2", "io.x.a_b/v2"]
        {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "echo",
            "com..echo",
            "com.example.echo/",
            "com.example/a/b",
            "com.example.e cho",
            ".com",
            "a.b/1..2",
        ] {
            assert_eq!(check_name(bad), Err(BadName(bad.to_owned())));
        }
    }

    #[test]
    fn b_cu_06_a_message_needs_a_capability_that_both_ends_advertise() {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let message = CustomMessage { capability: "a.b".to_owned(), ..Default::default() };
        assert_eq!(check(&message, &list(&["a.b"]), &list(&["x.y", "a.b"])), Ok(()));
        assert_eq!(
            check(&message, &list(&["x.y"]), &list(&["a.b"])),
            Err(Refused::NotOurs("a.b".to_owned()))
        );
        assert_eq!(check(&message, &list(&["a.b"]), &[]), Err(Refused::NotTheirs("a.b".to_owned())));
    }
}
