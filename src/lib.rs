//! OpAMP for a fleet of OpenTelemetry Collectors.
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(any(feature = "supervisor", feature = "server", feature = "cli"))]
pub mod collector;
#[cfg(feature = "supervisor")]
pub mod os;
pub mod protocol;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "supervisor")]
pub mod supervisor;
pub mod telemetry;
#[cfg(any(feature = "supervisor", feature = "server"))]
pub mod transport;
pub mod wire;
