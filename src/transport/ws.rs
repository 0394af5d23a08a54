//! Dialling a server over WebSocket.

use ::http::HeaderValue;
use tokio::time::timeout;
use tokio_tungstenite::{
    client_async_with_config,
    tungstenite::{Error, client::IntoClientRequest, error::ProtocolError, handshake::client::Request},
};

use super::{
    DialError, DialFailure, LinkEnd, Patience, Target,
    dial::{self, DIAL_WITHIN},
    frames::{self, Frames},
    tls::TlsFailure,
};
use crate::wire::{
    INSTANCE_UID_HEADER, InstanceUid,
    proto::{AgentToServer, ServerToAgent},
};

/// A connection to a server.
#[derive(Debug)]
pub struct WsLink(Frames);

impl WsLink {
    /// How long the server may say nothing.
    pub const fn set_patience(&mut self, patience: Patience) {
        self.0.patience = patience;
    }

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
    dialled.unwrap_or_else(|_| Err(DialFailure::TimedOut(DIAL_WITHIN.as_secs()).at(target)))
}

async fn dial(target: &Target, uid: InstanceUid) -> Result<WsLink, DialError> {
    let stream = dial::to_server(target).await?;
    let request = request(target, uid).map_err(|error| handshake(error).at(target))?;
    match client_async_with_config(request, stream, Some(frames::config(target.limits))).await {
        Ok((socket, _)) => Ok(WsLink(Frames::new(socket, target.limits))),
        Err(Error::Http(response)) => {
            let retry_after = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
            Err(DialFailure::of_status(response.status().as_u16(), retry_after).at(target))
        }
        Err(error) => Err(handshake(error).at(target)),
    }
}

/// A server that wants another certificate of this client says so only here.
fn handshake(error: Error) -> DialFailure {
    match error {
        error if TlsFailure::is_in(&error) => DialFailure::Tls(TlsFailure::of(error)),
        // A server that stops, and a balancer without one, hang up in the middle.
        error @ (Error::Io(_)
        | Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Protocol(ProtocolError::HandshakeIncomplete)) => DialFailure::Broke(Box::new(error)),
        error => DialFailure::Handshake(Box::new(error)),
    }
}

fn request(target: &Target, uid: InstanceUid) -> Result<Request, Error> {
    let mut request = target.url.as_str().into_client_request()?;
    request.headers_mut().extend(target.request_headers());
    let uid = HeaderValue::from_str(&uid.to_string()).map_err(|error| Error::HttpFormat(error.into()))?;
    request.headers_mut().insert(INSTANCE_UID_HEADER, uid);
    Ok(request)
}
