//! What the Collector could watch on this host: services that listen, likely products, the receiver for each.
//!
//! A custom capability of our own; its messages are in `docs/discovery.md`. Only where
//! `capabilities.reports_services` allows it: what listens on a host is the host's to tell. No command line and no
//! environment leaves the host, only names of processes, addresses and ports.
//!
//! - `products`: what is known by process, port and path
//!
//! Not here: reading the kernel's tables (`os::listening`), sending (`driver::custom`). A look takes its time on
//! a busy host, so the driver has it taken beside.

mod products;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use serde::{Deserialize, Serialize};

use crate::{
    collector::components::{Components, Section},
    os::listening::{self, Listening, Process, Transport},
    protocol::custom::DISCOVERY,
    wire::proto::CustomMessage,
};
use products::Product;

/// The types of its messages.
const REQUEST: &str = "request";
const SERVICES: &str = "services";
const ERROR: &str = "error";

/// Services of one answer; a host with more is said to have more.
const MOST: usize = 500;
/// Sockets of one service that are listed.
const MOST_LISTENS: usize = 16;
const LONGEST_ID: usize = 128;

/// What the server asks.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    /// Repeated in the answer.
    id: Option<String>,
}

/// The answer.
#[derive(Debug, Default, Serialize)]
struct Services {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    services: Vec<Service>,
    /// What a person should know of how much was seen.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
}

#[derive(Debug, PartialEq, Serialize)]
struct Service {
    #[serde(skip_serializing_if = "Option::is_none")]
    product: Option<&'static str>,
    /// What tells so: `process`, `port` or `path`.
    #[serde(skip_serializing_if = "Option::is_none")]
    known_by: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    process: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<i32>,
    listens: Vec<Listens>,
    /// Only where this Collector has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    receiver: Option<Snippet>,
}

#[derive(Debug, PartialEq, Serialize)]
struct Listens {
    /// `tcp`, `udp` or `unix`.
    transport: &'static str,
    /// An IP address, or a path.
    address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
}

#[derive(Debug, PartialEq, Serialize)]
struct Snippet {
    r#type: &'static str,
    config: String,
}

#[derive(Debug, Serialize)]
struct Failure<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    error: &'a str,
}

/// A question that is understood.
#[derive(Debug)]
pub(super) struct Question {
    id: Option<String>,
}

/// Reads a message of the capability: the question, or what to answer instead; nothing for a type that is unknown
/// (B-CU-04).
pub(super) fn asked(message: &CustomMessage) -> Option<Result<Question, CustomMessage>> {
    if message.r#type != REQUEST {
        return None;
    }
    let request = if message.data.is_empty() {
        Ok(Request::default())
    } else {
        serde_json::from_slice::<Request>(&message.data).map_err(|error| error.to_string())
    };
    Some(match request {
        Ok(Request { id }) if id.as_ref().is_none_or(|id| id.len() <= LONGEST_ID) => Ok(Question { id }),
        Ok(_) => Err(failure(None, &format!("the id is longer than {LONGEST_ID} bytes"))),
        Err(error) => Err(failure(None, &format!("the request is not understood: {error}"))),
    })
}

impl Question {
    /// No look is taken now.
    pub(super) fn put_off(&self, why: &str) -> CustomMessage {
        failure(self.id.as_deref(), why)
    }

    /// Takes the look. Leaves out these processes, which are the supervisor's own.
    pub(super) fn answer(self, components: Option<&Components>, own: &[i32]) -> CustomMessage {
        let found = match listening::listening() {
            Ok(found) => found,
            Err(error) => {
                return failure(
                    self.id.as_deref(),
                    &format!("the kernel does not tell who listens: {error}"),
                );
            }
        };
        let class = |process: &Process| {
            let in_java = process.name == "java";
            in_java.then(|| listening::called_with(process.pid, products::classes())).flatten()
        };
        let mut services = of_sockets(found, own, &class, components);
        let paths: Vec<_> = products::UNIX.iter().map(|(path, _)| *path).collect();
        services.extend(of_paths(&listening::unix_sockets(&paths), components));
        message(SERVICES, &self.tell(services, components.is_some()))
    }

