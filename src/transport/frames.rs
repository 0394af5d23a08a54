//! OpAMP messages over an established WebSocket, the same for the end that dialled and the one that accepted:
//! limits, malformed frames, pings of our own for half-open connections, and the closing handshake.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, timeout},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message as Frame,
        error::CapacityError,
        protocol::{CloseFrame, WebSocketConfig, frame::coding::CloseCode},
    },
};

use super::{Limits, LinkEnd};
use crate::wire::frame::{self, FrameError};

/// How long a peer may say nothing.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// A ping goes out after this long without a frame from it.
    pub ping_after: Duration,
    /// One that has sent nothing for this long is gone.
    pub silent_after: Duration,
}

impl Patience {
    /// For a link with a heartbeat of this period: a peer that is gone is noticed within two of them (F-91), and
    /// within a minute at the latest.
    #[must_use]
    pub(super) fn of_heartbeat(period: Duration) -> Self {
        let longest = Self::default().ping_after;
        let ping_after = if period.is_zero() { longest } else { period.clamp(SHORTEST, longest) };
        Self { ping_after, silent_after: ping_after * 2 }
    }
}

impl Default for Patience {
    fn default() -> Self {
        Self { ping_after: Duration::from_secs(30), silent_after: Duration::from_secs(60) }
    }
}

/// No heartbeat is so fast that a peer must answer within less.
const SHORTEST: Duration = Duration::from_secs(5);
/// The closing handshake, and a send to a peer that does not read, may take this long.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);
const SEND_WITHIN: Duration = Duration::from_secs(10);
/// Memory matters more than throughput here.
const BUFFER: usize = 8 * 1024;

/// Any byte stream.
pub(super) trait Io: AsyncRead + AsyncWrite + Unpin + Send + Sync {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send + Sync> Io for T {}

pub(super) type Socket = WebSocketStream<Box<dyn Io>>;

pub(super) fn config(limits: Limits) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(BUFFER)
        .write_buffer_size(BUFFER)
        .max_message_size(Some(limits.receive))
        .max_frame_size(Some(limits.receive))
}

/// A connection that carries `In` towards us and `Out` away.
pub(super) struct Frames {
    socket: Socket,
    limits: Limits,
    pub(super) patience: Patience,
    last_heard: Instant,
    pinged: bool,
}

impl Frames {
    pub(super) fn new(socket: Socket, limits: Limits) -> Self {
        Self { socket, limits, patience: Patience::default(), last_heard: Instant::now(), pinged: false }
    }

    /// Sends one message, unless it is over the limit (C-LM-05).
    pub(super) async fn send(&mut self, message: &impl prost::Message) -> Result<(), LinkEnd> {
        let bytes = frame::encode(message, self.limits.send).map_err(LinkEnd::NotSent)?;
        self.put(Frame::Binary(bytes.into())).await
    }

    /// The next message. May be cancelled and called again.
    pub(super) async fn recv<M: prost::Message + Default>(&mut self) -> Result<M, LinkEnd> {
        loop {
            let Patience { ping_after, silent_after } = self.patience;
            let due = self.last_heard + if self.pinged { silent_after } else { ping_after };
            let next = tokio::time::timeout_at(due, self.socket.next()).await;
            let Ok(next) = next else {
                if self.pinged {
                    return Err(LinkEnd::Silent {
                        seconds: silent_after.saturating_sub(ping_after).as_secs(),
                    });
                }
                self.pinged = true;
                self.put(Frame::Ping(Default::default())).await?;
                continue;
            };
            self.last_heard = Instant::now();
            self.pinged = false;
            match next {
                Some(Ok(Frame::Binary(bytes))) => return self.decode(&bytes).await,
                Some(Ok(Frame::Text(_))) => {
                    self.refuse(CloseCode::Unsupported, "OpAMP messages are binary").await;
                    return Err(LinkEnd::Text);
                }
                Some(Ok(Frame::Close(frame))) => {
                    // The answering close frame is queued by the library; this flushes it.
                    let _ = timeout(CLOSE_WITHIN, self.socket.flush()).await;
                    let reason = frame.map(|frame| format!("{} {}", frame.code, frame.reason));
                    return Err(LinkEnd::Closed { reason: reason.unwrap_or_default() });
                }
                Some(Ok(Frame::Ping(_) | Frame::Pong(_) | Frame::Frame(_))) => {}
                Some(Err(error)) => return Err(self.broken(error).await),
                None => return Err(LinkEnd::Closed { reason: String::new() }),
            }
        }
    }

    /// The closing handshake, bounded (C-WS-02).
    pub(super) async fn close(&mut self) {
        let normal = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        let handshake = async {
            if self.socket.close(Some(normal)).await.is_ok() {
                while let Some(Ok(_)) = self.socket.next().await {}
            }
        };
        let _ = timeout(CLOSE_WITHIN, handshake).await;
    }

    async fn decode<M: prost::Message + Default>(&mut self, bytes: &[u8]) -> Result<M, LinkEnd> {
        match frame::decode(bytes, self.limits.receive) {
            Ok(message) => Ok(message),
            Err(FrameError::TooLarge { limit, .. }) => {
                self.refuse(CloseCode::Size, "message over the limit").await;
                Err(LinkEnd::TooLarge { limit })
            }
            Err(error) => {
                self.refuse(CloseCode::Protocol, "not an OpAMP message").await;
                Err(LinkEnd::Malformed(error))
            }
        }
    }

    async fn broken(&mut self, error: Error) -> LinkEnd {
        match error {
            Error::Capacity(CapacityError::MessageTooLong { max_size, .. }) => {
                self.refuse(CloseCode::Size, "message over the limit").await;
                LinkEnd::TooLarge { limit: max_size }
            }
            Error::Utf8(_) => {
                self.refuse(CloseCode::Unsupported, "OpAMP messages are binary").await;
                LinkEnd::Text
            }
            Error::ConnectionClosed | Error::AlreadyClosed => LinkEnd::Closed { reason: String::new() },
            other => LinkEnd::Broken(Box::new(other)),
        }
    }

    async fn put(&mut self, frame: Frame) -> Result<(), LinkEnd> {
        match timeout(SEND_WITHIN, self.socket.send(frame)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(LinkEnd::Broken(Box::new(error))),
            Err(_) => Err(LinkEnd::Silent { seconds: SEND_WITHIN.as_secs() }),
        }
    }

    async fn refuse(&mut self, code: CloseCode, reason: &'static str) {
        let frame = CloseFrame { code, reason: reason.into() };
        let _ = timeout(CLOSE_WITHIN, self.socket.close(Some(frame))).await;
    }
}

impl std::fmt::Debug for Frames {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Frames").field("limits", &self.limits).finish_non_exhaustive()
    }
}
