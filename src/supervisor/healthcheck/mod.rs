//! The HTTP endpoint on which others ask how it goes (`healthcheck` in supervisor.yaml).
//!
//! Collector and server are told apart, each with a status of its own. `/health` follows the Collector: a lost
//! server is no fault of this host, and the Collector works on without it. `/health/live` asks for nothing
//! but an answer, for whoever would kill the supervisor over a bad Collector, which is the one thing that
//! could mend it. All of it runs on the driver's thread: when that hangs, nobody answers.
//!
//! - `answer`: what is answered, pure
//! - `serve`: sockets, TLS and HTTP
//!
//! Called by `startup`, which binds before the Collector starts, and by the driver, which says what it sees.

mod answer;
mod serve;

pub(super) use answer::Seen;
pub(super) use serve::{Bound, HealthcheckError, Serving};
