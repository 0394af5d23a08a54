//! Why there is no connection, and how one ended, in words that say what to do; and whether the same again can
//! help.

use std::{io, time::Duration};

use jiff::{Timestamp, fmt::rfc2822};

use super::{proxy::TunnelError, tls::TlsFailure};
use crate::{protocol::backoff::Retry, wire::frame::FrameError};

/// A server could not be reached, or did not want this client.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    #[error("{url}: cannot connect: {source}; is the server up, and is server.endpoint right?")]
    Connect { url: String, source: io::Error },
    #[error("{url}: no answer within {seconds} s")]
    TimedOut { url: String, seconds: u64 },
    #[error("{url}: TLS failed: {source}")]
    Tls { url: String, source: TlsFailure },
    #[error("{url}: no way through the proxy {proxy}: {source}")]
    Proxy { url: String, proxy: String, source: ProxyError },
    #[error("{url}: the URL asks for TLS, but there are no TLS settings")]
    NoTls { url: String },
    #[error("{url}: {name:?} cannot be a server name in TLS")]
    ServerName { url: String, name: String },
    #[error("{url}: the server answered 401; check the credentials in server.headers")]
    Unauthorized { url: String },
    #[error("{url}: the server answered {status}{}", hint(*status))]
    Status { url: String, status: u16 },
    #[error("{url}: the server is overloaded ({status})")]
    Overloaded { url: String, status: u16, after: Option<Duration> },
    #[error("{url}: the connection broke before the server answered: {source}")]
    Broke { url: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error(
        "{url}: the answer is no WebSocket handshake: {source}; does server.endpoint name an OpAMP endpoint?"
    )]
    Handshake { url: String, source: Box<dyn std::error::Error + Send + Sync> },
}

/// Why a proxy is of no use.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    #[error("cannot connect to it: {0}; is it up, and is its URL right?")]
    Connect(io::Error),
    #[error("TLS to it failed: {0}")]
    Tls(TlsFailure),
    #[error("its URL asks for TLS, but there are no TLS settings")]
    NoTls,
    #[error("its host cannot be a server name in TLS")]
    Name,
    #[error(
        "it, or the server behind it, answered 401; check the credentials in its URL and in server.headers"
    )]
    Unauthorized,
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
        match self {
            Self::Overloaded { after, .. } => Retry::Overloaded { after: *after },
            _ if self.is_permanent() => Retry::Permanent,
            _ => Retry::Failed,
        }
    }

    /// Whether the same attempt ends the same way until somebody changes something, there or here.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::TimedOut { .. } | Self::Overloaded { .. } | Self::Broke { .. } => {
                false
            }
            Self::Tls { source, .. } => source.is_permanent(),
            Self::Proxy { source, .. } => match source {
                ProxyError::Connect(_) => false,
                ProxyError::Tls(failure) => failure.is_permanent(),
                ProxyError::NoTls | ProxyError::Name | ProxyError::Unauthorized => true,
                ProxyError::Tunnel(error) => error.is_permanent(),
            },
            // A gateway, a request that took too long, one that came too early.
            Self::Status { status, .. } => !matches!(status, 500..=599 | 408 | 425),
            Self::NoTls { .. }
            | Self::ServerName { .. }
            | Self::Unauthorized { .. }
            | Self::Handshake { .. } => true,
        }
    }

    /// An HTTP status where success was expected.
    pub(super) fn of_status(url: String, status: u16, retry_after: Option<&str>) -> Self {
        match status {
            401 => Self::Unauthorized { url },
            429 | 503 => Self::Overloaded { url, status, after: retry_after.and_then(parse_retry_after) },
            _ => Self::Status { url, status },
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
    #[error("the peer closed the connection{}", because(reason))]
    Closed { reason: String },
    #[error("the connection broke: {0}")]
    Broken(Box<dyn std::error::Error + Send + Sync>),
    #[error("the peer is silent: no answer to a ping within {seconds} s")]
    Silent { seconds: u64 },
    #[error("the peer sent a message over the limit of {limit} bytes")]
    TooLarge { limit: usize },
    #[error("the peer sent what is no OpAMP message: {0}")]
    Malformed(FrameError),
    #[error("the peer sent a text frame; OpAMP messages are binary")]
    Text,
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
