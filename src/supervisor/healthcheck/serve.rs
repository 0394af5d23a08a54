//! Sockets, TLS and HTTP of the endpoint. Each connection is closed that neither asks nor takes its answer.

use std::{
    convert::Infallible,
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, lookup_host},
    sync::{Semaphore, watch},
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use super::answer::{Seen, answer};
use crate::{
    supervisor::config::{Family, HealthcheckConfig, Pem, PemKey, ServerTlsConfig, TlsVersion},
    transport::tls::{Clients, Identity, ServerTls, TlsError, Version},
};

/// Connections at a time; more are closed at once.
const CONNECTIONS: usize = 32;
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(5);
/// After an accept that failed: no descriptor is left, most likely.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Health cannot be served as the file says.
#[derive(Debug, thiserror::Error)]
pub enum HealthcheckError {
    #[error(
        "healthcheck.endpoint: cannot listen on {place}: {source}; free the port, or name an address of this host"
    )]
    Bind { place: String, source: io::Error },
    #[error("healthcheck.tls: cannot read {}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("healthcheck.tls: {0}")]
    Tls(#[from] TlsError),
}

/// A bound socket; nobody is answered yet.
pub(in crate::supervisor) struct Bound {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    rules: Rules,
}

#[derive(Clone)]
struct Rules {
    headers: HeaderMap,
    read_header: Duration,
    write: Duration,
    keep_alive: bool,
}

/// The endpoint at work; it ends when this is dropped.
#[derive(Debug)]
pub(in crate::supervisor) struct Serving(JoinHandle<()>);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Bound {
    pub(in crate::supervisor) async fn bind(config: &HealthcheckConfig) -> Result<Self, HealthcheckError> {
        let tls = config.tls.as_ref().map(acceptor).transpose()?;
        let listener = listen(config).await.map_err(|source| HealthcheckError::Bind {
            place: format!("{}:{}", config.host, config.port),
            source,
        })?;
        let mut headers = HeaderMap::new();
        for (name, value) in &config.response_headers {
            // Both were checked when the file was read.
            if let (Ok(name), Ok(value)) =
                (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value.expose()))
            {
                headers.append(name, value);
            }
        }
        let rules = Rules {
            headers,
            read_header: config.read_header_timeout,
            write: config.write_timeout,
            keep_alive: config.keep_alives_enabled,
        };
        Ok(Self { listener, tls, rules })
    }

    /// Answers with what was seen last.
    pub(in crate::supervisor) fn serve(self, seen: watch::Receiver<Seen>) -> Serving {
        if let Ok(address) = self.listener.local_addr() {
            let scheme = if self.tls.is_some() { "https" } else { "http" };
            tracing::info!("health is served on {scheme}://{address}/health");
        }
        Serving(tokio::spawn(accept(self, seen)))
    }
}

async fn listen(config: &HealthcheckConfig) -> io::Result<TcpListener> {
    let addresses: Vec<SocketAddr> = if config.host.is_empty() {
        let all: [IpAddr; 2] = [Ipv6Addr::UNSPECIFIED.into(), Ipv4Addr::UNSPECIFIED.into()];
        all.map(|address| (address, config.port).into()).to_vec()
    } else {
        lookup_host((config.host.as_str(), config.port)).await?.collect()
    };
    let wanted = |address: &&SocketAddr| match config.family {
        Family::Any => true,
        Family::V4 => address.is_ipv4(),
        Family::V6 => address.is_ipv6(),
    };
    let addresses: Vec<_> = addresses.iter().filter(wanted).copied().collect();
    TcpListener::bind(&*addresses).await
}

fn acceptor(config: &ServerTlsConfig) -> Result<TlsAcceptor, HealthcheckError> {
    let read = |path: &Path| {
        fs::read(path).map_err(|source| HealthcheckError::File { path: path.to_owned(), source })
    };
    let version = |version| match version {
        TlsVersion::V1_2 => Version::V1_2,
        TlsVersion::V1_3 => Version::V1_3,
    };
    let cert_pem = match &config.identity.cert {
        Pem::File(path) => read(path)?,
        Pem::Text(text) => text.clone().into_bytes(),
    };
    let key_pem = match &config.identity.key {
        PemKey::File(path) => read(path)?,
        PemKey::Text(text) => text.expose().as_bytes().to_vec(),
    };
    let tls = ServerTls {
        identity: Identity { cert_pem, key_pem },
        clients: match config.client_ca.as_deref() {
            None => Clients::Anyone,
            Some(path) => Clients::Certified(read(path)?),
        },
        min_version: version(config.min_version),
        max_version: version(config.max_version),
    };
    Ok(tls.build()?.into())
}

async fn accept(Bound { listener, tls, rules }: Bound, seen: watch::Receiver<Seen>) {
    let seats = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection to healthcheck.endpoint failed");
                sleep(AFTER_FAILURE).await;
                continue;
            }
        };
        let Ok(seat) = seats.clone().try_acquire_owned() else { continue };
        let (tls, rules, seen) = (tls.clone(), rules.clone(), seen.clone());
        tokio::spawn(async move {
            match tls {
                None => converse(stream, rules, seen).await,
                Some(tls) => match timeout(HANDSHAKE_WITHIN, tls.accept(stream)).await {
                    Ok(Ok(stream)) => converse(stream, rules, seen).await,
                    Ok(Err(error)) => {
                        tracing::debug!(%error, "a TLS handshake on healthcheck.endpoint failed")
                    }
                    Err(_) => tracing::debug!("a TLS handshake on healthcheck.endpoint took too long"),
                },
            }
            drop(seat);
        });
    }
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    rules: Rules,
    seen: watch::Receiver<Seen>,
) {
    let (asked, mut requests) = watch::channel(());
    let headers = rules.headers;
    let service = service_fn(move |request: Request<Incoming>| {
        asked.send_replace(());
        let answer = respond(&request, &seen.borrow(), &headers);
        async move { Ok::<_, Infallible>(answer) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(rules.read_header)
        .keep_alive(rules.keep_alive)
        .serve_connection(TokioIo::new(stream), service);
    // A request, its answer taken, and the next one: whoever takes longer than that is gone or hostile.
    let patience = rules.read_header + rules.write;
    let quiet = async { while let Ok(Ok(())) = timeout(patience, requests.changed()).await {} };
    tokio::select! {
        ended = connection => if let Err(error) = ended {
            tracing::debug!(%error, "a connection to healthcheck.endpoint ended");
        },
        () = quiet => tracing::debug!("a connection to healthcheck.endpoint was silent for too long"),
    }
}

fn respond(request: &Request<Incoming>, seen: &Seen, headers: &HeaderMap) -> Response<Full<Bytes>> {
    let (status, body) = answer(request.method(), request.uri().path(), seen);
    let mut response = Response::new(Full::from(format!("{body}\n")));
    *response.status_mut() = status;
    let fixed = response.headers_mut();
    fixed.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    fixed.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        fixed.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    fixed.extend(headers.clone());
    response
}
