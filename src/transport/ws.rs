//! Dialling a server over WebSocket.

use std::{io, time::Duration};

use ::http::HeaderValue;
use rustls_pki_types::ServerName;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::{
    client_async_with_config,
    tungstenite::{Error, client::IntoClientRequest, handshake::client::Request},
};

use super::{
    DialError, LinkEnd, Target,
    frames::{self, Frames, Io},
};
use crate::wire::{
    INSTANCE_UID_HEADER, InstanceUid,
    proto::{AgentToServer, ServerToAgent},
};

/// Name look-up, connect, TLS and handshake together.
const DIAL_WITHIN: Duration = Duration::from_secs(15);

/// A connection to a server.
#[derive(Debug)]
pub struct WsLink(Frames);

impl WsLink {
    /// Sends one message, unless it is over the limit (C-LM-05).
    pub async fn send(&mut self, message: &AgentToServer) -> Result<(), LinkEnd> {
        self.0.send(message).await
    }

    /// The next message. May be cancelled and called again.
    pub async fn recv(&mut self) -> Result<ServerToAgent, LinkEnd> {
        self.0.recv().await
    }

    /// The closing handshake, bounded.
    pub async fn close(&mut self) {
        self.0.close().await;
    }
}

/// Connects to the target's URL.
pub async fn connect(target: &Target, uid: InstanceUid) -> Result<WsLink, DialError> {
    let dialled = timeout(DIAL_WITHIN, dial(target, uid)).await;
    dialled.unwrap_or_else(|_| {
        Err(DialError::TimedOut { url: target.url.to_string(), seconds: DIAL_WITHIN.as_secs() })
    })
}

async fn dial(target: &Target, uid: InstanceUid) -> Result<WsLink, DialError> {
    let url = target.url.to_string();
    let stream = open(target).await?;
    let request = request(target, uid).map_err(|error| handshake(&url, error))?;
    match client_async_with_config(request, stream, Some(frames::config(target.limits))).await {
        Ok((socket, _)) => Ok(WsLink(Frames::new(socket, target.limits))),
        Err(Error::Http(response)) => {
            let retry_after = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
            Err(DialError::of_status(url, response.status().as_u16(), retry_after))
        }
        Err(error) => Err(handshake(&url, error)),
    }
}

fn handshake(url: &str, error: Error) -> DialError {
    DialError::Handshake { url: url.to_owned(), source: Box::new(error) }
}

async fn open(target: &Target) -> Result<Box<dyn Io>, DialError> {
    let url = || target.url.to_string();
    let connect_error = |source| DialError::Connect { url: url(), source };
    let host = target.url.host_str().unwrap_or_default();
    let port = target.url.port_or_known_default().unwrap_or(80);
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((bare, port)).await.map_err(connect_error)?;
    stream.set_nodelay(true).map_err(connect_error)?;
    if !target.is_secure() {
        return Ok(Box::new(stream));
    }
    let tls = target.tls.clone().ok_or_else(|| DialError::NoTls { url: url() })?;
    let name = target.server_name.as_deref().unwrap_or(bare);
    let server_name = ServerName::try_from(name.to_owned())
        .map_err(|_| DialError::ServerName { url: url(), name: name.to_owned() })?;
    let tls_error = |source: io::Error| DialError::Tls { url: url(), source };
    Ok(Box::new(TlsConnector::from(tls).connect(server_name, stream).await.map_err(tls_error)?))
}

fn request(target: &Target, uid: InstanceUid) -> Result<Request, Error> {
    let mut request = target.url.as_str().into_client_request()?;
    request.headers_mut().extend(target.headers.clone());
    let uid = HeaderValue::from_str(&uid.to_string()).map_err(|error| Error::HttpFormat(error.into()))?;
    request.headers_mut().insert(INSTANCE_UID_HEADER, uid);
    Ok(request)
}
