//! Sockets around the machines of `protocol`. With `wire` and `protocol` it is this project's public API for
//! speaking OpAMP.
//!
//! - [`client`]: runs a [`protocol::client::Client`](crate::protocol::client::Client) over either transport
//! - [`ws`] and [`http`]: dialling a server
//! - [`accept`]: being dialled, without a web framework (the supervisor's local endpoint)
//! - [`proxy`]: what stands between; `dial`: the way there, for both transports
//! - [`tls`]: what a connection trusts and who it says it is
//!
//! An agent is a machine with a shell around it, which reconnects, beats and backs off by itself:
//!
//! ```no_run
//! # use std::{sync::LazyLock, time::{Duration, Instant}};
//! # use opamp::{protocol::client::*, transport::*, wire::*};
//! # async fn agent() -> Result<(), Box<dyn std::error::Error>> {
//! fn clock() -> Duration {
//!     static START: LazyLock<Instant> = LazyLock::new(Instant::now);
//!     START.elapsed()
//! }
//!
//! let mut target = Target::new("wss://opamp.example.org/v1/opamp".parse()?);
//! target.header("Authorization", "Bearer secret")?;
//! target.tls = Some(tls::TlsOptions::default().build()?.into());
//! let options = ClientOptions {
//!     instance_uid: InstanceUid::v7(1_700_000_000_000, [7; 10]),
//!     capabilities: AgentCaps::default(),
//!     link: target.link(),
//!     heartbeat: DEFAULT_HEARTBEAT,
//! };
//! let (handle, mut notices) = client::spawn(Client::new(options, 1), target, clock);
//! while let Some(notice) = notices.recv().await {
//!     if let client::Notice::Event(Event::Restart) = notice {
//!         break;
//!     }
//! }
//! handle.shutdown(notices).await;
//! # Ok(())
//! # }
//! ```
//!
//! A server is [`accept::Listener`] and one [`Session`](crate::protocol::server::Session) for each
//! [`AgentLink`](accept::AgentLink): `examples/custom_capability.rs` is both ends, whole. Each dial, send, answer and
//! close has a deadline, each message a limit ([`Limits`]); a failure says what to do, and
//! [`DialError::retry`] whether trying again helps. Header values, keys and tokens are not in errors or `Debug`.
//!
//! Not here: what to report and what to do about an offer (`supervisor`), and what a server needs for many
//! agents (`server::accept`).

#![warn(missing_docs)]

#[cfg(feature = "supervisor")]
pub mod accept;
#[cfg(feature = "supervisor")]
pub mod client;
#[cfg(feature = "supervisor")]
mod dial;
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
