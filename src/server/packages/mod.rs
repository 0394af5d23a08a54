//! The files of packages: taken in as a stream, kept under their SHA-256 in the data directory, handed out from there.
//! A file is whole and on the disk before it has its name, so whatever has a name can be handed out.
//!
//! - this file: which files there are; how one comes in and goes
//! - [`range`]: which part of a file a request is for (pure)
//! - [`serve`]: a file, or a part of it, as an answer
//!
//! Not here: who may (`server::auth`, `server::accept`), what names a file (`server::fleet::package`). Called by
//! `server::api` (uploads) and `server::accept` (downloads); made by `server::run`.

pub mod range;
pub mod serve;

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::body::Body;
use http_body_util::BodyExt;
use sha2::{Digest, Sha256};
use tokio::{
    fs::{File, OpenOptions},
    io::AsyncWriteExt,
    time::timeout,
};

use super::fleet::package::FileHash;

const DIRECTORY: &str = "packages";
/// Ends the names of files that are not whole.
const PART: &str = ".part";
/// The next bytes of an upload must be there by then.
const BYTES_WITHIN: Duration = Duration::from_secs(60);

/// The files of one data directory.
#[derive(Debug)]
pub struct PackageFiles {
    directory: PathBuf,
    /// Of one file, in bytes.
    limit: u64,
    /// What there is, with its size.
    known: Mutex<BTreeMap<FileHash, u64>>,
    /// Whoever names or removes a file takes a turn.
    turn: Mutex<()>,
}

/// An upload that is whole, and not kept yet: it goes when it is dropped.
#[derive(Debug)]
pub struct Upload {
    file: File,
    part: Part,
    pub sha256: FileHash,
    pub size: u64,
}

/// What became of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    New,
    /// The same bytes were there already.
    Known,
}

/// Why a file was not taken.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    #[error("the file has more than {0} bytes")]
    TooLarge(u64),
    #[error("the file is empty")]
    Empty,
    #[error("no byte came for {} s", BYTES_WITHIN.as_secs())]
    Late,
    #[error("the upload was cut short: {0}")]
    Cut(axum::Error),
    #[error("the disk of {} is full: {source}", .path.display())]
    Full { path: PathBuf, source: io::Error },
    #[error("cannot write {}: {source}", .path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// Goes with its owner, unless it got a name.
#[derive(Debug)]
struct Part(PathBuf);

impl Drop for Part {
    fn drop(&mut self) {
        // Once it has its name, there is nothing here any more. What cannot be removed is removed at the next start.
        let _ = fs::remove_file(&self.0);
    }
}

impl PackageFiles {
    /// Finds what is there, and removes what an end in the middle of an upload has left.
    pub fn open(data_dir: &Path, limit: u64) -> io::Result<Self> {
        let directory = data_dir.join(DIRECTORY);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
        let mut known = BTreeMap::new();
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.ends_with(PART) {
                tracing::info!(file = %name, "an upload that did not end is removed");
                fs::remove_file(entry.path())?;
            } else if let Ok(hash) = name.parse() {
                known.insert(hash, entry.metadata()?.len());
            }
        }
        Ok(Self { directory, limit, known: Mutex::new(known), turn: Mutex::default() })
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<FileHash, u64>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The size of a file, if it is there.
    #[must_use]
    pub fn size(&self, hash: FileHash) -> Option<u64> {
        self.known().get(&hash).copied()
    }

    #[must_use]
    pub fn all(&self) -> Vec<(FileHash, u64)> {
        self.known().iter().map(|(hash, size)| (*hash, *size)).collect()
    }

    fn path(&self, hash: FileHash) -> PathBuf {
        self.directory.join(hash.to_string())
    }

    /// Takes bytes in as they come. `length` is what was announced.
    pub async fn receive(&self, mut body: Body, length: Option<u64>) -> Result<Upload, UploadError> {
        if length.is_some_and(|length| length > self.limit) {
            return Err(UploadError::TooLarge(self.limit));
        }
        let path = self.directory.join(format!("{:032x}{PART}", rand::random::<u128>()));
        let failed = |source| write_failed(&path, source);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let mut file = options.open(&path).await.map_err(failed)?;
        let part = Part(path.clone());
        let (mut hasher, mut size) = (Sha256::new(), 0);
        while let Some(frame) = timeout(BYTES_WITHIN, body.frame()).await.map_err(|_| UploadError::Late)? {
            let Ok(bytes) = frame.map_err(UploadError::Cut)?.into_data() else { continue };
            size += bytes.len() as u64;
            if size > self.limit {
                return Err(UploadError::TooLarge(self.limit));
            }
            hasher.update(&bytes);
            file.write_all(&bytes).await.map_err(failed)?;
        }
        file.flush().await.map_err(failed)?;
        if size == 0 {
            return Err(UploadError::Empty);
        }
        Ok(Upload { file, part, sha256: FileHash(hasher.finalize().into()), size })
    }

    /// Gives an upload its name, durably.
    pub async fn keep(self: &std::sync::Arc<Self>, upload: Upload) -> Result<Kept, UploadError> {
        let files = self.clone();
        let file = upload.file.into_std().await;
        let (part, hash, size) = (upload.part, upload.sha256, upload.size);
        let path = part.0.clone();
        let keeping = tokio::task::spawn_blocking(move || {
            let _turn = files.turn.lock().unwrap_or_else(PoisonError::into_inner);
            let name = files.path(hash);
            // Somebody may have taken it away, or cut it, by hand.
            let whole = fs::metadata(&name).is_ok_and(|there| there.len() == size);
            if files.size(hash).is_some() && whole {
                return Ok(Kept::Known);
            }
            file.sync_all()?;
            fs::rename(&part.0, name)?;
            fs::File::open(&files.directory)?.sync_all()?;
            files.known().insert(hash, size);
            Ok(Kept::New)
        });
        let kept = keeping.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        kept.map_err(|source| write_failed(&path, source))
    }

    /// From now on it is not there; [`Self::sweep`] takes it off the disk.
    pub fn forget(&self, hash: FileHash) {
        self.known().remove(&hash);
    }

    /// Removes a file that was forgotten, unless it has come again since.
    pub async fn sweep(self: &std::sync::Arc<Self>, hash: FileHash) -> io::Result<()> {
        let files = self.clone();
        let sweeping = tokio::task::spawn_blocking(move || {
            let _turn = files.turn.lock().unwrap_or_else(PoisonError::into_inner);
            if files.size(hash).is_some() {
                return Ok(());
            }
            match fs::remove_file(files.path(hash)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                removed => removed,
            }
        });
        sweeping.await.unwrap_or_else(|error| Err(io::Error::other(error)))
    }

    /// Opens a file; `None` if it is not there.
    pub async fn open_file(&self, hash: FileHash) -> io::Result<Option<(File, u64)>> {
        if self.size(hash).is_none() {
            return Ok(None);
        }
        let file = match File::open(self.path(hash)).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let size = file.metadata().await?.len();
        Ok(Some((file, size)))
    }
}

fn write_failed(path: &Path, source: io::Error) -> UploadError {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            UploadError::Full { path, source }
        }
        _ => UploadError::Write { path, source },
    }
}
