//! The way to a server, the same for both transports: name look-up, TCP, a proxy where one is set, TLS.
//!
//! Bounded by whoever dials.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{
    DialError, DialFailure, Proxy, Target,
    error::ProxyError,
    frames::Io,
    proxy::{self, Speaks},
    tls::TlsFailure,
};

/// Name look-up, connect, proxy, TLS and the WebSocket's handshake together.
pub(super) const DIAL_WITHIN: Duration = Duration::from_secs(15);

/// Which addresses of servers may be spoken to.
pub(super) type May<'a> = &'a (dyn Fn(IpAddr) -> bool + Sync);

/// A stream that the server reads.
pub(super) async fn to_server(target: &Target) -> Result<Box<dyn Io>, DialError> {
    to_server_at(target, &|_| true).await
}

/// The same, of a server whose address is judged once it is connected, before anything is said. A proxy looks names up
/// by itself: the address of a server behind one is not known here.
pub(super) async fn to_server_at(target: &Target, may: May<'_>) -> Result<Box<dyn Io>, DialError> {
    let tls = tls(target).await?;
    let (host, port) = (host(target), port(target));
    let stream = match &target.proxy {
        None => {
            let dialled = tcp(host, port).await.map_err(|error| DialFailure::Connect(error).at(target))?;
            if !may(dialled.1.ip()) {
                return Err(DialFailure::Address(dialled.1.ip()).at(target));
            }
            dialled.0
        }
        Some(proxy) => {
            let by_proxy = |error| DialFailure::by_proxy(proxy, error).at(target);
            let mut stream = reach(proxy, tls.as_ref()).await.map_err(by_proxy)?;
            let tunnel = match proxy.speaks() {
                Speaks::Http | Speaks::Https => proxy::connect(&mut stream, proxy, host, port).await,
                Speaks::Socks5 => proxy::socks(&mut stream, proxy, host, port).await,
            };
            tunnel.map_err(|error| by_proxy(error.into()))?;
            stream
        }
    };
    match tls {
        Some(tls) if target.is_secure() => secured(target, stream, tls).await.map_err(|why| why.at(target)),
        _ => Ok(stream),
    }
}

/// A stream that the proxy reads, for requests that it passes on.
pub(super) async fn to_proxy(target: &Target, proxy: &Proxy) -> Result<Box<dyn Io>, DialError> {
    let tls = tls(target).await?;
    reach(proxy, tls.as_ref()).await.map_err(|error| DialFailure::by_proxy(proxy, error).at(target))
}

async fn tls(target: &Target) -> Result<Option<Arc<ClientConfig>>, DialError> {
    match &target.tls {
        Some(tls) => Ok(Some(tls.current().await)),
        None if target.is_secure() => Err(DialFailure::NoTls.at(target)),
        None => Ok(None),
    }
}

/// Host as it is looked up, without the brackets of an IPv6 address.
pub(super) fn host(target: &Target) -> &str {
    target.url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
}

fn port(target: &Target) -> u16 {
    target.url.port_or_known_default().unwrap_or(80)
}

async fn tcp(host: &str, port: u16) -> io::Result<(Box<dyn Io>, SocketAddr)> {
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    let peer = stream.peer_addr()?;
    Ok((Box::new(stream), peer))
}

/// With the connection's own TLS settings where the proxy is spoken to inside TLS (C-CT-13).
async fn reach(proxy: &Proxy, tls: Option<&Arc<ClientConfig>>) -> Result<Box<dyn Io>, ProxyError> {
    let (stream, _) = tcp(proxy.host(), proxy.port()).await.map_err(ProxyError::Connect)?;
    if proxy.speaks() != Speaks::Https {
        return Ok(stream);
    }
    let tls = tls.ok_or(ProxyError::NoTls)?;
    let name = ServerName::try_from(proxy.host().to_owned()).map_err(|_| ProxyError::Name)?;
    let stream = TlsConnector::from(tls.clone()).connect(name, stream).await;
    Ok(Box::new(stream.map_err(|error| ProxyError::Tls(TlsFailure::of(error)))?))
}

async fn secured(
    target: &Target,
    stream: Box<dyn Io>,
    tls: Arc<ClientConfig>,
) -> Result<Box<dyn Io>, DialFailure> {
    let name = target.server_name.as_deref().unwrap_or(host(target));
    let server_name =
        ServerName::try_from(name.to_owned()).map_err(|_| DialFailure::ServerName(name.to_owned()))?;
    let stream = TlsConnector::from(tls).connect(server_name, stream).await;
    Ok(Box::new(stream.map_err(|error| DialFailure::Tls(TlsFailure::of(error)))?))
}
