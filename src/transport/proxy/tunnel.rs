//! Asking a proxy for a way to the server: CONNECT, and SOCKS5.
//!
//! Bounded by whoever dials. Nothing of what follows the proxy's answer is read here: it is the server's.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::Proxy;

/// As much of a proxy's answer to CONNECT is read.
const ANSWER_LIMIT: usize = 16 * 1024;

/// The proxy gives no way to the server.
#[derive(Debug, thiserror::Error)]
pub enum TunnelError {
    /// In the middle of asking.
    #[error("the connection to it broke: {0}")]
    Broken(#[from] io::Error),
    /// 401 or 407, as given.
    #[error(
        "it asks for credentials, or does not take these ({0}); give them in its URL as http://user:password@…"
    )]
    Credentials(u16),
    /// Another status that is no success.
    #[error("it refuses to connect there ({0}); does it allow CONNECT to that host and port?")]
    Refused(u16),
    /// A status of 500 and above: the server is not there, or the proxy is not well.
    #[error("it cannot reach the server ({0})")]
    Unreachable(u16),
    /// What answers is something else.
    #[error("its answer is none of an HTTP proxy; is its URL right?")]
    NoHttp,
    /// What answers is something else.
    #[error("its answer is none of a SOCKS5 proxy; is its URL right?")]
    NoSocks,
    /// Wrong ones.
    #[error("it does not take the user name and password of its URL")]
    SocksCredentials,
    /// The URL has none.
    #[error("it asks for credentials; give them in its URL as socks5://user:password@…")]
    SocksWantsCredentials,
    /// A reply code of RFC 1928, in words.
    #[error("it cannot connect there: {0}")]
    Socks(&'static str),
    /// SOCKS5 has one byte for the length of a name.
    #[error("the server's name has more than 255 bytes")]
    LongName,
}

impl TunnelError {
    /// Whether the same again can only bring the same.
    pub(in crate::transport) const fn is_permanent(&self) -> bool {
        match self {
            Self::Credentials(_)
            | Self::Refused(_)
            | Self::NoHttp
            | Self::NoSocks
            | Self::SocksCredentials
            | Self::SocksWantsCredentials
            | Self::LongName => true,
            Self::Broken(_) | Self::Unreachable(_) | Self::Socks(_) => false,
        }
    }
}

/// Has an HTTP proxy connect to this host and port.
pub(in crate::transport) async fn connect(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    proxy: &Proxy,
    host: &str,
    port: u16,
) -> Result<(), TunnelError> {
    let authority = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let mut request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n").into_bytes();
    for (name, value) in &proxy.headers() {
        request.extend_from_slice(name.as_str().as_bytes());
        request.extend_from_slice(b": ");
        request.extend_from_slice(value.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    stream.write_all(&request).await?;
    stream.flush().await?;
    match status(&head(stream).await?).ok_or(TunnelError::NoHttp)? {
        200..=299 => Ok(()),
        // Some answer 401 to wrong ones.
        status @ (401 | 407) => Err(TunnelError::Credentials(status)),
        status @ 500..=599 => Err(TunnelError::Unreachable(status)),
        status => Err(TunnelError::Refused(status)),
    }
}

/// The answer up to its empty line, byte by byte: what comes after belongs to somebody else.
async fn head(stream: &mut (impl AsyncRead + Unpin)) -> Result<Vec<u8>, TunnelError> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == ANSWER_LIMIT {
            return Err(TunnelError::NoHttp);
        }
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && !head.is_empty() => {
                return Err(TunnelError::NoHttp);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(head)
}

fn status(head: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(head.split(|byte| *byte == b'\r').next()?).ok()?;
    let mut parts = line.strip_prefix("HTTP/1.")?.split(' ');
    parts.nth(1)?.parse().ok()
}

const VERSION: u8 = 5;
const NO_AUTH: u8 = 0;
const PASSWORD: u8 = 2;
const NONE_FITS: u8 = 0xff;
const BY_NAME: u8 = 3;
const IPV4: u8 = 1;
const IPV6: u8 = 4;

/// Has a SOCKS5 proxy (RFC 1928, RFC 1929) connect to this host and port; it looks up the name.
pub(in crate::transport) async fn socks(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    proxy: &Proxy,
    host: &str,
    port: u16,
) -> Result<(), TunnelError> {
    let credentials = proxy.credentials();
    let methods: &[u8] = if credentials.is_some() { &[NO_AUTH, PASSWORD] } else { &[NO_AUTH] };
    stream.write_all(&[&[VERSION, methods.len() as u8], methods].concat()).await?;
    stream.flush().await?;
    let mut answer = [0; 2];
    stream.read_exact(&mut answer).await?;
    match (answer, credentials) {
        ([VERSION, NO_AUTH], _) => {}
        ([VERSION, PASSWORD], Some((user, password))) => {
            let mut login = vec![1, user.len() as u8];
            login.extend(&user);
            login.push(password.len() as u8);
            login.extend(&password);
            stream.write_all(&login).await?;
            stream.flush().await?;
            stream.read_exact(&mut answer).await?;
            if answer[1] != 0 {
                return Err(TunnelError::SocksCredentials);
            }
        }
        ([VERSION, NONE_FITS], None) => return Err(TunnelError::SocksWantsCredentials),
        ([VERSION, NONE_FITS], Some(_)) => return Err(TunnelError::SocksCredentials),
        _ => return Err(TunnelError::NoSocks),
    }
    stream.write_all(&asking_for(host, port)?).await?;
    stream.flush().await?;
    granted(stream).await
}

fn asking_for(host: &str, port: u16) -> Result<Vec<u8>, TunnelError> {
    let mut request = vec![VERSION, 1, 0];
    match host.parse() {
        Ok(std::net::IpAddr::V4(address)) => {
            request.push(IPV4);
            request.extend(address.octets());
        }
        Ok(std::net::IpAddr::V6(address)) => {
            request.push(IPV6);
            request.extend(address.octets());
        }
        Err(_) => {
            request.extend([BY_NAME, u8::try_from(host.len()).map_err(|_| TunnelError::LongName)?]);
            request.extend(host.as_bytes());
        }
    }
    request.extend(port.to_be_bytes());
    Ok(request)
}

async fn granted(stream: &mut (impl AsyncRead + Unpin)) -> Result<(), TunnelError> {
    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    if head[0] != VERSION {
        return Err(TunnelError::NoSocks);
    }
    match head[1] {
        0 => {}
        2 => return Err(TunnelError::Socks("its rules forbid it")),
        3 => return Err(TunnelError::Socks("the network is unreachable")),
        4 => return Err(TunnelError::Socks("the host is unreachable")),
        5 => return Err(TunnelError::Socks("nobody listens there")),
        6 => return Err(TunnelError::Socks("it took too long")),
        _ => return Err(TunnelError::Socks("it failed")),
    }
    // The address it connects from, which nobody needs.
    let rest = match head[3] {
        IPV4 => 4,
        IPV6 => 16,
        BY_NAME => usize::from(stream.read_u8().await?),
        _ => return Err(TunnelError::NoSocks),
    };
    let mut bound = vec![0; rest + 2];
    stream.read_exact(&mut bound).await?;
    Ok(())
}
