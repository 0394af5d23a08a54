//! One request to its endpoint: again where that may help, given up where it does not, and told of once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER},
};
use prost::Message;
use rand::Rng;
use reqwest::{Client, Response};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};
use url::Url;

use super::{Destination, NoClient};
use crate::wire::{body::gzip, otlp::ExportAnswer};

const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Pauses before another try grow from the first to the second.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// A request that was not taken in this time is given up: newer ones wait behind it.
const GIVE_UP_AFTER: Duration = Duration::from_secs(60);
/// As much of an answer is read.
const ANSWER_LIMIT: usize = 16 * 1024;

/// The way to one endpoint.
pub(super) struct Delivery {
    client: Client,
    url: Url,
    headers: HeaderMap,
    gzip: bool,
    /// What is sent, for the log.
    what: &'static str,
    /// Items that found the queue full.
    pub(super) dropped: Arc<AtomicU64>,
    /// Items that were given up since the trouble began.
    lost: u64,
    failing: bool,
}

struct Failure {
    why: String,
    /// Whether another try may help, and when the endpoint wants it.
    retry: Option<Option<Duration>>,
}

impl Delivery {
    pub(super) fn new(destination: Destination, what: &'static str) -> Result<Self, NoClient> {
        let client = Client::builder()
            .tls_backend_preconfigured((*destination.tls).clone())
            .http1_only()
            .no_gzip()
            // A redirect would carry the headers to another place.
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_WITHIN)
            .timeout(destination.timeout)
            .pool_max_idle_per_host(1)
            .build()?;
        let mut headers = destination.headers;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        if destination.gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let (url, gzip) = (destination.url, destination.gzip);
        Ok(Self { client, url, headers, gzip, what, dropped: Arc::default(), lost: 0, failing: false })
    }

    /// Sends one request with so many items. Ends early, once everything does.
    pub(super) async fn deliver(&mut self, body: Vec<u8>, items: usize, ending: &mut watch::Receiver<bool>) {
        let body = if self.gzip { gzip(&body) } else { body };
        let begun = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            let failure = match self.post(&body).await {
                Ok(()) => return self.succeeded(),
                Err(failure) => failure,
            };
            self.failed(&failure.why);
            let wait = match failure.retry {
                Some(Some(after)) => after,
                Some(None) => pause.mul_f64(rand::rng().random_range(0.5..1.5)),
                None => Duration::MAX,
            };
            if *ending.borrow() || wait > GIVE_UP_AFTER.saturating_sub(begun.elapsed()) {
                self.lost += items as u64;
                return;
            }
            pause = LONGEST_PAUSE.min(pause * 2);
            tokio::select! {
                () = sleep(wait) => {}
                _ = ending.wait_for(|ending| *ending) => {}
            }
        }
    }

    async fn post(&self, body: &[u8]) -> Result<(), Failure> {
        let request = self.client.post(self.url.clone()).headers(self.headers.clone()).body(body.to_vec());
        let answer = request
            .send()
            .await
            .map_err(|error| Failure { why: causes(&error.without_url()), retry: Some(None) })?;
        let status = answer.status();
        if status.is_success() {
            return self.taken(answer).await;
        }
        let retry = matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS
                | StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT
        );
        let after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        Err(Failure {
            why: format!("the endpoint answered {status}"),
            retry: retry.then_some(after.map(Duration::from_secs)),
        })
    }

    /// Taken, but perhaps not all of it; what was refused once is refused again.
    async fn taken(&self, mut answer: Response) -> Result<(), Failure> {
        let mut bytes = Vec::new();
        while let Ok(Some(chunk)) = answer.chunk().await {
            if bytes.len() + chunk.len() > ANSWER_LIMIT {
                return Ok(());
            }
            bytes.extend_from_slice(&chunk);
        }
        match ExportAnswer::decode(&*bytes).unwrap_or_default().partial_success {
            Some(partial) if partial.rejected > 0 => Err(Failure {
                why: format!("the endpoint took all but {}: {}", partial.rejected, partial.error_message),
                retry: None,
            }),
            _ => Ok(()),
        }
    }

    fn failed(&mut self, why: &str) {
        if !self.failing {
            tracing::warn!("the supervisor's {} cannot be exported to {}: {why}", self.what, self.place());
        }
        self.failing = true;
    }

    fn succeeded(&mut self) {
        let lost = self.lost + self.dropped.swap(0, Ordering::Relaxed);
        if self.failing || lost > 0 {
            tracing::warn!(
                "the supervisor's {} are exported to {} again; lost: {lost}",
                self.what,
                self.place()
            );
        }
        self.lost = 0;
        self.failing = false;
    }

    /// The endpoint without anything that may be a secret.
    fn place(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        let port = self.url.port_or_known_default().unwrap_or_default();
        format!("{}://{host}:{port}{}", self.url.scheme(), self.url.path())
    }
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
