//! Which supervisor a command is about: its storage directory and its socket.

use std::path::{Path, PathBuf};

use super::{
    CommandError,
    args::{Args, DEFAULT_CONFIG, Target},
};
use crate::{
    os::fs::private_dir_of,
    supervisor::{config::storage_directory, control::socket_of},
};

#[derive(Debug)]
pub(super) struct Place {
    pub(super) storage: PathBuf,
    pub(super) socket: PathBuf,
}

impl Args {
    /// The file that is meant.
    pub(super) fn config_file(&self) -> &Path {
        self.config.as_deref().unwrap_or(Path::new(DEFAULT_CONFIG))
    }

    pub(super) fn place(&self, target: &Target) -> Result<Place, CommandError> {
        if let Some(socket) = &target.socket {
            let storage = socket.parent().and_then(Path::parent).unwrap_or(Path::new("."));
            return Ok(Place { storage: storage.to_owned(), socket: socket.clone() });
        }
        let directory = storage_directory(self.config_file(), &|name| std::env::var(name).ok())?;
        let storage = private_dir_of(&directory);
        Ok(Place { socket: socket_of(&storage), storage })
    }
}
