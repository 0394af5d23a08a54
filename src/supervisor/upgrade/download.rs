//! An artefact into a file: [`Fetch`] says what to ask for, [`Download`] asks, the file grows.
//!
//! Beside the file stands a note of what it is a part of, so that another life of the supervisor goes on from there. The
//! file's length is the truth about how much there is; whether its bytes are the right ones is asked of the whole.

#[cfg(test)]
mod tests;

use std::{
    io,
    net::IpAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use http::{HeaderMap, HeaderName, HeaderValue, header};
use nix::libc::O_NOFOLLOW;
use tokio::{
    fs::File,
    io::{AsyncSeekExt, AsyncWriteExt},
    sync::watch,
    time::{Instant, sleep_until},
};

use crate::{
    os::fs::{FsError, PRIVATE, failed, write_atomic},
    package::fetch::{Action, Answer, Fetch, FetchError, Get, Part, Rules, Wanted},
    transport::{
        DialFailure, Proxy, Target,
        download::Download,
        http::{ExchangeError, ExchangeFailure},
        parse_retry_after,
        tls::Tls,
    },
};

/// What to download, how to get there, and into which file.
#[derive(Clone, Debug)]
pub struct Job {
    pub wanted: Wanted,
    pub rules: Rules,
    pub tls: Option<Tls>,
    pub proxy: Option<Proxy>,
    /// A `.json` beside it says what it is a part of.
    pub file: PathBuf,
    /// Spreads the waits between attempts.
    pub seed: u64,
}

/// How far it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// In bytes.
    pub have: u64,
    /// If it is known.
    pub total: Option<u64>,
}

/// All bytes, on the disk.
#[derive(Debug)]
pub struct Downloaded {
    pub file: std::fs::File,
    /// A part was there from before. If the whole is not what it should be, that part may be why.
    pub resumed: bool,
}

/// Why there is no download.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Files(#[from] FsError),
}

impl DownloadError {
    /// Whether the same offer may be fetched another time.
    #[must_use]
    pub const fn may_pass(&self) -> bool {
        match self {
            Self::Fetch(error) => error.may_pass(),
            Self::Files(_) => true,
        }
    }
}

/// Downloads until all is there, or there is no hope. Dropped, it leaves a part from which the next one goes on.
pub async fn download(job: Job, progress: &watch::Sender<Progress>) -> Result<Downloaded, DownloadError> {
    let mut file = open(&job.file).map_err(failed("open", &job.file))?;
    let part = part_of(&job.file, &file).await;
    let resumed = part.have > 0;
    if !resumed {
        file.set_len(0).await.map_err(failed("empty", &job.file))?;
    }
    file.seek(io::SeekFrom::End(0)).await.map_err(failed("seek in", &job.file))?;
    let began = Instant::now();
    let fetch = Fetch::new(job.wanted.clone(), job.rules.clone(), part, job.seed, Duration::ZERO);
    let mut running = Running { job, fetch, file, began, asking: None, answer: None };
    while running.fetch.ended().is_none() {
        running.turn().await?;
        let (have, total) = running.fetch.progress();
        progress.send_replace(Progress { have, total });
    }
    running.done(resumed).await
}

type Asking = std::pin::Pin<Box<dyn Future<Output = Result<Download, ExchangeError>> + Send>>;

struct Running {
    job: Job,
    fetch: Fetch,
    file: File,
    began: Instant,
    /// A request on its way.
    asking: Option<Asking>,
    /// An answer whose body comes.
    answer: Option<Download>,
}

impl Running {
    /// Does what is to be done, then waits for one thing to happen.
    async fn turn(&mut self) -> Result<(), DownloadError> {
        self.act().await?;
        let due = self.fetch.poll_timeout().map(|at| self.began + at);
        let Some(due) = due else { return Ok(()) };
        tokio::select! {
            asked = of(self.asking.as_mut()) => {
                self.asking = None;
                self.answered(asked);
            }
            chunk = next(self.answer.as_mut()) => match chunk {
                Ok(Some(bytes)) => {
                    self.file.write_all(&bytes).await.map_err(failed("write", &self.job.file))?;
                    self.fetch.received(bytes.len() as u64, self.began.elapsed());
                }
                Ok(None) => {
                    self.answer = None;
                    self.fetch.body_ended(self.began.elapsed());
                }
                Err(error) => {
                    self.answer = None;
                    self.fetch.broke(&error.why.to_string(), self.began.elapsed());
                }
            },
            () = sleep_until(due) => self.fetch.handle_timeout(self.began.elapsed()),
        }
        Ok(())
    }

