//! What the programs say of themselves. Today their logs; nothing here knows what is said.
//!
//! Called by `bin` once at start; everybody else uses `tracing`'s macros.

pub mod logs;
