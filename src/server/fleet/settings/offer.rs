//! The connection settings of one agent, in the order of what counts more: what is written on the agent itself, then the
//! group of higher priority, class by class. What the server issued to the agent alone joins its `opamp` class.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use super::{Class, Destination, HEARTBEAT_SECONDS, Headers, Proxy, Tls};
use crate::{
    protocol::settings,
    server::fleet::{Agent, Catalogue},
    wire::proto::{
        ConnectionSettingsOffers, Header, Headers as WireHeaders, OpAmpConnectionSettings,
        OtherConnectionSettings, ProxyConnectionSettings, TelemetryConnectionSettings, TlsCertificate,
        TlsConnectionSettings,
    },
};

/// What the server gave this agent of its own, to connect with from now on.
#[derive(Clone, Default, PartialEq)]
pub struct Issued {
    /// Where; if it is not set, where the agent reached us.
    pub endpoint: Option<String>,
    pub headers: Vec<Header>,
    /// Without a private key if the agent made it itself.
    pub certificate: Option<TlsCertificate>,
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.iter().map(|header| &header.key).collect();
        f.debug_struct("Issued")
            .field("endpoint", &self.endpoint)
            .field("headers", &names)
            .field("certificate", &self.certificate.is_some())
            .finish()
    }
}

/// All connection settings that are wanted of an agent, of the classes that it takes, with their hash (S-CS-02).
#[derive(Clone, PartialEq)]
pub struct Wanted(Arc<ConnectionSettingsOffers>);

impl Wanted {
    fn of(mut offers: ConnectionSettingsOffers) -> Option<Self> {
        offers.hash = settings::hash(&offers);
        (!settings::is_empty(&offers)).then(|| Self(Arc::new(offers)))
    }

    #[must_use]
    pub fn offers(&self) -> &ConnectionSettingsOffers {
        &self.0
    }

    /// What it has, in the words of [`Class`].
    #[must_use]
    pub fn classes(&self) -> Vec<String> {
        let fixed = [
            (Class::Opamp, self.0.opamp.is_some()),
            (Class::OwnMetrics, self.0.own_metrics.is_some()),
            (Class::OwnLogs, self.0.own_logs.is_some()),
            (Class::OwnTraces, self.0.own_traces.is_some()),
        ];
        let fixed = fixed.into_iter().filter(|(_, there)| *there).map(|(class, _)| class);
        let others = self.0.other_connections.keys().map(|name| Class::Other(name.clone()));
        fixed.chain(others).map(|class| class.to_string()).collect()
    }
}

/// Settings hold tokens and keys.
impl fmt::Debug for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Wanted").field(&self.0.hash).finish()
    }
}

/// Why connection settings could not be worked out; the agent keeps what it has until this is mended.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Unsettled {
    #[error(
        "groups {first:?} and {second:?} both have priority {priority} and give different connection settings for \
         {class}; give one of them a higher priority"
    )]
    Tie { class: Class, first: String, second: String, priority: i64 },
    #[error(
        "the connection settings for opamp name no destinationEndpoint, and it is not known how the agent reached this \
         server; give one"
    )]
    Endpoint,
}

/// What one class shall be, and who says so.
struct Candidate<'a> {
    given: &'a Destination,
    group: &'a str,
    priority: i64,
}

impl Catalogue {
    /// Works out the connection settings of an agent; none if nobody wants any of it.
    pub fn connection_settings(&self, agent: &Agent) -> Result<Option<Wanted>, Unsettled> {
        let mut chosen = self.settings_of_groups(agent)?;
        for (class, given) in agent.spec.connection_settings.iter().flat_map(|settings| settings.classes()) {
            chosen.insert(class, given);
        }
        let mut offers = ConnectionSettingsOffers::default();
        for (class, given) in chosen.iter().filter(|(class, _)| agent.can(class.bit())) {
            match class {
                Class::Opamp => {}
                Class::OwnMetrics => offers.own_metrics = Some(telemetry(given)),
                Class::OwnLogs => offers.own_logs = Some(telemetry(given)),
                Class::OwnTraces => offers.own_traces = Some(telemetry(given)),
                Class::Other(name) => drop(offers.other_connections.insert(name.clone(), other(given))),
            }
        }
        let given = chosen.get(&Class::Opamp).copied();
        if agent.can(Class::Opamp.bit()) && (given.is_some() || agent.issued_to_offer().is_some()) {
            offers.opamp = Some(opamp(agent, given)?);
        }
        Ok(Wanted::of(offers))
    }

