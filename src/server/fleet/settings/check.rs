//! What is refused when connection settings are written, each with the place of the fault.

use url::{Host, Url};

use super::{Class, ConnectionSettings, Destination, Headers, Proxy, Tls};
use crate::server::fleet::resource::Invalid;

/// Headers that belong to the connection itself, or say what a message is.
const OURS: [&str; 10] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "opamp-instance-uid",
    "te",
    "transfer-encoding",
    "trailer",
    "upgrade",
];
/// From the oldest to the newest.
const TLS_VERSIONS: [&str; 4] = ["1.0", "1.1", "1.2", "1.3"];
/// A silence longer than a day is none that a heartbeat ends.
const LONGEST_HEARTBEAT: u64 = 86_400;

impl ConnectionSettings {
    /// `field` is where they are written.
    pub fn check(&self, field: &str) -> Result<(), Invalid> {
        for (class, given) in self.classes() {
            let place = format!("{field}.{class}");
            if let Class::Other(name) = &class
                && name.trim().is_empty()
            {
                return Err(Invalid::new(place, "a connection needs a name, by which the agent knows it"));
            }
            given.belongs(&class, &place)?;
            if !given.certificate_name.is_empty() {
                let message = "names a certificate, and this server keeps none; take it away";
                return Err(Invalid::new(format!("{place}.certificateName"), message));
            }
            let endpoint = format!("{place}.destinationEndpoint");
            match class {
                Class::Opamp => opamp_endpoint(&given.destination_endpoint, &endpoint)?,
                Class::OwnMetrics | Class::OwnLogs | Class::OwnTraces => {
                    telemetry_endpoint(given, &class, &endpoint)?;
                }
                Class::Other(_) => {}
            }
            headers(&given.headers, &format!("{place}.headers"))?;
            if let Some(tls) = &given.tls {
                tls.check(&format!("{place}.tls"))?;
            }
            if let Some(proxy) = &given.proxy {
                proxy.check(&format!("{place}.proxy"))?;
            }
        }
        Ok(())
    }
}

impl Destination {
    /// Keys that only some classes have.
    fn belongs(&self, class: &Class, place: &str) -> Result<(), Invalid> {
        let telemetry = matches!(class, Class::OwnMetrics | Class::OwnLogs | Class::OwnTraces);
        let wrong = [
            (
                "heartbeatIntervalSeconds",
                self.heartbeat_interval_seconds.is_some(),
                *class == Class::Opamp,
                "opamp",
            ),
            ("insecure", self.insecure, telemetry, "ownMetrics, ownLogs and ownTraces"),
            (
                "otherSettings",
                !self.other_settings.is_empty(),
                matches!(class, Class::Other(_)),
                "otherConnections",
            ),
        ];
        for (key, given, right, of) in wrong {
            if given && !right {
                return Err(Invalid::new(format!("{place}.{key}"), format!("is a key of {of} only")));
            }
        }
        if self.heartbeat_interval_seconds.is_some_and(|seconds| seconds > LONGEST_HEARTBEAT) {
            let message = format!("give at most {LONGEST_HEARTBEAT} (a day), or 0 for no heartbeats");
            return Err(Invalid::new(format!("{place}.heartbeatIntervalSeconds"), message));
        }
        Ok(())
    }
}

/// Without one, the agent keeps the one by which it reached us.
fn opamp_endpoint(text: &str, place: &str) -> Result<(), Invalid> {
    if text.is_empty() {
        return Ok(());
    }
    parse(text, &["ws", "wss", "http", "https"], place).map(drop)
}

/// A whole URL of an OTLP/HTTP receiver (S-OT-04), encrypted unless it stays on the host or that is asked for
/// (S-OT-05).
fn telemetry_endpoint(given: &Destination, class: &Class, place: &str) -> Result<(), Invalid> {
    let signal = match class {
        Class::OwnLogs => "logs",
        Class::OwnTraces => "traces",
        _ => "metrics",
    };
    let example = format!("https://otel.example.com:4318/v1/{signal}");
    if given.destination_endpoint.is_empty() {
        return Err(Invalid::new(place, format!("is missing; give a whole URL such as {example}")));
    }
    let url = parse(&given.destination_endpoint, &["https", "http"], place)?;
    if url.path().len() <= 1 {
        let message = format!("has no path; give the whole URL of an OTLP/HTTP receiver, such as {example}");
        return Err(Invalid::new(place, message));
    }
    if url.scheme() == "http" && !given.insecure && !loopback(&url) {
        let message =
            "is not encrypted; use https://, or say insecure: true beside it if nobody can listen there";
        return Err(Invalid::new(place, message));
    }
    Ok(())
}

