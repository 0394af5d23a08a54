//! Plain HTTP exchanges with a server: one POST, one answer.

use std::time::Duration;

use ::http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HOST, RETRY_AFTER},
};
use reqwest::{
    Client, Response,
    dns::{Addrs, Name, Resolve, Resolving},
};
use url::{Host, Position, Url};

use super::{
    Target,
    error::{hint, is_verdict_of_tls, parse_retry_after},
    tls::{self, TlsError},
};
use crate::{
    protocol::backoff::Retry,
    wire::{
        self, INSTANCE_UID_HEADER,
        body::{self, BodyError},
        proto::{AgentToServer, ServerToAgent},
    },
};

const CONNECT_WITHIN: Duration = Duration::from_secs(15);
const EXCHANGE_WITHIN: Duration = Duration::from_secs(30);
/// Bodies smaller than this are not worth compressing.
const GZIP_FROM: usize = 1024;

/// An exchange gave no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    #[error("{url}: {}; is the server up, and are server.endpoint and server.tls right?", causes(source))]
    Failed { url: String, source: reqwest::Error },
    #[error("{url}: the HTTP client cannot be made: {source}")]
    Client { url: String, source: reqwest::Error },
    #[error("{url}: {source}")]
    Tls { url: String, source: TlsError },
    #[error("{url}: {name:?} cannot be a server name over https; give a DNS name")]
    ServerName { url: String, name: String },
    #[error("{url}: the server answered 401; check the credentials in server.headers")]
    Unauthorized { url: String },
    #[error("{url}: the server answered 413: the message is over its limit and is not sent again")]
    TooLargeForServer { url: String },
    #[error("{url}: the server is overloaded ({status})")]
    Overloaded { url: String, status: u16, after: Option<Duration> },
    #[error("{url}: the server answered {status}{}", hint(*status))]
    Status { url: String, status: u16 },
    #[error("{url}: the answer cannot be used: {source}; does server.endpoint name an OpAMP endpoint?")]
    Body { url: String, source: BodyError },
    #[error("{url}: not sent: {source}")]
    NotSent { url: String, source: BodyError },
}

/// The error with what caused it: the outermost words alone say little.
fn causes(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

impl ExchangeError {
    /// Whether the same exchange ends the same way until somebody changes something, there or here.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Failed { source, .. } => is_verdict_of_tls(source),
            Self::Overloaded { .. } => false,
            Self::Status { status, .. } => *status < 500,
            Self::Client { .. } | Self::Tls { .. } | Self::ServerName { .. } | Self::Unauthorized { .. } => {
                true
            }
            Self::TooLargeForServer { .. } | Self::Body { .. } | Self::NotSent { .. } => true,
        }
    }

    /// What this means for the next attempt.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::Overloaded { after, .. } => Retry::Overloaded { after: *after },
            Self::Failed { source, .. } if !source.is_connect() => Retry::Unanswered,
            Self::Body { .. } => Retry::Unanswered,
            _ => Retry::Failed,
        }
    }
}

/// A server reached by requests; connections are kept alive between them.
#[derive(Debug)]
pub struct HttpLink {
    client: Client,
    target: Target,
    /// The target's URL, with the name that its certificate must have for a host.
    post_to: Url,
}

/// Looks up the target's own host, whatever name the certificate is for.
#[derive(Debug)]
struct HostOf {
    host: String,
    port: u16,
}

impl Resolve for HostOf {
    fn resolve(&self, _: Name) -> Resolving {
        let (host, port) = (self.host.clone(), self.port);
        Box::pin(async move {
            let addresses = tokio::net::lookup_host((host, port)).await?;
            Ok(Box::new(addresses) as Addrs)
        })
    }
}

/// Where to post so that the server is asked for the name its certificate must have, and how to get there.
fn named(target: &Target) -> Result<(Url, HostOf), ExchangeError> {
    let host = target.url.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = target.url.port_or_known_default().unwrap_or(443);
    let mut url = target.url.clone();
    if let Some(name) = &target.server_name {
        let named = url.set_host(Some(name));
        // An address is not looked up, so the connection would go there.
        if named.is_err() || !matches!(url.host(), Some(Host::Domain(_))) {
            return Err(ExchangeError::ServerName { url: target.url.to_string(), name: name.clone() });
        }
    }
    Ok((url, HostOf { host, port }))
}

