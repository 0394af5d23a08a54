//! The REST API over HTTP: one method per verb, pages joined, refusals made readable.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, header};
use serde_json::Value;
use tokio::io::AsyncReadExt;
use url::Url;

use super::bar::Progress;
use super::error::Error;
use super::settings::{Credential, Settings};
use super::tls;

const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
const REQUEST_DEADLINE: Duration = Duration::from_secs(30);
const ANSWER_LIMIT: usize = 64 * 1024 * 1024;
/// Bytes a second; an upload that is slower is given up.
const SLOWEST_UPLOAD: u64 = 16 * 1024;
const CHUNK: usize = 64 * 1024;
const PAGE_SIZE: &str = "500";
const PAGE_LIMIT: usize = 10_000;

/// One server, asked with one credential.
pub(super) struct Client {
    http: reqwest::Client,
    base: Url,
}

impl Client {
    /// Makes the client; it asks the server for something only when the credential is a password.
    pub(super) async fn connect(settings: &Settings) -> Result<Self, Error> {
        let base = settings.server.clone();
        let bearer = match &settings.credential {
            None => None,
            Some(Credential::Bearer(token)) => Some(token.0.clone()),
            Some(Credential::Basic { username, password }) => {
                let anonymous = Self { http: http_client(settings, HeaderMap::new())?, base: base.clone() };
                Some(anonymous.login(username, &password.0).await?)
            }
        };
        let mut headers = HeaderMap::new();
        if let Some(bearer) = bearer {
            let value = HeaderValue::try_from(format!("Bearer {bearer}"));
            let mut value =
                value.map_err(|_| Error::Setting("the token cannot be sent in a header".to_owned()))?;
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        Ok(Self { http: http_client(settings, headers)?, base })
    }

    async fn login(&self, username: &str, password: &str) -> Result<String, Error> {
        let url = self.url(&["auth", "basic"], &[]);
        let request = self.http.get(url.clone()).basic_auth(username, Some(password));
        let answer = self.send(Method::GET, &url, request).await?;
        let token = answer.get("token").and_then(Value::as_str).map(str::to_owned);
        token.ok_or_else(|| Error::Answer { url: url.to_string(), what: "it holds no token".to_owned() })
    }

    /// The address of the server, for people.
    pub(super) fn server(&self) -> &str {
        self.base.as_str()
    }

    pub(super) async fn get(&self, path: &[&str], query: &[(&str, String)]) -> Result<Value, Error> {
        let url = self.url(path, query);
        let request = self.http.get(url.clone());
        self.send(Method::GET, &url, request).await
    }

    /// Like `get`, with so much more time for the answer.
    pub(super) async fn get_within(
        &self,
        path: &[&str],
        query: &[(&str, String)],
        wait: Duration,
    ) -> Result<Value, Error> {
        let url = self.url(path, query);
        let request = self.http.get(url.clone()).timeout(REQUEST_DEADLINE + wait);
        self.send(Method::GET, &url, request).await
    }

    /// Like `get`, with `None` for 404.
    pub(super) async fn find(&self, path: &[&str]) -> Result<Option<Value>, Error> {
        match self.get(path, &[]).await {
            Ok(found) => Ok(Some(found)),
            Err(Error::Api { status: 404, .. }) => Ok(None),
            Err(e) => Err(e),
        }
    }

    pub(super) async fn put(&self, path: &[&str], body: &Value) -> Result<Value, Error> {
        let url = self.url(path, &[]);
        let request = self.http.put(url.clone()).json(body);
        self.send(Method::PUT, &url, request).await
    }

    pub(super) async fn post(&self, path: &[&str], body: &Value) -> Result<Value, Error> {
        let url = self.url(path, &[]);
        let request = self.http.post(url.clone()).json(body);
        self.send(Method::POST, &url, request).await
    }

    /// Streams a file, whose last word is its length.
    pub(super) async fn upload(
        &self,
        path: &[&str],
        file: std::fs::File,
        progress: Progress,
        size: u64,
        signature: Option<&str>,
    ) -> Result<Value, Error> {
        let url = self.url(path, &[]);
        let body = reqwest::Body::wrap_stream(chunks(file, progress));
        let patience = REQUEST_DEADLINE + Duration::from_secs(size / SLOWEST_UPLOAD);
        let mut request = self.http.post(url.clone()).timeout(patience);
        request = request
            .header(header::CONTENT_LENGTH, size)
            .header(header::CONTENT_TYPE, "application/octet-stream");
        if let Some(signature) = signature {
            request = request.header("X-Package-Signature", signature);
        }
        self.send(Method::POST, &url, request.body(body)).await
    }

    pub(super) async fn delete(&self, path: &[&str]) -> Result<(), Error> {
        let url = self.url(path, &[]);
        let request = self.http.delete(url.clone());
        self.send(Method::DELETE, &url, request).await.map(drop)
    }

    /// Every item of a collection, page after page.
    pub(super) async fn list(&self, path: &[&str], query: &[(&str, String)]) -> Result<Vec<Value>, Error> {
        let mut items = Vec::new();
        let mut next = String::new();
        for _ in 0..PAGE_LIMIT {
            let mut query = query.to_vec();
            query.push(("limit", PAGE_SIZE.to_owned()));
            if !next.is_empty() {
                query.push(("continue", next.clone()));
            }
            let mut page = self.get(path, &query).await?;
            let Some(Value::Array(more)) = page.get_mut("items").map(Value::take) else {
                let url = self.url(path, &query).to_string();
                return Err(Error::Answer { url, what: "it is no list: `items` is missing".to_owned() });
            };
            let after = page.pointer("/metadata/continue").and_then(Value::as_str).unwrap_or("");
            let last = after.is_empty() || after == next || more.is_empty();
            items.extend(more);
            if last {
                return Ok(items);
            }
            after.clone_into(&mut next);
        }
        let url = self.url(path, query).to_string();
        Err(Error::Answer { url, what: format!("the list does not end after {PAGE_LIMIT} pages") })
    }

    /// The stream of changes, or `None` when this server has none.
    pub(super) async fn events(&self) -> Result<Option<reqwest::Response>, Error> {
        let url = self.url(&["watch"], &[]);
        let request = self.http.get(url.clone()).header(header::ACCEPT, "text/event-stream");
        let request = request.timeout(Duration::from_secs(24 * 3600));
        let answer = request.send().await.map_err(|source| unreachable(&url, source))?;
        match answer.status().as_u16() {
            200 => Ok(Some(answer)),
            401 => Err(Error::Unauthorized { url: url.to_string() }),
            _ => Ok(None),
        }
    }

    fn url(&self, path: &[&str], query: &[(&str, String)]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1"]).extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    async fn send(
        &self,
        method: Method,
        url: &Url,
        request: reqwest::RequestBuilder,
    ) -> Result<Value, Error> {
        let answer = request.send().await.map_err(|source| unreachable(url, source))?;
        let status = answer.status();
        let body = read_limited(url, answer).await?;
        if status.as_u16() == 401 {
            return Err(Error::Unauthorized { url: url.to_string() });
        }
        if !status.is_success() {
            let text = refusal(&body).unwrap_or_else(|| {
                let reason = status.canonical_reason().unwrap_or("");
                format!("{reason}; is this where opamp-server serves operators (--api-listen)?")
            });
            return Err(Error::Api { method, url: url.to_string(), status: status.as_u16(), text });
        }
        if body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&body)
            .map_err(|e| Error::Answer { url: url.to_string(), what: format!("it is no JSON: {e}") })
    }
}

