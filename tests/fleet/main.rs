//! The three built programs together, as people run them: `opamp-server` over TLS, `opampctl` for its operator, and
//! `opamp-supervisor` with the fake Collector on a host.
//!
//! Each program alone is tested in the directory of its name; here is what only the whole chain shows.

mod enrolment;
mod packages;
mod proxied;
mod stand;
