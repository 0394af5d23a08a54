//! Another supervisor by package. How it takes the place of this one, and whether it stays, is `driver::succession`'s; it
//! and this one both find in the journal what came of it.

use super::{Driver, condemned, put_off, refused};
use crate::{
    os::clock,
    supervisor::{
        journal::SuccessionEnd,
        succession::{Successor, Wanted},
        upgrade::{Failed, Kind, Program, SUPERVISOR, Work, machine::Finished, machine::Token},
    },
};

/// A supervisor of which it is not known yet whether it stays.
pub(super) struct Awaited {
    token: Token,
    sha256: String,
    /// The attempts so far: one with a higher number is the one.
    before: u64,
}

impl Driver {
    /// In this life, or in the next one, which may be the new supervisor's.
    pub(super) fn begin_succession(&mut self, token: Token, work: &Work) {
        let program = work.made.as_ref().map(|held| self.shelf.places.program(&work.name, held));
        let Program { path, sha256 } = match program {
            Some(Ok(program)) => program,
            Some(Err(error)) => return self.stage_done(token, Err(put_off(error))),
            None => return self.stage_done(token, Err(put_off("it is not unpacked"))),
        };
        let kept = &self.parts.state.supervisor;
        let on_trial = kept.trial.as_ref().is_some_and(|trial| trial.target.sha256 == sha256);
        let before = kept.last.as_ref().map_or(0, |last| last.number);
        self.shelf.successor = Some(Awaited { token, sha256: sha256.clone(), before });
        if self.succession_ended().is_none() && !on_trial {
            let version = work.made.as_ref().map(|held| held.version.clone()).unwrap_or_default();
            let successor = Successor { executable: path, wanted: Wanted::ByPackage { sha256 } };
            self.become_another(successor, &format!("the server offers version {version}"), None);
        }
    }

    /// How it went with the supervisor of the package, once that is known.
    fn succession_ended(&self) -> Option<Result<Finished, Failed>> {
        let Awaited { sha256, before, .. } = self.shelf.successor.as_ref()?;
        let kept = &self.parts.state.supervisor;
        if kept.active.as_ref().is_some_and(|active| active.program.sha256 == *sha256) {
            return Some(Ok(Finished::Proven { at: clock::wall_millis() / 1000 }));
        }
        if let Some(failed) = kept.failed.iter().find(|failed| failed.sha256 == *sha256) {
            return Some(Err(condemned(&failed.why)));
        }
        let last = kept.last.as_ref().filter(|last| last.number > *before && kept.trial.is_none())?;
        match &last.end {
            SuccessionEnd::Committed => None,
            SuccessionEnd::Refused { why } => Some(Err(refused(why))),
            SuccessionEnd::Undone { why } => Some(Err(condemned(why))),
        }
    }

    /// Called at each turn of the main loop.
    pub(in crate::supervisor::driver) fn look_at_succession(&mut self) {
        if let Some(ended) = self.succession_ended()
            && let Some(Awaited { token, .. }) = self.shelf.successor.take()
        {
            self.stage_done(token, ended);
        }
    }

    /// Of supervisors, those stay that may be run again.
    pub(super) fn tidy_supervisors(&self) {
        let record = self.shelf.machine.record();
        let made = record.work.as_ref().and_then(|work| work.made.as_ref());
        let held = record.held.values().chain(made).filter(|held| held.kind == Kind::Supervisor);
        let mut keep: Vec<String> = held.map(|held| held.slot.clone()).collect();
        let kept = &self.parts.state.supervisor;
        let trial = kept.trial.iter().flat_map(|trial| [&trial.target, &trial.previous]);
        let active = kept.active.iter().map(|active| &active.program);
        let own = std::iter::once(self.parts.succession.executable());
        let run = trial.chain(active).map(|program| program.executable.as_path()).chain(own);
        keep.extend(
            run.flat_map(|path| path.components())
                .filter_map(|part| part.as_os_str().to_str().map(str::to_owned)),
        );
        let keep: Vec<_> = keep.iter().map(String::as_str).collect();
        self.shelf.places.keep_only(Kind::Supervisor, SUPERVISOR, &keep);
    }
}
