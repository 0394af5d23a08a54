//! What a start does with what is kept of supervisors: a pure function of the state and of how this one came to run.
//!
//! ```text
//!               sent on trial ──────────────────────────────▶ on trial
//!   trial kept, started plainly ──tries left──▶ one less, ──▶ on trial, or become the one on trial
//!         │              └────────none left───▶ undone ─┐
//!         └── sent back ──▶ undone ──▶ run on           ▼
//!   no trial, started plainly ──▶ become the active one, if that is another; else run on
//! ```

use std::path::Path;

use crate::supervisor::journal::{
    Active, FailedSupervisor, Program, Succession, SuccessionEnd, SuccessorTrial, SupervisorState, WayBack,
};

/// How often one on trial may be started, the first time included.
pub(in crate::supervisor) const TRIES: u32 = 3;
/// How often the active one may be started by another one without standing, before that other one runs.
const STARTS: u32 = 3;
/// Failures that are remembered.
const FAILURES: usize = 16;

/// Who runs, and how it came to.
pub(in crate::supervisor) struct Me<'a> {
    pub(in crate::supervisor) executable: &'a Path,
    /// Known where the state asks for it, see [`asks_who_i_am`].
    pub(in crate::supervisor) sha256: Option<&'a str>,
    pub(in crate::supervisor) arrival: Came<'a>,
}

/// How this supervisor came to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::supervisor) enum Came<'a> {
    /// Whoever runs services started it.
    Plainly,
    /// Another supervisor became this one, which is the active one.
    Sent,
    /// Another supervisor became this one, which has yet to prove itself.
    SentOnTrial,
    /// One on trial went back to this one.
    SentBack { why: &'a str },
}

/// What to do. What changed in the state is written down first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::supervisor) enum Decision {
    /// Runs on.
    Run,
    /// Runs on, and has to prove itself.
    Prove,
    /// Becomes this one, which has to prove itself.
    Try(Program),
    /// Becomes this one, which has.
    Become(Program),
}

/// Whether the decision needs to know which file this one is.
pub(in crate::supervisor) fn asks_who_i_am(state: &SupervisorState) -> bool {
    state.active.as_ref().is_some_and(|active| active.instead_of.is_some())
}

pub(in crate::supervisor) fn decide(state: &mut SupervisorState, me: &Me<'_>) -> Decision {
    let Some(trial) = &mut state.trial else { return settled(state, me) };
    let mine = trial.target.executable == me.executable;
    match me.arrival {
        Came::SentBack { why } => {
            undo(state, why);
            Decision::Run
        }
        Came::SentOnTrial => Decision::Prove,
        Came::Sent => Decision::Run,
        Came::Plainly if trial.tries_left == 0 => {
            undo(state, &format!("it ended {TRIES} times before it had proven itself"));
            settled(state, me)
        }
        Came::Plainly => {
            trial.tries_left -= 1;
            if mine { Decision::Prove } else { Decision::Try(trial.target.clone()) }
        }
    }
}

/// Nothing is on trial.
fn settled(state: &mut SupervisorState, me: &Me<'_>) -> Decision {
    let Some(active) = &mut state.active else { return Decision::Run };
    if active.program.executable == me.executable || me.arrival != Came::Plainly {
        return Decision::Run;
    }
    let another = active.instead_of.is_some() && active.instead_of.as_deref() != me.sha256;
    if another || active.starts >= STARTS {
        state.active = None;
        return Decision::Run;
    }
    active.starts += 1;
    Decision::Become(active.program.clone())
}

/// It stands: whoever started it may count on it.
pub(in crate::supervisor) fn stands(state: &mut SupervisorState) -> bool {
    state.active.as_mut().is_some_and(|active| std::mem::take(&mut active.starts) != 0)
}

