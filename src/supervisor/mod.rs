//! The agent-side daemon: runs one Collector, speaks OpAMP to a server on its behalf.
//!
//! - [`config`]: `supervisor.yaml` → typed configuration
//! - [`startup`]: from a configuration to a running driver; `setup`: what it means for the Collector,
//!   `sandbox`: what that gives up
//! - `reload`: judging another `supervisor.yaml` while one is in force
//! - `driver`: the one task that owns everything below and performs effects
//! - [`machine`]: what to do with process and config, pure
//! - [`compose`], [`live`]: the config as a list of files, on disk; [`owned`]: keys that no `--set` may touch
//! - [`check`]: judging a config without touching what runs
//! - [`commands`]: what a person runs on the host; [`control`]: the socket through which the running supervisor
//!   answers; [`mask`]: texts without secrets
//! - [`fence`]: what a remote config may ask of this host
//! - [`local`]: the OpAMP endpoint for the Collector's own extension
//! - [`health`], [`agent`]: what the server is told; `healthcheck`: what whoever asks over HTTP is told
//! - [`journal`]: the one truth on disk; `record` is what its content means, `legacy` what the established
//!   supervisor left, `host_key` what failures are remembered together with
//! - `discovery`: what the Collector could watch on this host, for a server that asks
//! - [`export`]: the supervisor's own telemetry as something to send; `own_telemetry`: where Collector and supervisor
//!   send theirs by the server's word
//! - [`connection`]: connection settings that the server offers
//! - [`succession`]: another supervisor takes the place of this one, in the same process
//! - [`upgrade`]: packages on their way to this host
//! - [`target`]: the server as something to dial; `passthrough`: the Collector's lines in the supervisor's log
//!
//! Not here: how bytes travel (`transport`), what a Collector is (`collector`), system calls (`os`).
//! Called by `bin/opamp-supervisor`; `docs/supervisor.md` tells operators how it behaves.

pub mod agent;
pub mod check;
pub mod commands;
pub mod compose;
pub mod config;
pub mod connection;
pub mod control;
mod discovery;
mod driver;
pub mod export;
pub mod fence;
pub mod health;
mod healthcheck;
mod host_key;
pub mod journal;
mod legacy;
pub mod live;
pub mod local;
pub mod machine;
pub mod mask;
mod own_telemetry;
pub mod owned;
mod passthrough;
mod record;
mod reload;
mod sandbox;
mod setup;
#[cfg(test)]
mod simulation;
pub mod startup;
pub mod succession;
pub mod target;
pub mod upgrade;
