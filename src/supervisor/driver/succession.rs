//! Another supervisor in the place of this one: the moment when it may be, the exec, and proving itself.
//!
//! What is asked for is examined beside everything else, waits until nothing else is on its way, and is written down
//! before the exec. One on trial is committed once it reached the server, and otherwise undone when its time is over.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::sync::{mpsc, oneshot};

use super::{Driver, happenings::Happening, wall_nanos};
use crate::{
    os::{
        clock,
        orphan::boot_id,
        signals::{self, Held, Received},
    },
    supervisor::{
        control::Answer,
        journal::{Program, Proof, Succession, SuccessionEnd, SuccessorTrial, WayBack},
        succession::{
            Candidate, Errand, Examination, Successor, TRIES, Unfit, commit, examine, forget_copies,
            same_file, stands, undo,
        },
    },
};

/// How long one that may take over waits for the moment.
const MOMENT_WITHIN: Duration = Duration::from_secs(100);

/// What this supervisor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::supervisor) enum Role {
    Settled,
    /// It has to prove itself.
    OnTrial,
}

/// What an examination came to.
pub(super) type Examined = Result<Candidate, Unfit>;

/// What goes on with supervisors.
pub(in crate::supervisor) struct Successions {
    /// Where this one was started from.
    executable: PathBuf,
    role: Role,
    /// When the time of this one is over, in which it has to prove itself; none once it has.
    due: Option<Duration>,
    attempt: Option<Attempt>,
    found: (mpsc::Sender<Examined>, mpsc::Receiver<Examined>),
}

/// One that is to take over.
struct Attempt {
    successor: Successor,
    why: String,
    asked: Option<oneshot::Sender<Answer>>,
    stage: Stage,
}

enum Stage {
    Examined,
    /// It may take over, until this time.
    Fit(Box<Candidate>, Duration),
}

impl Successions {
    pub(in crate::supervisor) fn new(executable: &Path, role: Role) -> Self {
        Self { executable: executable.to_owned(), role, due: None, attempt: None, found: mpsc::channel(1) }
    }

    pub(super) fn executable(&self) -> &Path {
        &self.executable
    }

    /// How much longer this one has to prove itself, if it has to.
    pub(super) fn time_left(&self) -> Option<Duration> {
        let due = self.due.filter(|_| self.role == Role::OnTrial)?;
        Some(due.saturating_sub(clock::boottime()))
    }

    /// What is past waits for something else to happen.
    pub(super) fn poll_timeout(&self, now: Duration) -> Option<Duration> {
        let until = self.attempt.as_ref().and_then(|attempt| match attempt.stage {
            Stage::Examined => None,
            Stage::Fit(_, until) => Some(until),
        });
        [self.due, until].into_iter().flatten().filter(|due| *due > now).min()
    }

    /// The end of an examination.
    pub(super) async fn found(&mut self) -> Happening {
        match self.found.1.recv().await {
            Some(found) => Happening::Examined(Box::new(found)),
            None => std::future::pending().await,
        }
    }
}

impl Driver {
    /// Has another supervisor take the place of this one. What comes of it is in the journal (`supervisor.trial`,
    /// `supervisor.last`), and told to whoever asked as long as this one runs.
    pub(in crate::supervisor) fn become_another(
        &mut self,
        successor: Successor,
        why: &str,
        asked: Option<oneshot::Sender<Answer>>,
    ) {
        let attempt = Attempt { successor, why: why.to_owned(), asked, stage: Stage::Examined };
        let successions = &self.parts.succession;
        let no = if self.stopping {
            "the supervisor is ending".to_owned()
        } else if successions.attempt.is_some() {
            "another supervisor is being put in its place already; try again".to_owned()
        } else if successions.role == Role::OnTrial {
            "the supervisor that runs has yet to prove itself; try again when it has".to_owned()
        } else if let Some(refusal) = self.parts.journal.refusal() {
            refusal.to_string()
        } else {
            tracing::info!(executable = %attempt.successor.executable.display(), "another supervisor is to run: {why}");
            return self.examine(attempt);
        };
        self.turn_down(attempt, None, &no);
    }

    fn examine(&mut self, attempt: Attempt) {
        let kept = &self.parts.state.supervisor;
        let trial = kept.trial.iter().flat_map(|trial| [&trial.target, &trial.previous]);
        let known: Vec<Program> =
            kept.active.iter().map(|active| &active.program).chain(trial).cloned().collect();
        let examination = Examination {
            successor: attempt.successor.clone(),
            own: self.parts.succession.executable.clone(),
            known,
            failed: kept.failed.clone(),
            file: self.parts.reloads.path().to_owned(),
            storage: self.parts.storage.clone(),
        };
        let tell = self.parts.succession.found.0.clone();
        self.parts.succession.attempt = Some(attempt);
        tokio::spawn(async move {
            // The driver is gone only when everything ends.
            let _ = tell.send(examine(examination).await).await;
        });
    }

    pub(super) fn examined(&mut self, found: Examined) {
        let Some(mut attempt) = self.parts.succession.attempt.take() else { return };
        match found {
            Ok(candidate) => {
                attempt.stage = Stage::Fit(Box::new(candidate), clock::boottime() + MOMENT_WITHIN);
                self.parts.succession.attempt = Some(attempt);
            }
            Err(unfit) => self.turn_down(attempt, None, &unfit.to_string()),
        }
    }

    /// It never ran.
    fn turn_down(&mut self, attempt: Attempt, target: Option<Program>, why: &str) {
        let why = self.secrets().text(why);
        tracing::error!("another supervisor is not run, and all is as before: {why}");
        let end = SuccessionEnd::Refused { why: why.clone() };
        let sha256 = target.map(|target| target.sha256);
        let (number, executable) = (self.next_number(), attempt.successor.executable);
        self.parts.state.supervisor.last = Some(Succession { number, executable, sha256, end });
        self.save_or_later();
        if let Some(asked) = attempt.asked {
            // Whoever asked may have hung up.
            let _ = asked.send(Answer::Refused { why });
        }
    }

