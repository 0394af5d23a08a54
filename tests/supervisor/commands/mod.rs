//! The commands on the host, as the built binary answers them.

mod about;
mod logs;
mod orders;
mod status;
