//! A private directory for one short piece of work, outside the storage directory.

use std::{
    fs::{self, DirBuilder},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use super::{
    clock::random,
    fs::{FsError, failed},
};

/// Removed with what is in it.
#[derive(Debug)]
pub struct ScratchDir(PathBuf);

impl ScratchDir {
    /// Below the system's directory for temporary files.
    pub fn make(name: &str) -> Result<Self, FsError> {
        let random = random::<8>().map(u64::from_le_bytes).unwrap_or_default();
        let path = std::env::temp_dir().join(format!("{name}-{random:016x}"));
        // Not where something is already: it could be another's.
        DirBuilder::new().mode(0o700).create(&path).map_err(failed("create directory", &path))?;
        Ok(Self(path))
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for ScratchDir {
    fn drop(&mut self) {
        // What cannot be removed is the business of whoever cleans that place.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn it_is_private_and_goes_with_what_is_in_it() {
        let (one, two) =
            (ScratchDir::make("scratch-test").unwrap(), ScratchDir::make("scratch-test").unwrap());
        assert_ne!(one.path(), two.path());
        assert_eq!(fs::metadata(one.path()).unwrap().mode() & 0o777, 0o700);
        fs::write(one.path().join("secret"), "").unwrap();
        let path = one.path().to_owned();
        drop(one);
        assert!(!path.exists());
    }
}
