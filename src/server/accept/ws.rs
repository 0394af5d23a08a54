//! One WebSocket: its task reads, answers, pushes when woken, and sees that the other end is still there.
//! It sends each message itself and waits for it to go, so nothing piles up for a peer that does not read (F-96).

use std::time::Duration;

use axum::{
    body::Bytes,
    extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code},
    response::Response,
};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};
use tokio_tungstenite::tungstenite;

use super::{
    Accept,
    admission::{Admission, Refused, Settled},
    load::{Messages, Ticket},
};
use crate::{
    protocol::server::{bad_request, unavailable},
    server::{
        hub::{Connection, Pushed},
        identity::Denied,
        listen::stopped,
    },
    wire::{frame, proto::ServerToAgent},
};

const BUFFER: usize = 16 * 1024;
/// Sent to find out whether a silent peer is still there.
const PING_EVERY: Duration = Duration::from_secs(30);
/// Pings that may go unanswered.
const MISSED: u32 = 2;
/// A peer that does not take a message in this time is gone.
const SEND_WITHIN: Duration = Duration::from_secs(30);
/// An agent must have said something by then (C-TC-02).
const SPEAK_WITHIN: Duration = Duration::from_secs(30);
/// For the closing handshake.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);
/// The same when the server stops, and with it all connections at once.
const STOP_WITHIN: Duration = Duration::from_secs(5);
/// Malformed messages in a row after which a peer is no use.
const MALFORMED: u32 = 10;
/// In pings that are to show which of two connections under one uid lives.
const RIVAL: &[u8] = b"rival";
/// When to come again if the store does not work.
const AGAIN: Duration = Duration::from_secs(5);

pub(super) fn upgrade(
    upgrade: WebSocketUpgrade,
    accept: Accept,
    admission: Admission,
    url: Option<String>,
    ticket: Ticket,
) -> Response {
    upgrade
        .read_buffer_size(BUFFER)
        .write_buffer_size(BUFFER)
        .max_message_size(accept.limit)
        .max_frame_size(accept.limit)
        .on_upgrade(|socket| async move {
            let connection = accept.hub.connection().reached_at(url);
            let messages = accept.load.messages();
            let mut link = Link { connection, socket, malformed: 0, messages, accept, admission };
            let end = link.run().await;
            if !matches!(end, End::Stop) {
                link.accept.hub.detach(&link.connection);
            }
            link.finish(&end).await;
            link.accept.hub.detach(&link.connection);
            drop(ticket);
        })
}

struct Link {
    accept: Accept,
    admission: Admission,
    connection: Connection,
    socket: WebSocket,
    malformed: u32,
    messages: Messages,
}

