//! Connections that go bad while they stand: half open, with files that run out, with messages that nobody wants.

use std::{
    fs,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use futures_util::StreamExt;
use opamp::{
    protocol::client::Link,
    transport::{
        LinkEnd, Target,
        client::{ClientHandle, Ended, Notice, spawn},
        tls::{Identity, Tls, TlsOptions},
        ws::{self, WsLink},
    },
    wire::body,
};
use prost::Message;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::{Notify, mpsc},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_tungstenite::{WebSocketStream, tungstenite::Message as Frame};

use crate::{
    authority::{Authority, Issued, acceptor},
    peer::{Request, UID, Ws, clock, listen, machine, reply, soon, target},
};

async fn next(notices: &mut mpsc::Receiver<Notice>) -> Notice {
    soon(notices.recv()).await.expect("the task is there")
}

async fn disconnected(notices: &mut mpsc::Receiver<Notice>) -> Ended {
    loop {
        if let Notice::Disconnected(ended) = next(notices).await {
            return ended;
        }
    }
}

/// Passes connections on until it is told to stop reading; what comes later is passed on again.
async fn relay(to: u16) -> (u16, Arc<Notify>) {
    let (listener, port) = listen().await;
    let stop = Arc::new(Notify::new());
    let told = stop.clone();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((mut near, _)) = listener.accept().await {
            let Ok(mut far) = TcpStream::connect(("127.0.0.1", to)).await else { continue };
            if held.is_empty() {
                tokio::select! {
                    _ = copy_bidirectional(&mut near, &mut far) => {}
                    () = told.notified() => {}
                }
                // Open on both sides, and read by nobody.
                held.push((near, far));
            } else {
                tokio::spawn(async move { copy_bidirectional(&mut near, &mut far).await });
            }
        }
    });
    (port, stop)
}

const HEARTBEAT: Duration = Duration::from_secs(5);

fn in_time(since: Instant) {
    let waited = since.elapsed();
    assert!(waited < HEARTBEAT * 2 + Duration::from_secs(2), "noticed after {waited:?}");
}

#[tokio::test]
async fn f_91_a_half_open_websocket_is_left_within_two_heartbeats() {
    let (listener, port) = listen().await;
    let (front, stop) = relay(port).await;
    let (handle, mut notices) = spawn(machine(Link::WebSocket), target("ws", front), clock);
    handle.set_heartbeat(HEARTBEAT);
    let mut server = Ws::accept(&listener).await;
    server.recv().await;
    server.send(&reply()).await;
    assert!(matches!(next(&mut notices).await, Notice::Connected));
    let since = Instant::now();
    stop.notify_one();
    let ended = disconnected(&mut notices).await;
    in_time(since);
    assert!(ended.why.contains("silent") && !ended.permanent, "{ended:?}");
    let mut again = Ws::accept(&listener).await;
    again.recv().await;
}

#[tokio::test]
async fn f_91_a_half_open_http_connection_is_left_within_two_heartbeats() {
    let (listener, port) = listen().await;
    let (front, stop) = relay(port).await;
    let (handle, mut notices) = spawn(machine(Link::Http), target("http", front), clock);
    handle.set_heartbeat(HEARTBEAT);
    let _kept = Request::accept(&listener).await.answer(&reply()).await;
    let since = Instant::now();
    stop.notify_one();
    let ended = disconnected(&mut notices).await;
    in_time(since);
    assert!(ended.why.contains("no answer within") && !ended.permanent, "{ended:?}");
    Request::accept(&listener).await;
}

/// Files of a client that may be replaced.
struct Files {
    dir: tempfile::TempDir,
    authority: Authority,
    reload_interval: Option<Duration>,
}

impl Files {
    fn new(authority: Authority, reload_interval: Option<Duration>) -> Self {
        Self { dir: tempfile::tempdir().unwrap(), authority, reload_interval }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, issued: &Issued) {
        fs::write(self.path("key.pem"), &issued.key_pem).unwrap();
        fs::write(self.path("cert.pem"), &issued.cert_pem).unwrap();
    }

