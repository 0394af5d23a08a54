//! The bodies of configs, each exactly as it was received.

use std::{
    collections::BTreeSet,
    fs::{self, DirBuilder},
    io::{self, Read},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

use prost::Message;
use sha2::{Digest, Sha256};

use super::JournalError;
use crate::{
    os::fs::{FsError, PRIVATE, failed, sync_dir, write_atomic},
    supervisor::machine::ConfigHash,
    wire::{DEFAULT_MESSAGE_LIMIT, proto::AgentRemoteConfig},
};

const OFFER: &str = "offer.pb";

/// A hash of up to so many bytes names its directory itself.
const NAMED_BY_ITSELF: usize = 64;

/// The directory `configs/`.
#[derive(Debug, Clone)]
pub struct Configs {
    path: PathBuf,
}

impl Configs {
    pub(super) fn new(storage: &Path) -> Self {
        Self { path: storage.join("configs") }
    }

    /// Keeps the bytes of an `AgentRemoteConfig`; they last when this returns.
    pub fn store(&self, hash: &ConfigHash, offer: &[u8]) -> Result<(), JournalError> {
        let directory = self.directory(hash);
        let mut builder = DirBuilder::new();
        builder
            .recursive(true)
            .mode(0o700)
            .create(&directory)
            .map_err(failed("create directory", &directory))?;
        write_atomic(&directory.join(OFFER), offer, PRIVATE)?;
        sync_dir(&self.path)?;
        Ok(sync_dir(self.path.parent().unwrap_or(&self.path))?)
    }

    /// The bytes as they were stored.
    pub fn load(&self, hash: &ConfigHash) -> Result<Vec<u8>, JournalError> {
        let path = self.directory(hash).join(OFFER);
        let mut bytes = Vec::new();
        let most = DEFAULT_MESSAGE_LIMIT as u64;
        match fs::File::open(&path).and_then(|file| file.take(most).read_to_end(&mut bytes)) {
            Ok(_) => Ok(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(JournalError::NoConfig { hash: hash.clone(), path })
            }
            Err(error) => Err(failed("read", &path)(error).into()),
        }
    }

    /// Whether a body is there to be loaded. What cannot be read just now counts as there.
    #[must_use]
    pub fn is_stored(&self, hash: &ConfigHash) -> bool {
        match self.load(hash) {
            Ok(bytes) => AgentRemoteConfig::decode(&*bytes).is_ok(),
            Err(error) => !matches!(error, JournalError::NoConfig { .. }),
        }
    }

    /// Removes every other config. One that cannot be removed is no reason to stop: the first error is
    /// returned after all were tried.
    pub fn keep_only(&self, keep: &BTreeSet<ConfigHash>) -> Result<(), JournalError> {
        let keep: BTreeSet<_> = keep.iter().map(|hash| self.directory(hash)).collect();
        let mut first: Result<(), FsError> = Ok(());
        for (directory, _) in self.directories() {
            if !keep.contains(&directory) {
                let removed = fs::remove_dir_all(&directory).map_err(failed("remove", &directory));
                first = first.and(removed);
            }
        }
        Ok(first?)
    }

    /// The stored configs that can still be decoded, under the hash they carry.
    pub(super) fn newest_first(&self) -> Vec<ConfigHash> {
        let mut directories = self.directories();
        directories.sort_by_key(|(_, modified)| std::cmp::Reverse(*modified));
        let hash = |(directory, _): (PathBuf, SystemTime)| {
            let offer = AgentRemoteConfig::decode(&*fs::read(directory.join(OFFER)).ok()?).ok()?;
            let hash = ConfigHash(offer.config_hash);
            (self.directory(&hash) == directory).then_some(hash)
        };
        directories.into_iter().filter_map(hash).collect()
    }

    fn directories(&self) -> Vec<(PathBuf, SystemTime)> {
        let entries = fs::read_dir(&self.path).into_iter().flatten().flatten();
        entries
            .filter_map(|entry| {
                let meta = entry.metadata().ok()?;
                meta.is_dir().then(|| (entry.path(), meta.modified().unwrap_or(SystemTime::UNIX_EPOCH)))
            })
            .collect()
    }

    /// A hash is whatever the server says: long or empty ones get a name of another form.
    fn directory(&self, hash: &ConfigHash) -> PathBuf {
        if (1..=NAMED_BY_ITSELF).contains(&hash.0.len()) {
            return self.path.join(hash.to_string());
        }
        let digest = ConfigHash(Sha256::digest(&hash.0).to_vec());
        self.path.join(format!("sha256-{digest}"))
    }
}
