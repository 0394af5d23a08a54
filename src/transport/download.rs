//! One GET whose answer is read piece by piece: files that are larger than memory allows.
//!
//! Redirects, ranges and the question when to try again are the caller's: an answer of any status is an answer here.

use std::net::IpAddr;

use ::http::{HeaderMap, HeaderValue, Request, Uri, header::HOST, response::Parts};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;
use url::Position;

use super::{
    DialFailure, Target,
    dial::{self, DIAL_WITHIN},
    http::{ExchangeError, ExchangeFailure},
};

/// Read at once: large files are what this is for.
const BUFFER: usize = 64 * 1024;

/// An answer whose body is still coming. Dropping it hangs up.
#[derive(Debug)]
pub struct Download {
    url: Target,
    /// Status and headers.
    pub head: Parts,
    body: Incoming,
}

impl Download {
    /// Asks for [`Target::url`] (`http` or `https`) with the headers of the target and these. The address of the server is
    /// judged by `may` before anything is sent to it; behind a proxy it is not known. Only dialling is bounded here (15 s).
    pub async fn get(
        target: &Target,
        more: HeaderMap,
        may: &(dyn Fn(IpAddr) -> bool + Sync),
    ) -> Result<Self, ExchangeError> {
        let dialled = timeout(DIAL_WITHIN, dial::to_server_at(target, may)).await;
        let late = |_| Err(DialFailure::TimedOut(DIAL_WITHIN.as_secs()).at(target));
        let stream = TokioIo::new(dialled.unwrap_or_else(late)?);
        let broke = |error| ExchangeFailure::Broke(error).at(target);
        let (mut sender, connection) =
            http1::Builder::new().max_buf_size(BUFFER).handshake(stream).await.map_err(broke)?;
        // Ends with the answer's body. What goes wrong is told to whoever reads that.
        tokio::spawn(async move {
            let _ = connection.await;
        });
        let request = request(target, more).map_err(|error| ExchangeFailure::Request(error).at(target))?;
        let (head, body) = sender.send_request(request).await.map_err(broke)?.into_parts();
        Ok(Self { url: target.clone(), head, body })
    }

    /// A header of the answer, if it is there and text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// What comes next of the body; none at its end.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, ExchangeError> {
        while let Some(frame) = self.body.frame().await {
            let frame = frame.map_err(|error| ExchangeFailure::Broke(error).at(&self.url))?;
            if let Ok(bytes) = frame.into_data() {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }
}

fn request(target: &Target, more: HeaderMap) -> Result<Request<Empty<Bytes>>, ::http::Error> {
    let url = &target.url;
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = Uri::try_from(&url[Position::BeforePath..Position::AfterQuery])?;
    *request.headers_mut() = target.request_headers();
    request.headers_mut().extend(more);
    let authority = HeaderValue::from_str(&url[Position::BeforeHost..Position::AfterPort])?;
    request.headers_mut().insert(HOST, authority);
    Ok(request)
}
