//! What of an offer can be honoured. A part that the Collector's own exporters cannot honour is refused with its
//! reason, never left out in silence.

use http::{HeaderName, HeaderValue};
use url::Url;

use super::{ClientIdentity, Header, Outlet, OwnTelemetry, Trust};
use crate::{
    supervisor::config::Secret,
    transport::tls::{Identity, TlsOptions},
    wire::proto::{
        ConnectionSettingsOffers, Headers, TelemetryConnectionSettings, TlsCertificate, TlsConnectionSettings,
    },
};

const MOST_HEADERS: usize = 64;
/// What the exporters set themselves.
const THEIRS: [&str; 5] = ["content-type", "content-encoding", "content-length", "transfer-encoding", "host"];

/// The offer over what is in force: a class that is unset stays as it is (C-CS-01, C-OT-01). All or nothing; the
/// reasons of all classes are told.
pub(in crate::supervisor) fn merge(
    now: &OwnTelemetry,
    offer: &ConnectionSettingsOffers,
) -> Result<OwnTelemetry, String> {
    let mut wrong = Vec::new();
    let mut one = |name, now: &Option<Outlet>, offered: &Option<TelemetryConnectionSettings>| {
        let Some(offered) = offered else { return now.clone() };
        outlet(now.as_ref(), offered).unwrap_or_else(|why| {
            wrong.push(format!("{name}: {why}"));
            None
        })
    };
    let next = OwnTelemetry {
        metrics: one("own_metrics", &now.metrics, &offer.own_metrics),
        traces: one("own_traces", &now.traces, &offer.own_traces),
        logs: one("own_logs", &now.logs, &offer.own_logs),
    };
    if wrong.is_empty() { Ok(next) } else { Err(wrong.join("; ")) }
}

/// One class. Settings without an endpoint take the server's word back: the signal goes where the file says.
fn outlet(now: Option<&Outlet>, offered: &TelemetryConnectionSettings) -> Result<Option<Outlet>, String> {
    if *offered == TelemetryConnectionSettings::default() {
        return Ok(None);
    }
    let url = endpoint(&offered.destination_endpoint)?;
    let was_secure = now.is_some_and(|now| now.endpoint.starts_with("https:"));
    if was_secure && url.scheme() == "http" {
        return Err(
            "it goes over TLS now, and http:// would weaken that; offer an https:// endpoint".to_owned()
        );
    }
    if offered.proxy.as_ref().is_some_and(|proxy| !proxy.url.is_empty()) {
        return Err(
            "a proxy cannot be set for the Collector's own telemetry alone; set HTTPS_PROXY in agent.env, \
                    which all of its connections use"
                .to_owned(),
        );
    }
    let trust = match &offered.tls {
        Some(tls) => trust(tls)?,
        // What is not offered stays (C-CT-09).
        None => now.map(|now| now.trust.clone()).unwrap_or_default(),
    };
    let outlet = Outlet {
        endpoint: offered.destination_endpoint.clone(),
        headers: headers(offered.headers.as_ref())?,
        trust,
        // Without an offered one there is none (C-CT-04).
        identity: offered.certificate.as_ref().map(identity).transpose()?.flatten(),
    };
    if url.scheme() == "https" {
        outlet.tls().build().map_err(|error| error.to_string())?;
    }
    Ok(Some(outlet))
}

fn endpoint(text: &str) -> Result<Url, String> {
    let wrong = |why: &str| {
        Err(format!(
            "destination_endpoint: {why}; it is a whole URL such as https://otlp.example.com/v1/metrics"
        ))
    };
    if text.is_empty() {
        return wrong("there is none");
    }
    let Ok(url) = Url::parse(text) else { return wrong("this is not a URL") };
    match url.scheme() {
        "http" | "https" if url.has_host() => {}
        _ => return wrong("OTLP over HTTP needs http:// or https://"),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return wrong("credentials do not belong into a URL, but into headers");
    }
    Ok(url)
}

fn headers(offered: Option<&Headers>) -> Result<Vec<Header>, String> {
    let offered = offered.map_or(&[][..], |headers| &headers.headers);
    if offered.len() > MOST_HEADERS {
        return Err(format!("there are {} headers, and {MOST_HEADERS} is the most", offered.len()));
    }
    let one = |header: &crate::wire::proto::Header| {
        let name = &header.key;
        let known =
            HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("{name:?} is no header name"))?;
        if THEIRS.contains(&known.as_str()) {
            return Err(format!("the header {name} is set by whoever sends"));
        }
        // The value may be a secret: it is not repeated.
        HeaderValue::from_str(&header.value).map_err(|_| {
            format!("the header {name} has a value that no header can have, such as a line end")
        })?;
        Ok(Header { name: name.clone(), secret: Secret::new(&header.value) })
    };
    offered.iter().map(one).collect()
}

fn identity(offered: &TlsCertificate) -> Result<Option<ClientIdentity>, String> {
    let text = |bytes: &[u8], what| {
        String::from_utf8(bytes.to_vec()).map_err(|_| format!("certificate.{what} is not PEM"))
    };
    match (offered.cert.is_empty(), offered.private_key.is_empty()) {
        (true, true) => Ok(None),
        (false, false) => Ok(Some(ClientIdentity {
            cert: text(&offered.cert, "cert")?,
            secret: Secret::new(text(&offered.private_key, "private_key")?),
        })),
        (false, true) => Err("certificate.private_key is missing; it comes with certificate.cert".to_owned()),
        (true, false) => Err("certificate.cert is missing; it comes with certificate.private_key".to_owned()),
    }
}

/// What the Collector's own exporters can be told of TLS is a CA and a client certificate.
fn trust(offered: &TlsConnectionSettings) -> Result<Trust, String> {
    let cannot = |what: &str| Err(format!("tls.{what} cannot be set for the Collector's own telemetry"));
    if offered.insecure_skip_verify {
        return Err("tls.insecure_skip_verify is not taken from a server".to_owned());
    }
    let version = |text: &str| text.trim_start_matches("TLSv").to_owned();
    match version(&offered.min_version).as_str() {
        // Go's own least is 1.2.
        "" | "1.0" | "1.1" | "1.2" => {}
        other => return cannot(&format!("min_version {other}")),
    }
    match version(&offered.max_version).as_str() {
        "" | "1.3" => {}
        other => return cannot(&format!("max_version {other}")),
    }
    if !offered.cipher_suites.is_empty() {
        return cannot("cipher_suites");
    }
    let ca_pem = (!offered.ca_pem_contents.is_empty()).then(|| offered.ca_pem_contents.clone());
    Ok(Trust { ca_pem, system_too: offered.include_system_ca_certs_pool })
}

impl Outlet {
    /// As the supervisor itself speaks to it.
    pub(super) fn tls(&self) -> TlsOptions {
        TlsOptions {
            ca_pem: self.trust.ca_pem.as_ref().map(|pem| pem.clone().into_bytes()),
            system_roots: self.trust.system_too,
            identity: self.identity.as_ref().map(|identity| Identity {
                cert_pem: identity.cert.clone().into_bytes(),
                key_pem: identity.secret.expose().as_bytes().to_vec(),
            }),
            ..TlsOptions::default()
        }
    }
}
