//! Being dialled: a loopback endpoint for one agent, without a web framework. The supervisor's local endpoint,
//! which the Collector's opamp extension connects to.
//!
//! Only the exact path is served, a request with an `Origin` (a web page in somebody's browser) is refused,
//! and a handshake has a deadline, so a stuck peer keeps nobody else out.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};
use tokio_tungstenite::{
    accept_hdr_async_with_config,
    tungstenite::{
        Error,
        handshake::server::{ErrorResponse, Request, Response},
        http::{StatusCode, header::ORIGIN},
    },
};

use super::{
    Limits, LinkEnd,
    frames::{self, Frames, Io},
};
use crate::wire::{
    DEFAULT_PATH,
    proto::{AgentToServer, ServerToAgent},
};

const HANDSHAKE_WITHIN: Duration = Duration::from_secs(5);
/// Handshakes under way at once; more wait in the kernel.
const HANDSHAKES: usize = 8;

/// A connection was not taken.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    #[error("cannot take a connection")]
    Accept(#[source] io::Error),
    #[error("no WebSocket handshake")]
    Handshake(#[source] Box<Error>),
    #[error("the handshake took too long")]
    TimedOut,
}

/// A listening endpoint on 127.0.0.1.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    address: SocketAddr,
    handshakes: JoinSet<Result<AgentLink, AcceptError>>,
}

impl Listener {
    /// Binds the port, or a free one for 0.
    pub async fn bind(port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address, handshakes: JoinSet::new() })
    }

    /// What an agent dials.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("ws://{}{DEFAULT_PATH}", self.address)
    }

    /// The next agent, or why a connection did not become one. May be cancelled and called again.
    pub async fn accept(&mut self) -> Result<AgentLink, AcceptError> {
        loop {
            tokio::select! {
                Some(done) = self.handshakes.join_next() => {
                    // A handshake does not panic, and nobody cancels one.
                    return done.unwrap_or(Err(AcceptError::TimedOut));
                }
                taken = self.listener.accept(), if self.handshakes.len() < HANDSHAKES => {
                    let (stream, _) = taken.map_err(AcceptError::Accept)?;
                    self.handshakes.spawn(handshake(stream));
                }
            }
        }
    }
}

async fn handshake(stream: TcpStream) -> Result<AgentLink, AcceptError> {
    stream.set_nodelay(true).map_err(AcceptError::Accept)?;
    let limits = Limits::default();
    let stream: Box<dyn Io> = Box::new(stream);
    let shaken = accept_hdr_async_with_config(stream, admit, Some(frames::config(limits)));
    match timeout(HANDSHAKE_WITHIN, shaken).await {
        Ok(Ok(socket)) => Ok(AgentLink(Frames::new(socket, limits))),
        Ok(Err(error)) => Err(AcceptError::Handshake(Box::new(error))),
        Err(_) => Err(AcceptError::TimedOut),
    }
}

#[allow(clippy::result_large_err, reason = "the signature is the library's")]
fn admit(request: &Request, response: Response) -> Result<Response, ErrorResponse> {
    let refused = if request.uri().path() != DEFAULT_PATH {
        StatusCode::NOT_FOUND
    } else if request.headers().contains_key(ORIGIN) {
        StatusCode::FORBIDDEN
    } else {
        return Ok(response);
    };
    let mut answer = ErrorResponse::new(None);
    *answer.status_mut() = refused;
    Err(answer)
}

/// A connection from an agent.
#[derive(Debug)]
pub struct AgentLink(Frames);

impl AgentLink {
    /// The next message. May be cancelled and called again.
    pub async fn recv(&mut self) -> Result<AgentToServer, LinkEnd> {
        self.0.recv().await
    }

    pub async fn send(&mut self, message: &ServerToAgent) -> Result<(), LinkEnd> {
        self.0.send(message).await
    }

    /// The closing handshake, bounded (S-WS-01).
    pub async fn close(&mut self) {
        self.0.close().await;
    }
}
