//! Connection settings that the server offers, as far as they can be judged without touching anything.
//!
//! - `judge`: whether an offer for the connection to the server may be tried; `over`: what is dialled then
//! - `csr`: a client certificate of the agent's own
//! - `machine`: trying it, keeping it, going back; pure
//! - `start`: which server a start dials
//! - `status`: how it went with an offer of several classes, as the server is told it
//!
//! Not here: performing any of it, which is `driver::connection`'s, `driver::moving`'s and `driver::own_telemetry`'s.

mod csr;
mod judge;
mod machine;
mod over;
mod start;
mod status;

pub(super) use csr::{Due, due, new_key, refusal, request};
pub use judge::{Ground, Unfit};
pub(super) use machine::{Effect, Machine, Side};
pub use over::over;
pub(super) use over::{certificate_ends, digest, own_key};
pub(super) use start::{Beginning, begin, forget, outdated};
pub(super) use status::{classes, is_settled, opened, to_wire};
