//! The supervisor's end of the socket.

use std::{io, path::Path, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    sync::{Semaphore, mpsc, oneshot},
    time::{sleep, timeout},
};

use super::{ANSWER_WITHIN, Answer, Asked, LINE_WITHIN, MOST_ASKED, Request};
use crate::os::socket;

/// Requests that may wait for the driver, and connections at a time.
const QUEUE: usize = 4;
const CONNECTIONS: usize = 8;
/// After an accept that failed: no descriptor is left, most likely.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Serves the socket until the receiver is dropped. Without a socket (a read-only disk) the supervisor runs
/// all the same, and nothing is ever received.
pub(in crate::supervisor) fn serve(path: &Path) -> mpsc::Receiver<Asked> {
    let (tell, asked) = mpsc::channel(QUEUE);
    match socket::listen(path) {
        Ok(listener) => {
            tokio::spawn(accept(listener, tell));
        }
        Err(error) => {
            tracing::warn!(
                path = %path.display(), %error,
                "status, rollback, pause and reload cannot be asked for on this host: no socket"
            );
        }
    }
    asked
}

async fn accept(listener: UnixListener, tell: mpsc::Sender<Asked>) {
    let seats = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = tell.closed() => return,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection to the control socket failed");
                sleep(AFTER_FAILURE).await;
                continue;
            }
        };
        // With no seat left, the connection is closed without an answer.
        let Ok(seat) = Arc::clone(&seats).try_acquire_owned() else { continue };
        let tell = tell.clone();
        tokio::spawn(async move {
            if let Err(error) = converse(stream, &tell).await {
                tracing::debug!(%error, "a request on the control socket came to nothing");
            }
            drop(seat);
        });
    }
}

async fn converse(stream: UnixStream, tell: &mpsc::Sender<Asked>) -> io::Result<()> {
    let answer = if socket::is_administrator(&stream)? {
        None
    } else {
        Some(refused("only root and the user that runs the supervisor may ask"))
    };
    let mut stream = BufReader::new(stream);
    let answer = match answer {
        Some(answer) => answer,
        None => match serde_json::from_slice(&line(&mut stream).await?) {
            Ok(request) => put(request, tell).await,
            Err(error) => refused(&format!(
                "supervisor {} does not know this request: {error}",
                env!("CARGO_PKG_VERSION")
            )),
        },
    };
    let mut bytes = serde_json::to_vec(&answer)?;
    bytes.push(b'\n');
    timeout(LINE_WITHIN, stream.write_all(&bytes)).await?
}

async fn line(stream: &mut BufReader<UnixStream>) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let mut bounded = stream.take(MOST_ASKED as u64);
    timeout(LINE_WITHIN, bounded.read_until(b'\n', &mut line)).await??;
    Ok(line)
}

async fn put(request: Request, tell: &mpsc::Sender<Asked>) -> Answer {
    let (reply, answer) = oneshot::channel();
    let ending = || refused("the supervisor is ending");
    if tell.send(Asked { request, reply }).await.is_err() {
        return ending();
    }
    match timeout(ANSWER_WITHIN, answer).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => ending(),
        Err(_) => refused(&format!("there was no answer within {ANSWER_WITHIN:?}; it may still be done")),
    }
}

fn refused(why: &str) -> Answer {
    Answer::Refused { why: why.to_owned() }
}
