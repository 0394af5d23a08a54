//! What the programs say of themselves. Nothing here knows what is said; the server's numbers are in
//! `server::hub::metrics`.
//!
//! - [`logs`]: setting the log up; called by `bin` once at start, everybody else uses `tracing`'s macros
//! - `otlp`: the supervisor's logs, numbers and spans over OTLP, where its file asks for that

pub mod logs;
#[cfg(feature = "supervisor")]
pub mod otlp;
