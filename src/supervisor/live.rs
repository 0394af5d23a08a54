//! The files that the Collector reads: stable names in one private directory, each replaced in one step and
//! only when its contents changed, so that SIGHUP finds either the old config or the new one.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::compose::{Composed, LiveFile};
use crate::collector::binary::Configs;
use crate::os::{
    fs::{FsError, StagedFile, ensure_private_dir, stage_file_contents},
    sandbox::let_read,
};

/// A directory of config files, and what is in it.
#[derive(Debug)]
pub struct Live {
    dir: PathBuf,
    /// The Collector's group, where that is another user.
    readers: Option<u32>,
}

impl Live {
    /// The directory is made if it is not there.
    pub fn open(dir: &Path, readers: Option<u32>) -> Result<Self, FsError> {
        let dir = ensure_private_dir(dir)?.path;
        let_read(&dir, readers)?;
        Ok(Self { dir, readers })
    }

    /// Makes the directory hold this config and nothing else; with no room for it, it holds what it held
    /// (F-54). What cannot be removed is left: it is not in the Collector's list.
    pub fn put(&self, composed: &Composed) -> Result<(), FsError> {
        for file in self.stage(composed)? {
            file.put_in_place()?;
        }
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let kept = composed.files.iter().any(|file| entry.file_name() == *file.name);
            if !kept && let Err(error) = fs::remove_file(entry.path()) {
                tracing::debug!(path = %entry.path().display(), %error, "could not remove an old config file");
            }
        }
        Ok(())
    }

    /// What is in the directory under this name.
    #[must_use]
    pub fn read(&self, name: &str) -> Option<Vec<u8>> {
        // A name and no path.
        let file = Path::new(name).file_name().filter(|file| *file == name)?;
        fs::read(self.dir.join(file)).ok()
    }

    /// What has changed, beside its place.
    fn stage(&self, composed: &Composed) -> Result<Vec<StagedFile>, FsError> {
        let mut staged = Vec::new();
        for file in &composed.files {
            let path = self.dir.join(&file.name);
            if fs::read(&path).ok().as_deref() == Some(&*file.contents) {
                let_read(&path, self.readers)?;
                continue;
            }
            match stage_file_contents(&path, &file.contents, self.readers) {
                Ok(file) => staged.push(file),
                Err(error) => {
                    staged.into_iter().for_each(StagedFile::discard);
                    return Err(error);
                }
            }
        }
        Ok(staged)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn composed(files: [(&str, &str); 2]) -> Composed {
        let file = |(name, contents): (&str, &str)| LiveFile {
            name: name.into(),
            label: name.into(),
            contents: contents.into(),
            remote: false,
        };
        Composed { files: files.map(file).to_vec(), ..Composed::default() }
    }

    #[test]
    fn f_54_with_no_room_for_the_last_file_none_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let live = Live::open(dir.path(), None).unwrap();
        live.put(&composed([("a", "old a"), ("b", "old b")])).unwrap();
        let in_the_way = dir.path().join(".b.tmp");
        fs::create_dir(&in_the_way).unwrap();
        let new = composed([("a", "new a"), ("b", "new b")]);
        live.put(&new).unwrap_err();
        let read = |name| fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!((read("a"), read("b")), ("old a".into(), "old b".into()));
        assert!(!dir.path().join(".a.tmp").exists(), "its room is given back");
        fs::remove_dir(&in_the_way).unwrap();
        live.put(&new).unwrap();
        assert_eq!((read("a"), read("b")), ("new a".into(), "new b".into()));
    }
}
