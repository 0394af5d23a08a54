//! The state as an onlooker sees it: without the lock, and without repairing anything.

use std::{fs, path::Path};

use super::{
    Configs, Directory,
    file::{self, Content},
    slots::{CURRENT, Disk, PREVIOUS},
    state::State,
};
use crate::os::{
    fs::FsError,
    orphan::{ProcessFacts, still_the_same},
};

/// What was left in a storage directory.
#[derive(Debug)]
pub struct Peeked {
    pub state: State,
    /// The schema of a newer supervisor that wrote it.
    pub newer: Option<u64>,
    pub configs: Configs,
    /// The Collector that was started last, if it still runs.
    pub collector: Option<ProcessFacts>,
}

/// Looks at the state, or at the one before it; none where no supervisor ever ran.
pub fn peek(storage: &Path) -> Result<Option<Peeked>, FsError> {
    let directory = Directory(storage.to_owned());
    for name in [CURRENT, PREVIOUS] {
        let bytes = match directory.read(name) {
            Ok(bytes) => bytes,
            Err(error) if error.is_damage() => continue,
            Err(error) => return Err(error),
        };
        let (state, newer) = match bytes.map(|bytes| file::decode(&bytes)) {
            Some(Content::Ours { state, .. }) => (*state, None),
            Some(Content::Newer { state: Some(state), schema }) => (*state, Some(schema)),
            Some(Content::Newer { state: None, .. } | Content::Bad(_)) | None => continue,
        };
        let configs = Configs::new(storage);
        return Ok(Some(Peeked { state, newer, configs, collector: collector(storage) }));
    }
    Ok(None)
}

fn collector(storage: &Path) -> Option<ProcessFacts> {
    let facts: ProcessFacts = serde_json::from_slice(&fs::read(storage.join("run/agent.json")).ok()?).ok()?;
    still_the_same(&facts).then_some(facts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        supervisor::journal::{Journal, Opened},
        wire::InstanceUid,
    };

    #[test]
    fn it_sees_what_a_start_would_find_and_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        assert!(peek(dir.path()).unwrap().is_none());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        let Opened { mut journal, state, .. } =
            Journal::open(dir.path(), InstanceUid::from_bytes([7; 16])).unwrap();
        journal.commit(&state).unwrap();
        fs::write(dir.path().join(CURRENT), "torn").unwrap();
        assert_eq!(peek(dir.path()).unwrap().unwrap().state, state, "the one before it");
        assert_eq!(fs::read(dir.path().join(CURRENT)).unwrap(), b"torn");
    }
}
