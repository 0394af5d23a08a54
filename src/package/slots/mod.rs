//! Where unpacked packages are kept: one directory for each version, complete or not there.
//!
//! ```text
//!   <directory>/
//!     0.150.0-0123456789ab/      version, and the beginning of the artefact's SHA-256
//!       files/…                  as unpacked: 0444, or 0555 what may be executed
//!       manifest.json            what the files are, each with its SHA-256
//!       .complete                the SHA-256 of manifest.json; written last
//!     x-…                        being unpacked; removed when it is met again
//!     .trash-…                   being removed; likewise
//! ```
//!
//! A directory gets its name when everything in it is on the disk, so a crash leaves a version whole or not at all. Whether
//! its bytes are still those that were unpacked is asked with [`Slot::check`], before anything of it is run.

mod manifest;
#[cfg(test)]
mod tests;

use std::{
    fmt, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use data_encoding::HEXLOWER;
pub use manifest::{Entry, Manifest};
use semver::Version;
use sha2::{Digest, Sha256};

use super::{Limits, PackageName, UnpackError, Verified, unpack};
use crate::os::fs::{FsError, failed, sha256_of, sync_dir, write_synced};

const HALF: &str = "x-";
const TRASH: &str = ".trash-";
const FILES: &str = "files";
const MANIFEST: &str = "manifest.json";
const COMPLETE: &str = ".complete";

/// The versions of one package on this host.
#[derive(Clone, Debug)]
pub struct Slots {
    directory: PathBuf,
}

/// The name of a version's directory. Two artefacts of one version have different ones.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotId(String);

impl SlotId {
    #[must_use]
    pub fn of(version: &Version, sha256: &[u8; 32]) -> Self {
        Self(format!("{version}-{}", HEXLOWER.encode(&sha256[..6])))
    }
}

impl fmt::Display for SlotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A complete version.
#[derive(Clone, Debug)]
pub struct Slot {
    id: SlotId,
    directory: PathBuf,
    manifest: Manifest,
}

/// Why a version cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SlotError {
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    #[error(transparent)]
    Files(#[from] FsError),
    #[error("{} is {what}", .path.display())]
    Damaged { path: PathBuf, what: &'static str },
}

impl SlotError {
    /// Whether it may be tried another time: it is the host that stood in the way, not the artefact.
    #[must_use]
    pub const fn may_pass(&self) -> bool {
        match self {
            Self::Unpack(error) => error.may_pass(),
            Self::Files(_) => true,
            Self::Damaged { .. } => false,
        }
    }
}

impl Slots {
    /// The directory is made if it is not there; what an earlier life left half done in it is removed.
    pub fn open(directory: &Path) -> Result<Self, FsError> {
        fs::create_dir_all(directory).map_err(failed("create", directory))?;
        // The Collector may run as another user; whether that one gets here is up to the directories above.
        fs::set_permissions(directory, fs::Permissions::from_mode(0o755))
            .map_err(failed("set the mode of", directory))?;
        for entry in fs::read_dir(directory).map_err(failed("read", directory))? {
            let entry = entry.map_err(failed("read", directory))?;
            let name = entry.file_name();
            let half = name.to_str().is_some_and(|name| name.starts_with(HALF) || name.starts_with(TRASH));
            if half && let Err(error) = fs::remove_dir_all(entry.path()) {
                tracing::warn!(path = %entry.path().display(), %error, "could not remove what was left half done");
            }
        }
        Ok(Self { directory: directory.to_owned() })
    }

    /// Unpacks an artefact; a bare executable becomes a file called `bare`. What is there already and whole is used as it is.
    pub fn install(
        &self,
        verified: &mut Verified,
        name: &PackageName,
        version: &Version,
        bare: &str,
        limits: Limits,
    ) -> Result<Slot, SlotError> {
        let id = SlotId::of(version, verified.sha256());
        if let Ok(Some(slot)) = self.find(&id) {
            if slot.manifest.artefact == *verified.sha256() && slot.check().is_ok() {
                return Ok(slot);
            }
            self.remove(&id)?;
        }
        let half = self.directory.join(format!("{HALF}{id}"));
        if half.exists() {
            remove_all(&half)?;
        }
        let made = Self::fill(&half, verified, name, version, bare, limits).and_then(|()| {
            let to = self.directory.join(&id.0);
            fs::rename(&half, &to).map_err(failed("put in place", &to))?;
            Ok(sync_dir(&self.directory)?)
        });
        if let Err(error) = made {
            // The error is the better one; what stays is removed by the next start.
            fs::remove_dir_all(&half).ok();
            return Err(error);
        }
        let damaged = || SlotError::Damaged { path: self.directory.join(&id.0), what: "not complete" };
        self.find(&id)?.ok_or_else(damaged)
    }

    fn fill(
        half: &Path,
        verified: &mut Verified,
        name: &PackageName,
        version: &Version,
        bare: &str,
        limits: Limits,
    ) -> Result<(), SlotError> {
        fs::create_dir(half).map_err(failed("create", half))?;
        fs::set_permissions(half, fs::Permissions::from_mode(0o755)).map_err(failed("create", half))?;
        let files = unpack(verified, &half.join(FILES), bare, limits)?;
        let text = Manifest::of(name, version, *verified.sha256(), files).to_json();
        write_synced(&half.join(MANIFEST), &text, 0o444)?;
        let seal = HEXLOWER.encode(&Sha256::digest(&text));
        write_synced(&half.join(COMPLETE), seal.as_bytes(), 0o444)?;
        Ok(sync_dir(half)?)
    }

    /// A version that is complete, as far as its manifest tells; its files are looked at by [`Slot::check`].
    pub fn find(&self, id: &SlotId) -> Result<Option<Slot>, SlotError> {
        let directory = self.directory.join(&id.0);
        let Ok(seal) = fs::read_to_string(directory.join(COMPLETE)) else { return Ok(None) };
        let path = directory.join(MANIFEST);
        let text = fs::read(&path).map_err(failed("read", &path))?;
        if seal.trim() != HEXLOWER.encode(&Sha256::digest(&text)) {
            return Err(SlotError::Damaged { path, what: "not what was written" });
        }
        let manifest = Manifest::from_json(&text)
            .ok_or(SlotError::Damaged { path, what: "of another version of this program" })?;
        Ok(Some(Slot { id: id.clone(), directory, manifest }))
    }

    /// Every version that is complete in a directory, which is left as it is.
    #[must_use]
    pub fn existing(directory: &Path) -> Vec<Slot> {
        Self { directory: directory.to_owned() }.all()
    }

    /// Every version that is complete.
    #[must_use]
    pub fn all(&self) -> Vec<Slot> {
        let names = fs::read_dir(&self.directory).into_iter().flatten().flatten();
        let ids = names.filter_map(|entry| entry.file_name().into_string().ok()).map(SlotId);
        let mut slots: Vec<_> = ids.filter_map(|id| self.find(&id).ok().flatten()).collect();
        slots.sort_by(|one, other| one.id.cmp(&other.id));
        slots
    }

    /// Removes a version. It is gone at once; a crash leaves what the next start removes.
    pub fn remove(&self, id: &SlotId) -> Result<(), FsError> {
        let from = self.directory.join(&id.0);
        if !from.exists() {
            return Ok(());
        }
        let trash = self.directory.join(format!("{TRASH}{id}"));
        if trash.exists() {
            remove_all(&trash)?;
        }
        fs::rename(&from, &trash).map_err(failed("remove", &from))?;
        sync_dir(&self.directory)?;
        remove_all(&trash)
    }
}

fn remove_all(path: &Path) -> Result<(), FsError> {
    fs::remove_dir_all(path).map_err(failed("remove", path))
}

impl Slot {
    #[must_use]
    pub const fn id(&self) -> &SlotId {
        &self.id
    }

    #[must_use]
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Where the files of the package are.
    #[must_use]
    pub fn files(&self) -> PathBuf {
        self.directory.join(FILES)
    }

    /// The one executable of this name, wherever it is in the package.
    #[must_use]
    pub fn executable(&self, name: &str) -> Option<PathBuf> {
        let named =
            |entry: &&Entry| entry.executable && entry.path.file_name().is_some_and(|last| last == name);
        let mut found = self.manifest.files.iter().filter(named);
        let first = found.next()?;
        found.next().is_none().then(|| self.files().join(&first.path))
    }

    /// Whether the files are those that were unpacked, byte for byte (F-5, F-21).
    pub fn check(&self) -> Result<(), SlotError> {
        for entry in &self.manifest.files {
            let path = self.files().join(&entry.path);
            let is_file = fs::symlink_metadata(&path).is_ok_and(|there| there.is_file());
            if !is_file {
                return Err(SlotError::Damaged { path, what: "gone" });
            }
            if sha256_of(&path)? != entry.sha256 {
                return Err(SlotError::Damaged { path, what: "not what was installed" });
            }
        }
        Ok(())
    }
}
