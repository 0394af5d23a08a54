//! supervisor.
pub mod config;