pub(in crate::server::fleet) fn parse(text: &str, schemes: &[&str], place: &str) -> Result<Url, Invalid> {
    let wanted = format!("give a URL that begins with one of {}", listed(schemes));
    let url =
        Url::parse(text).map_err(|error| Invalid::new(place, format!("is no URL ({error}); {wanted}")))?;
    if !schemes.contains(&url.scheme()) {
        return Err(Invalid::new(place, format!("has the scheme {:?}; {wanted}", url.scheme())));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(Invalid::new(place, format!("names no host; {wanted}")));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Invalid::new(place, "holds a user or password; give credentials as headers"));
    }
    if url.fragment().is_some() {
        return Err(Invalid::new(place, "has a part behind '#', which no request carries; take it away"));
    }
    Ok(url)
}

fn listed(schemes: &[&str]) -> String {
    schemes.iter().map(|scheme| format!("{scheme}://")).collect::<Vec<_>>().join(", ")
}

fn loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

pub(in crate::server::fleet) fn headers(given: &Headers, place: &str) -> Result<(), Invalid> {
    let special = |c: char| "!#$%&'*+-.^_`|~".contains(c);
    for (name, values) in &given.0 {
        let place = format!("{place}.{name}");
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || special(c)) {
            return Err(Invalid::new(place, "is no header name; use letters, digits and '-'"));
        }
        let lower = name.to_ascii_lowercase();
        if OURS.contains(&&*lower) || lower.starts_with("sec-websocket-") {
            return Err(Invalid::new(place, "is a header that the connection itself sets; take it away"));
        }
        if values.is_empty() {
            return Err(Invalid::new(place, "has no value; give a list of at least one text"));
        }
        // The value stays out of the message: it may be a token.
        if values.iter().any(|value| value.chars().any(|c| c.is_control() && c != '\t')) {
            return Err(Invalid::new(place, "has a value with a line break or another control character"));
        }
    }
    Ok(())
}

impl Tls {
    fn check(&self, place: &str) -> Result<(), Invalid> {
        let version = |text: &str, key: &str| match text {
            "" => Ok(None),
            text => {
                let bare = text.strip_prefix("TLSv").unwrap_or(text);
                let known = TLS_VERSIONS.iter().position(|version| *version == bare);
                let message = || format!("is {text:?}; give one of {}", TLS_VERSIONS.join(", "));
                known.map(Some).ok_or_else(|| Invalid::new(format!("{place}.{key}"), message()))
            }
        };
        let (min, max) =
            (version(&self.min_version, "minVersion")?, version(&self.max_version, "maxVersion")?);
        if let (Some(min), Some(max)) = (min, max)
            && min > max
        {
            return Err(Invalid::new(format!("{place}.minVersion"), "is above maxVersion"));
        }
        let pem = &self.ca_pem_contents;
        if !pem.is_empty() && !pem.contains("-----BEGIN CERTIFICATE-----") {
            return Err(Invalid::new(format!("{place}.caPemContents"), "holds no certificate in PEM form"));
        }
        if self.cipher_suites.iter().any(|suite| suite.trim().is_empty()) {
            return Err(Invalid::new(format!("{place}.cipherSuites"), "has an empty name"));
        }
        Ok(())
    }
}

impl Proxy {
    /// S-CT-02.
    fn check(&self, place: &str) -> Result<(), Invalid> {
        let url = format!("{place}.url");
        let text = self.url.as_str();
        let wanted = "give a URL such as http://proxy.example.com:3128, or host:port";
        if text.is_empty() {
            return Err(Invalid::new(url, format!("is missing; {wanted}")));
        }
        if text.contains("://") {
            parse(text, &["http", "https", "socks5", "socks5h"], &url)?;
        } else {
            let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
            let bad = host.is_empty() || host.contains(['/', '@']) || text.contains(char::is_whitespace);
            if bad || port.parse::<u16>().is_err() {
                return Err(Invalid::new(url, format!("is neither a URL nor host:port; {wanted}")));
            }
        }
        headers(&self.connect_headers, &format!("{place}.connectHeaders"))
    }
}