/// How a connection ends.
enum End {
    /// The peer closed, or is gone.
    Gone,
    /// We close, with this code and reason (S-WS-01).
    Close(u16, &'static str),
    /// The server stops.
    Stop,
}

impl Link {
    async fn run(&mut self) -> End {
        let wake = self.connection.wake.clone();
        let mut stop = self.accept.stop.clone();
        let mut shaken = self.admission.clone();
        let mut pings = interval_at(Instant::now() + PING_EVERY, PING_EVERY);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut unanswered = 0;
        let spoken = sleep(SPEAK_WITHIN);
        tokio::pin!(spoken);
        loop {
            let step = tokio::select! {
                message = self.socket.recv() => {
                    unanswered = 0;
                    self.received(message).await
                }
                () = wake.notified() => self.push().await,
                _ = pings.tick() => {
                    unanswered += 1;
                    if unanswered > MISSED {
                        return End::Gone;
                    }
                    self.transmit(Message::Ping(Bytes::new())).await
                }
                () = spoken.as_mut(), if self.connection.is_silent() => {
                    Err(End::Close(close_code::POLICY, "an agent speaks first, and this one did not"))
                }
                () = shaken.shaken() => self.still_admitted(),
                () = stopped(&mut stop) => Err(End::Stop),
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    async fn received(&mut self, message: Option<Result<Message, axum::Error>>) -> Result<(), End> {
        match message {
            Some(Ok(Message::Binary(bytes))) => self.opamp(&bytes).await,
            Some(Ok(Message::Pong(said))) if said == *RIVAL => {
                self.accept.hub.answered(&self.connection);
                Ok(())
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(()),
            Some(Ok(Message::Text(_))) => {
                self.accept.hub.metrics.malformed.add(1);
                Err(End::Close(close_code::UNSUPPORTED, "OpAMP messages are binary"))
            }
            Some(Ok(Message::Close(_))) | None => Err(End::Gone),
            Some(Err(error)) => Err(self.broken(error)),
        }
    }

    async fn opamp(&mut self, bytes: &[u8]) -> Result<(), End> {
        self.accept.hub.metrics.received_bytes.add(bytes.len() as u64);
        if !self.messages.take(self.connection.agents()) {
            return self.flooded().await;
        }
        match frame::decode(bytes, self.accept.limit) {
            Ok(message) => {
                self.malformed = 0;
                match self.accept.gate.settle(&self.admission, &message).await {
                    Ok(Settled::TakeIn) => {}
                    Ok(Settled::Answer(answer)) => return self.send(&answer).await,
                    Err(Refused::Denied(denied)) => return Err(self.not_admitted(&denied)),
                    Err(Refused::Store(error)) => {
                        tracing::error!(%error, "an enrolment could not be stored");
                        let why = "the server cannot store what this message brings";
                        return self.send(&unavailable(&message.instance_uid, why, AGAIN)).await;
                    }
                }
                let answer = self.accept.hub.receive(&mut self.connection, message);
                self.send(&answer.reply).await?;
                match &answer.more {
                    Some(more) => self.send(more).await,
                    None => Ok(()),
                }
            }
            Err(error) => {
                self.accept.hub.metrics.malformed.add(1);
                self.malformed += 1;
                self.send(&bad_request(&[], error.to_string())).await?;
                if self.malformed < MALFORMED {
                    return Ok(());
                }
                Err(End::Close(close_code::POLICY, "too many malformed messages"))
            }
        }
    }

    /// Something was taken back; if it is what this connection lives by, it ends (S-CS-08).
    fn still_admitted(&self) -> Result<(), End> {
        self.accept
            .gate
            .stands(&self.admission, &self.connection)
            .map_err(|denied| self.not_admitted(&denied))
    }

    fn not_admitted(&self, denied: &Denied) -> End {
        self.accept.hub.metrics.refused.add(1);
        tracing::warn!(why = %denied, "an agent is let in no longer");
        End::Close(close_code::POLICY, "the credential is not valid any more")
    }

    /// S-TH-01. What a connection says too much costs the other agents.
    async fn flooded(&mut self) -> Result<(), End> {
        self.accept.hub.metrics.flood.add(1);
        tracing::warn!("a connection is closed that says more than max-message-rate allows");
        let why = "more messages a second than this server takes of one agent (max-message-rate)";
        self.send(&unavailable(&[], why, self.messages.after())).await?;
        Err(End::Close(close_code::AGAIN, "too many messages"))
    }

    async fn push(&mut self) -> Result<(), End> {
        match self.accept.hub.pushes(&mut self.connection) {
            Pushed::Replaced => Err(End::Close(close_code::POLICY, "replaced by a newer connection")),
            Pushed::Send(pushes) => {
                for message in &pushes.messages {
                    self.send(message).await?;
                }
                if pushes.ping {
                    self.transmit(Message::Ping(Bytes::from_static(RIVAL))).await?;
                }
                Ok(())
            }
        }
    }

    /// One that is over the limit is dropped, which is said in the log (S-LM-05, S-LM-06).
    async fn send(&mut self, message: &ServerToAgent) -> Result<(), End> {
        match frame::encode(message, self.accept.limit) {
            Ok(bytes) => {
                self.accept.hub.metrics.sent_bytes.add(bytes.len() as u64);
                self.transmit(Message::Binary(bytes.into())).await
            }
            Err(error) => {
                self.accept.hub.metrics.dropped.add(1);
                tracing::error!(%error, "a message was not sent");
                Ok(())
            }
        }
    }

    async fn transmit(&mut self, message: Message) -> Result<(), End> {
        match timeout(SEND_WITHIN, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(End::Gone),
        }
    }

    /// S-LM-02, S-LM-03.
    fn broken(&self, error: axum::Error) -> End {
        let inner = error.into_inner();
        match inner.downcast_ref::<tungstenite::Error>() {
            Some(tungstenite::Error::Capacity(_)) => {
                self.accept.hub.metrics.malformed.add(1);
                End::Close(close_code::SIZE, "the message is over the limit")
            }
            Some(tungstenite::Error::Protocol(_) | tungstenite::Error::Utf8(_)) => {
                End::Close(close_code::PROTOCOL, "this is not the WebSocket protocol")
            }
            _ => End::Gone,
        }
    }

    /// The closing handshake, bounded. What agents said before they heard that the server stops is taken in, or they
    /// would be asked for their full state when they are back.
    async fn finish(&mut self, end: &End) {
        let close = match end {
            End::Gone => None,
            End::Close(code, reason) => Some((*code, *reason)),
            End::Stop => Some((close_code::AWAY, "the server stops")),
        };
        let handshake = async {
            if let Some((code, reason)) = close {
                let frame = CloseFrame { code, reason: reason.into() };
                self.socket.send(Message::Close(Some(frame))).await.ok()?;
            }
            while let Some(Ok(message)) = self.socket.recv().await {
                if let (End::Stop, Message::Binary(bytes)) = (end, message)
                    && let Ok(message) = frame::decode(&bytes, self.accept.limit)
                {
                    self.accept.hub.receive(&mut self.connection, message);
                }
            }
            Some(())
        };
        let within = if matches!(end, End::Stop) { STOP_WITHIN } else { CLOSE_WITHIN };
        let _ = timeout(within, handshake).await;
    }
}
