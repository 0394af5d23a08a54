//! OpAMP's rules as machines without I/O, for both ends.
//!
//! - [`client`]: one agent's conversation with a server: when to dial, what to send, what a reply asks for
//! - [`server`]: one server's view of one agent, and what to answer
//! - [`report`]: the parts of an agent's state that both ends keep, compare and leave out when unchanged
//! - [`settings`]: connection settings as offered; [`custom`]: custom messages
//! - [`backoff`]: when to try again
//!
//! Time comes in as a [`Duration`](std::time::Duration) since any fixed start; randomness comes in as a
//! seed. Sockets belong to `transport`, policy (which config, which agent) to `supervisor` and `server`.
//!
//! [`client`] is driven by `transport::client`; [`server`] by `server::hub` for the fleet, and by
//! `supervisor::local` for the Collector's own extension.

pub mod backoff;
pub mod client;
pub mod custom;
pub mod report;
pub mod server;
pub mod settings;
