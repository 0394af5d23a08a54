//! Listening sockets of both planes: TLS where there is some, HTTP/1 with a deadline for headers, a bound on connections,
//! and an orderly end.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, extract::Request};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use rustls_pki_types::CertificateDer;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
    time::timeout,
};
use tower::ServiceExt;

mod patience;

use super::tls::{Secure, TlsFiles};
use patience::{Patience, Patient};

/// The other end's address, in each request's extensions.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// In the extensions of each request that came over TLS.
#[derive(Clone, Debug)]
pub struct Encrypted {
    /// The certificate that the client showed and has the key of, and that a CA of ours vouches for.
    pub certificate: Option<CertificateDer<'static>>,
}

/// A TLS handshake must be over by then.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// Handshakes of one listener at once; more connections wait for theirs.
const HANDSHAKES: usize = 4096;
/// A client must have sent its headers by then.
const HEADERS_WITHIN: Duration = Duration::from_secs(10);
/// Connections of one listener at once; more wait in the kernel's queue.
const CONNECTIONS: usize = 20_000;
/// Exchanges under way at shutdown have so long to end.
const DRAIN: Duration = Duration::from_secs(5);
/// A client that reads less than 1 KiB a second for a minute is given up.
const PATIENCE: Patience = Patience { bytes: 60 * 1024, within: Duration::from_secs(60) };
/// After a failed accept, which is mostly a lack of file descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
const BUFFER: usize = 16 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("{flag} {address} is no address; write host:port, such as 127.0.0.1:4320: {source}")]
    Address { flag: &'static str, address: String, source: io::Error },
    #[error("{flag} {address} is beyond loopback, where {danger}; listen on 127.0.0.1, or {remedy}")]
    Exposed { flag: &'static str, address: SocketAddr, danger: &'static str, remedy: &'static str },
    #[error(
        "{flag} {address} is taken by another program; stop it (`ss -ltnp` shows which), or give another {flag}"
    )]
    Taken { flag: &'static str, address: SocketAddr },
    #[error("cannot listen on {flag} {address}: {source}")]
    Bind { flag: &'static str, address: SocketAddr, source: io::Error },
}

/// A place to listen.
#[derive(Clone, Debug)]
pub struct Place {
    pub flag: &'static str,
    pub reach: Reach,
    pub address: String,
    pub tls: Option<TlsFiles>,
}

/// How far a place may be open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Not beyond this machine, and what to do to change that.
    Loopback {
        danger: &'static str,
        remedy: &'static str,
    },
    Anywhere,
}

impl Place {
    pub async fn bind(&self) -> Result<(TcpListener, SocketAddr), ListenError> {
        let flag = self.flag;
        let wrong = |source| ListenError::Address { flag, address: self.address.clone(), source };
        let mut found = tokio::net::lookup_host(&self.address).await.map_err(wrong)?;
        let missing = || wrong(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
        let address = found.next().ok_or_else(missing)?;
        if let Reach::Loopback { danger, remedy } = self.reach
            && !address.ip().is_loopback()
        {
            return Err(ListenError::Exposed { flag, address, danger, remedy });
        }
        let bound = async {
            let listener = TcpListener::bind(address).await?;
            let local = listener.local_addr()?;
            Ok((listener, local))
        };
        bound.await.map_err(|source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => ListenError::Taken { flag, address },
            _ => ListenError::Bind { flag, address, source },
        })
    }
}

/// Resolves when the server is to stop (or its owner is gone).
pub async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Serves until `stop` says so, then lets exchanges under way end.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<Secure>>,
    router: Router,
    mut stop: watch::Receiver<bool>,
) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
    let mut tasks = JoinSet::new();
    let (drain, draining) = watch::channel(());
    loop {
        let next = async {
            // The semaphore is never closed, so there always is a slot some time.
            let slot = slots.clone().acquire_owned().await.ok();
            listener.accept().await.map(|(stream, peer)| (stream, peer, slot))
        };
        let accepted = tokio::select! {
            accepted = next => accepted,
            () = stopped(&mut stop) => break,
        };
        while tasks.try_join_next().is_some() {}
        match accepted {
            Ok((stream, peer, slot)) => {
                let (router, draining) = (router.clone(), draining.clone());
                let tls = tls.clone().map(|tls| (tls, handshakes.clone()));
                tasks.spawn(async move {
                    connection(stream, tls, peer, router, draining).await;
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
    drop((listener, drain));
    let all = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN, all).await.is_err() {
        tracing::warn!("connections that did not end in time are cut");
    }
}

/// One connection, after its handshake if it is to have one.
async fn connection(
    stream: TcpStream,
    tls: Option<(Arc<Secure>, Arc<Semaphore>)>,
    peer: SocketAddr,
    router: Router,
    mut draining: watch::Receiver<()>,
) {
    let _ = stream.set_nodelay(true);
    let Some((tls, handshakes)) = tls else { return exchange(stream, peer, None, router, draining).await };
    let handshake = async {
        // The semaphore is never closed.
        let _turn = handshakes.acquire().await.ok();
        tls.acceptor().accept(stream).await
    };
    let accepted = tokio::select! {
        accepted = timeout(HANDSHAKE_WITHIN, handshake) => accepted,
        _ = draining.changed() => return,
    };
    match accepted {
        Ok(Ok(stream)) => {
            let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
            let encrypted = Encrypted { certificate: certificate.map(|one| one.clone().into_owned()) };
            exchange(stream, peer, Some(encrypted), router, draining).await;
        }
        Ok(Err(error)) if error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) => {
            tracing::warn!(%peer, %error, "a TLS handshake failed");
        }
        Ok(Err(error)) => tracing::debug!(%peer, %error, "a connection ended before its TLS handshake"),
        Err(_) => tracing::debug!(%peer, "a TLS handshake took too long"),
    }
}

/// As many exchanges as the client wants.
async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    peer: SocketAddr,
    encrypted: Option<Encrypted>,
    router: Router,
    mut draining: watch::Receiver<()>,
) {
    let service = router.map_request(move |mut request: Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        if let Some(encrypted) = &encrypted {
            request.extensions_mut().insert(encrypted.clone());
        }
        request.map(axum::body::Body::new)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_WITHIN)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(Patient::new(stream, PATIENCE)), TowerToHyperService::new(service))
        .with_upgrades();
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = draining.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "connection ended badly");
    }
}
