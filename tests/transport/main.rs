//! The client's transports and the local endpoint over real sockets, against peers made here.

mod client;
mod dial;
mod http;
mod links;
mod local;
mod peer;
mod secure;
