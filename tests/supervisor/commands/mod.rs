//! The commands on the host, as the built binary answers them.

mod about;
mod diag;
mod export;
mod logs;
mod orders;
mod status;
mod validate;