/// The one on trial failed; the one before is the active one.
pub(in crate::supervisor) fn undo(state: &mut SupervisorState, why: &str) {
    let Some(trial) = state.trial.take() else { return };
    let SuccessorTrial { number, target, previous, way_back, .. } = trial;
    state.failed.retain(|failed| failed.sha256 != target.sha256);
    state.failed.push(FailedSupervisor { sha256: target.sha256.clone(), why: why.to_owned() });
    let excess = state.failed.len().saturating_sub(FAILURES);
    state.failed.drain(..excess);
    let same = state.active.take().filter(|active| active.program.executable == previous.executable);
    let instead_of = match way_back {
        WayBack::Copy => Some(target.sha256.clone()),
        WayBack::InPlace => same.and_then(|active| active.instead_of),
    };
    state.active = Some(Active { program: previous, instead_of, starts: 0 });
    let end = SuccessionEnd::Undone { why: why.to_owned() };
    state.last = Some(Succession { number, executable: target.executable, sha256: Some(target.sha256), end });
}

/// The one on trial has proven itself.
pub(in crate::supervisor) fn commit(state: &mut SupervisorState) {
    let Some(SuccessorTrial { number, target, .. }) = state.trial.take() else { return };
    state.failed.retain(|failed| failed.sha256 != target.sha256);
    let (executable, sha256) = (target.executable.clone(), Some(target.sha256.clone()));
    state.last = Some(Succession { number, executable, sha256, end: SuccessionEnd::Committed });
    state.active = Some(Active { program: target, instead_of: None, starts: 0 });
}

