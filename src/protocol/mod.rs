//! OpAMP's rules as machines without I/O, for both ends.
//!
//! - [`client`]: one agent's conversation with a server: when to dial, what to send, what a reply asks for
//! - [`server`]: one server's view of one agent, and what to answer
//! - [`report`]: the parts of an agent's state that both ends keep, compare and leave out when unchanged
//! - [`settings`], [`packages`]: connection settings and packages as offered; [`custom`]: custom messages
//! - [`backoff`]: when to try again
//!
//! Time comes in as a [`Duration`](std::time::Duration) since any fixed start; randomness comes in as a
//! seed. Sockets belong to `transport`, policy (which config, which agent) to `supervisor` and `server`.
//!
//! # Both ends
//!
//! A shell performs the [`Effect`](client::Effect)s of a [`Client`](client::Client) in order and tells it what came of
//! them; a server folds each message into an [`AgentView`](server::AgentView) and answers by what is
//! [`Desired`](server::Desired). An agent and a server without a network between them:
//!
//! ```
//! use std::time::Duration;
//!
//! use opamp::{
//!     protocol::{
//!         client::{Client, ClientOptions, DEFAULT_HEARTBEAT, Effect, Event, Link},
//!         server::{AgentView, Desired, Session},
//!     },
//!     wire::{
//!         AgentCaps, InstanceUid, ServerCaps,
//!         proto::{AgentCapabilities, AgentDescription, AgentRemoteConfig, ServerCapabilities},
//!     },
//! };
//!
//! let uid = InstanceUid::v7(1_700_000_000_000, [7; 10]);
//! let options = ClientOptions {
//!     instance_uid: uid,
//!     capabilities: AgentCaps::of(&[AgentCapabilities::AcceptsRemoteConfig]),
//!     link: Link::WebSocket,
//!     heartbeat: DEFAULT_HEARTBEAT,
//! };
//! let mut client = Client::new(options, 1);
//! client.set_description(AgentDescription::default());
//!
//! let (mut view, caps) = (AgentView::new(uid), ServerCaps::of(&[ServerCapabilities::OffersRemoteConfig]));
//! let mut session = Session::new(caps.with(ServerCapabilities::AcceptsStatus));
//! let config = AgentRemoteConfig { config_hash: vec![1], ..Default::default() };
//! let desired = Desired { remote_config: Some(&config), ..Default::default() };
//!
//! let now = Duration::ZERO;
//! client.handle_timeout(now);
//! let mut offered = None;
//! while let Some(effect) = client.poll_effect(now) {
//!     match effect {
//!         Effect::Dial => client.connected(now),
//!         Effect::Send(message) => {
//!             let heard = session.receive(&mut view, *message);
//!             assert!(!heard.disconnect);
//!             client.received(session.reply(&mut view, &desired), now);
//!         }
//!         Effect::Event(Event::RemoteConfig(config)) => offered = Some(config),
//!         Effect::Event(_) | Effect::Close => {}
//!     }
//! }
//! assert_eq!(offered.as_ref(), Some(&config));
//! assert_eq!(client.poll_timeout(), None, "no heartbeat without its capability");
//! ```
//!
//! [`custom`] goes on from here with messages of one's own. `transport` has the shells for sockets.
//!
//! # What holds for all of it
//!
//! The machines do not panic on anything that a peer sends, and keep no more than its last message of each kind; how
//! long a message may be is for the shell to bound. `Client::poll_effect` is asked until it has nothing; a shell that
//! performs the effects in order needs to know no rule of the protocol.
//!
//! [`client`] is driven by `transport::client`; [`server`] by `server::hub` for the fleet, and by
//! `supervisor::local` for the Collector's own extension.

#![warn(missing_docs)]

pub mod backoff;
pub mod client;
pub mod custom;
pub mod packages;
pub mod report;
pub mod server;
pub mod settings;