    async fn act(&mut self) -> Result<(), DownloadError> {
        while let Some(action) = self.fetch.poll_action() {
            match action {
                Action::Hang => (self.asking, self.answer) = (None, None),
                Action::Empty => {
                    self.file.set_len(0).await.map_err(failed("empty", &self.job.file))?;
                    self.file.rewind().await.map_err(failed("seek in", &self.job.file))?;
                }
                Action::Note(part) => write_atomic(&note(&self.job.file), &to_json(&part), PRIVATE)?,
                Action::Get(get) => self.ask(get),
            }
        }
        Ok(())
    }

    fn ask(&mut self, get: Get) {
        let mut target = Target::new(get.url);
        (target.tls, target.proxy) = (self.job.tls.clone(), self.job.proxy.clone());
        for (name, value) in &get.headers {
            if target.header(name, value).is_err() {
                // The name is the server's, and its value a secret.
                let (url, why) = (target.url.to_string(), "a header of the offer cannot be sent");
                return self.fetch.refused(FetchError::Url { url, why });
            }
        }
        let mut more = HeaderMap::new();
        let mut add = |name: HeaderName, value: String| {
            if let Ok(value) = HeaderValue::try_from(value) {
                more.insert(name, value);
            }
        };
        // What a proxy or the server packs on the way has no ranges of its own.
        add(header::ACCEPT_ENCODING, "identity".to_owned());
        if let Some(from) = get.from {
            add(header::RANGE, format!("bytes={from}-"));
        }
        if let Some(tag) = get.if_range {
            add(header::IF_RANGE, tag);
        }
        let (rules, host) = (self.job.rules.clone(), target.url.host_str().unwrap_or_default().to_owned());
        self.asking = Some(Box::pin(async move {
            Download::get(&target, more, &|address: IpAddr| rules.address(&host, address).is_ok()).await
        }));
    }

    fn answered(&mut self, asked: Result<Download, ExchangeError>) {
        let now = self.began.elapsed();
        match asked {
            Ok(answer) => {
                let text = |name| answer.header(name).map(str::to_owned);
                let told = Answer {
                    status: answer.head.status.as_u16(),
                    location: text("location"),
                    etag: text("etag"),
                    content_range: text("content-range"),
                    content_length: answer.header("content-length").and_then(|text| text.parse().ok()),
                    retry_after: answer.header("retry-after").and_then(parse_retry_after),
                };
                if self.fetch.answered(&told, now) {
                    self.answer = Some(answer);
                }
            }
            Err(ExchangeError { why: ExchangeFailure::Dial(DialFailure::Address(address)), .. }) => {
                if let Err(why) = self.fetch.connects_to(address) {
                    self.fetch.refused(why);
                }
            }
            Err(error) => self.fetch.broke(&error.why.to_string(), now),
        }
    }

    async fn done(mut self, resumed: bool) -> Result<Downloaded, DownloadError> {
        if let Some(Err(why)) = self.fetch.ended() {
            return Err(why.clone().into());
        }
        self.file.flush().await.map_err(failed("write", &self.job.file))?;
        self.file.sync_all().await.map_err(failed("sync", &self.job.file))?;
        Ok(Downloaded { file: self.file.into_std().await, resumed })
    }
}

/// What comes of it, if there is anything under way.
async fn of(asking: Option<&mut Asking>) -> Result<Download, ExchangeError> {
    match asking {
        Some(asking) => asking.await,
        None => std::future::pending().await,
    }
}

async fn next(answer: Option<&mut Download>) -> Result<Option<bytes::Bytes>, ExchangeError> {
    match answer {
        Some(answer) => answer.chunk().await,
        None => std::future::pending().await,
    }
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(PRIVATE).custom_flags(O_NOFOLLOW);
    Ok(File::from_std(options.open(path)?))
}

fn note(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".json");
    PathBuf::from(name)
}

/// What is there of before: as much as the file has, if the note tells what it is.
async fn part_of(path: &Path, file: &File) -> Part {
    let noted = std::fs::read(note(path)).ok().and_then(|bytes| of_json(&bytes));
    let have = file.metadata().await.map_or(0, |facts| facts.len());
    noted.map_or_else(Part::default, |noted| Part { have, ..noted })
}

fn to_json(part: &Part) -> Vec<u8> {
    serde_json::json!({"etag": part.etag, "total": part.total}).to_string().into_bytes()
}

fn of_json(bytes: &[u8]) -> Option<Part> {
    let value: serde_json::Value = serde_json::from_slice(bytes).ok()?;
    Some(Part { have: 0, etag: value["etag"].as_str().map(str::to_owned), total: value["total"].as_u64() })
}
