//! A proxy between a client and its server: what it is called, and who may use it.
//!
//! - `env`: which one the environment names for a URL
//! - `tunnel`: asking one for a way to the server
//!
//! Not here: the way to the proxy itself, which is a way like any other (`dial`).

mod env;
mod tunnel;

use std::fmt;

use ::http::{HeaderMap, HeaderName, HeaderValue, header::PROXY_AUTHORIZATION};
use base64::{Engine, prelude::BASE64_STANDARD};
use percent_encoding::percent_decode_str;
use url::Url;

pub use env::of_environment;
pub use tunnel::TunnelError;
pub(super) use tunnel::{connect, socks};

use super::BadHeader;

/// A proxy to go through. What its URL and headers carry is secret: `Debug` and `Display` show scheme, host and
/// port alone.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    url: Url,
    connect_headers: HeaderMap,
}

/// The text names no proxy. It is not repeated here, because it may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadProxy {
    /// Nothing, or blanks.
    #[error("it is empty; write it as {EXAMPLE}")]
    Empty,
    /// No URL, nor a host with a port.
    #[error("it cannot be read: {0}; write it as {EXAMPLE}")]
    Url(url::ParseError),
    /// A URL of something that is no proxy, or is of a kind that is not spoken.
    #[error("scheme {0:?} is not spoken; there are http, https, socks5 and socks5h")]
    Scheme(String),
    /// A URL without a host.
    #[error("it names no host; write it as {EXAMPLE}")]
    NoHost,
    /// SOCKS5 has one byte for the length of each.
    #[error("a user name or password of more than 255 bytes cannot be sent to a SOCKS proxy")]
    LongCredentials,
}

const EXAMPLE: &str =
    "http://proxy.example.com:3128, with http://user:password@… where it asks for credentials";

/// How a proxy is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// HTTP: CONNECT, or requests that it passes on.
    Http,
    /// HTTP inside TLS.
    Https,
    /// The proxy looks up the server's name, for `socks5` as for `socks5h`: a host behind a proxy often cannot.
    Socks5,
}

impl Proxy {
    /// From a URL or `host:port`, which is a proxy that speaks HTTP.
    pub fn parse(text: &str) -> Result<Self, BadProxy> {
        let text = text.trim();
        if text.is_empty() {
            return Err(BadProxy::Empty);
        }
        let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let url = Url::parse(&whole).map_err(BadProxy::Url)?;
        if !matches!(url.scheme(), "http" | "https" | "socks5" | "socks5h") {
            return Err(BadProxy::Scheme(url.scheme().to_owned()));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(BadProxy::NoHost);
        }
        let proxy = Self { url, connect_headers: HeaderMap::new() };
        let long = |part: &[u8]| part.len() > usize::from(u8::MAX);
        match proxy.credentials() {
            Some((user, password))
                if proxy.speaks() == Speaks::Socks5 && (long(&user) || long(&password)) =>
            {
                Err(BadProxy::LongCredentials)
            }
            _ => Ok(proxy),
        }
    }

    /// Adds a header to each CONNECT request. A SOCKS proxy takes none: it is sent without (C-CT-14).
    pub fn connect_header(&mut self, name: &str, value: &str) -> Result<(), BadHeader> {
        let bad = || BadHeader::of(name);
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
        let mut value = HeaderValue::from_str(value).map_err(|_| bad())?;
        value.set_sensitive(true);
        self.connect_headers.append(key, value);
        Ok(())
    }

    /// By the scheme of its URL.
    #[must_use]
    pub fn speaks(&self) -> Speaks {
        match self.url.scheme() {
            "http" => Speaks::Http,
            "https" => Speaks::Https,
            _ => Speaks::Socks5,
        }
    }

    /// With its credentials.
    #[must_use]
    pub const fn url(&self) -> &Url {
        &self.url
    }

    /// What is sent on each CONNECT request besides what that needs.
    #[must_use]
    pub const fn connect_headers(&self) -> &HeaderMap {
        &self.connect_headers
    }

    /// What must not be shown: the password, as it is written and as it is, and the values of the headers.
    #[must_use]
    pub fn secrets(&self) -> Vec<String> {
        let written = self.url.password().map(str::to_owned);
        let plain = self.credentials().and_then(|(_, password)| String::from_utf8(password).ok());
        let headers =
            self.connect_headers.values().filter_map(|value| value.to_str().ok().map(str::to_owned));
        written.into_iter().chain(plain).chain(headers).filter(|secret| !secret.is_empty()).collect()
    }

