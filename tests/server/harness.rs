//! A server in this process, and an HTTP client that hides nothing.

use std::{collections::BTreeMap, net::SocketAddr, path::Path, time::Duration};

use opamp::server::{Options, Server, config::Settings};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::timeout,
};

/// For whatever a test waits for.
pub(crate) const WITHIN: Duration = Duration::from_secs(10);

pub(crate) fn options(data_dir: &Path) -> Options {
    let local = || Some("127.0.0.1:0".to_owned());
    let settings = Settings {
        opamp_listen: local(),
        api_listen: local(),
        data_dir: Some(data_dir.to_owned()),
        ..Default::default()
    };
    settings.options().unwrap()
}

/// A server with its data directory, gone when dropped.
pub(crate) struct Bench {
    pub(crate) server: Server,
    pub(crate) token: String,
    pub(crate) dir: TempDir,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Options)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut options = options(dir.path());
        change(&mut options);
        Self::on(dir, &options).await
    }

    pub(crate) async fn on(dir: TempDir, options: &Options) -> Self {
        let server = Server::start(options).await.unwrap();
        let token = std::fs::read_to_string(dir.path().join("admin.token")).unwrap().trim().to_owned();
        Self { server, token, dir }
    }

    /// Stops in order and starts again on the same data.
    pub(crate) async fn restart(self) -> Self {
        self.server.stop().await.unwrap();
        let options = options(self.dir.path());
        Self::on(self.dir, &options).await
    }

    pub(crate) async fn api(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let bearer = format!("Bearer {}", self.token);
        let mut headers = vec![("authorization", bearer.as_str())];
        if body.is_some() {
            headers.push(("content-type", "application/json"));
        }
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        http(self.server.api, method, path, &headers, body.as_bytes()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let answer = self.api("GET", path, None).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }

    /// Asks until the answer is as wanted.
    pub(crate) async fn until(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let asking = async {
            loop {
                let answer = self.api("GET", path, None).await;
                last = if answer.status == 200 { answer.json() } else { Value::Null };
                if wanted(&last) {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        let in_time = timeout(WITHIN, asking).await;
        assert!(in_time.is_ok(), "{path} stayed {last:#}");
        last
    }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

/// Sends the head of a request and returns the stream after the head of the answer.
pub(crate) async fn open(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> (Answer, BufReader<TcpStream>) {
    let stream = TcpStream::connect(address).await.unwrap();
    open_on(stream, &address.to_string(), method, path, headers, body).await
}

async fn open_on<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    host: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> (Answer, BufReader<S>) {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += &format!("content-length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await.unwrap();
    // A server that refuses early may close before it has read all.
    let _ = stream.write_all(body).await;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    timeout(WITHIN, reader.read_line(&mut line)).await.expect("an answer in time").unwrap();
    let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.unwrap_or_else(|| panic!("no status in {line:?}"));
    let mut headers = BTreeMap::new();
    loop {
        line.clear();
        reader.read_line(&mut line).await.unwrap();
        match line.trim_end().split_once(": ") {
            Some((name, value)) => headers.insert(name.to_ascii_lowercase(), value.to_owned()),
            None => break,
        };
    }
    (Answer { status, headers, body: Vec::new() }, reader)
}

pub(crate) async fn http(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let stream = TcpStream::connect(address).await.unwrap();
    http_on(stream, &address.to_string(), method, path, headers, body).await
}

/// One exchange over a connection that is there.
pub(crate) async fn http_on<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    host: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let (mut answer, mut reader) = open_on(stream, host, method, path, headers, body).await;
    assert!(!answer.headers.contains_key("transfer-encoding"), "streams are read line by line");
    let length = answer.headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    answer.body = vec![0; length];
    if method != "HEAD" {
        timeout(WITHIN, reader.read_exact(&mut answer.body)).await.expect("a body in time").unwrap();
    }
    answer
}

/// The events of a stream, one at a time.
pub(crate) struct Events(BufReader<TcpStream>);

impl Events {
    pub(crate) async fn open(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Self {
        let (answer, reader) = open(address, "GET", path, headers, b"").await;
        assert_eq!((answer.status, answer.headers["content-type"].as_str()), (200, "text/event-stream"));
        Self(reader)
    }

    /// `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        let mut line = String::new();
        loop {
            line.clear();
            let read = timeout(WITHIN, self.0.read_line(&mut line)).await.expect("an event in time");
            if read.unwrap() == 0 {
                return None;
            }
            if let Some(data) = line.strip_prefix("data: ") {
                return Some(serde_json::from_str(data.trim_end()).unwrap());
            }
        }
    }
}
