//! An offer of connection settings: what an agent takes of it, its hash, the TLS that it asks for, and whether the
//! supervisor would try it, over several files and over what was offered before.

use std::{io, path::Path, sync::LazyLock};

use opamp::{
    protocol::settings,
    supervisor::{
        config::{Secret, ServerConfig, Sources, parse},
        connection::{Ground, over},
        journal::{Settings, SettingsHash},
    },
    transport::tls::{Identity, TlsOptions},
    wire::{
        AgentCaps,
        proto::{ConnectionSettingsOffers, OpAmpConnectionSettings},
    },
};
use prost::Message;

/// 2026-11-21.
const NOW: i64 = 1_795_219_200;
/// A reason goes to the server and into the log.
const LONGEST_REASON: usize = 4096;
/// The key that this agent asked for a certificate with; the corpus has one that is for it.
const KEY: &str = include_str!("settings.key");

/// `server` of a supervisor.yaml: in the open, secured, and secured by everything that there is.
static FILES: LazyLock<[ServerConfig; 4]> = LazyLock::new(|| {
    [
        "endpoint: ws://one.example/v1/opamp",
        "endpoint: wss://one.example/v1/opamp, headers: {Authorization: Bearer a}, tls: {insecure_skip_verify: true}",
        "endpoint: https://one.example/v1/opamp, tls: {min_version: '1.3'}",
        "endpoint: wss://one.example/v1/opamp, proxy_url: 'http://proxy.example:3128', \
         tls: {server_name_override: two.example, include_system_ca_certs_pool: true}",
    ]
    .map(server)
});

fn server(lines: &str) -> ServerConfig {
    let read = |_: &Path| Err(io::Error::other("there is no file"));
    let sources = Sources { env: &|_| None, read: &read, stat: &|_| Ok(()) };
    let text = format!("server: {{{lines}}}\nagent: {{executable: /bin/c}}\n");
    parse(&text, "supervisor.yaml", sources).unwrap().config.server
}

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
    if let Some(opamp) = &offer.opamp {
        FILES.iter().for_each(|file| judged(file, opamp));
    }
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

/// What would be tried, over this file alone and then over what it made of it.
fn judged(file: &ServerConfig, offer: &OpAmpConnectionSettings) {
    let Some(first) = judge(file, None, false, offer) else { return };
    let again =
        judge(file, Some(&first), false, offer).expect("what was good over the file is good over itself");
    assert!(over(file, Some(&again)) == over(file, Some(&first)), "the same offer again changes nothing");
    let nothing = OpAmpConnectionSettings::default();
    let kept = judge(file, Some(&first), false, &nothing).expect("an offer of nothing is good");
    assert!(over(file, Some(&kept)) == over(file, Some(&first)), "what an offer leaves out stays");
    if offer.certificate.is_some() {
        assert!(judge(file, None, true, offer).is_none(), "no certificate into a memory that forgets");
    }
}

fn judge(
    file: &ServerConfig,
    valid: Option<&Settings>,
    forgetful: bool,
    offer: &OpAmpConnectionSettings,
) -> Option<Settings> {
    let keys = vec![(Secret::new(KEY), None)];
    let ground = Ground { file, valid, keys, now: NOW, forgetful };
    let hash = SettingsHash(vec![7]);
    match ground.judge(&hash, "this file".to_owned(), offer) {
        Ok(settings) => {
            assert_eq!((&settings.offer, settings.over.as_str()), (&hash, "this file"));
            safe(file, &settings, offer);
            Some(settings)
        }
        Err(unfit) => {
            let why = unfit.to_string();
            assert!(!why.is_empty() && why.len() <= LONGEST_REASON, "{} bytes", why.len());
            None
        }
    }
}

/// Nothing is taken away from how the connection is secured, and what is kept is what was judged.
fn safe(file: &ServerConfig, settings: &Settings, offer: &OpAmpConnectionSettings) {
    let server = over(file, Some(settings));
    assert!(server.endpoint.is_secure() || !file.endpoint.is_secure(), "TLS is gone");
    let (tls, before) = (&server.tls, &file.tls);
    assert!(!tls.insecure_skip_verify || before.insecure_skip_verify, "nobody looks who the server is");
    assert!(tls.min_version >= before.min_version && tls.min_version <= tls.max_version, "{tls:?}");
    let asked = offer.tls.as_ref().map_or(0, |tls| tls.cipher_suites.len());
    assert!(asked == 0 || tls.cipher_suites.len() == asked, "{:?}", tls.cipher_suites);
    assert_eq!(server.proxy.is_some(), file.proxy.is_some() || settings.proxy.is_some());
    assert!(offer.proxy.is_none() || settings.proxy.is_some());
    let fits = |text: &str| !text.contains(['\r', '\n', '\0']);
    for (name, values) in &server.headers {
        assert!(fits(name) && !name.eq_ignore_ascii_case("host"), "{name:?}");
        assert!(values.iter().all(|value| fits(value.expose())), "{name:?}");
    }
    let stored = serde_json::to_string(settings).expect("it can be written down");
    let read: Settings = serde_json::from_str(&stored).expect("and read again");
    assert!(over(file, Some(&read)) == server, "a restart changes nothing");
}
