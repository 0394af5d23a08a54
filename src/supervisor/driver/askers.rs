//! Who asked on this host for `supervisor.yaml` to be read again, and waits for how it went.

use tokio::sync::oneshot;

use super::Driver;
use crate::supervisor::{control::Answer, reload::Cause};

/// The control socket has few seats, so these are few.
#[derive(Default)]
pub(super) struct Askers {
    /// For a reading that is still to begin.
    next: Vec<oneshot::Sender<Answer>>,
    /// For the one that is at work, or on trial.
    now: Vec<oneshot::Sender<Answer>>,
    /// What came of it, as far as is known.
    answer: Option<Answer>,
}

impl Askers {
    pub(super) fn reading_begins(&mut self) {
        self.now.append(&mut self.next);
    }

    pub(super) fn reading_begins_again(&mut self) {
        self.next.append(&mut self.now);
    }

    pub(super) fn hear(&mut self, answer: Answer) {
        self.answer = Some(answer);
    }

    /// What was heard of came to nothing. Who was answered already, or waits for another reading, is not meant.
    pub(super) fn taken_back(&mut self, why: &str) {
        if let Some(answer) = &mut self.answer {
            *answer = Answer::Unfit { why: why.to_owned() };
        }
    }
}

impl Driver {
    /// An administrator wants the file to be read again, and waits for what comes of it.
    pub(super) fn reload_for(&mut self, asked: oneshot::Sender<Answer>) {
        self.askers.next.push(asked);
        self.want_reload(Cause::Command);
    }

    /// Tells what came of it, once it is known to be well or was taken back.
    pub(super) fn answer_askers(&mut self) {
        if self.parts.machine.proves_host() {
            return;
        }
        let Some(answer) = self.askers.answer.take() else { return };
        for asked in self.askers.now.drain(..) {
            // Whoever asked may have hung up.
            let _ = asked.send(answer.clone());
        }
    }
}
