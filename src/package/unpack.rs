//! From the bytes of a verified artefact to files in a directory of its own: `.tar.gz`, `.tar.zst` or one bare executable.
//!
//! Signed is not the same as harmless: what a signer packed by mistake must not leave its directory either. Only regular
//! files and directories are taken, each once, under a relative path; what a file was allowed to do (owner, setuid, times) is
//! not taken over, but whether it may be executed. Sizes, number and expansion are limited. The directory is new and the
//! supervisor's alone, so that nobody else can put a link into a path that was looked at.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};
use tar::EntryType;

use super::{Verified, format::Format};
use limited::Limited;
use path::relative;

mod limited;
mod path;
#[cfg(test)]
mod tests;

/// Read and written at once.
const CHUNK: usize = 64 * 1024;
/// An archive may always grow to this; above it, [`Limits::ratio`] counts.
const SMALL: u64 = 16 << 20;

/// How much an archive may bring.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes, headers of the archive counted.
    pub bytes: u64,
    pub entries: usize,
    /// How many times larger than the artefact.
    pub ratio: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 4 << 30, entries: 10_000, ratio: 100 }
    }
}

/// A file that was unpacked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpacked {
    /// In the directory.
    pub path: PathBuf,
    pub size: u64,
    pub sha256: [u8; 32],
    pub executable: bool,
}

/// Why an artefact cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    #[error("{doing} {}: {source}", .path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    #[error("the artefact is neither .tar.gz nor .tar.zst nor an executable (it starts with {0:02x?})")]
    Format(Vec<u8>),
    #[error("the archive is broken: {0}")]
    Broken(#[source] io::Error),
    #[error("the archive's {path:?} is {what}; only regular files and directories are taken")]
    Kind { path: String, what: &'static str },
    #[error("the archive's path {path:?} {why}")]
    Path { path: String, why: &'static str },
    #[error("the archive's {0:?} is there twice")]
    Twice(String),
    #[error("the archive's {0:?} would run with the rights of its owner or group")]
    SetId(String),
    #[error("the archive says two sizes of {0:?}")]
    TwoSizes(String),
    #[error("the archive has more than {0} entries")]
    Entries(usize),
    #[error("unpacked, the archive has more than {0} bytes, which is more than its size lets expect")]
    Bytes(u64),
}

impl UnpackError {
    /// Whether the same artefact may be unpacked another time: it is the host that stood in the way.
    #[must_use]
    pub const fn may_pass(&self) -> bool {
        matches!(self, Self::Io { .. })
    }
}

/// Unpacks into `into`, which is made here; a bare executable gets `name`. Everything is on the disk afterwards. When it
/// fails, what was made of `into` is removed.
pub fn unpack(
    verified: &mut Verified,
    into: &Path,
    name: &str,
    limits: Limits,
) -> Result<Vec<Unpacked>, UnpackError> {
    let made = make_directory(into).and_then(|()| unpack_into(verified, into, name, limits));
    if made.is_err() {
        // What was in the way is the better error; what stays is removed by the next start.
        fs::remove_dir_all(into).ok();
    }
    made
}

fn unpack_into(
    verified: &mut Verified,
    into: &Path,
    name: &str,
    limits: Limits,
) -> Result<Vec<Unpacked>, UnpackError> {
    let allowed = limits.bytes.min(verified.size().saturating_mul(limits.ratio).max(SMALL));
    let file = verified.open().map_err(UnpackError::Broken)?;
    match Format::of(file).map_err(UnpackError::Broken)? {
        Format::Archive(tar) => Unpacking::of(into, limits).archive(Limited::new(tar, allowed)),
        Format::Executable(bytes) => {
            let mut all = Unpacking::of(into, limits);
            all.file(PathBuf::from(name), true, &mut Limited::new(bytes, allowed))?;
            all.done()
        }
        Format::Unknown(magic) => Err(UnpackError::Format(magic)),
    }
}

/// One archive on its way into a directory.
struct Unpacking<'a> {
    into: &'a Path,
    limits: Limits,
    files: Vec<Unpacked>,
    directories: Vec<PathBuf>,
}

impl<'a> Unpacking<'a> {
    fn of(into: &'a Path, limits: Limits) -> Self {
        Self { into, limits, files: Vec::new(), directories: vec![into.to_owned()] }
    }

    fn archive<R: Read>(mut self, input: Limited<R>) -> Result<Vec<Unpacked>, UnpackError> {
        let mut archive = tar::Archive::new(input);
        for (number, entry) in archive.entries().map_err(broken)?.enumerate() {
            if number >= self.limits.entries {
                return Err(UnpackError::Entries(self.limits.entries));
            }
            self.entry(&mut entry.map_err(broken)?)?;
        }
        self.done()
    }

    fn entry<R: Read>(&mut self, entry: &mut tar::Entry<'_, R>) -> Result<(), UnpackError> {
        let shown = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let kind = entry.header().entry_type();
        match kind {
            // What `git archive` says of the commit.
            EntryType::XGlobalHeader => return Ok(()),
            EntryType::Regular | EntryType::Directory => {}
            other => return Err(UnpackError::Kind { path: shown, what: kind_of(other) }),
        }
        one_size(entry, &shown)?;
        let path =
            relative(&entry.path_bytes()).map_err(|why| UnpackError::Path { path: shown.clone(), why })?;
        let mode = entry.header().mode().map_err(broken)?;
        if mode & 0o6000 != 0 {
            return Err(UnpackError::SetId(shown));
        }
        if kind == EntryType::Directory {
            return self.directory(&path);
        }
        if path.as_os_str().is_empty() {
            return Err(UnpackError::Path { path: shown, why: "names no file" });
        }
        if let Some(parent) = path.parent() {
            self.directory(parent)?;
        }
        self.file(path, mode & 0o111 != 0, entry)
    }

    /// Makes a directory and those above it.
    fn directory(&mut self, path: &Path) -> Result<(), UnpackError> {
        let mut at = self.into.to_owned();
        for part in path {
            at.push(part);
            match fs::symlink_metadata(&at) {
                Ok(there) if there.is_dir() => continue,
                Ok(_) => return Err(UnpackError::Twice(path.display().to_string())),
                Err(_) => make_directory(&at)?,
            }
            self.directories.push(at.clone());
        }
        Ok(())
    }

    fn file(&mut self, path: PathBuf, executable: bool, input: &mut dyn Read) -> Result<(), UnpackError> {
        let to = self.into.join(&path);
        let failed = |doing| {
            let to = to.clone();
            move |source| UnpackError::Io { doing, path: to, source }
        };
        let mode = if executable { 0o555 } else { 0o444 };
        let made = OpenOptions::new().write(true).create_new(true).mode(mode).open(&to);
        let mut file = match made {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(UnpackError::Twice(path.display().to_string()));
            }
            made => made.map_err(failed("creating"))?,
        };
        let (mut hash, mut size, mut chunk) = (Sha256::new(), 0, vec![0; CHUNK]);
        loop {
            let count = input.read(&mut chunk).map_err(broken)?;
            if count == 0 {
                break;
            }
            hash.update(&chunk[..count]);
            file.write_all(&chunk[..count]).map_err(failed("writing"))?;
            size += count as u64;
        }
        // Whatever the umask is.
        file.set_permissions(fs::Permissions::from_mode(mode)).map_err(failed("setting the mode of"))?;
        file.sync_all().map_err(failed("syncing"))?;
        self.files.push(Unpacked { path, size, sha256: hash.finalize().into(), executable });
        Ok(())
    }

    /// Makes the names durable, as the contents are.
    fn done(self) -> Result<Vec<Unpacked>, UnpackError> {
        for directory in self.directories.iter().rev() {
            let synced = File::open(directory).and_then(|directory| directory.sync_all());
            synced.map_err(|source| UnpackError::Io { doing: "syncing", path: directory.clone(), source })?;
        }
        Ok(self.files)
    }
}