    /// Host as it is looked up, without the brackets of an IPv6 address.
    pub(super) fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
    }

    pub(super) fn port(&self) -> u16 {
        let usual = if self.speaks() == Speaks::Socks5 { 1080 } else { 80 };
        self.url.port_or_known_default().unwrap_or(usual)
    }

    /// The headers of a CONNECT request, or of a request that the proxy passes on.
    pub(super) fn headers(&self) -> HeaderMap {
        let mut headers = self.connect_headers.clone();
        if let (false, Some(value)) = (headers.contains_key(PROXY_AUTHORIZATION), basic(&self.url)) {
            headers.insert(PROXY_AUTHORIZATION, value);
        }
        headers
    }

    fn credentials(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        credentials(&self.url)
    }
}

fn credentials(url: &Url) -> Option<(Vec<u8>, Vec<u8>)> {
    let (user, password) = (url.username(), url.password());
    if user.is_empty() && password.is_none() {
        return None;
    }
    let plain = |text| percent_decode_str(text).collect::<Vec<u8>>();
    Some((plain(user), plain(password.unwrap_or_default())))
}

/// What the credentials of a URL are in a request, if there are any.
pub(super) fn basic(url: &Url) -> Option<HeaderValue> {
    let (user, password) = credentials(url)?;
    let pair = [&user[..], b":", &password[..]].concat();
    let mut value = HeaderValue::from_str(&format!("Basic {}", BASE64_STANDARD.encode(pair))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.url.scheme(), self.url.host_str().unwrap_or_default(), self.port())
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_a_url_or_a_host_with_a_port() {
        for (text, shown, speaks) in [
            ("proxy:3128", "http://proxy:3128", Speaks::Http),
            (" 10.0.0.1:8080 ", "http://10.0.0.1:8080", Speaks::Http),
            ("http://proxy", "http://proxy:80", Speaks::Http),
            ("https://[::1]", "https://[::1]:443", Speaks::Https),
            ("socks5://proxy", "socks5://proxy:1080", Speaks::Socks5),
            ("socks5h://u:p@proxy:9", "socks5h://proxy:9", Speaks::Socks5),
        ] {
            let proxy = Proxy::parse(text).unwrap();
            assert_eq!((proxy.to_string().as_str(), proxy.speaks()), (shown, speaks), "{text}");
        }
        assert_eq!(Proxy::parse(" "), Err(BadProxy::Empty));
        assert!(matches!(Proxy::parse("http://s3cret:@:1"), Err(BadProxy::Url(_))));
        assert!(
            matches!(Proxy::parse("socks4://proxy"), Err(BadProxy::Scheme(scheme)) if scheme == "socks4")
        );
        assert_eq!(Proxy::parse("socks5://"), Err(BadProxy::NoHost));
        let long = format!("socks5://{}@proxy", "u".repeat(256));
        assert_eq!(Proxy::parse(&long), Err(BadProxy::LongCredentials));
    }

    #[test]
    fn credentials_are_decoded_for_the_proxy_and_shown_to_nobody() {
        let mut proxy = Proxy::parse("http://us%40er:s3cr%3Aet@proxy:3128").unwrap();
        proxy.connect_header("X-Key", "s3cret").unwrap();
        let value = basic(proxy.url()).unwrap();
        assert_eq!(value.to_str().unwrap(), format!("Basic {}", BASE64_STANDARD.encode("us@er:s3cr:et")));
        assert_eq!(format!("{proxy} {proxy:?}"), "http://proxy:3128 http://proxy:3128");
        assert_eq!(basic(Proxy::parse("http://proxy:3128").unwrap().url()), None);
        assert!(proxy.connect_header("X-Key", "line\nbreak").is_err());
    }

    #[test]
    fn a_header_of_ones_own_wins_over_the_url() {
        let mut proxy = Proxy::parse("http://user:password@proxy:3128").unwrap();
        proxy.connect_header("Proxy-Authorization", "Bearer t0ken").unwrap();
        let headers = proxy.headers();
        let values: Vec<_> = headers.get_all(PROXY_AUTHORIZATION).iter().collect();
        assert_eq!(values, ["Bearer t0ken"]);
    }
}
