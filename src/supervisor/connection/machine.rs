//! Moving to another server, or to the same one under other terms, and back if that fails. Pure: no clock, no
//! socket, no file.
//!
//! ```text
//!            propose                  answered
//!  Settled ──────────▶ Trying ──────────────────────▶ Settled   Keep: the candidate is what holds now
//!     ▲                  │ failed for good, or not answered within the window, or abandoned
//!     │    arrived       ▼
//!     └────────────── Reverting   Drop, then Dial the one before; Told only once that one is dialled again
//! ```
//!
//! A connection is left at a time of its own: what is heard before [`Machine::arrived`] is of the one before, and
//! counts for nothing. The candidate is on disk before [`Machine::propose`] is called.

use std::{collections::VecDeque, time::Duration};

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::supervisor) enum Effect {
    /// Leave the connection at hand for this one, then call [`Machine::dialled`].
    Dial(Side),
    /// The candidate proved itself: make it what holds, durably, and tell.
    Keep,
    /// The candidate failed: forget it, durably; nobody is told yet.
    Drop { why: String },
    /// The connection before is on its way again: the failure may be told (C-CS-07).
    Told,
}

/// Which settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::supervisor) enum Side {
    Candidate,
    /// Those that held before.
    Valid,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    Settled,
    Trying {
        until: Duration,
        /// What went wrong so far and may still come right.
        trouble: Option<String>,
    },
    Reverting,
}

/// The machine. See the module's diagram.
#[derive(Debug)]
pub(in crate::supervisor) struct Machine {
    phase: Phase,
    /// The last departure, while it is not known to have happened.
    leaving: Leaving,
    effects: VecDeque<Effect>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaving {
    No,
    /// To be asked for.
    Wanted,
    /// Asked for, under this number.
    Under(u64),
}

impl Machine {
    pub(in crate::supervisor) const fn new() -> Self {
        Self { phase: Phase::Settled, leaving: Leaving::No, effects: VecDeque::new() }
    }

    /// The first connection of this life is made with a candidate that an earlier life was trying (C-CS-03).
    pub(in crate::supervisor) const fn resumed(until: Duration) -> Self {
        let phase = Phase::Trying { until, trouble: None };
        Self { phase, leaving: Leaving::No, effects: VecDeque::new() }
    }

    pub(in crate::supervisor) const fn is_settled(&self) -> bool {
        matches!(self.phase, Phase::Settled)
    }

    /// Whether a failure is not told yet, because the connection before is not being dialled yet.
    pub(in crate::supervisor) const fn is_reverting(&self) -> bool {
        matches!(self.phase, Phase::Reverting)
    }

    /// Tries the candidate until then. Only when settled.
    pub(in crate::supervisor) fn propose(&mut self, until: Duration) {
        if self.is_settled() {
            self.phase = Phase::Trying { until, trouble: None };
            self.leave(Side::Candidate);
        }
    }

    /// A [`Effect::Dial`] was asked for under this number; it is the last one that counts.
    pub(in crate::supervisor) const fn dialled(&mut self, number: u64) {
        self.leaving = Leaving::Under(number);
    }

    /// The connection that was at hand is left, by the departure with this number.
    pub(in crate::supervisor) fn arrived(&mut self, number: u64) {
        if self.leaving != Leaving::Under(number) {
            return;
        }
        self.leaving = Leaving::No;
        if self.phase == Phase::Reverting {
            self.phase = Phase::Settled;
            self.effects.push_back(Effect::Told);
        }
    }

    /// The server answered: it was reached, it is who it must be, and it takes us (C-CS-05).
    pub(in crate::supervisor) fn answered(&mut self) {
        if self.leaving == Leaving::No && matches!(self.phase, Phase::Trying { .. }) {
            self.phase = Phase::Settled;
            self.effects.push_back(Effect::Keep);
        }
    }

    /// There is no connection, or no answer that takes us.
    pub(in crate::supervisor) fn failed(&mut self, why: String, permanent: bool) {
        let Phase::Trying { trouble, .. } = &mut self.phase else { return };
        if self.leaving != Leaving::No {
            return;
        }
        if permanent {
            self.revert(why);
        } else {
            *trouble = Some(why);
        }
    }

    /// The candidate is not wanted any more.
    pub(in crate::supervisor) fn abandon(&mut self, why: &str) {
        if matches!(self.phase, Phase::Trying { .. }) {
            self.revert(why.to_owned());
        }
    }

    /// When [`Self::handle_timeout`] wants to be called.
    pub(in crate::supervisor) const fn poll_timeout(&self) -> Option<Duration> {
        match self.phase {
            Phase::Trying { until, .. } => Some(until),
            Phase::Settled | Phase::Reverting => None,
        }
    }

    pub(in crate::supervisor) fn handle_timeout(&mut self, now: Duration) {
        let Phase::Trying { until, trouble } = &mut self.phase else { return };
        if now >= *until {
            let why = trouble.take().unwrap_or_else(|| "the server did not answer".to_owned());
            self.revert(format!("not connected in the time that a trial has: {why}"));
        }
    }

