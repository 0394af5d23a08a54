//! As much of HTTP as a loopback peer needs: one request, one answer, connection closed.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

const DEADLINE: Duration = Duration::from_secs(5);
const ANSWER_LIMIT: u64 = 8 * 1024 * 1024;

/// The status and body of an answer.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
}

pub(super) fn get(to: SocketAddr, path: &str, token: Option<&str>) -> Result<Answer> {
    let authorization = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    exchange(to, &format!("GET {path} HTTP/1.1\r\n{authorization}"), "")
}

pub(super) fn post_json(to: SocketAddr, path: &str, body: &str) -> Result<Answer> {
    exchange(to, &format!("POST {path} HTTP/1.1\r\nContent-Type: application/json\r\n"), body)
}

/// One request whose head, up to the last header, is given.
pub(super) fn exchange(to: SocketAddr, head: &str, body: &str) -> Result<Answer> {
    let mut stream =
        TcpStream::connect_timeout(&to, DEADLINE).with_context(|| format!("cannot connect to {to}"))?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.set_write_timeout(Some(DEADLINE))?;
    let length = body.len();
    write!(stream, "{head}Host: {to}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}")?;
    let mut answer = Vec::new();
    stream.take(ANSWER_LIMIT).read_to_end(&mut answer).with_context(|| format!("no answer from {to}"))?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").context("an answer without a header")?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let Some(status) = status else { bail!("an answer without a status: {head}") };
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let body = if chunked { unchunk(body) } else { body.to_owned() };
    Ok(Answer { status, body })
}

fn unchunk(mut rest: &str) -> String {
    let mut body = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        let Some(chunk) = after.get(..size).filter(|chunk| !chunk.is_empty()) else { break };
        body.push_str(chunk);
        rest = after.get(size + 2..).unwrap_or("");
    }
    body
}
