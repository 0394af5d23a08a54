//! Files of ours that the Collector reads as another user: its group may, nobody else.

use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::Path,
};

use super::super::fs::{FsError, failed};

const DIRECTORY: u32 = 0o710;
const FILE: u32 = 0o640;

/// Gives a directory or file of ours to the readers' group: the one to pass through, the other to be read.
/// Without readers it is private again.
pub fn let_read(path: &Path, readers: Option<u32>) -> Result<(), FsError> {
    change(path, readers).map_err(failed("let the Collector's group read", path))
}

fn change(path: &Path, readers: Option<u32>) -> io::Result<()> {
    let meta = fs::metadata(path)?;
    let shared = if meta.is_dir() { DIRECTORY } else { FILE };
    let mode = if readers.is_some() { shared } else { shared & 0o700 };
    if let Some(group) = readers
        && meta.gid() != group
    {
        chown(path, None, Some(group))?;
    }
    if meta.mode() & 0o7777 != mode {
        fs::set_permissions(path, Permissions::from_mode(mode))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_may_read_and_nobody_else() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let own = fs::metadata(&file).unwrap().gid();
        let group = if nix::unistd::geteuid().is_root() { 54321 } else { own };
        let modes = |readers| {
            [dir.path(), &file].map(|path| {
                let_read(path, readers).unwrap();
                let meta = fs::metadata(path).unwrap();
                (meta.mode() & 0o7777, meta.gid())
            })
        };
        assert_eq!(modes(Some(group)), [(0o710, group), (0o640, group)]);
        assert_eq!(modes(None).map(|(mode, _)| mode), [0o700, 0o600]);
    }
}
