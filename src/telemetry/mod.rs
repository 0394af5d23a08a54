//! What the programs say of themselves: their logs. Nothing here knows what is said, and nothing here counts:
//! the server's numbers are in `server::hub::metrics`.
//!
//! Called by `bin` once at start; everybody else uses `tracing`'s macros.

pub mod logs;