/// It ends as it was asked to: nobody died over the one on trial.
pub(in crate::supervisor) const fn calm(state: &mut SupervisorState) {
    if let Some(trial) = &mut state.trial {
        trial.tries_left = TRIES;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{os::fs::FileIdentity, supervisor::journal::Proof};

    fn program(name: &str) -> Program {
        let file = FileIdentity { dev: 1, inode: 1, size: 1, mtime_ns: 1, ctime_ns: 1 };
        let (sha256, version) = (format!("sha of {name}"), "1.0.0".into());
        Program { executable: name.into(), file, sha256, version }
    }

    fn on_trial(target: &str, previous: &str, way_back: WayBack) -> SupervisorState {
        let trial = SuccessorTrial {
            number: 1,
            target: program(target),
            previous: program(previous),
            way_back,
            // One was used up before the first exec.
            tries_left: TRIES - 1,
            proof: Proof::Server,
            why: "asked for".into(),
            boot_id: "boot".into(),
            armed_at_ms: 1,
        };
        SupervisorState { trial: Some(trial), ..SupervisorState::default() }
    }

    fn start(state: &mut SupervisorState, executable: &str, arrival: Came<'_>) -> Decision {
        let sha256 = format!("sha of {executable}");
        decide(state, &Me { executable: Path::new(executable), sha256: Some(&sha256), arrival })
    }

    #[test]
    fn f_10_f_11_one_that_dies_is_started_three_times_in_all_and_then_the_one_before_runs() {
        let mut state = on_trial("new", "old", WayBack::InPlace);
        for _ in 0..2 {
            assert_eq!(start(&mut state, "new", Came::SentOnTrial), Decision::Prove);
            assert_eq!(start(&mut state, "old", Came::Plainly), Decision::Try(program("new")));
        }
        assert_eq!(start(&mut state, "new", Came::SentOnTrial), Decision::Prove);
        assert_eq!(start(&mut state, "old", Came::Plainly), Decision::Run);
        assert!(matches!(&state.last, Some(Succession { end: SuccessionEnd::Undone { .. }, .. })));
        assert_eq!(state.failed[0].sha256, "sha of new");
        assert_eq!(start(&mut state, "old", Came::Plainly), Decision::Run);
    }

    #[test]
    fn f_10_one_that_a_package_manager_put_in_the_old_ones_place_counts_its_own_starts() {
        let mut state = on_trial("packaged", "copy", WayBack::Copy);
        assert_eq!(start(&mut state, "packaged", Came::SentOnTrial), Decision::Prove);
        assert_eq!(start(&mut state, "packaged", Came::Plainly), Decision::Prove);
        assert_eq!(start(&mut state, "packaged", Came::Plainly), Decision::Prove);
        assert_eq!(start(&mut state, "packaged", Came::Plainly), Decision::Become(program("copy")));
        assert_eq!(start(&mut state, "copy", Came::Sent), Decision::Run);
        assert!(stands(&mut state) && !stands(&mut state));
        assert_eq!(start(&mut state, "packaged", Came::Plainly), Decision::Become(program("copy")));
        let mended = Me { executable: Path::new("packaged"), sha256: Some("mended"), arrival: Came::Plainly };
        assert!(asks_who_i_am(&state));
        assert_eq!(decide(&mut state, &mended), Decision::Run, "another file is another chance");
        assert_eq!(state.active, None);
    }

    #[test]
    fn one_that_proved_itself_is_run_from_then_on_unless_it_does_not_stand_any_more() {
        let mut state = on_trial("new", "old", WayBack::InPlace);
        commit(&mut state);
        assert_eq!(state.last.as_ref().map(|last| &last.end), Some(&SuccessionEnd::Committed));
        assert_eq!(start(&mut state, "new", Came::Sent), Decision::Run);
        for _ in 0..STARTS {
            assert_eq!(start(&mut state, "old", Came::Plainly), Decision::Become(program("new")));
        }
        assert_eq!(start(&mut state, "old", Came::Plainly), Decision::Run);
        assert_eq!(state.active, None);
    }

    #[test]
    fn one_that_goes_back_is_undone_with_its_reason_and_an_end_in_order_costs_no_try() {
        let mut state = on_trial("new", "old", WayBack::InPlace);
        state.trial.as_mut().unwrap().tries_left = 0;
        calm(&mut state);
        assert_eq!(start(&mut state, "old", Came::Plainly), Decision::Try(program("new")));
        let why = "the server was not reached";
        assert_eq!(start(&mut state, "old", Came::SentBack { why }), Decision::Run);
        assert_eq!(state.failed, [FailedSupervisor { sha256: "sha of new".into(), why: why.into() }]);
        assert_eq!(start(&mut state, "old", Came::Plainly), Decision::Run, "it is the active one");
    }

    /// Whatever ends when, and whatever is started by whom: after a bounded number of starts something runs on.
    #[test]
    fn no_order_of_deaths_makes_it_exec_for_ever() {
        for seed in 0..5000_u64 {
            let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            let mut next = |below: u64| {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (random >> 33) % below
            };
            let way_back = if next(2) == 0 { WayBack::InPlace } else { WayBack::Copy };
            let (target, previous) = if way_back == WayBack::Copy { ("old", "copy") } else { ("new", "old") };
            let mut state = on_trial(target, previous, way_back);
            // Anything but what whoever runs services starts dies at once, or goes back.
            let mut starts = 0;
            let mut runs = ("old".to_owned(), Came::Plainly);
            let settled = loop {
                starts += 1;
                assert!(starts < 20, "seed {seed}: {state:?}");
                match start(&mut state, &runs.0, runs.1) {
                    Decision::Try(to) => runs = (to.executable.display().to_string(), Came::SentOnTrial),
                    Decision::Become(to) => runs = (to.executable.display().to_string(), Came::Sent),
                    Decision::Prove if next(3) == 0 => {
                        runs = (previous.to_owned(), Came::SentBack { why: "why" });
                    }
                    Decision::Prove => runs = ("old".to_owned(), Came::Plainly),
                    Decision::Run if runs.1 == Came::Plainly => break runs.0,
                    Decision::Run => runs = ("old".to_owned(), Came::Plainly),
                }
            };
            assert_eq!(settled, "old");
            assert_eq!(state.trial, None, "seed {seed}");
        }
    }
}
