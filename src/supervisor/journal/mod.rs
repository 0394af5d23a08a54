//! The one truth on disk: `state.json`, its previous copy, and the configs it names.
//!
//! ```text
//! <storage.directory>/
//!   state.json  state.json.bak   the state, and the one before it (checksum, sequence)
//!   state.json.bad               what could not be read, kept for a person (one)
//!   configs/<hash>/offer.pb      each config as it was received
//!   run/agent.json               which process was started: for the sweep after a kill, no truth
//! ```
//!
//! - `state`: what is kept; `file`: its bytes; `slots`: two copies and the order that replaces them; `configs`
//! - of the state, `connection`: what the server offered of connection settings; `succession`: supervisors that took
//!   the place of one another
//!
//! Every transition is committed here before the side effect it announces. A file that is empty, torn or
//! altered never stops the supervisor (F-16, F-17); one of a newer schema is never modified (F-18).
//! Everything else on disk (`live/`, links) is derived and made again.
//!
//! Called by `supervisor::driver`, which alone owns it. What to do next is `supervisor::machine`'s to say.

mod configs;
mod connection;
mod file;
mod peek;
mod slots;
mod state;
mod succession;
#[cfg(test)]
mod tests;

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use crate::{
    os::{
        fs::{FsError, PRIVATE, failed, replace_file_contents, sync_dir, write_synced},
        orphan::ProcessFacts,
    },
    supervisor::machine::ConfigHash,
    wire::InstanceUid,
};
pub use configs::Configs;
pub use connection::{
    Candidate, CertificateRequest, Class, ConnectionState, Settings, SettingsHash, SettingsStatus,
    StoredCertificate, StoredHeader, StoredProxy, StoredTls, Taken,
};
pub use peek::{Peeked, peek};
use slots::{Disk, Slots};
pub use state::{AgentRecord, ConfigState, Phase, Previous, Quarantined, State, StatusRecord, Trial};
pub use succession::{
    Active, FailedSupervisor, Program, Proof, Succession, SuccessionEnd, SuccessorTrial, SupervisorState,
    WayBack,
};

/// Larger than any state: what is larger is not ours.
const MOST_BYTES: u64 = 16 * 1024 * 1024;

/// The journal cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error(transparent)]
    File(#[from] FsError),
    #[error("{} was written by a newer supervisor (schema {schema}, this one knows {}): it runs what the file names and changes nothing; install the newer supervisor again to manage this agent", path.display(), file::SCHEMA)]
    ReadOnly { path: PathBuf, schema: u64 },
    #[error("config {hash} is not stored in {}", path.display())]
    NoConfig { hash: ConfigHash, path: PathBuf },
}

/// What a start finds.
#[derive(Debug)]
pub struct Opened {
    pub journal: Journal,
    pub state: State,
    /// What was wrong and what was done about it, for log and health.
    pub notes: Vec<String>,
}

/// The owner of the files above; there is one, behind the directory's lock.
#[derive(Debug)]
pub struct Journal {
    slots: Slots<Directory>,
    run: PathBuf,
    pub configs: Configs,
}

impl Journal {
    /// Reads the state, or the one before it, or makes the best of what is there. `fresh` becomes the
    /// identity where none is known; it is on disk when this returns.
    pub fn open(directory: &Path, fresh: InstanceUid) -> Result<Opened, JournalError> {
        let configs = Configs::new(directory);
        let (slots, state, notes) =
            Slots::open(Directory(directory.to_owned()), fresh, || configs.newest_first())?;
        let journal = Self { slots, run: directory.join("run/agent.json"), configs };
        Ok(Opened { journal, state, notes })
    }

    /// Makes this the state; on disk when it returns. After an error the old one is still in force there.
    pub fn commit(&mut self, state: &State) -> Result<(), JournalError> {
        self.slots.commit(state)
    }

    /// The copy holds what is to be forgotten: the next commit goes over both.
    pub const fn forget_copy(&mut self) {
        self.slots.forget_copy();
    }

    /// Why no new config may be taken: the state is of a newer schema, so nothing may be changed.
    #[must_use]
    pub fn refusal(&self) -> Option<JournalError> {
        self.slots.refusal()
    }

    /// Notes which process was started.
    pub fn record_process(&self, facts: &ProcessFacts) -> Result<(), JournalError> {
        if let Some(run) = self.run.parent() {
            fs::create_dir_all(run).map_err(failed("create directory", run))?;
        }
        let text = serde_json::to_vec_pretty(facts)
            .map_err(io::Error::other)
            .map_err(failed("serialise", &self.run))?;
        Ok(replace_file_contents(&self.run, &text)?)
    }

    /// The process that was noted last and not forgotten. A file that cannot be read names nobody.
    #[must_use]
    pub fn recorded_process(&self) -> Option<ProcessFacts> {
        serde_json::from_slice(&fs::read(&self.run).ok()?).ok()
    }

    /// The noted process is known to be gone.
    pub fn forget_process(&self) -> Result<(), JournalError> {
        match fs::remove_file(&self.run) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(failed("remove", &self.run)(error).into())
            }
            _ => Ok(()),
        }
    }
}

/// The real disk below [`Slots`].
#[derive(Debug)]
struct Directory(PathBuf);

impl Disk for Directory {
    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, FsError> {
        let path = self.path(name);
        let mut bytes = Vec::new();
        match fs::File::open(&path).and_then(|file| file.take(MOST_BYTES).read_to_end(&mut bytes)) {
            Ok(_) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read", &path)(error)),
        }
    }

    fn write_synced(&mut self, name: &str, bytes: &[u8]) -> Result<(), FsError> {
        write_synced(&self.path(name), bytes, PRIVATE)
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), FsError> {
        let to = self.path(to);
        fs::rename(self.path(from), &to).map_err(failed("put in place", &to))
    }

    fn sync(&mut self) -> Result<(), FsError> {
        sync_dir(&self.0)
    }
}
