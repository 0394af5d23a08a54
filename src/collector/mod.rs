//! What is known of the OpenTelemetry Collector: which components a binary has, how its command line
//! answers, what is wrong with a config, whether a running one is up.
//!
//! - [`components`]: the list of available components, and its form on the wire
//! - [`lint`]: a config's faults with line and column, without running anything
//! - [`binary`]: how the binary is called, and which file it is
//! - [`bootstrap`]: what it says of itself; [`validate`]: what it says of a config
//! - [`probe`]: whether a running one answers its health check
//!
//! Not here: keeping a Collector running (`supervisor`), composing its layers (`supervisor::compose`).
//! Called by `supervisor` (all of it) and `cli` ([`lint`]). The server does not judge configs.

#[cfg(feature = "supervisor")]
pub mod binary;
#[cfg(feature = "supervisor")]
pub mod bootstrap;
pub mod components;
#[cfg(feature = "supervisor")]
pub mod death;
pub mod lint;
#[cfg(feature = "supervisor")]
pub mod probe;
#[cfg(feature = "supervisor")]
mod reason;
#[cfg(all(test, feature = "supervisor"))]
mod testing;
#[cfg(feature = "supervisor")]
pub mod validate;
