//! The other end: a WebSocket server and a plain HTTP server, as small as they can be.

use std::{future::Future, time::Duration};

use futures_util::{SinkExt, StreamExt};
use opamp::{
    protocol::client::{Client, ClientOptions, DEFAULT_HEARTBEAT, Link},
    transport::Target,
    wire::{
        AgentCaps, InstanceUid, frame,
        proto::{AgentCapabilities, AgentToServer, ServerToAgent},
    },
};
use prost::Message;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message as Frame, protocol::CloseFrame},
};

pub(crate) const UID: InstanceUid = InstanceUid::from_bytes([7; 16]);
pub(crate) const LIMIT: usize = 1 << 20;

/// Waits for what must come.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), what).await.expect("it must come in time")
}

pub(crate) async fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

pub(crate) fn target(scheme: &str, port: u16) -> Target {
    let mut target = Target::new(format!("{scheme}://127.0.0.1:{port}/v1/opamp").parse().unwrap());
    target.header("Authorization", "Bearer s3cret").unwrap();
    target
}

pub(crate) fn machine(link: Link) -> Client {
    let capabilities = AgentCaps::of(&[
        AgentCapabilities::ReportsHealth,
        AgentCapabilities::AcceptsRemoteConfig,
        AgentCapabilities::ReportsHeartbeat,
    ]);
    Client::new(ClientOptions { instance_uid: UID, capabilities, link, heartbeat: DEFAULT_HEARTBEAT }, 1)
}

pub(crate) fn clock() -> Duration {
    static START: std::sync::OnceLock<tokio::time::Instant> = std::sync::OnceLock::new();
    START.get_or_init(tokio::time::Instant::now).elapsed()
}

pub(crate) fn reply() -> ServerToAgent {
    ServerToAgent { instance_uid: UID.to_vec(), ..Default::default() }
}

/// A server's end of a WebSocket.
pub(crate) struct Ws(pub WebSocketStream<TcpStream>);

impl Ws {
    pub(crate) async fn accept(listener: &TcpListener) -> Self {
        let (stream, _) = soon(listener.accept()).await.unwrap();
        Self(soon(tokio_tungstenite::accept_async(stream)).await.unwrap())
    }

    pub(crate) async fn send(&mut self, message: &ServerToAgent) {
        self.raw(Frame::Binary(frame::encode(message, LIMIT).unwrap().into())).await;
    }

    pub(crate) async fn raw(&mut self, frame: Frame) {
        self.0.send(frame).await.unwrap();
    }

    pub(crate) async fn frame(&mut self) -> Option<Frame> {
        soon(self.0.next()).await.and_then(Result::ok)
    }

    /// Without a deadline of its own, for a test with virtual time.
    pub(crate) async fn frame_unbounded(&mut self) -> Option<Frame> {
        self.0.next().await.and_then(Result::ok)
    }

    pub(crate) async fn recv(&mut self) -> AgentToServer {
        match self.frame().await {
            Some(Frame::Binary(bytes)) => frame::decode(&bytes, LIMIT).unwrap(),
            other => panic!("{other:?} is no message"),
        }
    }

    /// The close frame that must come next, messages aside.
    pub(crate) async fn closed(&mut self) -> CloseFrame {
        loop {
            match self.frame().await {
                Some(Frame::Close(Some(frame))) => return frame,
                Some(_) => {}
                None => panic!("the connection ended without a close frame"),
            }
        }
    }
}

/// Any byte stream.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A plain HTTP request as it arrived.
pub(crate) struct Request {
    pub head: String,
    pub body: Vec<u8>,
    stream: Box<dyn Stream>,
}

impl Request {
    /// The next request on a new connection, or on the one that an answer left open.
    pub(crate) async fn read(stream: impl Stream + 'static) -> Self {
        let mut stream: Box<dyn Stream> = Box::new(stream);
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            assert!(soon(stream.read_buf(&mut bytes)).await.unwrap() > 0, "the client hung up");
        };
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let mut request = Self { body: bytes.split_off(end), head, stream };
        let length = request.header("content-length").map_or(0, |text| text.parse().unwrap());
        while request.body.len() < length {
            soon(request.stream.read_buf(&mut request.body)).await.unwrap();
        }
        request
    }

    pub(crate) async fn accept(listener: &TcpListener) -> Self {
        Self::read(soon(listener.accept()).await.unwrap().0).await
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    pub(crate) fn message(&self) -> AgentToServer {
        opamp::wire::body::decode(&self.body, self.header("content-encoding"), LIMIT).unwrap()
    }

    /// Answers with a message, and gives the connection back.
    pub(crate) async fn answer(self, message: &ServerToAgent) -> Box<dyn Stream> {
        self.respond("200 OK", "Content-Type: application/x-protobuf\r\n", &message.encode_to_vec()).await
    }

    /// Grants a CONNECT request.
    pub(crate) async fn tunnel(mut self) -> Box<dyn Stream> {
        self.stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
        self.stream
    }

    pub(crate) async fn respond(mut self, status: &str, headers: &str, body: &[u8]) -> Box<dyn Stream> {
        let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
        self.stream.write_all(head.as_bytes()).await.unwrap();
        self.stream.write_all(body).await.unwrap();
        self.stream.flush().await.unwrap();
        self.stream
    }
}
