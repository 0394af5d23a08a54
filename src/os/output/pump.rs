//! Reads a child's pipes to their end.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use tokio::{io::AsyncReadExt, join, net::unix::pipe};

use super::{RotatingFile, Tail};

/// A longer line is passed on in pieces.
const BUFFER: usize = 8 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

/// One pipe of a child, and the beginning of a line that was read from it.
#[derive(Debug)]
pub struct Source {
    pipe: pipe::Receiver,
    begun: Vec<u8>,
}

impl Source {
    /// Takes up a pipe that somebody else has read from. Needs a tokio runtime.
    pub fn take_up(pipe: OwnedFd, begun: Vec<u8>) -> io::Result<Self> {
        Ok(Self { pipe: pipe::Receiver::from_owned_fd(pipe)?, begun })
    }

    /// What of a line was read, and passed on to nobody.
    #[must_use]
    pub fn begun(&self) -> &[u8] {
        &self.begun
    }
}

impl From<pipe::Receiver> for Source {
    fn from(pipe: pipe::Receiver) -> Self {
        Self { pipe, begun: Vec::new() }
    }
}

impl AsFd for Source {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

/// Both pipes of a child.
#[derive(Debug)]
pub struct Sources {
    pub stdout: Source,
    pub stderr: Source,
}

/// Takes one line of one stream.
pub type TakeLine = Box<dyn FnMut(Stream, &str) + Send>;

/// Where lines go beside the [`Tail`].
pub enum Sink {
    /// Into a file, both streams mixed, line by line.
    File(RotatingFile),
    /// To the caller (passthrough), without the line's end.
    Lines(TakeLine),
}

/// What was drained when both pipes ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pumped {
    pub bytes: u64,
    /// Writes to the file that failed; what they held is in the tail only.
    pub failed_writes: u64,
}

/// Drains both pipes until they end. An error of the file is logged once, and draining goes on. May be cancelled
/// and called again: nothing is lost.
pub async fn pump(from: &mut Sources, tail: &Tail, sink: &mut Sink) -> Pumped {
    let to = std::sync::Mutex::new(Drain { tail, sink, pumped: Pumped::default() });
    // Both run in this one task, so the lock never spans an await.
    join!(
        drain(&mut from.stdout, |bytes| lock(&to).take(Stream::Stdout, bytes)),
        drain(&mut from.stderr, |bytes| lock(&to).take(Stream::Stderr, bytes)),
    );
    lock(&to).pumped
}

fn lock<T>(shared: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

struct Drain<'a> {
    tail: &'a Tail,
    sink: &'a mut Sink,
    pumped: Pumped,
}

impl Drain<'_> {
    /// Whole lines, or a piece of one too long for the buffer.
    fn take(&mut self, stream: Stream, bytes: &[u8]) {
        self.pumped.bytes += bytes.len() as u64;
        self.tail.push(bytes);
        match &mut self.sink {
            Sink::Lines(line) => {
                for text in bytes.strip_suffix(b"\n").unwrap_or(bytes).split(|byte| *byte == b'\n') {
                    line(stream, &String::from_utf8_lossy(text));
                }
            }
            Sink::File(file) => {
                if let Err(error) = file.write(bytes) {
                    if self.pumped.failed_writes == 0 {
                        tracing::warn!(
                            path = %file.path().display(), %error,
                            "the agent's output cannot be written; it is drained and the last 64 KiB are kept"
                        );
                    }
                    self.pumped.failed_writes += 1;
                }
            }
        }
    }
}

