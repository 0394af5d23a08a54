//! The agent-side daemon: runs one Collector, speaks OpAMP to a server on its behalf.
pub mod config;
pub mod journal;
pub mod machine;
