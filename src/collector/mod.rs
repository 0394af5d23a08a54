//! What is known of the OpenTelemetry Collector: which components a binary has, how its command line
//! answers, what is wrong with a config, whether a running one is up.
//!
//! - [`components`]: the list of available components, and its form on the wire
//! - [`lint`]: a config's faults with line and column, without running anything
//!
//! Not here: keeping a Collector running (`supervisor`), composing its layers (`supervisor::compose`).
//! Called by `supervisor` (all of it), `server` and `cli` ([`components`] and [`lint`]).

pub mod components;
pub mod lint;
