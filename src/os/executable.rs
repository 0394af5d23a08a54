//! An executable that is to run with the rights of this process: which file it is, and whether somebody else could
//! have put it there. Called by `supervisor::succession`.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use super::fs::{FileIdentity, FsError, PRIVATE_EXECUTABLE, failed, sha256_of, sync_dir};

/// The executable of this process, also when another file has its name now.
pub const OWN: &str = "/proc/self/exe";

/// An executable is not run.
#[derive(Debug, thiserror::Error)]
pub enum Untrusted {
    #[error(transparent)]
    File(#[from] FsError),
    #[error("{} is not an absolute path", .0.display())]
    Relative(PathBuf),
    #[error("{} is not a file", .0.display())]
    NotAFile(PathBuf),
    #[error("{} belongs to uid {owner}: it must belong to root or to uid {uid} that runs the supervisor", path.display())]
    Foreign { path: PathBuf, owner: u32, uid: u32 },
    #[error("{} may be written to by others (mode {mode:o}): chmod go-w it", path.display())]
    Exposed { path: PathBuf, mode: u32 },
    #[error("{} is another file now", .0.display())]
    Another(PathBuf),
}

/// Which file is there, if nobody but root and we could have written it.
pub fn trusted(path: &Path) -> Result<FileIdentity, Untrusted> {
    if !path.is_absolute() {
        return Err(Untrusted::Relative(path.to_owned()));
    }
    let meta = fs::metadata(path).map_err(failed("look at", path))?;
    let uid = nix::unistd::geteuid().as_raw();
    if !meta.is_file() {
        return Err(Untrusted::NotAFile(path.to_owned()));
    }
    if meta.uid() != 0 && meta.uid() != uid {
        return Err(Untrusted::Foreign { path: path.to_owned(), owner: meta.uid(), uid });
    }
    if meta.mode() & 0o022 != 0 {
        return Err(Untrusted::Exposed { path: path.to_owned(), mode: meta.mode() & 0o7777 });
    }
    Ok(FileIdentity::of(path)?)
}

/// The SHA-256 of a file in hex, and which file that was. Reads all of it.
pub fn digest(path: &Path) -> Result<(FileIdentity, String), FsError> {
    let file = FileIdentity::of(path)?;
    Ok((file, data_encoding::HEXLOWER.encode(&sha256_of(path)?)))
}

/// Keeps a copy of the executable of this process, on the disk when this returns.
pub fn keep_own(copy: &Path) -> Result<(), FsError> {
    let parent = copy.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(parent).map_err(failed("create directory", parent))?;
    let temp = copy.with_extension("new");
    fs::copy(OWN, &temp).map_err(failed("write", &temp))?;
    let mode = fs::Permissions::from_mode(PRIVATE_EXECUTABLE);
    let synced = fs::set_permissions(&temp, mode).and_then(|()| fs::File::open(&temp)?.sync_all());
    synced.map_err(failed("sync", &temp))?;
    fs::rename(&temp, copy).map_err(failed("put in place", copy))?;
    sync_dir(parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_may_write_and_what_is_no_file_is_not_trusted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("program");
        let said = |path: &Path| trusted(path).unwrap_err().to_string();
        assert!(said(Path::new("program")).contains("absolute"));
        assert!(said(&path).contains("cannot look at"));
        assert!(said(dir.path()).contains("is not a file"));
        fs::write(&path, "x").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o775)).unwrap();
        assert!(said(&path).contains("mode 775"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(trusted(&path).unwrap(), FileIdentity::of(&path).unwrap());
    }

    #[test]
    fn a_copy_of_this_program_is_this_program() {
        let dir = tempfile::tempdir().unwrap();
        let copy = dir.path().join("deep/er/program");
        keep_own(&copy).unwrap();
        assert_eq!(digest(&copy).unwrap().1, digest(Path::new(OWN)).unwrap().1);
        assert_eq!(fs::metadata(&copy).unwrap().mode() & 0o777, 0o500);
        keep_own(&copy).unwrap();
    }
}