async fn drain(from: &mut Source, mut take: impl FnMut(&[u8])) {
    let Source { pipe, begun: buffer } = from;
    if buffer.len() >= BUFFER {
        take(buffer);
        buffer.clear();
    }
    buffer.reserve(BUFFER - buffer.len());
    // A read error on a pipe cannot be healed; the child's end follows.
    while let Ok(1..) = (&mut *pipe).take((BUFFER - buffer.len()) as u64).read_buf(buffer).await {
        let whole = match buffer.iter().rposition(|byte| *byte == b'\n') {
            Some(newline) => newline + 1,
            None if buffer.len() == BUFFER => BUFFER,
            None => continue,
        };
        take(&buffer[..whole]);
        buffer.drain(..whole);
    }
    if !buffer.is_empty() {
        buffer.push(b'\n');
        take(buffer);
        buffer.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::os::{
        child::{Child, Exit, Spawned},
        testing::{in_time, shell},
    };

    async fn pumped(script: &str, tail: &Tail, sink: &mut Sink) -> Pumped {
        let Spawned { child, stdout, stderr } = Child::spawn(&shell(script)).unwrap();
        let mut from = Sources { stdout: stdout.into(), stderr: stderr.into() };
        let pumped = in_time(pump(&mut from, tail, sink)).await;
        assert_eq!(in_time(child.wait()).await.unwrap(), Exit::Code(0));
        pumped
    }

    #[tokio::test]
    async fn lines_come_with_their_stream_and_a_last_one_without_end_too() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&lines);
        let mut sink =
            Sink::Lines(Box::new(move |stream, line| seen.lock().unwrap().push((stream, line.to_owned()))));
        let tail = Tail::default();
        pumped("printf 'one\\n\\ntwo'; printf 'bad' >&2", &tail, &mut sink).await;
        let mut lines = lines.lock().unwrap().clone();
        lines.sort_by_key(|(stream, _)| *stream == Stream::Stderr);
        let expected =
            [(Stream::Stdout, "one"), (Stream::Stdout, ""), (Stream::Stdout, "two"), (Stream::Stderr, "bad")];
        assert_eq!(lines, expected.map(|(stream, line)| (stream, line.to_owned())));
        assert_eq!(tail.last(1000).len(), "one\n\ntwo\nbad\n".len());
    }

    #[tokio::test]
    async fn f_70_a_flood_neither_stalls_the_child_nor_fills_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.log");
        let mut sink = Sink::File(RotatingFile::new(&path).bounds(256 * 1024, 2));
        let tail = Tail::default();
        let flood =
            "head -c 20000000 /dev/zero | tr '\\0' x; yes a line of output | head -n 500000; echo the end";
        let pumped = pumped(flood, &tail, &mut sink).await;
        assert_eq!(pumped, Pumped { bytes: 20_000_000 + 17 * 500_000 + 8, failed_writes: 0 });
        assert!(tail.last(1000).ends_with("a line of output\nthe end\n"));
        let total: u64 = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().metadata().unwrap().len())
            .sum();
        assert!(total <= 512 * 1024, "{total} bytes on disk");
    }

    #[tokio::test]
    async fn f_70_draining_goes_on_when_the_file_cannot_be_written() {
        let mut sink = Sink::File(RotatingFile::new(std::path::Path::new("/dev/full")));
        let tail = Tail::default();
        let pumped = pumped("yes word | head -n 100000; echo last", &tail, &mut sink).await;
        assert!(pumped.failed_writes > 0 && pumped.bytes == 500_005, "{pumped:?}");
        assert!(tail.last(100).ends_with("word\nlast\n"));
    }

    #[tokio::test]
    async fn f_110_whoever_takes_the_pipes_up_has_every_line_whole() {
        let dir = tempfile::tempdir().unwrap();
        let go = dir.path().join("go");
        nix::unistd::mkfifo(&go, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let script = format!("printf 'one\\nbeg'; read go < {}; echo un; echo end", go.display());
        let Spawned { child, stdout, stderr } = Child::spawn(&shell(&script)).unwrap();
        let (tell, mut lines) = tokio::sync::mpsc::unbounded_channel();
        let mut sink = Sink::Lines(Box::new(move |_, line| tell.send(line.to_owned()).unwrap()));
        let (tail, mut from) = (Tail::default(), Sources { stdout: stdout.into(), stderr: stderr.into() });
        tokio::select! {
            _ = pump(&mut from, &tail, &mut sink) => panic!("it goes on"),
            line = in_time(lines.recv()) => assert_eq!(line.unwrap(), "one"),
        }
        assert_eq!(from.stdout.begun(), b"beg");
        let again = |source: &Source| {
            Source::take_up(source.as_fd().try_clone_to_owned().unwrap(), source.begun().to_vec()).unwrap()
        };
        let mut next = Sources { stdout: again(&from.stdout), stderr: again(&from.stderr) };
        drop(from);
        std::fs::write(&go, "go\n").unwrap();
        in_time(pump(&mut next, &tail, &mut sink)).await;
        drop(sink);
        assert_eq!((lines.recv().await, lines.recv().await), (Some("begun".into()), Some("end".into())));
        assert_eq!(in_time(child.wait()).await.unwrap(), Exit::Code(0));
    }
}
