//! Being dialled: a loopback endpoint for one agent, without a web framework. The supervisor's local endpoint,
//! which the Collector's opamp extension connects to.
//!
//! Only the exact path is served, a request with an `Origin` (a web page in somebody's browser) is refused,
//! and a handshake has a deadline, so a stuck peer keeps nobody else out.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
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
    frames::{self, Frames, Io, Patience},
};
use crate::wire::{
    DEFAULT_PATH,
    proto::{AgentToServer, ServerToAgent},
};

const HANDSHAKE_WITHIN: Duration = Duration::from_secs(5);
/// Handshakes under way at once; more wait in the kernel.
const HANDSHAKES: usize = 8;
/// Without a free descriptor each attempt fails at once; this keeps a caller's loop from spinning (F-87).
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// A connection was not taken.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// The system gave no connection, for want of descriptors most likely. It is waited a moment before this is told.
    #[error("cannot take a connection")]
    Accept(#[source] io::Error),
    /// Whoever connected speaks no WebSocket, or was refused: another path, a web page, a wrong token.
    #[error("no WebSocket handshake")]
    Handshake(#[source] Box<Error>),
    /// Whoever connected did not finish its handshake in time.
    #[error("the handshake took too long")]
    TimedOut,
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

/// A listening endpoint on 127.0.0.1.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    address: SocketAddr,
    token: Option<Arc<str>>,
    handshakes: JoinSet<Result<AgentLink, AcceptError>>,
}

impl Listener {
    /// Binds the port, or a free one for 0.
    pub async fn bind(port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address, token: None, handshakes: JoinSet::new() })
    }

    /// Takes up one that was bound before and handed over.
    pub fn take_up(bound: OwnedFd) -> io::Result<Self> {
        let bound = std::net::TcpListener::from(bound);
        bound.set_nonblocking(true)?;
        let address = bound.local_addr()?;
        let listener = TcpListener::from_std(bound)?;
        Ok(Self { listener, address, token: None, handshakes: JoinSet::new() })
    }

    /// Serves only agents that dial the [`endpoint`](Self::endpoint), of which this is a part from now on; others
    /// are answered 401. In the URL, because every agent can carry it there.
    #[must_use]
    pub fn requiring(mut self, token: &str) -> Self {
        self.token = Some(token.into());
        self
    }

    /// What agents have to show, if anything.
    #[must_use]
    pub fn token(&self) -> Option<Arc<str>> {
        self.token.clone()
    }

    /// The port it is bound to.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.address.port()
    }

    /// What an agent dials.
    #[must_use]
    pub fn endpoint(&self) -> String {
        let query = self.token.as_ref().map(|token| format!("?{}", query(token))).unwrap_or_default();
        format!("ws://{}{DEFAULT_PATH}{query}", self.address)
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
                    match taken {
                        Ok((stream, peer)) => {
                            self.handshakes.spawn(handshake(stream, peer, self.token.clone()));
                        }
                        Err(error) => {
                            sleep(AFTER_FAILURE).await;
                            return Err(AcceptError::Accept(error));
                        }
                    }
                }
            }
        }
    }
}

async fn handshake(
    stream: TcpStream,
    peer: SocketAddr,
    token: Option<Arc<str>>,
) -> Result<AgentLink, AcceptError> {
    stream.set_nodelay(true).map_err(AcceptError::Accept)?;
    let limits = Limits::default();
    let stream: Box<dyn Io> = Box::new(stream);
    #[allow(clippy::result_large_err, reason = "the signature is the library's")]
    let admit = |request: &Request, response: Response| match refusal(request, token.as_deref()) {
        None => Ok(response),
        Some(status) => {
            let mut answer = ErrorResponse::new(None);
            *answer.status_mut() = status;
            Err(answer)
        }
    };
    let shaken = accept_hdr_async_with_config(stream, admit, Some(frames::config(limits)));
    match timeout(HANDSHAKE_WITHIN, shaken).await {
        Ok(Ok(socket)) => Ok(AgentLink { frames: Frames::new(socket, limits), peer }),
        Ok(Err(error)) => Err(AcceptError::Handshake(Box::new(error))),
        Err(_) => Err(AcceptError::TimedOut),
    }
}

fn query(token: &str) -> String {
    format!("token={token}")
}

fn refusal(request: &Request, token: Option<&str>) -> Option<StatusCode> {
    if request.uri().path() != DEFAULT_PATH {
        return Some(StatusCode::NOT_FOUND);
    }
    if request.headers().contains_key(ORIGIN) {
        return Some(StatusCode::FORBIDDEN);
    }
    let refused = token.is_some_and(|token| request.uri().query() != Some(&query(token)));
    refused.then_some(StatusCode::UNAUTHORIZED)
}

/// A connection from an agent.
#[derive(Debug)]
pub struct AgentLink {
    frames: Frames,
    /// Where it came from, for the log.
    pub peer: SocketAddr,
}

impl AgentLink {
    /// How long this agent may say nothing.
    pub const fn set_patience(&mut self, patience: Patience) {
        self.frames.patience = patience;
    }

    /// The next message. May be cancelled and called again.
    pub async fn recv(&mut self) -> Result<AgentToServer, LinkEnd> {
        self.frames.recv().await
    }

    /// Sends one message, unless it is over the limit (S-LM-05).
    pub async fn send(&mut self, message: &ServerToAgent) -> Result<(), LinkEnd> {
        self.frames.send(message).await
    }

    /// The closing handshake, bounded (S-WS-01).
    pub async fn close(&mut self) {
        self.frames.close().await;
    }
}
