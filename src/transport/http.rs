//! Plain HTTP exchanges with a server: one POST, one answer, on a connection that is kept between them.
//!
//! A proxy that speaks HTTP passes requests to an `http` server on by itself; it need not allow CONNECT for them.

use std::{error::Error, time::Duration};

use ::http::{
    HeaderMap, HeaderValue, Method, Request, StatusCode, Uri,
    header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HOST, RETRY_AFTER},
    response::Parts,
};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;
use url::Position;

use super::{
    DialError, DialFailure, Patience, Proxy, ProxyError, Target,
    dial::{self, DIAL_WITHIN},
    frames::Io,
    proxy::{Speaks, TunnelError},
    tls::TlsFailure,
};
use crate::{
    protocol::backoff::Retry,
    wire::{
        self, INSTANCE_UID_HEADER,
        body::{self, BodyError},
        proto::{AgentToServer, ServerToAgent},
    },
};

/// Bodies smaller than this are not worth compressing.
const GZIP_FROM: usize = 1024;
/// The head of an answer, and what is read at once of its body: memory matters more than throughput here.
pub(super) const BUFFER: usize = 16 * 1024;

/// An exchange gave no answer that can be used.
#[derive(Debug, thiserror::Error)]
#[error("{url}: {why}")]
pub struct ExchangeError {
    /// Where the request went, without user, password and query.
    pub url: String,
    /// What stood in the way.
    pub why: ExchangeFailure,
}

/// Why an exchange gave no answer that can be used. [`ExchangeError::retry`] says what to do about each.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeFailure {
    /// The server was not reached, or did not want the request.
    #[error(transparent)]
    Dial(DialFailure),
    /// The connection broke before the whole answer was there. The server may have processed the message.
    #[error("{}; the server may be restarting, or cuts connections", causes(.0))]
    Broke(hyper::Error),
    /// The server is silent for this many seconds ([`HttpLink::set_patience`]).
    #[error("no answer within {0} s")]
    TimedOut(u64),
    /// The URL or a header cannot be written into a request.
    #[error("a request cannot be made: {0}")]
    Request(::http::Error),
    /// 413 (C-LM-07).
    #[error("the server answered 413: the message is over its limit and is not sent again")]
    TooLargeForServer,
    /// A web page, most likely: the start of its content type.
    #[error("the answer is {0:?}, no OpAMP message; does server.endpoint name an OpAMP endpoint?")]
    NotOpamp(String),
    /// Over the limit, compressed in an unknown way, or no message (C-LM-10).
    #[error("the answer cannot be used and was discarded: {0}; does server.endpoint name an OpAMP endpoint?")]
    Body(BodyError),
    /// The message is over the limit of this end (C-LM-13).
    #[error("not sent: {0}")]
    NotSent(BodyError),
}

impl From<DialError> for ExchangeError {
    fn from(error: DialError) -> Self {
        Self { url: error.url, why: ExchangeFailure::Dial(error.why) }
    }
}

/// The error with what caused it: the outermost words alone say little.
fn causes(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
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
        use ExchangeFailure as Why;
        match &self.why {
            Why::Dial(failure) => failure.is_permanent(),
            Why::Broke(_) | Why::TimedOut(_) => false,
            Why::Request(_) | Why::NotOpamp(_) | Why::Body(_) => true,
            Why::TooLargeForServer | Why::NotSent(_) => true,
        }
    }

    /// What this means for the next attempt.
    #[must_use]
    pub fn retry(&self) -> Retry {
        use ExchangeFailure as Why;
        match &self.why {
            Why::Dial(failure) => failure.retry(),
            Why::Broke(_) | Why::TimedOut(_) | Why::Body(_) => Retry::Unanswered,
            Why::Request(_) | Why::NotOpamp(_) => Retry::Permanent,
            Why::TooLargeForServer | Why::NotSent(_) => Retry::Failed,
        }
    }
}

impl ExchangeFailure {
    pub(super) fn at(self, target: &Target) -> ExchangeError {
        ExchangeError { url: target.shown(), why: self }
    }
}