    fn settings_of_groups(&self, agent: &Agent) -> Result<BTreeMap<Class, &Destination>, Unsettled> {
        let mut chosen: BTreeMap<Class, Candidate<'_>> = BTreeMap::new();
        let mut ties: BTreeMap<Class, (i64, Unsettled)> = BTreeMap::new();
        let groups = self.groups_in(&agent.namespace);
        for group in groups.filter(|group| group.spec.selector.matches(&agent.described)) {
            let (name, priority) = (group.metadata.name.as_str(), group.spec.priority);
            let settings =
                group.spec.agent_config.iter().filter_map(|config| config.connection_settings.as_ref());
            for (class, given) in settings.flat_map(|settings| settings.classes()) {
                match chosen.get(&class) {
                    Some(other) if other.priority > priority => continue,
                    Some(other) if other.priority == priority && other.given != given => {
                        let (first, second) = (other.group.to_owned(), name.to_owned());
                        let tie = Unsettled::Tie { class: class.clone(), first, second, priority };
                        ties.insert(class, (priority, tie));
                        continue;
                    }
                    _ => {}
                }
                chosen.insert(class, Candidate { given, group: name, priority });
            }
        }
        let own: BTreeSet<_> = agent
            .spec
            .connection_settings
            .iter()
            .flat_map(|own| own.classes())
            .map(|(class, _)| class)
            .collect();
        // A tie that a group of higher priority has settled is none, nor one that the agent's own settings decide, nor
        // one about what the agent does not take.
        let open = ties.into_iter().find(|(class, (priority, _))| {
            chosen[class].priority == *priority && !own.contains(class) && agent.can(class.bit())
        });
        match open {
            Some((_, (_, tie))) => Err(tie),
            None => Ok(chosen.into_iter().map(|(class, candidate)| (class, candidate.given)).collect()),
        }
    }
}

/// What is issued is for this server alone: it does not go to another endpoint that an operator sends the agent to.
fn opamp(agent: &Agent, given: Option<&Destination>) -> Result<OpAmpConnectionSettings, Unsettled> {
    let here =
        agent.issued_to_offer().and_then(|issued| issued.endpoint.as_ref()).or(agent.reached_at.as_ref());
    let written = given.map(|given| &given.destination_endpoint).filter(|endpoint| !endpoint.is_empty());
    let issued = agent.issued_to_offer().filter(|_| written.is_none_or(|written| Some(written) == here));
    let destination_endpoint = written.or(here).ok_or(Unsettled::Endpoint)?.clone();
    let blank = Destination::default();
    let given = given.unwrap_or(&blank);
    let mut headers = list(&given.headers);
    for header in issued.iter().flat_map(|issued| &issued.headers) {
        headers.retain(|other| !other.key.eq_ignore_ascii_case(&header.key));
        headers.push(header.clone());
    }
    Ok(OpAmpConnectionSettings {
        destination_endpoint,
        headers: wrap(headers),
        certificate: issued.and_then(|issued| issued.certificate.clone()),
        heartbeat_interval_seconds: given.heartbeat_interval_seconds.unwrap_or(HEARTBEAT_SECONDS),
        tls: given.tls.as_ref().map(tls),
        proxy: given.proxy.as_ref().map(proxy),
    })
}

fn telemetry(given: &Destination) -> TelemetryConnectionSettings {
    TelemetryConnectionSettings {
        destination_endpoint: given.destination_endpoint.clone(),
        headers: wrap(list(&given.headers)),
        certificate: None,
        tls: given.tls.as_ref().map(tls),
        proxy: given.proxy.as_ref().map(proxy),
    }
}

fn other(given: &Destination) -> OtherConnectionSettings {
    OtherConnectionSettings {
        destination_endpoint: given.destination_endpoint.clone(),
        headers: wrap(list(&given.headers)),
        certificate: None,
        other_settings: given.other_settings.clone(),
        tls: given.tls.as_ref().map(tls),
        proxy: given.proxy.as_ref().map(proxy),
    }
}

/// One entry for each value, in the order of names.
fn list(headers: &Headers) -> Vec<Header> {
    let each = headers.0.iter().flat_map(|(key, values)| values.iter().map(move |value| (key, value)));
    each.map(|(key, value)| Header { key: key.clone(), value: value.clone() }).collect()
}

fn wrap(headers: Vec<Header>) -> Option<WireHeaders> {
    (!headers.is_empty()).then_some(WireHeaders { headers })
}

fn tls(given: &Tls) -> TlsConnectionSettings {
    TlsConnectionSettings {
        ca_pem_contents: given.ca_pem_contents.clone(),
        include_system_ca_certs_pool: given.include_system_ca_certs_pool,
        insecure_skip_verify: given.insecure_skip_verify,
        min_version: given.min_version.clone(),
        max_version: given.max_version.clone(),
        cipher_suites: given.cipher_suites.clone(),
    }
}

fn proxy(given: &Proxy) -> ProxyConnectionSettings {
    ProxyConnectionSettings { url: given.url.clone(), connect_headers: wrap(list(&given.connect_headers)) }
}