    pub(in crate::supervisor) fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    fn revert(&mut self, why: String) {
        self.phase = Phase::Reverting;
        self.effects.push_back(Effect::Drop { why });
        self.leave(Side::Valid);
    }

    fn leave(&mut self, to: Side) {
        self.leaving = Leaving::Wanted;
        self.effects.push_back(Effect::Dial(to));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LATER: Duration = Duration::from_secs(60);

    fn effects(machine: &mut Machine) -> Vec<Effect> {
        std::iter::from_fn(|| machine.poll_effect()).collect()
    }

    fn trying() -> Machine {
        let mut machine = Machine::new();
        machine.propose(LATER);
        assert_eq!(effects(&mut machine), [Effect::Dial(Side::Candidate)]);
        machine.dialled(1);
        machine
    }

    #[test]
    fn c_cs_02_05_only_an_answer_over_the_new_connection_counts() {
        let mut machine = trying();
        machine.answered();
        assert_eq!(effects(&mut machine), [], "that was the server before");
        machine.arrived(1);
        assert_eq!(effects(&mut machine), []);
        machine.answered();
        assert_eq!(effects(&mut machine), [Effect::Keep]);
        assert!(machine.is_settled() && machine.poll_timeout().is_none());
    }

    #[test]
    fn c_cs_07_f_94_a_failure_is_told_after_the_way_back_is_taken() {
        let mut machine = trying();
        machine.failed("the connection before broke".into(), true);
        machine.arrived(1);
        machine.failed("401".into(), true);
        let dropped = Effect::Drop { why: "401".into() };
        assert_eq!(effects(&mut machine), [dropped, Effect::Dial(Side::Valid)]);
        machine.dialled(2);
        machine.arrived(1);
        assert!(machine.is_reverting() && effects(&mut machine).is_empty());
        machine.arrived(2);
        assert_eq!(effects(&mut machine), [Effect::Told]);
        assert!(machine.is_settled());
    }

    #[test]
    fn f_94_what_may_come_right_has_the_window_and_is_the_reason_when_it_is_over() {
        let mut machine = trying();
        machine.arrived(1);
        machine.failed("connection refused".into(), false);
        machine.handle_timeout(LATER - Duration::from_millis(1));
        assert_eq!(effects(&mut machine), []);
        machine.handle_timeout(LATER);
        let dropped = effects(&mut machine).remove(0);
        assert!(matches!(dropped, Effect::Drop { why } if why.contains("connection refused")));
    }

    #[test]
    fn c_cs_03_a_trial_of_an_earlier_life_goes_on_with_the_first_connection() {
        let mut machine = Machine::resumed(LATER);
        machine.answered();
        assert_eq!(effects(&mut machine), [Effect::Keep]);
        let mut machine = Machine::resumed(LATER);
        machine.failed("expired".into(), true);
        assert_eq!(effects(&mut machine)[1], Effect::Dial(Side::Valid));
    }

    proptest! {
        /// Whatever happens in whatever order: a candidate that is kept was answered over its own connection, each
        /// trial ends once, and the way back is taken before the failure is told.
        #[test]
        fn c_cs_05_06_07_every_trial_ends_once_and_in_order(steps in prop::collection::vec((0u8..7, any::<bool>()), 0..80)) {
            let mut machine = Machine::new();
            let (mut number, mut open, mut reverting, mut now) = (0, false, false, Duration::ZERO);
            let mut at_candidate = None::<u64>;
            let mut there = false;
            for (step, flag) in steps {
                let answered = step == 2;
                match step {
                    0 => machine.propose(now + LATER),
                    1 => {
                        machine.arrived(if flag { number } else { number.saturating_sub(1) });
                        there |= flag && at_candidate == Some(number);
                    }
                    2 => machine.answered(),
                    3 => machine.failed("f".into(), flag),
                    4 => now += Duration::from_secs(20),
                    5 => machine.handle_timeout(now),
                    _ => machine.abandon("a"),
                }
                while let Some(effect) = machine.poll_effect() {
                    match effect {
                        Effect::Dial(side) => {
                            number += 1;
                            machine.dialled(number);
                            there = false;
                            at_candidate = (side == Side::Candidate).then_some(number);
                            prop_assert_eq!(side == Side::Valid, reverting);
                            open |= side == Side::Candidate;
                        }
                        Effect::Keep => {
                            prop_assert!(open && answered && there);
                            open = false;
                        }
                        Effect::Drop { .. } => {
                            prop_assert!(open);
                            (open, reverting) = (false, true);
                        }
                        Effect::Told => {
                            prop_assert!(reverting && !open);
                            reverting = false;
                        }
                    }
                }
                prop_assert_eq!(machine.is_settled(), !open && !reverting);
                prop_assert_eq!(machine.poll_timeout().is_some(), open);
            }
        }
    }
}
