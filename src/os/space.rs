//! How much room there is on a disk. Called before anything large is put there.

use std::{
    io,
    path::{Path, PathBuf},
};

use nix::sys::statvfs::statvfs;

/// An unpacked binary is about so many times its archive.
const UNPACKED: u64 = 3;
/// Beside what is to be written: for the journal, logs, and a config or two.
const SPARE: u64 = 64 << 20;
/// What others have left is this, or a twentieth of the disk where that is less.
const FOR_OTHERS: u64 = 200 << 20;

/// The file system of a directory.
#[derive(Clone, Debug)]
pub struct Room {
    directory: PathBuf,
    available: u64,
    total: u64,
}

/// There is not enough.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no room on the disk of {}: {needed} MiB are needed, {available} MiB are there", .directory.display())]
pub struct NoRoom {
    directory: PathBuf,
    needed: u64,
    available: u64,
}

impl Room {
    /// What is there now, for us.
    #[allow(clippy::useless_conversion, reason = "the types differ from one architecture to the next")]
    pub fn on(directory: &Path) -> io::Result<Self> {
        let facts = statvfs(directory)?;
        let block = u64::from(facts.fragment_size());
        Ok(Self {
            directory: directory.to_owned(),
            available: u64::from(facts.blocks_available()).saturating_mul(block),
            total: u64::from(facts.blocks()).saturating_mul(block),
        })
    }

    /// Whether so much can still be downloaded of an archive of this size, and unpacked.
    pub fn takes(&self, remaining: u64, archive: u64) -> Result<(), NoRoom> {
        let others = (self.total / 20).min(FOR_OTHERS);
        let unpacked = archive.saturating_mul(UNPACKED);
        let needed = [unpacked, SPARE, others].iter().fold(remaining, |sum, part| sum.saturating_add(*part));
        if needed <= self.available {
            return Ok(());
        }
        let (needed, available) = (needed.div_ceil(1 << 20), self.available >> 20);
        Err(NoRoom { directory: self.directory.clone(), needed, available })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f_54_what_does_not_fit_is_told_before_it_is_fetched() {
        let room = |available, total| Room { directory: "/d".into(), available, total };
        let mib = |n: u64| n << 20;
        assert_eq!(room(mib(1000), mib(100_000)).takes(mib(100), mib(100)), Ok(()));
        let error = room(mib(600), mib(100_000)).takes(mib(100), mib(100)).unwrap_err();
        assert_eq!(error.to_string(), "no room on the disk of /d: 664 MiB are needed, 600 MiB are there");
        assert_eq!(
            room(mib(600), mib(1000)).takes(mib(100), mib(100)),
            Ok(()),
            "a twentieth of a small disk"
        );
        assert!(Room::on(Path::new("/")).unwrap().takes(0, 0).is_ok());
        assert!(room(u64::MAX, u64::MAX).takes(u64::MAX, u64::MAX).is_ok());
    }
}
