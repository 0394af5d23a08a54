//! The administrator's end of the socket: blocking, for a command that does one thing.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use super::{ANSWER_WITHIN, Answer, LINE_WITHIN, MOST_ANSWERED, Request};
use crate::os::socket;

/// There is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    #[error("no supervisor runs: nobody listens on {}", .0.display())]
    NotRunning(PathBuf),
    #[error("{} may be used by root and by the user that runs the supervisor only", .0.display())]
    NotAllowed(PathBuf),
    #[error("the supervisor hung up without an answer on {}; try again", .0.display())]
    HungUp(PathBuf),
    #[error("the supervisor cannot be asked on {}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("the supervisor answered something else than was asked")]
    Unexpected,
    #[error("the supervisor's answer is not understood ({0}); is it of another version than this command?")]
    NotUnderstood(String),
}

/// Asks the supervisor behind this socket.
pub fn ask(path: &Path, request: &Request) -> Result<Answer, AskError> {
    let answer = converse(path, request, ANSWER_WITHIN + LINE_WITHIN).map_err(|source| {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => AskError::NotRunning(path),
            io::ErrorKind::PermissionDenied => AskError::NotAllowed(path),
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => AskError::HungUp(path),
            _ => AskError::Io { path, source },
        }
    })?;
    serde_json::from_slice(&answer).map_err(|error| AskError::NotUnderstood(error.to_string()))
}

fn converse(path: &Path, request: &Request, within: Duration) -> io::Result<Vec<u8>> {
    let mut stream = socket::connect(path)?;
    stream.set_read_timeout(Some(within))?;
    stream.set_write_timeout(Some(LINE_WITHIN))?;
    let mut bytes = serde_json::to_vec(request)?;
    bytes.push(b'\n');
    // One that refuses at once may have closed already; its answer is there to be read.
    let written = stream.write_all(&bytes);
    let mut answer = Vec::new();
    BufReader::new(stream.take(MOST_ANSWERED as u64)).read_until(b'\n', &mut answer)?;
    if answer.is_empty() {
        written?;
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "no answer"));
    }
    Ok(answer)
}
