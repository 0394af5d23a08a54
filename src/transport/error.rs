//! Why there is no connection, and how one ended, in words that say what to do; and whether the same again can
//! help.

use std::{io, time::Duration};

use jiff::{Timestamp, fmt::rfc2822};

use super::{Proxy, Target, proxy::TunnelError, tls::TlsFailure};
use crate::{protocol::backoff::Retry, wire::frame::FrameError};

/// A server could not be reached, or did not want this client.
#[derive(Debug, thiserror::Error)]
#[error("{url}: {why}")]
pub struct DialError {
    /// What was dialled, without user, password and query.
    pub url: String,
    /// What stood in the way.
    pub why: DialFailure,
}

/// What stands in the way to a server. [`DialError::retry`] says which of these pass by themselves.
#[derive(Debug, thiserror::Error)]
pub enum DialFailure {
    /// No TCP connection: the name is not known, or nobody listens there.
    #[error("cannot connect: {0}; is the server up, and is server.endpoint right?")]
    Connect(io::Error),
    /// The server is at an address that whoever dialled does not allow ([`download`](super::download)).
    #[error("it is at {0}, which is not allowed")]
    Address(std::net::IpAddr),
    /// Something is there and is too slow, after this many seconds.
    #[error("no answer within {0} s")]
    TimedOut(u64),
    /// The TLS handshake came to nothing.
    #[error("TLS failed: {0}")]
    Tls(TlsFailure),
    /// The proxy is not there, or gives no way to the server.
    #[error("no way through the proxy {proxy}: {source}")]
    Proxy {
        /// Without its credentials.
        proxy: String,
        /// What is the matter with it.
        source: ProxyError,
    },
    /// A `wss` or `https` target needs [`Target::tls`].
    #[error("the URL asks for TLS, but there are no TLS settings")]
    NoTls,
    /// The name to expect in the certificate, from the URL or from [`Target::server_name`].
    #[error("{0:?} cannot be a server name in TLS")]
    ServerName(String),
    /// 401: other credentials are needed.
    #[error("the server answered 401; check the credentials in server.headers")]
    Unauthorized,
    /// Another HTTP status than success.
    #[error("the server answered {0}{hint}", hint = hint(*.0))]
    Status(u16),
    /// 429 or 503 (C-TH-06).
    #[error("the server is overloaded ({status})")]
    Overloaded {
        /// Which of the two.
        status: u16,
        /// The wait that `Retry-After` asks for.
        after: Option<Duration>,
    },
    /// Whoever answers there hung up; a server that stops does, and a balancer without one.
    #[error("the connection broke before the server answered: {0}")]
    Broke(Box<dyn std::error::Error + Send + Sync>),
    /// What answers is a web server, or speaks another protocol.
    #[error("the answer is no WebSocket handshake: {0}; does server.endpoint name an OpAMP endpoint?")]
    Handshake(Box<dyn std::error::Error + Send + Sync>),
}

/// Why a proxy is of no use.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// No TCP connection to the proxy.
    #[error("cannot connect to it: {0}; is it up, and is its URL right?")]
    Connect(io::Error),
    /// The proxy is spoken to inside TLS, and that came to nothing.
    #[error("TLS to it failed: {0}")]
    Tls(TlsFailure),
    /// An `https` proxy needs [`Target::tls`].
    #[error("its URL asks for TLS, but there are no TLS settings")]
    NoTls,
    /// The host of the proxy's URL.
    #[error("its host cannot be a server name in TLS")]
    Name,
    /// 401 to a request that the proxy was to pass on: from either of the two.
    #[error(
        "it, or the server behind it, answered 401; check the credentials in its URL and in server.headers"
    )]
    Unauthorized,
    /// It answers, and gives no way.
    #[error("{0}")]
    Tunnel(TunnelError),
}

impl From<TunnelError> for ProxyError {
    /// A proxy that wants another certificate of this client says so only after the handshake.
    fn from(error: TunnelError) -> Self {
        match error {
            TunnelError::Broken(error) if TlsFailure::is_in(&error) => Self::Tls(TlsFailure::of(error)),
            error => Self::Tunnel(error),
        }
    }
}

/// What a person can do about an HTTP status, on either transport.
const fn hint(status: u16) -> &'static str {
    match status {
        404 => "; check the path of server.endpoint (/v1/opamp by default)",
        403 => "; these credentials may not connect",
        300..=399 => "; redirects are not followed: set server.endpoint to where it leads",
        500..=599 => "",
        _ => "; does server.endpoint name an OpAMP endpoint, and over this transport?",
    }
}

