//! Connection settings as offered: which classes there are, which an agent takes, and the offer's hash.

use std::collections::BTreeMap;

use prost::Message;
use sha2::{Digest, Sha256};

use crate::wire::{
    AgentCaps,
    proto::{AgentCapabilities as Bit, ConnectionSettingsOffers},
};

/// The part of an offer that an agent with these capabilities takes (S-CS-01, C-CP-05). The hash stays that of the
/// whole.
#[must_use]
pub fn for_agent(offer: &ConnectionSettingsOffers, caps: AgentCaps) -> ConnectionSettingsOffers {
    let other = caps.has(Bit::AcceptsOtherConnectionSettings);
    ConnectionSettingsOffers {
        hash: offer.hash.clone(),
        opamp: offer.opamp.clone().filter(|_| caps.has(Bit::AcceptsOpAmpConnectionSettings)),
        own_metrics: offer.own_metrics.clone().filter(|_| caps.has(Bit::ReportsOwnMetrics)),
        own_traces: offer.own_traces.clone().filter(|_| caps.has(Bit::ReportsOwnTraces)),
        own_logs: offer.own_logs.clone().filter(|_| caps.has(Bit::ReportsOwnLogs)),
        other_connections: if other { offer.other_connections.clone() } else { BTreeMap::new() },
    }
}

/// Whether the offer has no class at all.
#[must_use]
pub fn is_empty(offer: &ConnectionSettingsOffers) -> bool {
    offer.opamp.is_none()
        && offer.own_metrics.is_none()
        && offer.own_traces.is_none()
        && offer.own_logs.is_none()
        && offer.other_connections.is_empty()
}

/// A hash over all settings, also those that an offer leaves out because they did not change (S-CS-02).
#[must_use]
pub fn hash(all: &ConnectionSettingsOffers) -> Vec<u8> {
    let named = ConnectionSettingsOffers { hash: Vec::new(), ..all.clone() };
    Sha256::digest(named.encode_to_vec()).to_vec()
}