    fn next_number(&self) -> u64 {
        let kept = &self.parts.state.supervisor;
        let trial = kept.trial.as_ref().map(|trial| trial.number);
        trial.max(kept.last.as_ref().map(|last| last.number)).unwrap_or(0) + 1
    }

    /// The main loop begins to turn.
    pub(super) fn succession_begins(&mut self) {
        let started = self.parts.state.supervisor.active.as_ref().is_some_and(|active| active.starts > 0);
        if self.parts.succession.role == Role::OnTrial || started {
            self.parts.succession.due = Some(clock::boottime() + self.parts.config.packages.supervisor_trial);
        }
    }

    /// The server was reached.
    pub(super) fn successor_proven(&mut self) {
        if self.parts.succession.due.take().is_none() {
            return;
        }
        if self.parts.succession.role == Role::OnTrial {
            tracing::info!("this supervisor has proven itself");
            commit(&mut self.parts.state.supervisor);
            self.parts.succession.role = Role::Settled;
            let kept = self.parts.state.supervisor.active.iter();
            let kept: Vec<_> = kept.map(|active| active.program.executable.as_path()).collect();
            forget_copies(&self.parts.storage, &kept);
            self.save_or_later();
        } else if stands(&mut self.parts.state.supervisor) {
            self.save_or_later();
        }
    }

    /// Looks, at each turn of the main loop, whether it is time for another supervisor. A signal that came in the last
    /// moment is to be answered first.
    pub(super) async fn succeed(&mut self) -> Option<Received> {
        let now = clock::boottime();
        if self.parts.succession.due.is_some_and(|due| due <= now) {
            let trial = self.parts.state.supervisor.trial.as_ref();
            let needs_server = trial.is_some_and(|trial| trial.proof == Proof::Server);
            if self.parts.succession.role == Role::Settled || !needs_server {
                self.successor_proven();
            } else if self.may_be_succeeded() {
                self.parts.succession.due = None;
                self.go_back().await;
            }
        }
        let attempt = self.parts.succession.attempt.as_ref()?;
        let Stage::Fit(_, until) = &attempt.stage else { return None };
        let late = *until <= now;
        if !late && !self.stopping && !self.may_be_succeeded() {
            return None;
        }
        let attempt = self.parts.succession.attempt.take()?;
        if late || self.stopping {
            let why = "there was no moment for it, as something else was on its way all the time; try again";
            self.turn_down(attempt, None, why);
            return None;
        }
        match self.hold_signals().await {
            Ok(held) => {
                self.hand_over(attempt, held).await;
                None
            }
            Err(received) => {
                self.parts.succession.attempt = Some(attempt);
                Some(received)
            }
        }
    }

    /// Nothing is on its way that the next one could not take up.
    fn may_be_succeeded(&self) -> bool {
        let settled = self.parts.moving.is_settled() && !self.telemetry.is_checking();
        let machine = &self.parts.machine;
        settled
            && self.may_change_host()
            && machine.may_be_inherited()
            && self.unsaved.is_none()
            && !self.stopping
    }

    async fn hand_over(&mut self, attempt: Attempt, held: Held) {
        let Stage::Fit(candidate, _) = &attempt.stage else { return };
        let Candidate { target, previous, way_back } = (**candidate).clone();
        if let Err(error) = same_file(&target) {
            return self.turn_down(attempt, Some(target), &error.to_string());
        }
        let back_to = previous.executable.clone();
        let before = self.parts.state.clone();
        self.arm_successor(target.clone(), previous, way_back, &attempt.why);
        let why = match self.save() {
            Ok(()) => self.exec(&target.executable, Errand::Prove { back_to }).await,
            Err(why) => format!("that it is to run cannot be written down: {why}"),
        };
        drop(held);
        self.parts.state = before;
        self.turn_down(attempt, Some(target), &why);
    }

    /// That it is to run, and one of its tries. It will be another life, and nobody died.
    fn arm_successor(&mut self, target: Program, previous: Program, way_back: WayBack, why: &str) {
        let proof = if self.away.is_none() { Proof::Server } else { Proof::Standing };
        self.calm();
        self.parts.state.supervisor.trial = Some(SuccessorTrial {
            number: self.next_number(),
            target,
            previous,
            way_back,
            tries_left: TRIES - 1,
            proof,
            why: why.to_owned(),
            boot_id: boot_id().unwrap_or_default(),
            armed_at_ms: u64::try_from(clock::boottime().as_millis()).unwrap_or(u64::MAX),
        });
    }

    /// Its time is over: the one before runs again.
    async fn go_back(&mut self) {
        let within = self.parts.config.packages.supervisor_trial;
        let away = self.away.as_deref().unwrap_or("it has not answered");
        let why = format!("the server was not reached within {within:?}: {away}");
        let Some(trial) = &self.parts.state.supervisor.trial else { return };
        let back_to = trial.previous.executable.clone();
        tracing::error!("this supervisor is given up for {}: {why}", back_to.display());
        self.calm();
        undo(&mut self.parts.state.supervisor, &why);
        self.save_or_later();
        // One that came in the last moment comes too late: it is the next one's.
        let held = signals::hold();
        let failed = self.exec(&back_to, Errand::Back { why }).await;
        drop(held);
        tracing::error!("this supervisor runs on, as there is no way back: {failed}");
        self.parts.succession.role = Role::Settled;
        self.health.remark("succession", Some(format!("there is no way back: {failed}")), wall_nanos());
        self.report_health();
    }
}
