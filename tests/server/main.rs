//! opamp-server, driven over real sockets by a small OpAMP client and a small HTTP client.
#![cfg(feature = "server")]

mod agent;
mod auth;
mod certificates;
mod duplicates;
mod enrolment;
mod faults;
mod harness;
mod limits;
mod messages;
mod overload;
mod packages;
mod packages_download;
mod packages_offered;
mod presence;
mod process;
mod push;
mod rest;
mod restart;
mod secure;
mod settings;
mod shapes;
mod systemd;
mod tls;
mod transports;
mod watch;
