//! Values that name a peer on the network, and whether it is one that is allowed.
//!
//! Only plain forms are judged: a host that one program reads as a name and another as a number, or a URL whose
//! host depends on who reads it, is refused.

use core::net::IpAddr;
use std::fmt;

use super::pattern::{Host, Pattern, split_port};

/// Why a value that names a peer is not allowed. A value may hold a password: only host and port are shown.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Denied {
    Elsewhere(String),
    Unclear(&'static str),
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Elsewhere(peer) => write!(f, "the endpoint {peer} is not allowed"),
            Self::Unclear(why) => write!(f, "an endpoint cannot be judged: {why}"),
        }
    }
}

/// Schemes behind which the host is not where it is in other URLs.
const RESOLVERS: [&str; 8] = ["dns", "passthrough", "xds", "ipv4", "ipv6", "vsock", "google-c2p", "srv"];

/// Judges a value that names one peer or more: of a key that says so.
pub(super) fn judge(value: &str, allowed: &[Pattern]) -> Result<(), Denied> {
    if allowed.iter().any(|entry| entry.as_ref() == value) {
        return Ok(());
    }
    let words = value.split(|letter: char| letter.is_whitespace() || ",;".contains(letter));
    words.filter(|word| !word.is_empty() && !is_count(word)).try_for_each(|word| judge_word(word, allowed))
}

/// Judges what looks like a peer in a value of which nothing is known.
pub(super) fn judge_any(value: &str, allowed: &[Pattern]) -> Result<(), Denied> {
    if allowed.iter().any(|entry| entry.as_ref() == value) {
        return Ok(());
    }
    let ends = |letter: char| letter.is_whitespace() || "\"'`,;=()<>|{}".contains(letter);
    for word in value.split(ends) {
        let word =
            if word.starts_with('[') && word.contains("]:") { word } else { word.trim_matches(['[', ']']) };
        if looks_like_peer(word) {
            judge_word(word, allowed)?;
        }
    }
    Ok(())
}

fn looks_like_peer(word: &str) -> bool {
    let lower = word.to_ascii_lowercase();
    if word.contains("://") || word.parse::<IpAddr>().is_ok() {
        return true;
    }
    if RESOLVERS.iter().any(|scheme| lower.strip_prefix(scheme).is_some_and(|rest| rest.starts_with(':'))) {
        return true;
    }
    let authority = word.split('/').next().unwrap_or_default();
    let host_and_port = authority.rsplit('@').next().unwrap_or_default();
    let Some((host, port)) = host_and_port.rsplit_once(':') else { return false };
    let number = host.parse::<u32>();
    let named = host.starts_with('[') || number.map_or(!host.is_empty(), |number| number > 255);
    let one = host.starts_with('[') || !host.contains(':');
    named && one && port.parse::<u16>().is_ok_and(|port| port > 0)
}

/// Numbers that are no address: ports, counts, flags.
fn is_count(word: &str) -> bool {
    word.parse::<u16>().is_ok() || matches!(word, "true" | "false")
}

/// A file or socket of this host, which is for `path` to judge.
fn is_local(word: &str) -> bool {
    let lower = word.to_ascii_lowercase();
    let rest = match ["file:", "unix:"].iter().find_map(|scheme| lower.strip_prefix(scheme)) {
        Some(rest) => rest,
        None if ["/", "./", "../", "~/"].iter().any(|start| word.starts_with(start)) => word,
        None => return false,
    };
    !rest.starts_with("//") || rest.starts_with("///") && rest.len() < word.len()
}

