//! Hosts in the one form in which they are compared, and the entries of `restrictions.endpoints.allow`.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::endpoint::Denied;

/// One entry of `restrictions.endpoints.allow`: `host`, `host:port`, `*.domain`, a network such as `10.0.0.0/8`,
/// or a value to the letter (one with `://` or `${…}`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    written: String,
    hosts: Hosts,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Hosts {
    One(Host),
    /// Every name below this one, which begins with a dot.
    Below(String),
    Network(IpAddr, u32),
    ToTheLetter,
}

/// An entry of `restrictions.endpoints.allow` that means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it must be a host, host:port, *.domain, or a network such as 10.0.0.0/8")]
pub struct InvalidPattern;

impl AsRef<str> for Pattern {
    fn as_ref(&self) -> &str {
        &self.written
    }
}

impl FromStr for Pattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        let of = |hosts, port| Ok(Self { written: text.to_owned(), hosts, port });
        if text.contains("://") || text.contains("${") {
            return of(Hosts::ToTheLetter, None);
        }
        if let Some((address, bits)) = text.split_once('/') {
            let address: IpAddr = address.parse().map_err(|_| InvalidPattern)?;
            let most = if address.is_ipv4() { 32 } else { 128 };
            let bits = bits.parse().ok().filter(|bits| *bits <= most).ok_or(InvalidPattern)?;
            return of(Hosts::Network(address, bits), None);
        }
        let (hosts, port) = match text.strip_prefix('*') {
            Some(domain) => {
                let (domain, port) = split_port(domain).map_err(|_| InvalidPattern)?;
                let name = domain.strip_prefix('.').ok_or(InvalidPattern)?;
                let Ok(Host::Name(name)) = name.parse() else { return Err(InvalidPattern) };
                (Hosts::Below(format!(".{name}")), port)
            }
            None => {
                let (host, port) = split_port(text).map_err(|_| InvalidPattern)?;
                if host.is_empty() {
                    return Err(InvalidPattern);
                }
                (Hosts::One(host.parse().map_err(|_| InvalidPattern)?), port)
            }
        };
        of(hosts, port)
    }
}

impl Pattern {
    pub(super) fn allows(&self, host: &Host, port: Option<u16>) -> bool {
        let host = match (&self.hosts, host) {
            (Hosts::One(own), host) => own == host,
            (Hosts::Below(domain), Host::Name(name)) => name.len() > domain.len() && name.ends_with(domain),
            (Hosts::Network(network, bits), Host::Address(address)) => is_within(*address, *network, *bits),
            _ => false,
        };
        host && (self.port.is_none() || self.port == port)
    }
}

fn is_within(address: IpAddr, network: IpAddr, bits: u32) -> bool {
    let (address, network, all) = match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            (address.to_bits().into(), network.to_bits().into(), 32)
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => (address.to_bits(), network.to_bits(), 128),
        _ => return false,
    };
    // Shifted by all its bits a number is not defined; nothing is compared then.
    let differing: u128 = address ^ network;
    differing.checked_shr(all - bits).unwrap_or(0) == 0
}

/// A host in the one form that is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Host {
    Address(IpAddr),
    Name(String),
}

impl FromStr for Host {
    type Err = Denied;

    fn from_str(text: &str) -> Result<Self, Denied> {
        // Nothing before the port means every address of this host.
        if text.is_empty() {
            return Ok(Self::Address(Ipv4Addr::UNSPECIFIED.into()));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Address(address.to_canonical()));
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
        if !name.chars().all(plain) || name.split('.').any(str::is_empty) {
            return Err(Denied::Unclear("a host has letters, digits, dots and hyphens only"));
        }
        let last = name.rsplit('.').next().unwrap_or_default();
        let numeric = last.starts_with("0x") || last.chars().all(|letter| letter.is_ascii_digit());
        if numeric {
            return Err(Denied::Unclear("write an address as four numbers from 0 to 255"));
        }
        Ok(Self::Name(name))
    }
}

/// A host and the port behind it.
pub(super) fn split_port(text: &str) -> Result<(&str, Option<u16>), Denied> {
    let port = |digits: &str| match digits.parse::<u16>() {
        Ok(port) if digits.chars().all(|digit| digit.is_ascii_digit()) => Ok(Some(port)),
        _ => Err(Denied::Unclear("a port is a number up to 65535")),
    };
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or(Denied::Unclear("a [ without its ]"))?;
        let in_brackets = host.parse::<Ipv6Addr>().is_ok();
        return match (in_brackets, rest.strip_prefix(':')) {
            (false, _) => Err(Denied::Unclear("in brackets there is a plain IPv6 address")),
            (true, Some(digits)) => Ok((host, port(digits)?)),
            (true, None) if rest.is_empty() => Ok((host, None)),
            (true, None) => Err(Denied::Unclear("after ] there is a port or nothing")),
        };
    }
    match text.rsplit_once(':') {
        Some(_) if text.parse::<Ipv6Addr>().is_ok() => Ok((text, None)),
        Some((host, digits)) => Ok((host, port(digits)?)),
        None => Ok((text, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_that_mean_nothing_are_refused() {
        for entry in ["", "*", "*.", "*example", "10.0.0.0/33", "x/8", "a b", ":80", "a:b", "0x7f.1", "*.*.x"]
        {
            assert_eq!(entry.parse::<Pattern>(), Err(InvalidPattern), "{entry}");
        }
    }
}
