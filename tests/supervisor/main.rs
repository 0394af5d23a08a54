//! The built `opamp-supervisor` with a fake and with a real Collector, managed by a server made of the
//! library's own `protocol` and `transport`.

mod agent_keys;
mod bad_collector;
mod bad_day;
mod bad_input;
mod bad_offers;
mod certificates;
mod commands;
mod connection;
mod custom;
mod defects;
mod discovery;
mod exhaustion;
mod fence;
mod harness;
mod healthcheck;
mod identity;
mod ladder;
mod lifecycle;
mod local_files;
mod own_telemetry;
mod packages;
mod pid1;
mod real;
mod reload;
mod remote_config;
mod reports;
mod sandbox;
mod secrets;
mod succession;
mod systemd;
mod telemetry;
mod tls;
mod way;
