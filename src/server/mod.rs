//! opamp-server: the OpAMP endpoint for agents, the model of the fleet, and the operator plane.
//!
//! - [`fleet`]: the pure model: agents, groups, configs, what each agent should run
//! - [`hub`]: the shell that owns the fleet; sessions and operators meet here
//! - [`store`]: what is kept across restarts (SQLite)
//! - [`accept`]: the agent plane, WebSocket and plain HTTP, and who is let in
//! - [`identity`]: the pure rules of enrolment and credentials; [`ca`]: the server's own certificate authority
//! - [`packages`]: the files that agents are given as packages
//! - [`api`], [`auth`], [`web`]: the operator plane: REST and events, who may, the page
//! - [`private`]: files with secrets; [`listen`]: sockets of both planes; [`tls`]: their certificates; [`config`]: settings; [`run`]: start and stop;
//!   [`announce`]: what systemd is told
//!
//! Called by `bin/opamp-server`. It knows nothing of `supervisor` or `cli`.

pub mod accept;
pub mod announce;
pub mod api;
pub mod auth;
pub mod ca;
pub mod config;
pub mod fleet;
pub mod hub;
pub mod identity;
pub mod listen;
pub mod packages;
pub mod private;
pub mod run;
pub mod store;
pub mod tls;
pub mod web;

pub use run::{Options, Server, ServerError};
