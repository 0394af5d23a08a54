//! State files and the private directory that holds them.
//!
//! [`write_atomic`] is the only way this program writes state: whoever reads the path sees the old
//! bytes or the new ones, after a crash too. Called by `supervisor` (journal, live files, configs).

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use nix::{
    libc,
    sys::statfs::{TMPFS_MAGIC, statfs},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::sandbox::let_read;

/// Whether a path is on a file system that lives in memory (tmpfs): what is there is gone with the next boot. Where
/// nobody can tell, it is taken for a disk.
#[must_use]
pub fn is_in_memory(path: &Path) -> bool {
    statfs(path).is_ok_and(|on| on.filesystem_type() == TMPFS_MAGIC)
}

/// The mode of files that hold configs, identities and tokens.
pub const PRIVATE: u32 = 0o600;

/// The mode of an executable that is ours alone.
pub const PRIVATE_EXECUTABLE: u32 = 0o500;

/// The name of our own directory inside one that others may write to.
const OURS: &str = "opamp-supervisor";

/// A file operation failed.
#[derive(Debug, thiserror::Error)]
pub enum FsError {
    #[error("cannot {doing} {}: {source}", path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    #[error("{} belongs to uid {owner}, not to uid {uid} that runs the supervisor: chown it, or set storage.directory to another one", path.display())]
    Foreign { path: PathBuf, owner: u32, uid: u32 },
    #[error("{} is not a directory: set storage.directory to a directory", path.display())]
    NotADirectory { path: PathBuf },
}

impl FsError {
    /// What a person can do about a directory that cannot be had, if anything is known.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        use io::ErrorKind::{
            AlreadyExists, NotADirectory, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull,
        };
        let Self::Io { source, .. } = self else { return "" };
        match source.kind() {
            PermissionDenied => "; let the supervisor's user write there, or set another directory",
            ReadOnlyFilesystem => "; set a directory that can be written to",
            AlreadyExists | NotADirectory => "; a file is in the way: remove it, or set another directory",
            StorageFull | QuotaExceeded => "; make room on that disk",
            _ => "",
        }
    }

    /// Starting again with the same settings gives the same error.
    #[must_use]
    pub fn is_of_settings(&self) -> bool {
        use io::ErrorKind::{AlreadyExists, NotADirectory, PermissionDenied, ReadOnlyFilesystem};
        let Self::Io { source, .. } = self else { return true };
        matches!(source.kind(), PermissionDenied | ReadOnlyFilesystem | AlreadyExists | NotADirectory)
    }

    /// The disk is full or over quota: a retry helps once somebody made room.
    #[must_use]
    pub fn is_out_of_space(&self) -> bool {
        use io::ErrorKind::{QuotaExceeded, StorageFull};
        matches!(self, Self::Io { source, .. } if matches!(source.kind(), StorageFull | QuotaExceeded))
    }

    /// What was read is lost, and reading again gives nothing better; everything else (no descriptor
    /// left, no permission) says nothing about the file.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        let Self::Io { source, .. } = self else { return false };
        matches!(
            source.raw_os_error(),
            Some(libc::EIO | libc::EISDIR | libc::EUCLEAN | libc::EBADMSG | libc::ELOOP)
        )
    }
}

pub(crate) fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FsError {
    move |source| FsError::Io { doing, path: path.to_owned(), source }
}