fn make_directory(at: &Path) -> Result<(), UnpackError> {
    // Whatever the umask is.
    let mode = || fs::set_permissions(at, fs::Permissions::from_mode(0o755));
    let made = fs::DirBuilder::new().mode(0o755).create(at).and_then(|()| mode());
    made.map_err(|source| UnpackError::Io { doing: "creating", path: at.to_owned(), source })
}

/// An entry of which the header says one size and its extension another is read differently by different programs.
fn one_size<R: Read>(entry: &mut tar::Entry<'_, R>, shown: &str) -> Result<(), UnpackError> {
    let header = entry.header().entry_size().map_err(broken)?;
    if let Some(extensions) = entry.pax_extensions().map_err(broken)? {
        for extension in extensions {
            let extension = extension.map_err(broken)?;
            if extension.key_bytes() == b"size"
                && extension.value().ok().and_then(|value| value.parse().ok()) != Some(header)
            {
                return Err(UnpackError::TwoSizes(shown.to_owned()));
            }
        }
    }
    Ok(())
}

fn kind_of(kind: EntryType) -> &'static str {
    match kind {
        EntryType::Link => "a hard link",
        EntryType::Symlink => "a symbolic link",
        EntryType::Char | EntryType::Block => "a device",
        EntryType::Fifo => "a pipe",
        EntryType::GNUSparse => "a sparse file",
        _ => "of a kind that is not known",
    }
}

/// What reading the archive came to; the limit is told apart by what it left in the error.
fn broken(error: io::Error) -> UnpackError {
    match limited::reached(&error) {
        Some(limit) => UnpackError::Bytes(limit),
        None => UnpackError::Broken(error),
    }
}
