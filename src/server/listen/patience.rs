//! A stream whose other end must read: what cannot be written for too long ends the connection, and so does what goes in
//! drops. An agent that takes a file byte by byte would have a place among the downloads for years.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// How slow the other end may be, once something waits for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// So many bytes, or all there are if they are fewer,
    pub(super) bytes: usize,
    /// must be taken in so long.
    pub(super) within: Duration,
}

pub(super) struct Patient<S> {
    stream: S,
    patience: Patience,
    waiting: Option<Waiting>,
}

/// Since a write had to wait.
struct Waiting {
    until: Pin<Box<Sleep>>,
    taken: usize,
}

impl<S> Patient<S> {
    pub(super) fn new(stream: S, patience: Patience) -> Self {
        Self { stream, patience, waiting: None }
    }

    fn took(&mut self, count: usize) {
        let least = self.patience.bytes;
        if let Some(waiting) = &mut self.waiting {
            waiting.taken += count;
            if waiting.taken >= least {
                self.waiting = None;
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> Patient<S> {
    /// Does something with the stream, for which it has so long.
    fn within<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut act: impl FnMut(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if let Poll::Ready(done) = act(Pin::new(&mut self.stream), cx) {
            return Poll::Ready(done);
        }
        let within = self.patience.within;
        let waiting =
            self.waiting.get_or_insert_with(|| Waiting { until: Box::pin(sleep(within)), taken: 0 });
        ready!(waiting.until.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the other end does not read, or hardly")))
    }

    fn write(
        &mut self,
        cx: &mut Context<'_>,
        act: impl FnMut(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let written = ready!(self.within(cx, act));
        self.took(*written.as_ref().unwrap_or(&0));
        Poll::Ready(written)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.write(cx, |stream, cx| stream.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(cx, |stream, cx| stream.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = ready!(self.within(cx, |stream, cx| stream.poll_flush(cx)));
        // Nothing waits any more: what comes next has its own time.
        self.waiting = None;
        Poll::Ready(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.within(cx, |stream, cx| stream.poll_shutdown(cx))
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, duplex},
        time::Instant,
    };

    use super::*;

    const PATIENCE: Patience = Patience { bytes: 32, within: Duration::from_secs(30) };

    /// Reads so many bytes in each of so many seconds; how long it was until the writer had done, or was cut off.
    async fn read_by(count: usize, every: u64) -> (Result<(), io::ErrorKind>, u64) {
        let (near, mut far) = duplex(16);
        let mut near = Patient::new(near, PATIENCE);
        let began = Instant::now();
        let writing = async {
            let written = near.write_all(&[0; 256]).await;
            (written.map_err(|error| error.kind()), began.elapsed().as_secs())
        };
        let reading = async {
            let mut bytes = vec![0; count];
            loop {
                sleep(Duration::from_secs(every)).await;
                far.read_exact(&mut bytes).await.unwrap();
            }
        };
        tokio::select! {
            ended = writing => ended,
            () = reading => unreachable!("it reads for ever"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn f_96_a_client_that_reads_in_drops_is_given_up() {
        assert_eq!(read_by(1, 1).await, (Err(io::ErrorKind::TimedOut), 30), "one byte each second");
    }

    #[tokio::test(start_paused = true)]
    async fn f_96_a_client_that_stops_reading_is_given_up_and_one_that_reads_slowly_is_not() {
        assert_eq!(read_by(1, 1000).await, (Err(io::ErrorKind::TimedOut), 30));
        let (ended, seconds) = read_by(8, 5).await;
        assert_eq!(ended, Ok(()), "48 bytes in half a minute are enough");
        assert!(seconds > 120, "{seconds}");
    }

    #[tokio::test(start_paused = true)]
    async fn f_96_what_was_taken_late_costs_nothing_later() {
        let (near, mut far) = duplex(16);
        let mut near = Patient::new(near, PATIENCE);
        for _ in 0..3 {
            let writing = async {
                near.write_all(&[0; 20]).await.unwrap();
                near.flush().await.unwrap();
            };
            let reading = async {
                sleep(Duration::from_secs(29)).await;
                far.read_exact(&mut [0; 20]).await.unwrap();
            };
            tokio::join!(writing, reading);
            sleep(Duration::from_secs(600)).await;
        }
    }
}