/// Temp file beside it → fsync → rename → fsync of the directory. A crash leaves at most one temp file,
/// which the next write of the same path replaces.
pub fn write_atomic(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FsError> {
    let temp = temp_beside(path);
    write_synced(&temp, bytes, mode)?;
    fs::rename(&temp, path).map_err(failed("put in place", path))?;
    sync_dir(parent(path))
}

/// The same for what is derived and would be made again after a power cut (files below `live/` and
/// `run/`): nobody ever reads half of it, but it is not forced to the disk.
pub fn replace_file_contents(path: &Path, bytes: &[u8]) -> Result<(), FsError> {
    stage_file_contents(path, bytes, None)?.put_in_place()
}

/// The first half of [`replace_file_contents`]: for several files of which all are replaced or none, as
/// putting in place needs no room on the disk. A group may be let read it.
pub fn stage_file_contents(path: &Path, bytes: &[u8], readers: Option<u32>) -> Result<StagedFile, FsError> {
    let temp = temp_beside(path);
    write_new(&temp, bytes, PRIVATE)?;
    let staged = StagedFile { temp, path: path.to_owned() };
    if readers.is_some()
        && let Err(error) = let_read(&staged.temp, readers)
    {
        staged.discard();
        return Err(error);
    }
    Ok(staged)
}

/// New contents beside the file that they are for.
#[derive(Debug)]
#[must_use]
pub struct StagedFile {
    temp: PathBuf,
    path: PathBuf,
}

impl StagedFile {
    pub fn put_in_place(self) -> Result<(), FsError> {
        fs::rename(&self.temp, &self.path).map_err(failed("put in place", &self.path))
    }

    /// Gives the room back. If that fails, the next write of the same path replaces it.
    pub fn discard(self) {
        let _ = fs::remove_file(self.temp);
    }
}

/// A new file with these bytes, on the disk when this returns. What bore the name is replaced.
pub fn write_synced(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FsError> {
    let file = write_new(path, bytes, mode)?;
    file.sync_all().map_err(failed("sync", path))
}

/// Makes renames and removals in the directory lasting.
pub fn sync_dir(path: &Path) -> Result<(), FsError> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(failed("sync", path))
}

/// Never through a link and never into an existing file: a leftover, or a trap, is unlinked first.
fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<File, FsError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("replace", path)(error)),
        _ => {}
    }
    let mut options = OpenOptions::new();
    let mut file =
        options.write(true).create_new(true).mode(mode).open(path).map_err(failed("create", path))?;
    let written = file.write_all(bytes).and_then(|()| {
        // Whatever the umask took away.
        file.set_permissions(fs::Permissions::from_mode(mode))
    });
    if let Err(error) = written {
        let _ = fs::remove_file(path);
        return Err(failed("write", path)(error));
    }
    Ok(file)
}

fn temp_beside(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".tmp");
    path.with_file_name(name)
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A directory to keep state in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrivateDir {
    pub path: PathBuf,
    /// Something a person should know about it.
    pub note: Option<String>,
}

/// Makes sure that the directory is there and that only we (and root) write to it. One that others may
/// write to (a Kubernetes emptyDir) gets a subdirectory of ours; one of a foreign owner is refused.
pub fn ensure_private_dir(path: &Path) -> Result<PrivateDir, FsError> {
    ensure_private_dir_as(path, nix::unistd::geteuid().as_raw())
}

/// Where [`ensure_private_dir`] keeps state for this path; nothing is made or changed.
#[must_use]
pub fn private_dir_of(path: &Path) -> PathBuf {
    match fs::metadata(path) {
        Ok(meta) if meta.mode() & 0o022 != 0 => path.join(OURS),
        _ => path.to_owned(),
    }
}

fn ensure_private_dir_as(path: &Path, uid: u32) -> Result<PrivateDir, FsError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed("create directory", path))?;
    let link = fs::symlink_metadata(path).map_err(failed("look at", path))?;
    let meta = fs::metadata(path).map_err(failed("look at", path))?;
    for owner in [link.uid(), meta.uid()] {
        if owner != uid && owner != 0 {
            return Err(FsError::Foreign { path: path.to_owned(), owner, uid });
        }
    }
    if !meta.is_dir() {
        return Err(FsError::NotADirectory { path: path.to_owned() });
    }
    if meta.mode() & 0o022 == 0 {
        return Ok(PrivateDir { path: path.to_owned(), note: None });
    }
    let ours = own_subdirectory(path, uid)?;
    let note = format!(
        "{} may be written to by others (mode {:o}); state is kept in {}, which is ours alone",
        path.display(),
        meta.mode() & 0o7777,
        ours.display()
    );
    Ok(PrivateDir { path: ours, note: Some(note) })
}

/// Others could have put anything there under our name: a link or another's directory is refused.
fn own_subdirectory(path: &Path, uid: u32) -> Result<PathBuf, FsError> {
    let ours = path.join(OURS);
    match DirBuilder::new().mode(0o700).create(&ours) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(failed("create directory", &ours)(error));
        }
        _ => {}
    }
    let meta = fs::symlink_metadata(&ours).map_err(failed("look at", &ours))?;
    if !meta.is_dir() {
        return Err(FsError::NotADirectory { path: ours });
    }
    if meta.uid() != uid {
        return Err(FsError::Foreign { owner: meta.uid(), uid, path: ours });
    }
    fs::set_permissions(&ours, fs::Permissions::from_mode(0o700)).map_err(failed("make private", &ours))?;
    Ok(ours)
}

/// Whether a file is still the one that was hashed: redo the hash when any of these changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileIdentity {
    pub dev: u64,
    pub inode: u64,
    pub size: u64,
    pub mtime_ns: i64,
    pub ctime_ns: i64,
}

