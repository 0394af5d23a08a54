//! server
pub mod fleet;