fn judge_word(word: &str, allowed: &[Pattern]) -> Result<(), Denied> {
    if is_local(word) || allowed.iter().any(|entry| entry.as_ref() == word) {
        return Ok(());
    }
    if word.contains('\\') {
        return Err(Denied::Unclear("it holds a backslash"));
    }
    let (port, rest) = match word.split_once("://") {
        Some((scheme, rest)) => {
            let scheme = scheme.to_ascii_lowercase();
            let plain = |letter: char| letter.is_ascii_alphanumeric() || "+-.".contains(letter);
            if scheme.is_empty() || !scheme.chars().all(plain) {
                return Err(Denied::Unclear("what stands before :// is no scheme"));
            }
            if RESOLVERS.iter().any(|resolver| scheme.split('+').any(|part| part == *resolver)) {
                return Err(Denied::Unclear("its scheme hands the host to a resolver; write host:port"));
            }
            (default_port(&scheme), rest)
        }
        None => (None, word),
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let hosts = match authority.split_once('@') {
        Some((_, hosts)) if hosts.contains('@') => return Err(Denied::Unclear("it holds more than one @")),
        Some((_, hosts)) => hosts,
        None => authority,
    };
    if rest.len() < word.len() && hosts.is_empty() {
        return Err(Denied::Unclear("a URL without a host"));
    }
    hosts.split(',').try_for_each(|host| judge_host(host, port, allowed))
}

fn judge_host(text: &str, default: Option<u16>, allowed: &[Pattern]) -> Result<(), Denied> {
    let (host, port) = split_port(text)?;
    let host: Host = host.parse()?;
    let port = port.or(default);
    if allowed.iter().any(|pattern| pattern.allows(&host, port)) {
        return Ok(());
    }
    let host = match host {
        Host::Address(IpAddr::V6(address)) => format!("[{address}]"),
        Host::Address(IpAddr::V4(address)) => address.to_string(),
        Host::Name(name) => name.chars().take(120).collect(),
    };
    Err(Denied::Elsewhere(port.map_or_else(|| host.clone(), |port| format!("{host}:{port}"))))
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed() -> Vec<Pattern> {
        let entries = [
            "good.example",
            "otlp.example:4317",
            "*.corp.example",
            "10.0.0.0/8",
            "fd00::/8",
            "[::1]:4318",
            "0.0.0.0:4317",
            "dns:///x.example:443",
        ];
        entries.map(|entry| entry.parse().unwrap()).to_vec()
    }

    #[test]
    fn what_is_listed_is_allowed_in_every_plain_form() {
        for value in [
            "good.example",
            "GOOD.example.",
            "good.example:1",
            "good.example:0",
            "https://good.example/v1/traces?x=y#z",
            "http://user:pass@good.example:80/",
            "otlp.example:4317",
            "grpc://otlp.example:4317",
            "a.b.corp.example:9092,c.corp.example:9092",
            "10.1.2.3:80",
            "::ffff:10.1.2.3",
            "[::ffff:10.1.2.3]:80",
            "[fd00::1]:80",
            "http://[::1]:4318/",
            ":4317",
            "0.0.0.0:4317",
            "dns:///x.example:443",
            "/run/x.sock",
            "unix:///run/x.sock",
            "unix:x.sock",
            "8080",
            "true",
        ] {
            assert_eq!(judge(value, &allowed()), Ok(()), "{value}");
            assert_eq!(judge_any(value, &allowed()), Ok(()), "{value}");
        }
    }

    #[test]
    fn what_is_not_listed_is_refused_in_every_form_that_hides_it() {
        for value in [
            "evil.example",
            "good.example.evil.example",
            "evilcorp.example",
            "corp.example",
            "http://good.example@evil.example/",
            "http://good.example:80@evil.example",
            "http://evil.example\\@good.example/",
            "http://evil.example#@good.example/",
            "http://a@b@good.example/",
            "http://good.example%2eevil.example/",
            "http://%67ood.example/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://0x7f000001/",
            "http://017700000001/",
            "http://127.1/",
            "http://010.0.0.1/",
            "http://10.0.0.256/",
            "[fd00::1%eth0]:80",
            "11.0.0.1:80",
            "otlp.example:4318",
            "otlp.example",
            "https://otlp.example/",
            "góod.example",
            "good。example",
            "dns:///evil.example:443",
            "dns://good.example/evil.example",
            "passthrough:///evil.example:1",
            "ipv4:10.0.0.1:80,1.2.3.4:80",
            "mongodb+srv://good.example/",
            "good.example,evil.example",
            "good.example evil.example:1",
            "mongodb://good.example:1,evil.example:2/db",
            "user:pw@tcp(good.example:3306)/db",
            "http:///x",
            "://good.example",
            "good.example:",
            "good.example:+80",
            "good.example:99999",
            "[::1",
            "[good.example]:80",
            "good..example",
            "//evil.example/x",
            "///evil.example/x",
            "unix://evil.example/x",
            "file://evil.example/x",
            "http://evil.example/a/../b",
            "c://evil.example",
        ] {
            assert!(judge(value, &allowed()).is_err(), "{value}");
        }
        assert!(judge("good.example", &[]).is_err());
    }

    #[test]
    fn a_peer_is_found_in_any_value() {
        for value in [
            "evil.example:9092",
            "see https://evil.example/x",
            "/bin/sh -c curl http://evil.example/",
            "set(a, \"http://evil.example\")",
            "host=x;dsn=postgres://u:p@evil.example/db",
            "u:p@tcp(evil.example:3306)/db",
            "[evil.example:80]",
            "1.2.3.4",
            "[2001:db8::1]:80",
            "2130706433:80",
            "dns:evil.example",
        ] {
            assert!(judge_any(value, &allowed()).is_err(), "{value}");
        }
        for value in
            ["", "text", "a.b.c", "12:30", "a: b", "otlp/1", "1.50", "k8s.pod.name", "x:y", "Bearer a"]
        {
            assert_eq!(judge_any(value, &allowed()), Ok(()), "{value}");
        }
    }
}
