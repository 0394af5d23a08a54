//! A Unix socket for the administrators of this host: both ends, and who is at the other one.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io,
    os::{
        fd::AsRawFd,
        unix::{
            fs::{OpenOptionsExt, PermissionsExt},
            net,
        },
    },
    path::{Path, PathBuf},
};

use nix::libc;
use tokio::net::{UnixListener, UnixStream};

use super::fs::PRIVATE;

/// The kernel takes 107 bytes of a path; a longer one goes through its directory.
const LONGEST: usize = 107;

/// Listens there; what an earlier life left under the name is replaced. The directory must be private: a
/// socket has its mode a moment after it is made.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let address = Address::of(path)?;
    let listener = UnixListener::bind(&address.path)?;
    fs::set_permissions(path, Permissions::from_mode(PRIVATE))?;
    Ok(listener)
}

/// Connects, without a runtime.
pub fn connect(path: &Path) -> io::Result<net::UnixStream> {
    net::UnixStream::connect(&Address::of(path)?.path)
}

/// Whether the other end is root or whoever runs this process.
pub fn is_administrator(stream: &UnixStream) -> io::Result<bool> {
    let uid = stream.peer_cred()?.uid();
    Ok(uid == 0 || uid == nix::unistd::geteuid().as_raw())
}

/// A path that fits into a socket's address, and the directory that keeps it true.
struct Address {
    path: PathBuf,
    _directory: Option<File>,
}

impl Address {
    fn of(path: &Path) -> io::Result<Self> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        if path.as_os_str().len() <= LONGEST {
            return Ok(Self { path: path.to_owned(), _directory: None });
        }
        let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;
        let directory = OpenOptions::new().read(true).custom_flags(flags).open(parent)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name);
        Ok(Self { path, _directory: Some(directory) })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[tokio::test]
    async fn a_path_too_long_for_the_kernel_works_and_a_leftover_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("x".repeat(120));
        fs::create_dir(&deep).unwrap();
        let path = deep.join("control.sock");
        drop(listen(&path).unwrap());
        // A child that another test has just forked holds the socket too, until it runs its own program.
        let refused = async {
            while connect(&path).is_ok() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(10), refused).await.unwrap();
        assert_eq!(connect(&path).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        let listener = listen(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let _client = connect(&path).unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        assert!(is_administrator(&accepted).unwrap());
    }
}
