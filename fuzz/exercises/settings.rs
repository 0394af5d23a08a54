//! An offer of connection settings: what an agent takes of it, its hash, and the TLS and the URL that it asks for.

use opamp::{
    protocol::settings,
    transport::tls::{Identity, TlsOptions},
    wire::{AgentCaps, proto::ConnectionSettingsOffers},
};
use prost::Message;

pub(crate) fn exercise(data: &[u8]) {
    let Some((caps, bytes)) = data.split_at_checked(2) else { return };
    let Ok(offer) = ConnectionSettingsOffers::decode(bytes) else { return };
    let caps = AgentCaps::from_wire(u64::from(u16::from_be_bytes([caps[0], caps[1]])));
    let taken = settings::for_agent(&offer, caps);
    assert_eq!(taken.hash, offer.hash, "the hash is that of the whole offer");
    assert_eq!(encoded(&settings::for_agent(&taken, caps)), encoded(&taken), "what was taken is taken again");
    assert!(settings::is_empty(&settings::for_agent(&offer, AgentCaps::default())));
    let all = AgentCaps::from_wire(u64::MAX);
    assert_eq!(encoded(&settings::for_agent(&offer, all)), encoded(&offer));
    let other = ConnectionSettingsOffers { hash: b"another".to_vec(), ..offer.clone() };
    assert_eq!(settings::hash(&offer), settings::hash(&other), "a hash is not over itself");
    used(&taken);
}

/// Compared as bytes: a NaN is not equal to itself.
fn encoded(offer: &ConnectionSettingsOffers) -> Vec<u8> {
    offer.encode_to_vec()
}

/// What the sender wrote is an error at worst.
fn used(offer: &ConnectionSettingsOffers) {
    let Some(opamp) = &offer.opamp else { return };
    let tls = opamp.tls.as_ref();
    let options = TlsOptions {
        // Without any the system's roots would be read, which is slow and says nothing.
        ca_pem: Some(tls.map_or_else(Vec::new, |tls| tls.ca_pem_contents.clone().into_bytes())),
        identity: opamp.certificate.as_ref().map(|certificate| Identity {
            cert_pem: certificate.cert.clone(),
            key_pem: certificate.private_key.clone(),
        }),
        ..TlsOptions::default()
    };
    if let Err(error) = options.build() {
        assert!(!error.to_string().is_empty());
    }
}