/// A server reached by requests.
#[derive(Debug)]
pub struct HttpLink {
    target: Target,
    /// The connection of the last exchange, if it may be used again (B-TC-04).
    open: Option<SendRequest<Full<Bytes>>>,
    /// A request and its answer may take this long.
    within: Duration,
}

impl HttpLink {
    /// No connection is made yet.
    #[must_use]
    pub fn new(target: &Target) -> Self {
        Self { target: target.clone(), open: None, within: Patience::default().ping_after }
    }

    /// How long an answer may take: as long as the answer to a ping over WebSocket.
    pub const fn set_patience(&mut self, patience: Patience) {
        self.within = patience.silent_after.saturating_sub(patience.ping_after);
    }

    /// Sends one message and returns the answer to it (C-HT-01). The next one waits for the answer to this one
    /// (C-HT-05).
    pub async fn exchange(&mut self, message: &AgentToServer) -> Result<ServerToAgent, ExchangeError> {
        let limits = self.target.limits;
        let bytes = body::encode(message, limits.send)
            .map_err(|error| ExchangeFailure::NotSent(error).at(&self.target))?;
        let request = self.request(bytes, message)?;
        let answered = timeout(self.within, self.answer(request)).await;
        let (head, bytes) = answered.unwrap_or_else(|_| {
            self.open = None;
            Err(ExchangeFailure::TimedOut(self.within.as_secs()).at(&self.target))
        })?;
        let text = |name| head.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        body::decode(&bytes, text(CONTENT_ENCODING), limits.receive).map_err(|error| {
            let why = match (error, text(CONTENT_TYPE)) {
                (BodyError::Message(_), Some(other)) if other.starts_with("text/") => {
                    ExchangeFailure::NotOpamp(other.chars().take(40).collect())
                }
                (error, _) => ExchangeFailure::Body(error),
            };
            why.at(&self.target)
        })
    }

    /// The proxy that is given the whole URL.
    fn passes_on(&self) -> Option<&Proxy> {
        self.target
            .proxy
            .as_ref()
            .filter(|proxy| !self.target.is_secure() && proxy.speaks() != Speaks::Socks5)
    }

    fn request(
        &self,
        bytes: Vec<u8>,
        message: &AgentToServer,
    ) -> Result<Request<Full<Bytes>>, ExchangeError> {
        let url = &self.target.url;
        let mut headers = self.target.request_headers();
        let place = match self.passes_on() {
            Some(proxy) => {
                headers.extend(proxy.headers());
                let authority = &url[Position::BeforeHost..Position::AfterPort];
                format!("http://{authority}{}", &url[Position::BeforePath..Position::AfterQuery])
            }
            None => url[Position::BeforePath..Position::AfterQuery].to_owned(),
        };
        let made = self.headers(&mut headers, message).and_then(|()| {
            let body = if bytes.len() < GZIP_FROM {
                bytes
            } else {
                headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                body::gzip(&bytes)
            };
            let mut request = Request::new(Full::new(Bytes::from(body)));
            *request.method_mut() = Method::POST;
            *request.uri_mut() = Uri::try_from(place)?;
            *request.headers_mut() = headers;
            Ok(request)
        });
        made.map_err(|error| ExchangeFailure::Request(error).at(&self.target))
    }