impl FileIdentity {
    pub fn of(path: &Path) -> Result<Self, FsError> {
        let meta = fs::metadata(path).map_err(failed("look at", path))?;
        let nanos = |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000).saturating_add(rest);
        Ok(Self {
            dev: meta.dev(),
            inode: meta.ino(),
            size: meta.size(),
            mtime_ns: nanos(meta.mtime(), meta.mtime_nsec()),
            ctime_ns: nanos(meta.ctime(), meta.ctime_nsec()),
        })
    }
}

/// SHA-256 of a file of any size, in a small buffer.
pub fn sha256_of(path: &Path) -> Result<[u8; 32], FsError> {
    let mut file = File::open(path).map_err(failed("open", path))?;
    let mut hash = Sha256::new();
    let mut buffer = [0; 16 * 1024];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hash.finalize().into()),
            Ok(read) => hash.update(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed("read", path)(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn c_cs_08_what_is_in_memory_is_told_from_what_is_on_a_disk() {
        assert!(is_in_memory(Path::new("/dev/shm")));
        assert!(!is_in_memory(Path::new(env!("CARGO_MANIFEST_DIR"))));
        assert!(!is_in_memory(Path::new("/nowhere/at/all")));
    }

    #[test]
    fn a_write_replaces_whole_and_leaves_no_temp_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        // A trap where the temp file goes, pointing at what must not be touched.
        let bystander = dir.path().join("bystander");
        fs::write(&bystander, "mine").unwrap();
        symlink(&bystander, dir.path().join(".state.tmp")).unwrap();
        write_atomic(&path, b"one", PRIVATE).unwrap();
        write_atomic(&path, b"two", PRIVATE).unwrap();
        assert_eq!((fs::read(&path).unwrap(), mode(&path)), (b"two".to_vec(), 0o600));
        assert_eq!(fs::read(&bystander).unwrap(), b"mine");
        replace_file_contents(&path, b"three").unwrap();
        assert_eq!((fs::read(&path).unwrap(), mode(&path)), (b"three".to_vec(), 0o600));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn an_error_names_the_operation_and_the_path() {
        let error = write_atomic(Path::new("/nonexistent/state"), b"", PRIVATE).unwrap_err();
        assert!(error.to_string().starts_with("cannot create /nonexistent/.state.tmp: "), "{error}");
    }

    #[test]
    fn a_new_directory_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        assert_eq!(ensure_private_dir(&path).unwrap(), PrivateDir { path: path.clone(), note: None });
        assert_eq!(mode(&path), 0o700);
    }

    #[test]
    fn a_shared_directory_gets_one_of_ours_and_a_note() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let made = ensure_private_dir(dir.path()).unwrap();
        assert_eq!((made.path.clone(), mode(&made.path)), (dir.path().join(OURS), 0o700));
        assert!(made.note.unwrap().contains("mode 777"));
        fs::remove_dir(&made.path).unwrap();
        symlink("/tmp", &made.path).unwrap();
        assert!(matches!(ensure_private_dir(dir.path()), Err(FsError::NotADirectory { .. })));
    }

    #[test]
    fn a_foreign_owner_is_refused_and_a_link_of_ours_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().join("real");
        fs::create_dir(&real).unwrap();
        let link = dir.path().join("link");
        symlink(&real, &link).unwrap();
        assert_eq!(ensure_private_dir(&link).unwrap().path, link);
        let uid = fs::metadata(&real).unwrap().uid();
        if uid != 0 {
            let error = ensure_private_dir_as(&real, uid + 1).unwrap_err();
            assert!(error.to_string().contains(&format!("belongs to uid {uid}")), "{error}");
        } else {
            std::os::unix::fs::chown(&real, Some(12345), None).unwrap();
            let error = ensure_private_dir(&real).unwrap_err();
            assert!(error.to_string().contains("belongs to uid 12345"), "{error}");
        }
    }

    #[test]
    fn a_changed_file_has_another_identity_and_hash() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("binary");
        fs::write(&path, "abc").unwrap();
        let first = (FileIdentity::of(&path).unwrap(), sha256_of(&path).unwrap());
        assert_eq!(first.1[..4], [0xba, 0x78, 0x16, 0xbf]);
        fs::write(&path, "abcd").unwrap();
        assert_ne!(FileIdentity::of(&path).unwrap(), first.0);
        assert_ne!(sha256_of(&path).unwrap(), first.1);
    }
}
