//! One supervisor per storage directory (F-88). Called by `bin/opamp-supervisor` before anything is read.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, Write},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::{MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
    process,
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};

/// The file's name in the storage directory.
const NAME: &str = "lock";

/// Held until dropped, or until the process ends however it ends.
#[derive(Debug)]
pub struct Lock(Flock<File>);

impl AsFd for Lock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The directory cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("another supervisor{} uses {}: stop it, or give this one its own storage.directory", holder.map(|pid| format!(" (pid {pid})")).unwrap_or_default(), directory.display())]
    Held { directory: PathBuf, holder: Option<u32> },
    #[error("cannot lock {}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

impl Lock {
    /// The lock that the program before in this process held; it is still held, as it is of the open file.
    pub fn take_up(directory: &Path, held: OwnedFd) -> Result<Self, LockError> {
        let path = directory.join(NAME);
        let failed = |source| LockError::Io { path: path.clone(), source };
        let file = File::from(held);
        let (is, should) = (file.metadata().map_err(failed)?, fs::metadata(&path).map_err(failed)?);
        if (is.dev(), is.ino()) != (should.dev(), should.ino()) {
            return Err(failed(io::Error::other("what was handed over is the lock of another directory")));
        }
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Self(lock)),
            Err((_, errno)) => Err(failed(errno.into())),
        }
    }

    /// Takes the lock or says who has it; never waits.
    pub fn take(directory: &Path) -> Result<Self, LockError> {
        let path = directory.join(NAME);
        let failed = |source| LockError::Io { path: path.clone(), source };
        let file = open(&path).map_err(failed)?;
        let mut lock = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => lock,
            Err((mut file, Errno::EWOULDBLOCK)) => {
                return Err(LockError::Held { directory: directory.to_owned(), holder: holder(&mut file) });
            }
            Err((_, errno)) => return Err(failed(errno.into())),
        };
        if let Err(error) = write_holder(&mut lock) {
            tracing::debug!(%error, "who holds the lock is not written down");
        }
        Ok(Self(lock))
    }
}

/// One that an earlier start left is enough on a disk that has become read-only (F-58).
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let opened = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    match opened {
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
            File::open(path).map_err(|_| error)
        }
        opened => opened,
    }
}

fn write_holder(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", process::id())
}

fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f_88_the_second_is_told_who_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let first = Lock::take(dir.path()).unwrap();
        let error = Lock::take(dir.path()).unwrap_err();
        assert!(error.to_string().contains(&format!("(pid {})", process::id())), "{error}");
        drop(first);
        Lock::take(dir.path()).unwrap();
    }

    #[test]
    fn what_is_handed_over_is_never_free_in_between() {
        let dir = tempfile::tempdir().unwrap();
        let before = Lock::take(dir.path()).unwrap();
        let handed = before.as_fd().try_clone_to_owned().unwrap();
        // An exec closes it; a drop would unlock it.
        std::mem::forget(before);
        let next = Lock::take_up(dir.path(), handed).unwrap();
        Lock::take(dir.path()).unwrap_err();
        let elsewhere = tempfile::tempdir().unwrap();
        drop(Lock::take(elsewhere.path()).unwrap());
        let error = Lock::take_up(elsewhere.path(), next.as_fd().try_clone_to_owned().unwrap()).unwrap_err();
        assert!(error.to_string().contains("another directory"), "{error}");
    }
}