    fn target(&self, scheme: &str, port: u16) -> Target {
        let (cert, key, ca_pem) = (self.path("cert.pem"), self.path("key.pem"), self.authority.pem());
        let read = move || {
            let of = |path: &PathBuf| fs::read(path).map_err(|error| error.to_string());
            let identity = Identity { cert_pem: of(&cert)?, key_pem: of(&key)? };
            Ok(TlsOptions { ca_pem: Some(ca_pem.clone()), identity: Some(identity), ..Default::default() })
        };
        let mut target = target(scheme, port);
        target.tls = Some(Tls::of_files(read().unwrap(), self.reload_interval, read).unwrap());
        target
    }
}

/// The next WebSocket whose client is believed.
async fn accept_tls(listener: &TcpListener, acceptor: &TlsAcceptor) -> WebSocketStream<TlsStream<TcpStream>> {
    loop {
        let (stream, _) = soon(listener.accept()).await.unwrap();
        if let Ok(stream) = acceptor.accept(stream).await {
            return soon(tokio_tungstenite::accept_async(stream)).await.unwrap();
        }
    }
}

fn shown(socket: &WebSocketStream<TlsStream<TcpStream>>) -> Vec<u8> {
    socket.get_ref().get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

fn start(target: Target) -> (ClientHandle, mpsc::Receiver<Notice>) {
    spawn(machine(target.link()), target, clock)
}

#[tokio::test]
async fn f_93_a_certificate_that_runs_out_while_connected_is_replaced_without_an_outage() {
    let files = Files::new(Authority::new(), Some(Duration::from_secs(1)));
    files.write(&files.authority.issue_until("agent", SystemTime::now() + Duration::from_secs(5)));
    let (listener, port) = listen().await;
    let acceptor = acceptor(&files.authority.issue("127.0.0.1"), Some(&files.authority));
    let (_handle, mut notices) = start(files.target("wss", port));
    let mut first = accept_tls(&listener, &acceptor).await;
    assert!(matches!(next(&mut notices).await, Notice::Connected));
    let before = shown(&first);
    // The standing connection outlives its certificate: whoever comes with that now is turned away.
    soon(async {
        let mut tick = tokio::time::interval(Duration::from_millis(100));
        loop {
            tick.tick().await;
            // A session that is resumed is not judged by dates again.
            let newcomer = files.target("wss", port);
            let serve = async { acceptor.accept(listener.accept().await.unwrap().0).await.is_err() };
            if tokio::join!(ws::connect(&newcomer, UID), serve).1 {
                return;
            }
        }
    })
    .await;
    files.write(&files.authority.issue("agent"));
    let (second, goodbye) = tokio::join!(accept_tls(&listener, &acceptor), async {
        let mut frames = Vec::new();
        while let Some(Ok(frame)) = soon(first.next()).await {
            frames.push(frame);
        }
        frames
    });
    assert_ne!(shown(&second), before);
    assert!(matches!(goodbye.last(), Some(Frame::Close(_))), "C-WS-05: {goodbye:?}");
    while let Ok(notice) = notices.try_recv() {
        assert!(!matches!(notice, Notice::Disconnected(_)), "{notice:?}");
    }
}

#[tokio::test]
async fn f_93_with_an_expired_certificate_the_reason_is_told_and_renewed_files_are_used_at_once() {
    for scheme in ["wss", "https"] {
        let files = Files::new(Authority::new(), None);
        files.write(&files.authority.issue_until("agent", SystemTime::now() - Duration::from_secs(60)));
        let (listener, port) = listen().await;
        let acceptor = acceptor(&files.authority.issue("127.0.0.1"), Some(&files.authority));
        let (_handle, mut notices) = start(files.target(scheme, port));
        let refuse = async {
            let (stream, _) = listener.accept().await.unwrap();
            assert!(acceptor.accept(stream).await.is_err());
        };
        let (ended, ()) = tokio::join!(disconnected(&mut notices), refuse);
        assert!(ended.why.contains("expired") && ended.why.contains("server.tls.cert_file"), "{ended:?}");
        assert!(ended.permanent && ended.again_in >= Some(Duration::from_secs(29)), "{ended:?}");
        let since = Instant::now();
        files.write(&files.authority.issue("agent"));
        let (stream, _) = soon(listener.accept()).await.unwrap();
        acceptor.accept(stream).await.unwrap();
        assert!(since.elapsed() < Duration::from_secs(15), "{:?}", since.elapsed());
    }
}

/// What this process holds, in KiB.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// A link, and the server's end of it as bytes.
async fn raw_link() -> (WsLink, TcpStream) {
    let (listener, port) = listen().await;
    let target = target("ws", port);
    let (link, server) = tokio::join!(ws::connect(&target, UID), Ws::accept(&listener));
    (link.unwrap(), server.0.into_inner())
}

/// Room for the other tests of this process.
const BOUND: u64 = 256 * 1024;

#[tokio::test]
async fn f_95_c_lm_01_03_a_message_of_one_gibibyte_is_refused_by_its_head() {
    let (mut link, mut stream) = raw_link().await;
    let before = resident();
    let flood = async {
        stream.write_all(&[&[0x82, 127][..], &(1u64 << 30).to_be_bytes()].concat()).await.unwrap();
        let mut heard = Vec::new();
        let chunk = vec![0; 1 << 16];
        // It goes on until the client has hung up.
        for _ in 0..(1 << 14) {
            if stream.write_all(&chunk).await.is_err() {
                break;
            }
        }
        let _ = stream.read_to_end(&mut heard).await;
        heard
    };
    let refuse = async {
        let end = link.recv().await;
        drop(link);
        end
    };
    let (end, _) = soon(async { tokio::join!(refuse, flood) }).await;
    assert!(matches!(end, Err(LinkEnd::TooLarge { .. })), "{end:?}");
    assert!(resident() < before + BOUND, "{before} KiB before, {} after", resident());
}

#[tokio::test]
async fn f_95_a_million_fragments_make_one_message_or_none() {
    let (mut link, mut stream) = raw_link().await;
    let before = resident();
    let send = async {
        // A header of its own, then bytes of zero: a million empty fields are no OpAMP message.
        let mut bytes = vec![0x02, 1, 0];
        bytes.extend([0x00, 1, 0].repeat(1_000_000));
        bytes.extend([0x80, 1, 0]);
        let _ = stream.write_all(&bytes).await;
        let mut heard = Vec::new();
        let _ = stream.read_to_end(&mut heard).await;
        heard
    };
    let refuse = async {
        let end = link.recv().await;
        drop(link);
        end
    };
    let (end, heard) = tokio::time::timeout(Duration::from_secs(60), async { tokio::join!(refuse, send) })
        .await
        .expect("it must come in time");
    assert!(matches!(end, Err(LinkEnd::Malformed(_))), "{end:?}");
    // A masked close frame: its code is under the mask.
    let close = heard.iter().position(|byte| *byte == 0x88).unwrap();
    let mask = &heard[close + 2..close + 6];
    let code = [heard[close + 6] ^ mask[0], heard[close + 7] ^ mask[1]];
    assert_eq!(u16::from_be_bytes(code), 1002);
    assert!(resident() < before + BOUND, "{before} KiB before, {} after", resident());
}

#[tokio::test]
async fn f_95_c_lm_08_09_10_a_body_that_inflates_without_end_is_not_used() {
    let (listener, port) = listen().await;
    let mut target = target("http", port);
    target.limits.receive = 1 << 20;
    let (_handle, mut notices) = spawn(machine(Link::Http), target, clock);
    // Half a gibibyte of zeros.
    let bomb = body::gzip(&vec![0; 1 << 24]).repeat(32);
    let before = resident();
    Request::accept(&listener).await.respond("200 OK", "Content-Encoding: gzip\r\n", &bomb).await;
    let ended = disconnected(&mut notices).await;
    assert!(ended.why.contains("discarded"), "{ended:?}");
    assert!(resident() < before + BOUND, "{before} KiB before, {} after", resident());
    // What comes then is heard: unknown fields and all.
    let mut bytes = reply().encode_to_vec();
    bytes.extend([0xf8, 0x3f, 0x01]);
    Request::accept(&listener).await.respond("200 OK", "", &bytes).await;
    while !matches!(next(&mut notices).await, Notice::Connected) {}
}
