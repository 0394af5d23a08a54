//! How this supervisor came to run in its process, and the way back.

use std::{io, os::fd::OwnedFd, path::PathBuf};

use super::{Bytes, Came, CollectorNote, Errand, Note};
use crate::os::handover::Handover;

/// What the program before in this process left, if there was one. To be found first of all.
#[derive(Debug)]
pub struct Arrival {
    executable: PathBuf,
    sent: Option<Sent>,
    /// Something was left, and nobody can make anything of it.
    pub(in crate::supervisor) lost: Option<String>,
}

#[derive(Debug)]
struct Sent {
    handover: Handover,
    errand: Errand,
}

impl Arrival {
    /// To be called first in `main`, before there is a thread.
    #[must_use]
    pub fn of_process() -> Self {
        let sent = match Handover::take_up() {
            None => Ok(None),
            Some(handover) => handover.and_then(Sent::of).map(Some),
        };
        let executable = std::env::current_exe().unwrap_or_default();
        match sent {
            Ok(sent) => Self { executable, sent, lost: None },
            Err(error) => Self { executable, sent: None, lost: Some(error.to_string()) },
        }
    }

    /// Where this one was started from.
    pub(in crate::supervisor) fn executable(&self) -> &std::path::Path {
        &self.executable
    }

    pub(in crate::supervisor) fn came(&self) -> Came<'_> {
        match &self.sent {
            None => Came::Plainly,
            Some(Sent { errand: Errand::Back { why }, .. }) => Came::SentBack { why },
            Some(Sent { errand: Errand::Prove { .. }, .. }) => Came::SentOnTrial,
            Some(Sent { errand: Errand::Run, .. }) => Came::Sent,
        }
    }

    /// What this one is told, if anybody handed over.
    pub(in crate::supervisor) fn note(&self) -> Result<Option<Note>, String> {
        let Some(sent) = &self.sent else { return Ok(None) };
        let read = serde_json::from_value(sent.handover.note.clone());
        read.map(Some).map_err(|error| format!("what was handed over is not understood: {error}"))
    }

    /// A descriptor that travelled; the one to go back with stays.
    pub(in crate::supervisor) fn copy(&self, name: &str) -> Option<io::Result<OwnedFd>> {
        self.sent.as_ref().map(|sent| sent.handover.copy(name))
    }

    /// This one stands: what was handed over is all taken up.
    pub(in crate::supervisor) fn settle(&mut self) {
        self.sent = None;
    }

    /// This one cannot run. Where it is on trial, and has taken nothing up for good yet, the one before gets all back
    /// as it was, and this does not return. Else the reason why not, if there is one.
    pub fn go_back(&mut self, why: &str) -> Option<String> {
        let Some(Sent { handover, errand: Errand::Prove { back_to } }) = &mut self.sent else { return None };
        let back = serde_json::to_value(Errand::Back { why: why.to_owned() });
        if let (Some(note), Ok(back)) = (handover.note.as_object_mut(), back) {
            note.insert("errand".to_owned(), back);
        }
        let error = handover.become_program(back_to);
        Some(format!("{} cannot be gone back to: {error}", back_to.display()))
    }
}

impl Sent {
    fn of(handover: Handover) -> io::Result<Self> {
        let errand = handover.note.get("errand").cloned().unwrap_or_default();
        Ok(Self { errand: serde_json::from_value(errand)?, handover })
    }
}

/// The collector's note may hold what it printed.
impl std::fmt::Debug for CollectorNote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CollectorNote").field("pid", &self.pid).finish_non_exhaustive()
    }
}

impl CollectorNote {
    /// A message of the protocol that travels as bytes.
    pub(in crate::supervisor) fn message<M: prost::Message + Default>(bytes: &Bytes) -> Option<M> {
        if bytes.0.is_empty() { None } else { M::decode(&*bytes.0).ok() }
    }
}