impl DialError {
    /// What this means for the next attempt.
    #[must_use]
    pub fn retry(&self) -> Retry {
        self.why.retry()
    }

    /// Whether the same attempt ends the same way until somebody changes something, there or here.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        self.why.is_permanent()
    }
}

impl DialFailure {
    pub(super) fn retry(&self) -> Retry {
        match self {
            Self::Overloaded { after, .. } => Retry::Overloaded { after: *after },
            _ if self.is_permanent() => Retry::Permanent,
            _ => Retry::Failed,
        }
    }

    pub(super) fn is_permanent(&self) -> bool {
        match self {
            Self::Connect(_) | Self::TimedOut(_) | Self::Overloaded { .. } | Self::Broke(_) => false,
            Self::Tls(failure) => failure.is_permanent(),
            Self::Proxy { source, .. } => match source {
                ProxyError::Connect(_) => false,
                ProxyError::Tls(failure) => failure.is_permanent(),
                ProxyError::NoTls | ProxyError::Name | ProxyError::Unauthorized => true,
                ProxyError::Tunnel(error) => error.is_permanent(),
            },
            // A gateway, a request that took too long, one that came too early.
            Self::Status(status) => !matches!(status, 500..=599 | 408 | 425),
            Self::NoTls | Self::ServerName(_) | Self::Unauthorized => true,
            Self::Handshake(_) | Self::Address(_) => true,
        }
    }

    pub(super) fn at(self, target: &Target) -> DialError {
        DialError { url: target.shown(), why: self }
    }

    pub(super) fn by_proxy(proxy: &Proxy, source: ProxyError) -> Self {
        Self::Proxy { proxy: proxy.to_string(), source }
    }

    /// An HTTP status where success was expected.
    pub(super) fn of_status(status: u16, retry_after: Option<&str>) -> Self {
        match status {
            401 => Self::Unauthorized,
            429 | 503 => Self::Overloaded { status, after: retry_after.and_then(parse_retry_after) },
            _ => Self::Status(status),
        }
    }
}

/// `Retry-After` in seconds or as a date (C-TH-06). A date in the past means now; what is neither is nothing.
pub fn parse_retry_after(value: &str) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date: Timestamp =
        rfc2822::DateTimeParser::new().parse_timestamp(value.replace("GMT", "+0000")).ok()?;
    Some(Duration::try_from(date.duration_since(Timestamp::now())).unwrap_or_default())
}

/// How a connection ended.
#[derive(Debug, thiserror::Error)]
pub enum LinkEnd {
    /// The closing handshake, or an end without one.
    #[error("the peer closed the connection{}", because(reason))]
    Closed {
        /// Code and text as the peer gave them; empty if it gave none.
        reason: String,
    },
    /// The network, or a frame that WebSocket does not allow.
    #[error("the connection broke: {0}")]
    Broken(Box<dyn std::error::Error + Send + Sync>),
    /// The peer is gone, or does not read any more.
    #[error("the peer is silent: no answer to a ping within {seconds} s")]
    Silent {
        /// How long it was waited for.
        seconds: u64,
    },
    /// The peer was told with code 1009 (C-LM-03).
    #[error("the peer sent a message over the limit of {limit} bytes")]
    TooLarge {
        /// In bytes: [`Limits::receive`](super::Limits::receive).
        limit: usize,
    },
    /// The peer was told with code 1002.
    #[error("the peer sent what is no OpAMP message: {0}")]
    Malformed(FrameError),
    /// The peer was told with code 1003.
    #[error("the peer sent a text frame; OpAMP messages are binary")]
    Text,
    /// A message of this end's is over its own limit (C-LM-06). The connection stands.
    #[error("not sent: {0}")]
    NotSent(FrameError),
}

fn because(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(" ({reason})") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c_th_06_f_47_retry_after_in_both_forms() {
        assert_eq!(parse_retry_after(" 5 "), Some(Duration::from_secs(5)));
        assert_eq!(parse_retry_after("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        let later = Timestamp::now() + Duration::from_secs(100);
        let text = rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&later).unwrap();
        let wait = parse_retry_after(&text).unwrap();
        assert!((90..=100).contains(&wait.as_secs()), "{text}: {wait:?}");
        for junk in ["", "-5", "soon", "1.5"] {
            assert_eq!(parse_retry_after(junk), None, "{junk}");
        }
    }
}
