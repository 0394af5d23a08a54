//! Packages on this host: what is offered, fetched, proven and held.
//!
//! - `terms`: what is offered and held, and its form on disk; `policy`: what this host takes
//! - `machine`: what to do next, pure; `begin`: what a start finds; `place`: where things are
//! - `download`: an artefact into a file
//!
//! Verification and unpacking are [`crate::package`]'s; the switch of the Collector's binary, `supervisor::machine`'s. Called
//! by `driver::packages`.

mod begin;
pub mod download;
pub mod machine;
mod place;
mod policy;
mod terms;

pub use begin::Beginning;
pub use place::{Places, Program, Unfit};
pub use policy::{Rules, version};
pub use terms::{
    Artefact, Before, Failed, Held, Kind, Offer, Offered, Quarantined, Record, SUPERVISOR, Stage, Then,
    Trial, Unusable, Work,
};