    fn headers(&self, headers: &mut HeaderMap, message: &AgentToServer) -> Result<(), ::http::Error> {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(wire::CONTENT_TYPE));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        let authority = &self.target.url[Position::BeforeHost..Position::AfterPort];
        headers.insert(HOST, HeaderValue::from_str(authority)?);
        if let Ok(uid) = wire::InstanceUid::try_from(&*message.instance_uid) {
            headers.insert(INSTANCE_UID_HEADER, HeaderValue::from_str(&uid.to_string())?);
        }
        Ok(())
    }

    /// Sends on the connection that is there, or on a new one; gives head and body of a success.
    async fn answer(&mut self, request: Request<Full<Bytes>>) -> Result<(Parts, Vec<u8>), ExchangeError> {
        let kept = match self.open.take() {
            // It may still be at the end of the last exchange.
            Some(mut sender) => sender.ready().await.is_ok().then_some(sender),
            None => None,
        };
        let mut sender = match kept {
            Some(sender) => sender,
            None => self.connect().await?,
        };
        let sent = match sender.try_send_request(request).await {
            Ok(answer) => Ok(answer),
            // The server closed the kept connection, and heard nothing of this request.
            Err(mut error) => match error.take_message() {
                Some(request) => {
                    sender = self.connect().await?;
                    sender.send_request(request).await
                }
                None => Err(error.into_error()),
            },
        };
        let answer = sent.map_err(|source| self.broke(source))?;
        let (head, body) = answer.into_parts();
        let judged = self.check_status(&head);
        if !matches!(judged, Ok(()) | Err(ExchangeFailure::TooLargeForServer)) {
            return judged.map(|()| (head, Vec::new())).map_err(|why| why.at(&self.target));
        }
        let read = self.read(body).await;
        self.open = read.is_ok().then_some(sender);
        judged.map_err(|why| why.at(&self.target))?;
        read.map(|bytes| (head, bytes))
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, ExchangeError> {
        let dialled = timeout(DIAL_WITHIN, async {
            match self.passes_on() {
                Some(proxy) => dial::to_proxy(&self.target, proxy).await,
                None => dial::to_server(&self.target).await,
            }
        });
        let stream: Box<dyn Io> = dialled
            .await
            .unwrap_or_else(|_| Err(DialFailure::TimedOut(DIAL_WITHIN.as_secs()).at(&self.target)))?;
        let shaken = http1::Builder::new().max_buf_size(BUFFER).handshake(TokioIo::new(stream)).await;
        let (sender, connection) = shaken.map_err(|source| self.broke(source))?;
        // Ends with the sender. What goes wrong is told to it.
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(sender)
    }

    fn check_status(&self, answer: &Parts) -> Result<(), ExchangeFailure> {
        let status = answer.status;
        let why = match (status, self.passes_on()) {
            (StatusCode::OK, _) => return Ok(()),
            (StatusCode::PAYLOAD_TOO_LARGE, _) => return Err(ExchangeFailure::TooLargeForServer),
            (StatusCode::PROXY_AUTHENTICATION_REQUIRED, Some(proxy)) => {
                DialFailure::by_proxy(proxy, TunnelError::Credentials(status.as_u16()).into())
            }
            (StatusCode::UNAUTHORIZED, Some(proxy)) => DialFailure::by_proxy(proxy, ProxyError::Unauthorized),
            _ => {
                let after = answer.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
                DialFailure::of_status(status.as_u16(), after)
            }
        };
        Err(ExchangeFailure::Dial(why))
    }

    /// Reads a body up to the limit; nothing of a longer one is used (C-LM-09, C-LM-10).
    async fn read(&self, mut body: Incoming) -> Result<Vec<u8>, ExchangeError> {
        let limit = self.target.limits.receive;
        let mut bytes = Vec::new();
        while let Some(frame) = body.frame().await {
            let Ok(chunk) = frame.map_err(|source| self.broke(source))?.into_data() else { continue };
            if bytes.len() + chunk.len() > limit {
                return Err(ExchangeFailure::Body(BodyError::TooLarge { limit }).at(&self.target));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    /// A server that wants another certificate of this client says so only here.
    fn broke(&self, error: hyper::Error) -> ExchangeError {
        if !TlsFailure::is_in(&error) {
            return ExchangeFailure::Broke(error).at(&self.target);
        }
        let failure = TlsFailure::of(error);
        let why = match self.passes_on() {
            Some(proxy) => DialFailure::by_proxy(proxy, ProxyError::Tls(failure)),
            None => DialFailure::Tls(failure),
        };
        why.at(&self.target).into()
    }
}
