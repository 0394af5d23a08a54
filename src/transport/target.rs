//! Where a server is, and how to talk to it.

use std::{fmt, sync::Arc};

use ::http::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

use crate::{protocol::client::Link, wire::DEFAULT_MESSAGE_LIMIT};

/// Largest messages of a connection, header and data counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub receive: usize,
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
    pub headers: HeaderMap,
    /// Needed for `wss` and `https`.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// The name to expect in the server's certificate, when it is not the host of the URL.
    pub server_name: Option<String>,
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

impl Target {
    #[must_use]
    pub fn new(url: Url) -> Self {
        Self { url, headers: HeaderMap::new(), tls: None, server_name: None, limits: Limits::default() }
    }

    /// Adds a header to each request of the connection.
    pub fn header(&mut self, name: &str, value: &str) -> Result<(), BadHeader> {
        let bad = || BadHeader { name: name.to_owned() };
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
        let mut value = HeaderValue::from_str(value).map_err(|_| bad())?;
        value.set_sensitive(true);
        self.headers.append(key, value);
        Ok(())
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
            .field("url", &self.url.as_str())
            .field("headers", &headers)
            .finish_non_exhaustive()
    }
}
