//! Where a server is, and how to talk to it.

use std::fmt;

use ::http::{HeaderMap, HeaderName, HeaderValue, header::AUTHORIZATION};
use url::Url;

use super::{Proxy, proxy, tls::Tls};
use crate::{protocol::client::Link, wire::DEFAULT_MESSAGE_LIMIT};

/// Largest messages of a connection, header and data counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// In bytes. A longer message is not read, and ends a WebSocket connection with code 1009. Over plain HTTP it
    /// is also the limit of what a body inflates to.
    pub receive: usize,
    /// In bytes. A longer message is not sent, and recorded (C-LM-06).
    pub send: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { receive: DEFAULT_MESSAGE_LIMIT, send: 4 * 1024 * 1024 }
    }
}

/// A server to dial. Header values are secrets: they are never shown.
#[derive(Clone)]
pub struct Target {
    /// `ws`, `wss`, `http` or `https`.
    pub url: Url,
    /// Of each request to the server; see [`Target::header`].
    pub headers: HeaderMap,
    /// Needed for `wss` and `https`, and toward a proxy that is spoken to inside TLS (C-CT-13).
    pub tls: Option<Tls>,
    /// The name to expect in the server's certificate, when it is not the host of the URL.
    pub server_name: Option<String>,
    /// What to go through on the way there.
    pub proxy: Option<Proxy>,
    /// Of each message, both ways.
    pub limits: Limits,
}

/// A header that cannot be sent.
#[derive(Debug, thiserror::Error)]
#[error(
    "{name:?} is no header that can be sent; use a name of letters, digits and dashes, and a value of visible ASCII"
)]
pub struct BadHeader {
    name: String,
}

impl BadHeader {
    pub(super) fn of(name: &str) -> Self {
        Self { name: name.to_owned() }
    }
}

impl Target {
    /// Without headers, TLS settings and proxy, which are fields to be set.
    #[must_use]
    pub fn new(url: Url) -> Self {
        Self {
            url,
            headers: HeaderMap::new(),
            tls: None,
            server_name: None,
            proxy: None,
            limits: Limits::default(),
        }
    }

    /// Adds a header to each request of the connection.
    pub fn header(&mut self, name: &str, value: &str) -> Result<(), BadHeader> {
        let bad = || BadHeader::of(name);
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
        let mut value = HeaderValue::from_str(value).map_err(|_| bad())?;
        value.set_sensitive(true);
        self.headers.append(key, value);
        Ok(())
    }

    /// The URL as it may be shown: user, password and query may be secrets.
    pub(super) fn shown(&self) -> String {
        let mut url = self.url.clone();
        // Refused only for a URL without a host, which has none of these.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.set_query(None);
        url.set_fragment(None);
        url.to_string()
    }

    /// The headers of each request; a user and password in the URL are credentials unless a header has others.
    pub(super) fn request_headers(&self) -> HeaderMap {
        let mut headers = self.headers.clone();
        if let (false, Some(value)) = (headers.contains_key(AUTHORIZATION), proxy::basic(&self.url)) {
            headers.insert(AUTHORIZATION, value);
        }
        headers
    }

    /// What is spoken there.
    #[must_use]
    pub fn link(&self) -> Link {
        if matches!(self.url.scheme(), "ws" | "wss") { Link::WebSocket } else { Link::Http }
    }

    /// Whether the URL asks for TLS.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        matches!(self.url.scheme(), "wss" | "https")
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<_> = self.headers.keys().collect();
        f.debug_struct("Target")
            .field("url", &self.shown())
            .field("headers", &headers)
            .field("proxy", &self.proxy)
            .finish_non_exhaustive()
    }
}
