//! Which supervisor runs, decided as soon as the journal is read; and what one before it in this process left.

use std::{io, path::Path};

use super::{StartError, earlier::sweep_orphan};
use crate::{
    os::{
        child::Child,
        executable::{OWN, digest},
        handover::Handover,
        lock::Lock,
        output::{Source, Sources},
    },
    supervisor::{
        driver::{Inheritance, Role},
        journal::{Journal, Program, State},
        succession::{
            Arrival, Came, CollectorNote, Decision, Errand, LISTENER, LOCK, Me, Note, STDERR, STDOUT,
            asks_who_i_am, decide, same_file, undo,
        },
    },
    transport::accept::Listener,
};

/// The lock, which is never free in between.
pub(super) fn lock(arrival: &Arrival, storage: &Path) -> Result<Lock, StartError> {
    Ok(match arrival.copy(LOCK) {
        Some(held) => Lock::take_up(storage, held.map_err(|error| handed_over(&error))?)?,
        None => Lock::take(storage)?,
    })
}

/// Returns when this is the one that runs, and as what.
pub(super) fn who_runs(arrival: &Arrival, journal: &mut Journal, state: &mut State, lock: &Lock) -> Role {
    if let Some(lost) = &arrival.lost {
        tracing::error!("what the supervisor before in this process left is lost: {lost}");
    }
    if let Came::SentBack { why } = arrival.came() {
        tracing::error!("another supervisor was tried in vain, and this one runs again: {why}");
    }
    loop {
        let before = state.supervisor.clone();
        let mine = if asks_who_i_am(&before) { digest(Path::new(OWN)).ok() } else { None };
        let sha256 = mine.as_ref().map(|(_, sha256)| sha256.as_str());
        let me = Me { executable: arrival.executable(), sha256, arrival: arrival.came() };
        let decision = decide(&mut state.supervisor, &me);
        let kept = state.supervisor == before || is_kept(journal, state);
        match decision {
            Decision::Run => return Role::Settled,
            Decision::Prove => return Role::OnTrial,
            Decision::Try(_) if !kept => {
                tracing::error!(
                    "the supervisor on trial is not started: a try that is not written down is none"
                );
                state.supervisor = before;
                return Role::Settled;
            }
            Decision::Try(target) => {
                let back_to = arrival.executable().to_owned();
                let back_to = before.trial.map_or(back_to, |trial| trial.previous.executable);
                let why = become_it(&target, Errand::Prove { back_to }, lock);
                tracing::error!("the supervisor on trial is given up: {why}");
                undo(&mut state.supervisor, &why);
                is_kept(journal, state);
            }
            Decision::Become(active) => {
                let why = become_it(&active, Errand::Run, lock);
                tracing::error!("this supervisor runs, and not the one that should: {why}");
                return Role::Settled;
            }
        }
    }
}

/// Returns only to say why not.
fn become_it(program: &Program, errand: Errand, lock: &Lock) -> String {
    if let Err(error) = same_file(program) {
        return error.to_string();
    }
    let note = Note { errand, token: None, collector: None };
    let handed = || -> io::Result<Handover> {
        let mut handover = Handover::with(serde_json::to_value(&note)?);
        handover.add(LOCK, lock)?;
        Ok(handover)
    };
    tracing::info!(executable = %program.executable.display(), "another supervisor runs from here on");
    let error = match handed() {
        Ok(handover) => handover.become_program(&program.executable),
        Err(error) => error,
    };
    format!("{} cannot be executed: {error}", program.executable.display())
}

fn is_kept(journal: &mut Journal, state: &State) -> bool {
    let committed = journal.commit(state);
    if let Err(error) = &committed {
        tracing::error!("which supervisor runs cannot be written down: {error}");
    }
    committed.is_ok()
}

/// The listener that the Collector knows; none where none was handed over.
pub(super) fn listener(arrival: &Arrival, note: Option<&Note>) -> Option<Result<Listener, StartError>> {
    let token = note?.token.as_deref()?;
    let taken = arrival.copy(LISTENER)?.and_then(Listener::take_up);
    Some(taken.map(|listener| listener.requiring(token)).map_err(|error| handed_over(&error)))
}

/// The Collector that runs. Once it is adopted nothing may fail any more: it would be ended. One that cannot be
/// adopted is ended too, unless this supervisor can go back to one that knows it.
pub(super) async fn inherited(
    arrival: &Arrival,
    note: Option<Note>,
    role: Role,
    journal: &Journal,
) -> Result<Option<Inheritance>, StartError> {
    let Some(note) = note.and_then(|note| note.collector) else { return Ok(None) };
    match inheritance(arrival, note) {
        Ok(inherited) => Ok(Some(inherited)),
        Err(error) if role == Role::OnTrial => Err(error),
        Err(error) => {
            tracing::error!("the Collector is started anew: {error}");
            sweep_orphan(journal).await;
            Ok(None)
        }
    }
}

fn inheritance(arrival: &Arrival, mut note: CollectorNote) -> Result<Inheritance, StartError> {
    let source = |name: &str, begun: &mut Vec<u8>| {
        let pipe = arrival.copy(name).unwrap_or_else(|| Err(io::ErrorKind::NotFound.into()));
        pipe.and_then(|pipe| Source::take_up(pipe, std::mem::take(begun)))
            .map_err(|error| handed_over(&error))
    };
    let from =
        Sources { stdout: source(STDOUT, &mut note.stdout.0)?, stderr: source(STDERR, &mut note.stderr.0)? };
    Ok(Inheritance { child: adopt(&note)?, from, note })
}

fn adopt(note: &CollectorNote) -> Result<Child, StartError> {
    Child::adopt(note.pid).map_err(|error| {
        StartError::HandedOver(format!("the Collector, process {}, cannot be taken over: {error}", note.pid))
    })
}

fn handed_over(error: &io::Error) -> StartError {
    StartError::HandedOver(format!("what was handed over cannot be used: {error}"))
}
