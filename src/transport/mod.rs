//! Sockets around the machines of `protocol`. With `wire` and `protocol` it is this project's public API for
//! speaking OpAMP.
//!
//! - [`client`]: runs a [`protocol::client::Client`](crate::protocol::client::Client) over either transport
//! - [`ws`] and [`http`]: dialling a server
//! - [`accept`]: being dialled, without a web framework (the supervisor's local endpoint)
//! - [`proxy`]: what stands between; `dial`: the way there, for both transports
//! - [`tls`]: what a connection trusts and who it says it is
//!
//! Not here: what to report and what to do about an offer (`supervisor`), and what a server needs for many
//! agents (`server::accept`).

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
pub use error::{DialError, LinkEnd, ProxyError};
#[cfg(feature = "supervisor")]
pub use frames::Patience;
#[cfg(feature = "supervisor")]
pub use proxy::Proxy;
#[cfg(feature = "supervisor")]
pub use target::{BadHeader, Limits, Target};

#[cfg(feature = "supervisor")]
mod target;
