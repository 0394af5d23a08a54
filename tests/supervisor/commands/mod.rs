//! The commands on the host, as the built binary answers them.

mod status;
