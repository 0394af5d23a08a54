//! The files that the Collector reads: stable names in one private directory, each replaced in one step and
//! only when its contents changed, so that SIGHUP finds either the old config or the new one.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::compose::{Composed, LiveFile};
use crate::collector::binary::Configs;
use crate::os::fs::{FsError, ensure_private_dir, replace_file_contents};

/// A directory of config files, and what is in it.
#[derive(Debug)]
pub struct Live {
    dir: PathBuf,
}

impl Live {
    /// The directory is made if it is not there.
    pub fn open(dir: &Path) -> Result<Self, FsError> {
        Ok(Self { dir: ensure_private_dir(dir)?.path })
    }

    /// Makes the directory hold this config and nothing else. What cannot be removed is left: it is not in
    /// the Collector's list.
    pub fn put(&self, composed: &Composed) -> Result<(), FsError> {
        for file in &composed.files {
            let path = self.dir.join(&file.name);
            if fs::read(&path).ok().as_deref() != Some(&*file.contents) {
                replace_file_contents(&path, &file.contents)?;
            }
        }
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let kept = composed.files.iter().any(|file| entry.file_name() == *file.name);
            if !kept && let Err(error) = fs::remove_file(entry.path()) {
                tracing::debug!(path = %entry.path().display(), %error, "could not remove an old config file");
            }
        }
        Ok(())
    }

    /// The files as the Collector's `--config` list.
    #[must_use]
    pub fn configs(&self, composed: &Composed) -> ConfigList {
        let uri = |file: &LiveFile| format!("file:{}", self.dir.join(&file.name).display());
        let mut layers: Vec<_> = composed.files.iter().map(uri).collect();
        let overlay = layers.pop();
        ConfigList { layers, overlay }
    }
}

/// A `--config` list of which the last one is the overlay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigList {
    layers: Vec<String>,
    overlay: Option<String>,
}

impl ConfigList {
    #[must_use]
    pub fn as_configs(&self) -> Configs<'_> {
        Configs { layers: &self.layers, overlay: self.overlay.as_deref() }
    }
}
