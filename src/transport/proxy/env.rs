//! The proxy that the environment names: `HTTPS_PROXY` for TLS, `HTTP_PROXY` without, `ALL_PROXY` for both, and
//! whom `NO_PROXY` keeps direct. Lower case wins, as with other programs.
//!
//! Pure: the variables are passed in. `localhost` and loopback addresses are never proxied this way.

use std::net::IpAddr;

use url::{Host, Url};

use super::{BadProxy, Proxy};

#[derive(Clone, Debug, PartialEq, Eq)]
struct Exception {
    whom: Whom,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Whom {
    Everybody,
    /// This name and all below it.
    Domain(String),
    /// Only names below it.
    Below(String),
    Network(IpAddr, u8),
}

/// The proxy for this URL by these variables, if it is to go through one. A variable that names no proxy is an
/// error with its name.
pub fn of_environment(
    var: impl Fn(&str) -> Option<String>,
    url: &Url,
) -> Result<Option<Proxy>, (&'static str, BadProxy)> {
    let first = |names: &[&'static str]| {
        names.iter().find_map(|name| Some((*name, var(name).filter(|text| !text.trim().is_empty())?)))
    };
    let names = match url.scheme() {
        "https" | "wss" => ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"],
        _ => ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"],
    };
    let (Some(host), Some((name, text))) = (url.host(), first(&names)) else { return Ok(None) };
    let except = first(&["no_proxy", "NO_PROXY"]).map(|(_, list)| list).unwrap_or_default();
    let mut except = except.split([',', ' ']).filter_map(Exception::parse);
    let port = url.port_or_known_default();
    if is_loopback(&host) || except.any(|except| except.covers(&host, port)) {
        return Ok(None);
    }
    Proxy::parse(&text).map(Some).map_err(|error| (name, error))
}

fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => name.eq_ignore_ascii_case("localhost"),
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

impl Exception {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        if text.is_empty() {
            return None;
        }
        if text == "*" {
            return Some(Self { whom: Whom::Everybody, port: None });
        }
        if let Some((address, bits)) = text.split_once('/')
            && let (Ok(address), Ok(bits)) = (address.parse::<IpAddr>(), bits.parse::<u8>())
        {
            return Some(Self { whom: Whom::Network(address, bits.min(width(address))), port: None });
        }
        let bare = text.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Some(Self { whom: Whom::Network(address, width(address)), port: None });
        }
        let (name, port) = match text.rsplit_once(':') {
            Some((name, port)) => (name, Some(port.parse().ok()?)),
            None => (&*text, None),
        };
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Some(Self { whom: Whom::Network(address, width(address)), port });
        }
        let whom = match name.strip_prefix("*.").or_else(|| name.strip_prefix('.')) {
            Some(domain) => Whom::Below(domain.to_owned()),
            None => Whom::Domain(name.to_owned()),
        };
        Some(Self { whom, port })
    }

    fn covers(&self, host: &Host<&str>, port: Option<u16>) -> bool {
        if self.port.is_some() && self.port != port {
            return false;
        }
        let address = match host {
            Host::Domain(_) => None,
            Host::Ipv4(address) => Some(IpAddr::V4(*address)),
            Host::Ipv6(address) => Some(IpAddr::V6(*address)),
        };
        match (&self.whom, host) {
            (Whom::Everybody, _) => true,
            (Whom::Domain(domain), Host::Domain(name)) => is_or_below(name, domain, true),
            (Whom::Below(domain), Host::Domain(name)) => is_or_below(name, domain, false),
            (Whom::Network(network, bits), _) => {
                address.is_some_and(|address| within(address, *network, *bits))
            }
            _ => false,
        }
    }
}

fn is_or_below(name: &str, domain: &str, itself: bool) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    match name.strip_suffix(domain) {
        Some("") => itself,
        Some(front) => front.ends_with('.'),
        None => false,
    }
}

const fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn within(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    let (left, right) = match (address, network) {
        (IpAddr::V4(left), IpAddr::V4(right)) => {
            (u128::from(left.to_bits()) << 96, u128::from(right.to_bits()) << 96)
        }
        (IpAddr::V6(left), IpAddr::V6(right)) => (left.to_bits(), right.to_bits()),
        _ => return false,
    };
    bits == 0 || (left ^ right) >> (128 - u32::from(bits)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    type Vars = [(&'static str, &'static str)];

    fn chosen(vars: &Vars, url: &str) -> Option<String> {
        let var =
            |name: &str| vars.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        of_environment(var, &url.parse().unwrap()).unwrap().map(|proxy| proxy.to_string())
    }

    #[test]
    fn each_scheme_has_its_variable_and_lower_case_wins() {
        let both = [("HTTPS_PROXY", "tls:1"), ("HTTP_PROXY", "plain:2"), ("http_proxy", "small:3")];
        for url in ["wss://s.example/v1", "https://s.example/v1"] {
            assert_eq!(chosen(&both, url).as_deref(), Some("http://tls:1"), "{url}");
        }
        for url in ["ws://s.example/v1", "http://s.example/v1"] {
            assert_eq!(chosen(&both, url).as_deref(), Some("http://small:3"), "{url}");
        }
        let all = [("ALL_PROXY", "socks5://all"), ("HTTPS_PROXY", " ")];
        assert_eq!(chosen(&all, "wss://s.example/").as_deref(), Some("socks5://all:1080"));
        assert_eq!(chosen(&[("HTTP_PROXY", "plain:2")], "wss://s.example/"), None);
    }

    #[test]
    fn loopback_is_never_proxied() {
        let all = [("all_proxy", "proxy:1")];
        for url in ["ws://localhost:4320/", "wss://127.0.0.9/", "https://[::1]:4320/"] {
            assert_eq!(chosen(&all, url), None, "{url}");
        }
    }

    #[test]
    fn no_proxy_takes_names_suffixes_networks_ports_and_a_star() {
        let list =
            "example.com, .inner.org,*.lab.net 10.0.0.0/8,192.168.1.7,fd00::/8,port.io:4320,[2001:db8::1]";
        let some = [("ALL_PROXY", "proxy:1"), ("NO_PROXY", list)];
        for url in [
            "wss://example.com/",
            "wss://a.b.EXAMPLE.com/",
            "wss://a.inner.org/",
            "wss://a.lab.net/",
            "wss://10.200.3.4/",
            "wss://192.168.1.7/",
            "wss://[fd12::1]/",
            "wss://[2001:db8::1]/",
            "wss://port.io:4320/",
        ] {
            assert_eq!(chosen(&some, url), None, "{url}");
        }
        for url in [
            "wss://notexample.com/",
            "wss://inner.org/",
            "wss://11.0.0.1/",
            "wss://192.168.1.8/",
            "wss://[fe80::1]/",
            "wss://port.io/",
        ] {
            assert!(chosen(&some, url).is_some(), "{url}");
        }
        let none = [("ALL_PROXY", "proxy:1"), ("no_proxy", "*")];
        assert_eq!(chosen(&none, "wss://s.example/"), None);
        let everything = [("ALL_PROXY", "proxy:1"), ("no_proxy", "0.0.0.0/0")];
        assert_eq!(chosen(&everything, "wss://8.8.8.8/"), None);
        assert!(chosen(&everything, "wss://s.example/").is_some());
    }

    #[test]
    fn a_variable_that_names_no_proxy_is_named_without_its_value() {
        let var = |name: &str| (name == "HTTPS_PROXY").then(|| "ftp://u:s3cret@proxy".to_owned());
        let (name, error) = of_environment(var, &"wss://s.example/".parse().unwrap()).unwrap_err();
        assert_eq!(name, "HTTPS_PROXY");
        assert!(error.to_string().contains("ftp") && !error.to_string().contains("s3cret"), "{error}");
        // One that is not asked for does not matter.
        assert_eq!(of_environment(var, &"ws://s.example/".parse().unwrap()), Ok(None));
    }
}