/// A file piece by piece.
fn chunks(
    file: std::fs::File,
    progress: Progress,
) -> impl futures_util::Stream<Item = std::io::Result<Vec<u8>>> + Send + 'static {
    let from = tokio::fs::File::from_std(file);
    futures_util::stream::try_unfold((from, progress), |(mut from, mut progress)| async move {
        let mut chunk = vec![0; CHUNK];
        let count = from.read(&mut chunk).await?;
        chunk.truncate(count);
        progress.add(count);
        Ok((count > 0).then_some((chunk, (from, progress))))
    })
}

fn http_client(settings: &Settings, headers: HeaderMap) -> Result<reqwest::Client, Error> {
    let server = &settings.server;
    let tls = tls::client_config(server.scheme(), settings.ca_file.as_deref())?;
    let mut builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .default_headers(headers)
        .user_agent(concat!("opampctl/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_DEADLINE)
        .timeout(REQUEST_DEADLINE);
    if is_loopback(server) {
        builder = builder.no_proxy();
    }
    builder.build().map_err(Error::Http)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

fn unreachable(url: &Url, source: reqwest::Error) -> Error {
    Error::Unreachable { url: url.to_string(), source: source.without_url() }
}

async fn read_limited(url: &Url, mut answer: reqwest::Response) -> Result<Vec<u8>, Error> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|source| unreachable(url, source))? {
        if body.len() + chunk.len() > ANSWER_LIMIT {
            let what = format!("it is longer than {ANSWER_LIMIT} bytes");
            return Err(Error::Answer { url: url.to_string(), what });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The readable part of an RFC 9457 problem document.
fn refusal(body: &[u8]) -> Option<String> {
    let problem: Value = serde_json::from_slice(body).ok()?;
    let text = |key: &str| problem.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let mut parts: Vec<String> = Vec::new();
    parts.extend(text("title").or_else(|| text("error")).map(str::to_owned));
    parts.extend(text("detail").map(str::to_owned));
    for error in problem.get("errors").and_then(Value::as_array).into_iter().flatten() {
        let message = error.get("message").and_then(Value::as_str).unwrap_or("");
        let location = error.get("location").and_then(Value::as_str).unwrap_or("");
        let told = parts.iter().any(|part| part == message);
        match (message.is_empty() || told, location) {
            (true, _) => {}
            (false, "" | "server") => parts.push(message.to_owned()),
            (false, location) => parts.push(format!("{location}: {message}")),
        }
    }
    (!parts.is_empty()).then(|| parts.join(": "))
}
