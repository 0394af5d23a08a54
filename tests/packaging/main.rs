//! What is shipped around the programs: it must fit them.

mod container;
#[allow(dead_code, unused_imports, reason = "shared with the tests of the supervisor, which use all of it")]
#[path = "../supervisor/harness/mod.rs"]
mod harness;
mod units;
