//! The journal of a run: what was written while the disk worked.

use crate::{supervisor::journal::State, wire::InstanceUid};

#[derive(Debug)]
pub(super) struct Disk {
    pub(super) state: State,
    pub(super) works: bool,
}

impl Disk {
    pub(super) fn new() -> Self {
        Self { state: State::new(InstanceUid::from_bytes([7; 16])), works: true }
    }

    pub(super) fn write(&mut self, state: &State) -> Result<(), String> {
        if !self.works {
            return Err("the disk is full".to_owned());
        }
        self.state = state.clone();
        Ok(())
    }
}
