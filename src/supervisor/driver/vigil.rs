//! A Collector that runs and is not as it should be: its extension says nothing, or its health keeps changing.
//! Both are said beside its own health, which stays what it says.

use std::{collections::VecDeque, time::Duration};

use tokio::time::{Instant, sleep, sleep_until};

use super::{Driver, wall_nanos};
use crate::{os::memory, supervisor::compose::Contact};

/// How long the extension may take to be heard from: after the start, and after it hung up.
const FIRST_WORD: Duration = Duration::from_secs(60);
const NEXT_WORD: Duration = Duration::from_secs(15);
/// How long after much was done nothing much is expected to be.
const CALM: Duration = Duration::from_secs(10);
/// So many changes of health within this time are one thing to say, and not many.
const FLIPS: usize = 4;
const WITHIN: Duration = Duration::from_secs(60);

/// What is waited for.
#[derive(Debug, Default)]
pub(super) struct Vigil {
    /// By when the extension should be heard from, and how long that was given.
    word_due: Option<(Instant, Duration)>,
    was_healthy: bool,
    flips: VecDeque<Instant>,
}

impl Vigil {
    pub(super) async fn due(&self) {
        let calm = self.flips.back().map(|last| *last + WITHIN);
        match self.word_due.map(|(due, _)| due).into_iter().chain(calm).min() {
            Some(due) => sleep_until(due).await,
            None => std::future::pending().await,
        }
    }

    /// How often the health changed lately, if that is often.
    fn flapping(&mut self, now: Instant) -> Option<usize> {
        while self.flips.front().is_some_and(|first| *first + WITHIN <= now) {
            self.flips.pop_front();
        }
        (self.flips.len() >= FLIPS).then_some(self.flips.len())
    }

    fn changed(&mut self, healthy: bool, now: Instant) {
        if std::mem::replace(&mut self.was_healthy, healthy) != healthy {
            self.flips.push_back(now);
            if self.flips.len() > 10 * FLIPS {
                self.flips.pop_front();
            }
        }
    }
}

impl Driver {
    /// A while after much was done, what only that needed is given back.
    pub(super) fn calm_down(&self) {
        tokio::spawn(async {
            sleep(CALM).await;
            memory::give_back();
        });
    }

    /// A process was started, or ended.
    pub(super) fn expect_word(&mut self, contact: Option<&Contact>) {
        let expected = matches!(contact, Some(Contact::Extension { .. }));
        self.vigil.word_due = expected.then(|| (Instant::now() + FIRST_WORD, FIRST_WORD));
        self.health.remark("contact", None, wall_nanos());
    }

    /// The extension hung up: it dials again by itself.
    pub(super) fn expect_another_word(&mut self) {
        if self.collector.is_some() && !self.stopping {
            self.vigil.word_due = Some((Instant::now() + NEXT_WORD, NEXT_WORD));
        }
    }

    pub(super) fn word_came(&mut self) {
        self.vigil.word_due = None;
        self.health.remark("contact", None, wall_nanos());
    }

    /// The health is about to be reported.
    pub(super) fn count_change(&mut self, healthy: bool) {
        let now = Instant::now();
        self.vigil.changed(healthy, now);
        let flapping = self.vigil.flapping(now).map(|_| {
            format!("the Collector's health keeps changing: {FLIPS} times and more within a minute")
        });
        self.health.remark("flapping", flapping, wall_nanos());
    }

    pub(super) fn look_around(&mut self) {
        let now = Instant::now();
        if let Some((due, given)) = self.vigil.word_due
            && now >= due
        {
            self.vigil.word_due = None;
            let why = format!(
                "the Collector runs, and its opamp extension has said nothing for {} s",
                given.as_secs()
            );
            tracing::warn!("{why}");
            self.health.remark("contact", Some(why), wall_nanos());
        }
        self.report_health();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_changes_within_a_minute_are_flapping_until_a_minute_is_calm() {
        let start = Instant::now();
        let at = |secs| start + Duration::from_secs(secs);
        let mut vigil = Vigil::default();
        for (second, healthy) in [(1, true), (1, true), (5, false), (10, true)] {
            vigil.changed(healthy, at(second));
        }
        assert_eq!(vigil.flapping(at(10)), None, "three changes");
        vigil.changed(false, at(59));
        assert_eq!(vigil.flapping(at(59)), Some(4));
        assert_eq!(vigil.flapping(at(62)), None, "the first is long ago");
        for (second, healthy) in [(63, true), (64, false)] {
            vigil.changed(healthy, at(second));
        }
        assert_eq!(vigil.flapping(at(64)), Some(5));
        assert_eq!(vigil.flapping(at(124)), None);
    }
}