impl HttpLink {
    /// Makes the client; no connection is made yet.
    pub fn new(target: &Target) -> Result<Self, ExchangeError> {
        let tls = target.tls.clone().map_or_else(tls::unused, Ok);
        let tls = tls.map_err(|source| ExchangeError::Tls { url: target.url.to_string(), source })?;
        let (post_to, resolver) = named(target)?;
        let client = Client::builder()
            .dns_resolver(resolver)
            .tls_backend_preconfigured((*tls).clone())
            .http1_only()
            .no_gzip()
            // A redirect would carry the credentials to another place.
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_WITHIN)
            .timeout(EXCHANGE_WITHIN)
            .pool_max_idle_per_host(1)
            .build()
            .map_err(|source| ExchangeError::Client { url: target.url.to_string(), source })?;
        Ok(Self { client, target: target.clone(), post_to })
    }

    /// Sends one message and returns the answer to it (C-HT-01).
    pub async fn exchange(&self, message: &AgentToServer) -> Result<ServerToAgent, ExchangeError> {
        let url = || self.target.url.to_string();
        let limits = self.target.limits;
        let bytes = body::encode(message, limits.send)
            .map_err(|source| ExchangeError::NotSent { url: url(), source })?;
        let (bytes, headers) = self.request(bytes, message);
        let sent = self.client.post(self.post_to.clone()).headers(headers).body(bytes).send().await;
        let answer = sent.map_err(|source| self.failed(source))?;
        self.check_status(&answer)?;
        let encoding = answer.headers().get(CONTENT_ENCODING).and_then(|value| value.to_str().ok());
        let encoding = encoding.map(str::to_owned);
        let bytes = self.read(answer, limits.receive).await?;
        body::decode(&bytes, encoding.as_deref(), limits.receive)
            .map_err(|source| ExchangeError::Body { url: url(), source })
    }

    fn request(&self, bytes: Vec<u8>, message: &AgentToServer) -> (Vec<u8>, HeaderMap) {
        let mut headers = self.target.headers.clone();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(wire::CONTENT_TYPE));
        let authority = HeaderValue::from_str(&self.target.url[Position::BeforeHost..Position::AfterPort]);
        if let (true, Ok(authority)) = (self.target.server_name.is_some(), authority) {
            headers.insert(HOST, authority);
        }
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        let uid = wire::InstanceUid::try_from(&*message.instance_uid).map(|uid| uid.to_string());
        if let Some(uid) = uid.ok().and_then(|uid| HeaderValue::from_str(&uid).ok()) {
            headers.insert(INSTANCE_UID_HEADER, uid);
        }
        if bytes.len() < GZIP_FROM {
            return (bytes, headers);
        }
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        (body::gzip(&bytes), headers)
    }

    fn check_status(&self, answer: &Response) -> Result<(), ExchangeError> {
        let url = self.target.url.to_string();
        let status = answer.status();
        match status {
            StatusCode::OK => Ok(()),
            StatusCode::UNAUTHORIZED => Err(ExchangeError::Unauthorized { url }),
            StatusCode::PAYLOAD_TOO_LARGE => Err(ExchangeError::TooLargeForServer { url }),
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                let after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
                let after = after.and_then(parse_retry_after);
                Err(ExchangeError::Overloaded { url, status: status.as_u16(), after })
            }
            _ => Err(ExchangeError::Status { url, status: status.as_u16() }),
        }
    }

    /// Reads a body up to the limit; nothing of a longer one is used (C-LM-09, C-LM-10).
    async fn read(&self, mut answer: Response, limit: usize) -> Result<Vec<u8>, ExchangeError> {
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|source| self.failed(source))? {
            if bytes.len() + chunk.len() > limit {
                let source = BodyError::TooLarge { limit };
                return Err(ExchangeError::Body { url: self.target.url.to_string(), source });
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    fn failed(&self, source: reqwest::Error) -> ExchangeError {
        ExchangeError::Failed { url: self.target.url.to_string(), source: source.without_url() }
    }
}