    fn tell(self, mut services: Vec<Service>, knows_components: bool) -> Services {
        let mut notes = Vec::new();
        let hidden =
            services.iter().filter(|service| service.known_by != Some("path") && service.pid.is_none());
        let hidden = hidden.count();
        if hidden > 0 {
            notes.push(format!(
                "of {hidden} services the process may not be seen: the supervisor's user is not theirs, or they are in \
                 another process namespace"
            ));
        }
        if services.len() > MOST {
            notes.push(format!("{} services more are left out", services.len() - MOST));
            services.truncate(MOST);
        }
        if !knows_components {
            notes.push("the Collector did not tell its components, so no receivers are named".to_owned());
        }
        Services { id: self.id, services, notes }
    }
}

fn failure(id: Option<&str>, error: &str) -> CustomMessage {
    message(ERROR, &Failure { id, error })
}

fn message(kind: &str, data: &impl Serialize) -> CustomMessage {
    // Strings, numbers and lists of them always have a JSON.
    let data = serde_json::to_vec(data).unwrap_or_default();
    CustomMessage { capability: DISCOVERY.to_owned(), r#type: kind.to_owned(), data }
}

/// One service for each process, and one for each socket of processes that may not be seen.
fn of_sockets(
    found: Vec<Listening>,
    own: &[i32],
    class: &dyn Fn(&Process) -> Option<&'static str>,
    components: Option<&Components>,
) -> Vec<Service> {
    let mut groups: BTreeMap<(Option<Process>, Option<u16>), Vec<Listening>> = BTreeMap::new();
    for socket in found {
        let port = socket.process.is_none().then_some(socket.port);
        groups.entry((socket.process.clone(), port)).or_default().push(socket);
    }
    let mut services = Vec::new();
    for ((process, _), mut sockets) in groups {
        if process.as_ref().is_some_and(|process| own.contains(&process.pid)) {
            continue;
        }
        sockets.sort_by_key(|socket| (socket.transport, socket.port, socket.address));
        let by_name =
            process.as_ref().and_then(|process| products::by_process(&process.name, class(process)));
        let by_port = || sockets.iter().find_map(|socket| products::by_port(socket.transport, socket.port));
        let (product, known_by) = match by_name {
            Some(product) => (Some(product), Some("process")),
            None => by_port().map_or((None, None), |product| (Some(product), Some("port"))),
        };
        let receiver = product.and_then(|product| {
            let first = endpoint_of(product, &sockets)?;
            snippet(product, &endpoint(first), &first.port.to_string(), components)
        });
        let listens = sockets.iter().take(MOST_LISTENS).map(|socket| Listens {
            transport: match socket.transport {
                Transport::Tcp => "tcp",
                Transport::Udp => "udp",
            },
            address: socket.address.to_string(),
            port: Some(socket.port),
        });
        services.push(Service {
            product: product.map(|product| product.name),
            known_by,
            pid: process.as_ref().map(|process| process.pid),
            process: process.map(|process| process.name),
            listens: listens.collect(),
            receiver,
        });
    }
    services
}

fn of_paths(paths: &[&str], components: Option<&Components>) -> Vec<Service> {
    let known = products::UNIX.iter().filter(|(path, _)| paths.contains(path));
    let services = known.map(|(path, product)| Service {
        product: Some(product.name),
        known_by: Some("path"),
        process: None,
        pid: None,
        listens: vec![Listens { transport: "unix", address: (*path).to_owned(), port: None }],
        receiver: snippet(product, path, product.name, components),
    });
    services.collect()
}

/// Which of its sockets is asked: the one at the product's usual port, else the first.
fn endpoint_of<'a>(product: &Product, sockets: &'a [Listening]) -> Option<&'a Listening> {
    let tcp = || sockets.iter().filter(|socket| socket.transport == Transport::Tcp);
    let usual = product.ports.iter().find_map(|port| tcp().find(|socket| socket.port == *port));
    usual.or_else(|| tcp().next())
}

/// As the Collector reaches it from the same host.
fn endpoint(socket: &Listening) -> String {
    let address = match socket.address {
        IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        address => address,
    };
    std::net::SocketAddr::new(address, socket.port).to_string()
}

fn snippet(product: &Product, endpoint: &str, tag: &str, components: Option<&Components>) -> Option<Snippet> {
    let kind = product.receiver_type()?;
    if !components?.has(Section::Receivers, kind) {
        return None;
    }
    Some(Snippet { r#type: kind, config: product.snippet(endpoint, tag)? })
}

#[cfg(test)]
mod tests;
