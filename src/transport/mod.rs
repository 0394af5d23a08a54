//! Sockets around the machines of `protocol`. With `wire` and `protocol` it is this project's public API for speaking
//! OpAMP.
//!
//! - [`client`]: runs a [`protocol::client::Client`](crate::protocol::client::Client) over either transport
//! - [`ws`] and [`http`]: dialling a server
//! - [`accept`]: being dialled, without a web framework (the supervisor's local endpoint)
//! - [`proxy`]: what stands between; `dial`: the way there, for both transports
//! - [`tls`]: what a connection trusts and who it says it is
//!
//! # An agent
//!
//! A machine with a shell around it, which reconnects, beats and backs off by itself. The scheme of the URL chooses the
//! transport: `ws` and `wss`, or `http` and `https`, where the agent polls.
//!
//! ```no_run
//! use std::{sync::LazyLock, time::{Duration, Instant}};
//!
//! use opamp::{
//!     protocol::client::{Client, ClientOptions, DEFAULT_HEARTBEAT, Event},
//!     transport::{Target, client::{Notice, Update, spawn}, tls::TlsOptions},
//!     wire::{
//!         AgentCaps, InstanceUid, attrs,
//!         proto::{AgentCapabilities, AgentDescription, RemoteConfigStatus, RemoteConfigStatuses},
//!     },
//! };
//!
//! /// Time since any fixed start.
//! fn clock() -> Duration {
//!     static START: LazyLock<Instant> = LazyLock::new(Instant::now);
//!     START.elapsed()
//! }
//!
//! # async fn agent() -> Result<(), Box<dyn std::error::Error>> {
//! let mut target = Target::new("wss://opamp.example.org/v1/opamp".parse()?);
//! target.header("Authorization", "Bearer secret")?;
//! target.tls = Some(TlsOptions::default().build()?.into());
//! let options = ClientOptions {
//!     // Chosen once and kept, with random bytes.
//!     instance_uid: InstanceUid::v7(1_700_000_000_000, [7; 10]),
//!     capabilities: AgentCaps::of(&[
//!         AgentCapabilities::AcceptsRemoteConfig,
//!         AgentCapabilities::ReportsRemoteConfig,
//!         AgentCapabilities::ReportsHeartbeat,
//!     ]),
//!     link: target.link(),
//!     heartbeat: DEFAULT_HEARTBEAT,
//! };
//! let mut client = Client::new(options, 1);
//! client.set_description(AgentDescription {
//!     identifying_attributes: vec![attrs::string("service.name", "weather-station")],
//!     ..Default::default()
//! });
//! let (handle, mut notices) = spawn(client, target, clock);
//! while let Some(notice) = notices.recv().await {
//!     match notice {
//!         Notice::Event(Event::RemoteConfig(config)) => {
//!             // Put it to use, then say what became of it.
//!             handle.update(Update::RemoteConfigStatus(RemoteConfigStatus {
//!                 last_remote_config_hash: config.config_hash,
//!                 status: RemoteConfigStatuses::Applied as i32,
//!                 ..Default::default()
//!             }));
//!         }
//!         Notice::Disconnected(ended) => eprintln!("{}; again in {:?}", ended.why, ended.again_in),
//!         Notice::Event(Event::Restart) => break,
//!         _ => {}
//!     }
//! }
//! handle.shutdown(notices).await;
//! # Ok(())
//! # }
//! ```
//!
//! # A server
//!
//! [`accept::Listener`] on loopback, and one [`Session`](crate::protocol::server::Session) for each
//! [`AgentLink`](accept::AgentLink); the [`AgentView`](crate::protocol::server::AgentView) is what to keep of an agent
//! from one connection to the next. Here an agent says hello and leaves:
//!
//! ```
//! use opamp::{
//!     protocol::server::{AgentView, Desired, Session},
//!     transport::{LinkEnd, Target, accept::{AgentLink, Listener}, ws},
//!     wire::{InstanceUid, ServerCaps, proto::{AgentDisconnect, AgentToServer, ServerCapabilities}},
//! };
//!
//! async fn serve(mut link: AgentLink) -> Result<AgentView, Box<dyn std::error::Error>> {
//!     let mut session = Session::new(ServerCaps::of(&[ServerCapabilities::AcceptsStatus]));
//!     let mut message = link.recv().await?;
//!     let mut view = AgentView::new(InstanceUid::try_from(&*message.instance_uid)?);
//!     loop {
//!         let received = session.receive(&mut view, message);
//!         // What is new is in `received` and in the view; what is wanted of the agent goes into `Desired`.
//!         link.send(&session.reply(&mut view, &Desired::default())).await?;
//!         if received.disconnect {
//!             link.close().await;
//!             return Ok(view);
//!         }
//!         message = link.recv().await?;
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut listener = Listener::bind(0).await?;
//! let target = Target::new(listener.endpoint().parse()?);
//! let agent = async {
//!     let uid = InstanceUid::v7(1_700_000_000_000, [7; 10]);
//!     let mut link = ws::connect(&target, uid).await?;
//!     let goodbye = AgentToServer {
//!         instance_uid: uid.to_vec(),
//!         agent_disconnect: Some(AgentDisconnect {}),
//!         ..Default::default()
//!     };
//!     link.send(&goodbye).await?;
//!     let answer = link.recv().await?;
//!     assert_eq!(answer.instance_uid, uid.to_vec());
//!     assert!(matches!(link.recv().await, Err(LinkEnd::Closed { .. })));
//!     Ok::<_, Box<dyn std::error::Error>>(uid)
//! };
//! let server = async { serve(listener.accept().await?).await };
//! let (uid, view) = tokio::try_join!(agent, server)?;
//! assert_eq!(view.instance_uid, uid);
//! # Ok(())
//! # }
//! ```
//!
//! Any other server takes the bytes off its own sockets with [`wire::frame`](crate::wire::frame) and
//! [`wire::body`](crate::wire::body), as `server::accept` does, and needs nothing of this room.
//!
//! # A capability of one's own
//!
//! A list of names in the agent's state ([`Update::CustomCapabilities`](client::Update::CustomCapabilities)) and one in
//! [`Desired`](crate::protocol::server::Desired), then
//! [`ClientHandle::send_custom`](client::ClientHandle::send_custom) at the one end and
//! [`Session::custom`](crate::protocol::server::Session::custom) at the other: [`custom`](crate::protocol::custom) shows
//! it without a network, `examples/custom_capability.rs` is both ends over a socket, whole.
//!
//! # What holds for all of it
//!
//! - Each dial, send, answer and close has a deadline, each message a limit ([`Limits`]), each queue a length.
//! - A failure says what to do, and [`DialError::retry`] whether trying again helps.
//! - Header values, keys and tokens are not in errors or `Debug`.
//! - What is awaited in `recv` and `accept` may be dropped and awaited again; nothing is lost.
//!
//! Not here: what to report and what to do about an offer (`supervisor`), and what a server needs for many agents
//! (`server::accept`).

#![warn(missing_docs)]

#[cfg(feature = "supervisor")]
pub mod accept;
#[cfg(feature = "supervisor")]
pub mod client;
#[cfg(feature = "supervisor")]
mod dial;
#[cfg(feature = "supervisor")]
pub mod download;
#[cfg(feature = "supervisor")]
mod error;
#[cfg(feature = "supervisor")]
mod frames;
#[cfg(feature = "supervisor")]
pub mod http;
#[cfg(feature = "supervisor")]
pub mod proxy;
#[cfg(any(feature = "supervisor", feature = "server"))]
pub mod tls;
#[cfg(feature = "supervisor")]
pub mod ws;

#[cfg(feature = "supervisor")]
pub use error::{DialError, DialFailure, LinkEnd, ProxyError, parse_retry_after};
#[cfg(feature = "supervisor")]
pub use frames::Patience;
#[cfg(feature = "supervisor")]
pub use proxy::Proxy;
#[cfg(feature = "supervisor")]
pub use target::{BadHeader, Limits, Target};

#[cfg(feature = "supervisor")]
mod target;
