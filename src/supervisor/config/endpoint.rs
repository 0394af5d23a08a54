//! `server.endpoint`: where the OpAMP server is and how it is spoken to.

use std::fmt;

use url::Url;

/// What the scheme of an endpoint chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// `ws` and `wss`
    WebSocket,
    /// `http` and `https`: polling
    Http,
}

/// An endpoint that was checked. Its `Debug` and `Display` leave out the user part and the query, which may
/// hold secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerEndpoint {
    url: Url,
    transport: Transport,
    secure: bool,
}

/// The text is no endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEndpoint {
    #[error("server::endpoint must be specified; set server.endpoint, for example {EXAMPLE}")]
    Empty,
    #[error("invalid URL for server::endpoint: {0}; write it in full, for example {EXAMPLE}")]
    Url(url::ParseError),
    #[error(
        "invalid scheme {0:?} for server::endpoint, must be one of \"http\", \"https\", \"ws\", or \"wss\"; \
         for example {EXAMPLE}"
    )]
    Scheme(String),
}

const EXAMPLE: &str = "wss://opamp.example.com:4320/v1/opamp";

impl std::str::FromStr for ServerEndpoint {
    type Err = InvalidEndpoint;

    fn from_str(text: &str) -> Result<Self, InvalidEndpoint> {
        let text = text.trim();
        if text.is_empty() {
            return Err(InvalidEndpoint::Empty);
        }
        let url = Url::parse(text).map_err(InvalidEndpoint::Url)?;
        let (transport, secure) = match url.scheme() {
            "ws" => (Transport::WebSocket, false),
            "wss" => (Transport::WebSocket, true),
            "http" => (Transport::Http, false),
            "https" => (Transport::Http, true),
            other => return Err(InvalidEndpoint::Scheme(other.to_owned())),
        };
        Ok(Self { url, transport, secure })
    }
}

impl ServerEndpoint {
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    #[must_use]
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// Whether the scheme asks for TLS.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.secure
    }
}

impl fmt::Display for ServerEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.url.host_str().unwrap_or_default();
        write!(f, "{}://{host}", self.url.scheme())?;
        if let Some(port) = self.url.port() {
            write!(f, ":{port}")?;
        }
        f.write_str(self.url.path())
    }
}

impl fmt::Debug for ServerEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
