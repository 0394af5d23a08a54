//! When to try again: exponential, with full jitter, from a seed that is passed in.

use std::time::Duration;

/// Added at most to the first attempt after a working connection broke, so that a fleet that lost one
/// server does not come back in one moment.
const FIRST_JITTER: Duration = Duration::from_secs(5);
const BASE: Duration = Duration::from_secs(1);
const CEILING: Duration = Duration::from_secs(60);
/// The least wait after a server said it is overloaded and gave no hint (C-TH-08).
const OVERLOAD_FLOOR: Duration = Duration::from_secs(30);
/// Somebody has to change something first; trying often would only fill logs on both ends.
const PERMANENT_FLOOR: Duration = Duration::from_secs(30);
const PERMANENT_CEILING: Duration = Duration::from_secs(300);
/// A hint is honoured within these bounds.
const HINT_MIN: Duration = Duration::from_secs(1);
const HINT_MAX: Duration = Duration::from_secs(3600);

/// Why the last attempt or connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// A connection that worked is gone.
    Lost,
    /// Dialling failed, or the exchange did before the server could hear of it.
    Failed,
    /// The same again can only bring the same: credentials, a certificate, a name or an address must change first.
    Permanent,
    /// An exchange over plain HTTP brought no answer that can be used; the server may have processed it.
    Unanswered,
    /// The server asked for less: 503, 429 or UNAVAILABLE, with the wait it named, if any.
    Overloaded {
        /// As the server wrote it; what is made of it is bounded to between a second and an hour.
        after: Option<Duration>,
    },
}

/// The state between attempts.
#[derive(Clone, Debug)]
pub struct Backoff {
    failures: u32,
    random: u64,
    most: Duration,
}

impl Backoff {
    /// At the start, with no failure behind it. Two clients with one seed wait alike, so the seed should be random.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { failures: 0, random: seed, most: CEILING }
    }

    /// With another longest wait than OpAMP connections have (60 s).
    #[must_use]
    pub const fn up_to(self, most: Duration) -> Self {
        Self { most, ..self }
    }

    /// How long to wait before the next attempt.
    pub fn next(&mut self, why: Retry) -> Duration {
        match why {
            Retry::Lost if self.failures == 0 => {
                self.failures = 1;
                self.between(Duration::ZERO, FIRST_JITTER)
            }
            Retry::Lost | Retry::Failed | Retry::Unanswered => {
                let ceiling = self.ceiling();
                self.failures = self.failures.saturating_add(1);
                self.between(Duration::ZERO, ceiling)
            }
            Retry::Permanent => {
                let ceiling =
                    PERMANENT_FLOOR.saturating_mul(1 << self.failures.min(4)).min(PERMANENT_CEILING);
                self.failures = self.failures.saturating_add(1);
                self.between(PERMANENT_FLOOR, ceiling.max(PERMANENT_FLOOR * 2))
            }
            Retry::Overloaded { after: Some(hint) } => {
                let hint = hint.clamp(HINT_MIN, HINT_MAX);
                hint + self.between(Duration::ZERO, hint / 5)
            }
            Retry::Overloaded { after: None } => {
                let ceiling = self.ceiling();
                self.failures = self.failures.saturating_add(1);
                OVERLOAD_FLOOR + self.between(Duration::ZERO, ceiling)
            }
        }
    }

    /// A reply came: the next failure is a first one again.
    pub const fn reset(&mut self) {
        self.failures = 0;
    }

    fn ceiling(&self) -> Duration {
        BASE.saturating_mul(1 << self.failures.min(16)).min(self.most)
    }

    fn between(&mut self, low: Duration, high: Duration) -> Duration {
        let fraction = (self.next_random() >> 11) as f64 / (1u64 << 53) as f64;
        low + (high - low).mul_f64(fraction)
    }

    /// SplitMix64: small, and good enough to spread a herd.
    const fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c_th_01_grows_to_a_ceiling_with_full_jitter() {
        let mut seen = Vec::new();
        for seed in 0..200 {
            let mut backoff = Backoff::new(seed);
            for (step, ceiling) in [1, 2, 4, 8, 16, 32, 60, 60, 60].into_iter().enumerate() {
                let wait = backoff.next(Retry::Failed);
                assert!(wait <= Duration::from_secs(ceiling), "seed {seed} step {step}: {wait:?}");
                seen.push(wait);
            }
        }
        seen.sort();
        seen.dedup();
        assert!(seen.len() > 1700, "the waits are spread");
    }

    #[test]
    fn another_longest_wait_is_grown_to_and_kept() {
        let longest = |most| {
            let mut backoff = Backoff::new(7).up_to(Duration::from_secs(most));
            let waits = (0..200).map(|_| backoff.next(Retry::Failed)).max();
            waits.unwrap().as_secs()
        };
        assert!((250..=300).contains(&longest(300)), "{}", longest(300));
        assert!((8..=10).contains(&longest(10)), "{}", longest(10));
    }

    #[test]
    fn what_needs_a_change_is_tried_again_slowly_and_not_by_all_at_once() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..100 {
            let mut backoff = Backoff::new(seed);
            for ceiling in [60, 60, 120, 240, 300, 300, 300] {
                let wait = backoff.next(Retry::Permanent);
                assert!((30..=ceiling).contains(&wait.as_secs()), "seed {seed}: {wait:?} of {ceiling}");
                seen.insert(wait);
            }
        }
        assert!(seen.len() > 650, "the waits are spread: {}", seen.len());
    }

    #[test]
    fn c_ws_03_the_first_retry_comes_within_five_seconds() {
        for seed in 0..100 {
            assert!(Backoff::new(seed).next(Retry::Lost) <= FIRST_JITTER);
        }
    }

    #[test]
    fn c_th_04_06_08_hints_win_and_overload_has_a_floor() {
        let mut backoff = Backoff::new(1);
        for _ in 0..20 {
            assert!(backoff.next(Retry::Overloaded { after: None }) >= OVERLOAD_FLOOR);
            let hinted = backoff.next(Retry::Overloaded { after: Some(Duration::from_secs(10)) });
            assert!((10..=12).contains(&hinted.as_secs()));
        }
        let absurd = backoff.next(Retry::Overloaded { after: Some(Duration::from_secs(999_999_999)) });
        assert!(absurd <= HINT_MAX + HINT_MAX / 5);
    }
}
