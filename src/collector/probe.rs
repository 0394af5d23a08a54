//! One question to a Collector's `health_check` extension, for Collectors without the opamp extension.
//!
//! Plain HTTP/1.1 over a fresh loopback connection; no client library, for it is one request.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Bytes read of an answer.
const MAX_ANSWER: u64 = 4096;

/// What the probe saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    Up,
    /// It says so itself.
    Down {
        reason: String,
    },
    /// Nobody answers.
    Silent {
        reason: String,
    },
}

/// Asks once. `path` is the configured one, `/` by default.
pub async fn probe(address: SocketAddr, path: &str, deadline: Duration) -> Probe {
    let url = format!("http://{address}{path}");
    match timeout(deadline, status_of(address, path)).await {
        Ok(Ok(200..=299)) => Probe::Up,
        Ok(Ok(status)) => Probe::Down { reason: format!("{url} answers with status {status}") },
        Ok(Err(error)) => Probe::Silent { reason: format!("{url} does not answer: {error}") },
        Err(_) => {
            Probe::Silent { reason: format!("{url} does not answer within {} ms", deadline.as_millis()) }
        }
    }
}

async fn status_of(address: SocketAddr, path: &str) -> io::Result<u16> {
    let mut stream = TcpStream::connect(address).await?;
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: */*\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    let mut stream = stream.take(MAX_ANSWER);
    // The status line is all that counts: a peer that keeps the connection open is not waited for.
    while !answer.contains(&b'\n') && stream.read_buf(&mut answer).await? > 0 {}
    parse_status(&answer).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not an HTTP answer"))
}

fn parse_status(answer: &[u8]) -> Option<u16> {
    let line = answer.split(|byte| *byte == b'\n').next()?;
    let rest = std::str::from_utf8(line).ok()?.strip_prefix("HTTP/1.")?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::collector::testing::in_time;

    async fn answered(answer: &'static str) -> Probe {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 1024];
            let read = stream.read(&mut request).await.unwrap();
            assert!(request[..read].starts_with(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1:"));
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream
        };
        let (seen, _stream) =
            in_time(async { tokio::join!(probe(address, "/health", Duration::from_secs(20)), serve) }).await;
        seen
    }

    fn reason(seen: Probe) -> String {
        match seen {
            Probe::Up => "up".to_owned(),
            Probe::Down { reason } | Probe::Silent { reason } => reason,
        }
    }

    #[tokio::test]
    async fn a_status_decides() {
        assert_eq!(answered("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{").await, Probe::Up);
        let seen = reason(answered("HTTP/1.1 503 Service Unavailable\r\n\r\n").await);
        assert!(seen.ends_with("/health answers with status 503"), "{seen}");
        let seen = reason(answered("SSH-2.0-x\r\n").await);
        assert!(seen.ends_with("does not answer: not an HTTP answer"), "{seen}");
    }

    #[tokio::test]
    async fn f_68_silence_and_absence_are_down() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = reason(in_time(probe(address, "/", Duration::from_millis(50))).await);
        assert!(seen.ends_with("does not answer within 50 ms"), "{seen}");
        drop(listener);
        let seen = reason(in_time(probe(address, "/", Duration::from_secs(20))).await);
        // Refused, or reset where another process was given the port meanwhile.
        assert!(seen.contains("does not answer: Connection re"), "{seen}");
    }
}
