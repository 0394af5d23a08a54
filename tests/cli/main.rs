//! `opampctl` as a program: what it asks of a server, what it prints, how it exits.

mod changes;
mod failures;
mod messages;
mod package;
mod reading;
mod real;
mod rollout;
mod stub;
