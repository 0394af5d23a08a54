//! Two copies of one state, and the only order of steps that replaces them.
//!
//! temp (synced) → `state.json` becomes `state.json.bak` → temp becomes `state.json` → directory synced.
//! Whatever of it a power cut leaves undone, one of the two names holds the last committed state.

use std::path::PathBuf;

use super::{
    JournalError,
    file::{self, Content},
    state::State,
};
use crate::{
    os::fs::{FsError, failed},
    supervisor::machine::ConfigHash,
    wire::InstanceUid,
};

pub(super) const CURRENT: &str = "state.json";
pub(super) const PREVIOUS: &str = "state.json.bak";
const TEMP: &str = ".state.json.tmp";

/// The file operations of a commit; the tests have one that loses what was not synced.
pub(super) trait Disk {
    /// For messages.
    fn path(&self, name: &str) -> PathBuf;
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, FsError>;
    /// A new file with these bytes, which last.
    fn write_synced(&mut self, name: &str, bytes: &[u8]) -> Result<(), FsError>;
    /// Replaces `to`.
    fn rename(&mut self, from: &str, to: &str) -> Result<(), FsError>;
    /// Makes renames last.
    fn sync(&mut self) -> Result<(), FsError>;
}

#[derive(Debug)]
pub(super) struct Slots<D> {
    disk: D,
    seq: u64,
    /// Whether `state.json` is there and good, so that it becomes the previous copy.
    current: bool,
    /// The previous copy is to be replaced too.
    both: bool,
    /// The newer schema that must not be modified.
    newer: Option<u64>,
}

impl<D: Disk> Slots<D> {
    /// `stored` lists the configs whose bodies are there, newest first; asked for only when both copies
    /// are lost.
    pub(super) fn open(
        disk: D,
        fresh: InstanceUid,
        stored: impl FnOnce() -> Vec<ConfigHash>,
    ) -> Result<(Self, State, Vec<String>), JournalError> {
        let mut slots = Self { disk, seq: 0, current: false, both: false, newer: None };
        let mut notes = Vec::new();
        if let Some(state) = slots.take_up(CURRENT, &mut notes)? {
            slots.current = true;
            return Ok((slots, state, notes));
        }
        let state = match slots.take_up(PREVIOUS, &mut notes)? {
            Some(state) if slots.newer.is_some() => return Ok((slots, state, notes)),
            Some(state) => {
                // With no complaint before, a crash came between two steps of a commit: nothing is lost.
                if !notes.is_empty() {
                    notes.push(format!(
                        "the previous state, {} (number {}), is in force",
                        slots.path(PREVIOUS),
                        slots.seq
                    ));
                }
                state
            }
            None => reconstruct(fresh, stored(), &mut notes),
        };
        match slots.commit(&state) {
            Ok(()) => Ok((slots, state, notes)),
            // What was running must go on running even when the disk is full.
            Err(error) if slots.seq > 1 || !notes.is_empty() => {
                notes.push(format!("the state could not be repaired on disk yet: {error}"));
                Ok((slots, state, notes))
            }
            Err(error) => Err(error),
        }
    }

    /// The state in a file, if there is one. A bad file is put aside with a note.
    fn take_up(&mut self, name: &str, notes: &mut Vec<String>) -> Result<Option<State>, JournalError> {
        let content = match self.disk.read(name) {
            Ok(None) => return Ok(None),
            Ok(Some(bytes)) => file::decode(&bytes),
            Err(error) if error.is_damage() => Content::Bad(error.to_string()),
            Err(error) => return Err(error.into()),
        };
        match content {
            Content::Ours { seq, state } => {
                self.seq = seq;
                Ok(Some(*state))
            }
            Content::Newer { schema, state } => {
                let error = JournalError::ReadOnly { path: self.disk.path(name), schema };
                let Some(state) = state else { return Err(error) };
                self.newer = Some(schema);
                notes.push(error.to_string());
                Ok(Some(*state))
            }
            Content::Bad(why) => {
                let aside = format!("{name}.bad");
                let kept = match self.disk.rename(name, &aside) {
                    Ok(()) => format!("kept as {}", self.path(&aside)),
                    Err(error) => format!("left where it is ({error})"),
                };
                notes.push(format!("{} cannot be used: {why}; {kept}", self.path(name)));
                Ok(None)
            }
        }
    }

    /// What is replaced now must not come back, nor be read, from the previous copy.
    pub(super) const fn forget_copy(&mut self) {
        self.both = true;
    }

    pub(super) fn commit(&mut self, state: &State) -> Result<(), JournalError> {
        if let Some(refusal) = self.refusal() {
            return Err(refusal);
        }
        self.replace(state)?;
        if self.both {
            self.replace(state)?;
            self.both = false;
        }
        Ok(())
    }

    fn replace(&mut self, state: &State) -> Result<(), JournalError> {
        // A number is used once, even when its commit fails half-way.
        self.seq += 1;
        let bytes = file::encode(self.seq, state)
            .map_err(std::io::Error::other)
            .map_err(failed("serialise", &self.disk.path(CURRENT)))?;
        self.disk.write_synced(TEMP, &bytes)?;
        if self.current {
            self.disk.rename(CURRENT, PREVIOUS)?;
            self.current = false;
        }
        self.disk.rename(TEMP, CURRENT)?;
        self.current = true;
        Ok(self.disk.sync()?)
    }

    pub(super) fn refusal(&self) -> Option<JournalError> {
        self.newer.map(|schema| JournalError::ReadOnly { path: self.disk.path(CURRENT), schema })
    }

    fn path(&self, name: &str) -> String {
        self.disk.path(name).display().to_string()
    }
}

/// Both copies are lost: nothing is on trial, nothing is deleted, and the newest stored config is taken up
/// again, with the one before it to fall back to. Its status is unknown, so the server offers anew.
fn reconstruct(fresh: InstanceUid, stored: Vec<ConfigHash>, notes: &mut Vec<String>) -> State {
    let mut state = State::new(fresh);
    let mut stored = stored.into_iter();
    state.config.live = stored.next();
    state.config.last_good = stored.next();
    let config = match &state.config.live {
        Some(hash) => format!("config {hash}, the newest stored, is taken up again"),
        None => "no remote config is stored".into(),
    };
    if !notes.is_empty() || state.config.live.is_some() {
        notes.push(format!("the state is lost; {config}; this agent is now {fresh}"));
    }
    state
}
