//! The embedded store: one SQLite file in WAL mode, written by one thread that puts all changes waiting for it
//! into one transaction, so that the price of making them durable is shared.

use std::{
    fs::File,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::{Change, Pending, Snapshot, Store, StoreError, read, schema, write};

/// Requests that may wait for the writer; beyond it, askers wait.
const QUEUE: usize = 256;

/// How long to wait for a lock that another program, such as a backup, holds on the file.
const BUSY: Duration = Duration::from_secs(2);

type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

enum Request {
    Load(Answer<Snapshot>),
    Write(Vec<Change>, Reach, Answer<()>),
    Close(Answer<()>),
}

/// How far a write must get before it is acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    System,
    Disk,
}

impl Reach {
    const fn pragma(self) -> &'static str {
        match self {
            Self::System => "NORMAL",
            Self::Disk => "FULL",
        }
    }
}

/// A handle on the writer thread.
pub struct SqliteStore {
    requests: mpsc::Sender<Request>,
}

impl SqliteStore {
    /// Opens or makes the file, brings its schema up to date, and starts the writer.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        make_private(path).map_err(|source| StoreError::Make { path: path.to_owned(), source })?;
        let mut connection =
            Connection::open(path).map_err(|source| StoreError::Open { path: path.to_owned(), source })?;
        prepare(&mut connection, path)?;
        let (requests, inbox) = mpsc::channel(QUEUE);
        let writer = Writer { connection, inbox, path: path.to_owned() };
        std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || writer.run())
            .map_err(StoreError::Thread)?;
        Ok(Self { requests })
    }

    async fn ask<T>(&self, request: impl FnOnce(Answer<T>) -> Request) -> Result<T, StoreError> {
        let (answer, reply) = oneshot::channel();
        self.requests.send(request(answer)).await.map_err(|_| StoreError::Closed)?;
        reply.await.map_err(|_| StoreError::Closed)?
    }
}

/// Configs may hold secrets, so nobody else may read a new file.
fn make_private(path: &Path) -> std::io::Result<()> {
    File::options().create(true).append(true).mode(0o600).open(path).map(drop)
}

fn prepare(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    connection.busy_timeout(BUSY).map_err(|error| schema::refine(error, path, "set up the connection"))?;
    let found = schema::inspect(connection, path)?;
    let pragmas = |connection: &Connection| {
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", Reach::Disk.pragma())?;
        connection.pragma_update(None, "cache_size", -4096)
    };
    pragmas(connection).map_err(|error| schema::refine(error, path, "set up the connection"))?;
    schema::migrate(connection, path, found)?;
    write::drop_unused_bodies(connection).map_err(|error| schema::refine(error, path, "drop unused bodies"))
}

impl Store for SqliteStore {
    fn load(&self) -> Pending<'_, Snapshot> {
        Box::pin(self.ask(Request::Load))
    }

    fn write(&self, changes: Vec<Change>) -> Pending<'_, ()> {
        Box::pin(self.ask(|answer| Request::Write(changes, Reach::Disk, answer)))
    }

    fn note(&self, changes: Vec<Change>) -> Pending<'_, ()> {
        Box::pin(self.ask(|answer| Request::Write(changes, Reach::System, answer)))
    }

    fn close(&self) -> Pending<'_, ()> {
        Box::pin(self.ask(Request::Close))
    }
}

struct Writer {
    connection: Connection,
    inbox: mpsc::Receiver<Request>,
    path: PathBuf,
}

impl Writer {
    fn run(mut self) {
        while let Some(first) = self.inbox.blocking_recv() {
            let mut batch = Vec::new();
            let mut reach = Reach::System;
            let mut other = None;
            let mut next = Some(first);
            while let Some(request) = next {
                match request {
                    Request::Write(changes, needed, answer) => {
                        reach = reach.max(needed);
                        batch.push((changes, answer));
                    }
                    request => {
                        other = Some(request);
                        break;
                    }
                }
                next = if batch.len() < QUEUE { self.inbox.try_recv().ok() } else { None };
            }
            self.write(batch, reach);
            match other {
                Some(Request::Load(answer)) => {
                    let _ = answer.send(read::snapshot(&self.connection, &self.path));
                }
                Some(Request::Close(answer)) => {
                    let closed = self.connection.close().map_err(|(_, source)| source);
                    let _ =
                        answer.send(closed.map_err(|source| StoreError::Sql { operation: "close", source }));
                    return;
                }
                Some(Request::Write(..)) | None => {}
            }
        }
    }

    /// One transaction for all; if it fails, one for each, so that nobody pays for another's fault.
    fn write(&mut self, batch: Vec<(Vec<Change>, Answer<()>)>, reach: Reach) {
        if batch.is_empty() {
            return;
        }
        let all = batch.iter().flat_map(|(changes, _)| changes);
        if batch.len() > 1 && self.apply(all, reach).is_ok() {
            for (_, answer) in batch {
                let _ = answer.send(Ok(()));
            }
            return;
        }
        for (changes, answer) in batch {
            let done = self.apply(changes.iter(), reach);
            let _ = answer.send(done.map_err(|source| StoreError::Sql { operation: "write", source }));
        }
    }

    fn apply<'a>(&mut self, changes: impl Iterator<Item = &'a Change>, reach: Reach) -> rusqlite::Result<()> {
        self.connection.pragma_update(None, "synchronous", reach.pragma())?;
        write::apply(&mut self.connection, changes)
    }
}

#[cfg(test)]
#[path = "sqlite_tests.rs"]
mod tests;
