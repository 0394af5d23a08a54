//! The client's transports and the local endpoint over real sockets, against peers made here.

mod authority;
mod client;
mod conduct;
mod dial;
mod http;
mod judged;
mod links;
mod local;
mod peer;
mod proxied;
mod secure;
mod trouble;
