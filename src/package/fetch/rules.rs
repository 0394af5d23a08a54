//! From where a package may come. The server names the address, and it may be a server that somebody broke into: it must
//! not make this host ask others that only this host can reach.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::Url;

use super::FetchError;

/// What the host allows.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Without TLS too.
    pub plain_http: bool,
    /// Hosts whose addresses are not looked at; the OpAMP server's own is one.
    pub hosts: Vec<String>,
    /// Networks of one's own.
    pub networks: Vec<Network>,
}

/// `10.1.0.0/16`, `fd00::/8`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl std::str::FromStr for Network {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected an address, or a network such as 10.1.0.0/16";
        let (address, bits) =
            text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| EXPECTED)?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), str::parse).map_err(|_| EXPECTED)?;
        if bits > most { Err(EXPECTED) } else { Ok(Self { address, bits }) }
    }
}

impl Network {
    fn has(self, address: IpAddr) -> bool {
        let (own, other, width) = match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => (own.to_bits().into(), other.to_bits().into(), 32),
            (IpAddr::V6(own), IpAddr::V6(other)) => (own.to_bits(), other.to_bits(), 128),
            _ => return false,
        };
        let differ: u128 = own ^ other;
        u32::from(self.bits) == 0 || differ >> (width - u32::from(self.bits)) == 0
    }
}

impl Rules {
    pub(super) fn url(&self, url: &Url) -> Result<(), FetchError> {
        let refused = |why| Err(FetchError::Url { url: url.to_string(), why });
        match url.scheme() {
            "https" => {}
            "http" if self.plain_http => {}
            "http" => {
                return refused(
                    "packages come over https only, unless packages.download.plain_http allows it",
                );
            }
            _ => return refused("packages come over https only"),
        }
        // An address in the text is judged even where a proxy dials it.
        let literal = match url.host() {
            Some(url::Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(url::Host::Ipv6(address)) => Some(IpAddr::V6(address)),
            Some(url::Host::Domain(_)) => None,
            None => return refused("has no host"),
        };
        literal.map_or(Ok(()), |address| self.address(url.host_str().unwrap_or_default(), address))
    }

    /// Whether a host at this address may be asked.
    pub fn address(&self, host: &str, address: IpAddr) -> Result<(), FetchError> {
        let address = address.to_canonical();
        let known = self.hosts.iter().any(|known| known.eq_ignore_ascii_case(host));
        let own = self.networks.iter().any(|network| network.has(address));
        let why = if known || own { None } else { inner(address) };
        why.map_or(Ok(()), |why| Err(FetchError::Address { host: host.to_owned(), address, why }))
    }
}

/// Why an address is not one of the public network.
fn inner(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => inner_v4(address),
        IpAddr::V6(address) => inner_v6(address),
    }
}

fn inner_v4(address: Ipv4Addr) -> Option<&'static str> {
    let [a, b, ..] = address.octets();
    match (a, b) {
        _ if address.is_loopback() => Some("which is this host"),
        _ if address.is_link_local() => Some("which is on the link, where clouds keep their metadata"),
        _ if address.is_private() => Some("which is a private network"),
        (100, 64..=127) => Some("which is a carrier's private network"),
        (0, _) | (224.., _) | (192, 0) | (198, 18..=19) => Some("which is no host's address"),
        _ => None,
    }
}

fn inner_v6(address: Ipv6Addr) -> Option<&'static str> {
    let first = address.segments()[0];
    match first {
        _ if address.is_loopback() => Some("which is this host"),
        _ if address.is_unicast_link_local() => Some("which is on the link"),
        _ if address.is_unique_local() => Some("which is a private network"),
        // What carries an address of IPv4 inside is judged by that one.
        0x0064 => inner_v4(last_v4(address)).or(Some("which is behind a translator")),
        0x2002 => inner_v4(Ipv4Addr::from_bits(
            ((u32::from(address.segments()[1])) << 16) | u32::from(address.segments()[2]),
        )),
        0x2000..=0x3fff => None,
        _ => Some("which is no host's address"),
    }
}

fn last_v4(address: Ipv6Addr) -> Ipv4Addr {
    let [.., a, b] = address.segments();
    Ipv4Addr::from_bits(u32::from(a) << 16 | u32::from(b))
}

/// As browsers understand it: scheme, host and port.
pub(super) fn same_origin(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme()
        && one.host_str() == other.host_str()
        && one.port_or_known_default() == other.port_or_known_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f_48_inner_addresses_are_refused_unless_they_are_allowed() {
        let rules = Rules {
            networks: vec!["10.1.0.0/16".parse().unwrap()],
            hosts: vec!["opamp".into()],
            ..Rules::default()
        };
        for inner in [
            "127.0.0.1",
            "127.9.9.9",
            "::1",
            "::ffff:127.0.0.1",
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "10.2.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "fe80::1",
            "fd00::1",
            "::",
            "ff02::1",
            "64:ff9b::a9fe:a9fe",
            "2002:7f00:1::1",
            "2002:a9fe:a9fe::",
        ] {
            let refused = rules.address("h", inner.parse().unwrap());
            assert!(matches!(refused, Err(FetchError::Address { .. })), "{inner}: {refused:?}");
            assert_eq!(rules.address("OPAMP", inner.parse().unwrap()), Ok(()), "the server's own host");
        }
        for fine in ["10.1.2.3", "8.8.8.8", "2001:4860:4860::8888", "2002:808:808::1", "100.128.0.1"] {
            assert_eq!(rules.address("h", fine.parse().unwrap()), Ok(()), "{fine}");
        }
    }

    #[test]
    fn networks_are_read_and_compared() {
        let has =
            |network: &str, address: &str| network.parse::<Network>().unwrap().has(address.parse().unwrap());
        assert!(has("0.0.0.0/0", "9.9.9.9") && has("fd00::/8", "fd12::1") && has("::/0", "fe80::1"));
        assert!(has("10.1.2.3", "10.1.2.3") && !has("10.1.2.3", "10.1.2.4"));
        assert!(!has("10.1.0.0/16", "10.2.0.1") && !has("10.0.0.0/8", "::1"));
        for wrong in ["", "x", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "fd00::/129"] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong:?}");
        }
    }
}
