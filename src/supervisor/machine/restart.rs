//! When to start a Collector that died: at once the first time, then ever more slowly, never giving up.

use std::{collections::VecDeque, time::Duration};

/// Deaths further apart than this have nothing to do with each other.
const CALM: Duration = Duration::from_secs(60);
const BASE: Duration = Duration::from_millis(250);
const CEILING: Duration = Duration::from_secs(60);
/// A crash loop: so many deaths within this time,
const LOOP_DEATHS: usize = 5;
const LOOP_WITHIN: Duration = Duration::from_secs(600);
/// or so many in a row, each within this time of its start.
const LOOP_SHORT_LIVES: u32 = 3;
const SHORT_LIFE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct RestartPolicy {
    deaths: u32,
    /// When the last ones died.
    recent: VecDeque<Duration>,
    short_lives: u32,
    started: Duration,
    healthy_since: Option<Duration>,
    random: u64,
}

/// What a death leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Death {
    /// How long to wait before the next start.
    pub(super) wait: Duration,
    /// It keeps dying.
    pub(super) looping: bool,
}

impl RestartPolicy {
    pub(super) const fn new(seed: u64) -> Self {
        Self {
            deaths: 0,
            recent: VecDeque::new(),
            short_lives: 0,
            started: Duration::ZERO,
            healthy_since: None,
            random: seed,
        }
    }

    pub(super) const fn started(&mut self, now: Duration) {
        self.started = now;
        self.healthy_since = None;
    }

    /// The process says it is well, or is not any more.
    pub(super) const fn healthy(&mut self, healthy: bool, now: Duration) {
        match (healthy, self.healthy_since) {
            (true, None) => self.healthy_since = Some(now),
            (false, _) => self.healthy_since = None,
            (true, Some(_)) => {}
        }
    }

    pub(super) const fn is_healthy(&self) -> bool {
        self.healthy_since.is_some()
    }

    pub(super) fn died(&mut self, now: Duration) -> Death {
        if self.healthy_since.take().is_some_and(|since| now.saturating_sub(since) >= CALM) {
            self.deaths = 0;
        }
        let wait = match self.deaths {
            0 => Duration::ZERO,
            n => self.jittered(BASE.saturating_mul(1 << (n - 1).min(8)).min(CEILING)),
        };
        self.deaths = self.deaths.saturating_add(1);
        Death { wait, looping: self.is_looping(now) }
    }

    fn is_looping(&mut self, now: Duration) -> bool {
        if self.recent.len() == LOOP_DEATHS {
            self.recent.pop_front();
        }
        self.recent.push_back(now);
        let short = now.saturating_sub(self.started) < SHORT_LIFE;
        self.short_lives = if short { self.short_lives.saturating_add(1) } else { 0 };
        let first = self.recent.front().copied().unwrap_or(now);
        let many = self.recent.len() == LOOP_DEATHS && now.saturating_sub(first) <= LOOP_WITHIN;
        many || self.short_lives >= LOOP_SHORT_LIVES
    }

    /// 80 % to 120 % of the delay.
    fn jittered(&mut self, delay: Duration) -> Duration {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let fraction = (self.random >> 40) as f64 / (1u64 << 24) as f64;
        delay.mul_f64(0.8 + 0.4 * fraction)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn f_61_backs_off_and_never_gives_up() {
        let mut policy = RestartPolicy::new(7);
        let now = secs(1000);
        assert_eq!(policy.died(now).wait, Duration::ZERO);
        for expected in [250, 500, 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000, 60000] {
            let wait = policy.died(now).wait.as_millis();
            assert!(wait >= expected * 8 / 10 && wait <= expected * 12 / 10, "{wait} for {expected}");
        }
    }

    #[test]
    fn f_60_a_minute_of_health_makes_the_next_death_a_first_one() {
        let mut policy = RestartPolicy::new(7);
        policy.died(secs(0));
        policy.died(secs(1));
        policy.healthy(true, secs(2));
        policy.healthy(true, secs(30));
        assert_eq!(policy.died(secs(62)).wait, Duration::ZERO);
        policy.healthy(true, secs(63));
        assert!(policy.died(secs(64)).wait > Duration::ZERO);
    }

    #[test]
    fn f_61_three_short_lives_or_five_deaths_in_ten_minutes_are_a_crash_loop() {
        let looping = |lives: &[(u64, u64)]| {
            let mut policy = RestartPolicy::new(7);
            let died = lives.iter().map(|(start, end)| {
                policy.started(secs(*start));
                policy.died(secs(*end)).looping
            });
            died.collect::<Vec<_>>()
        };
        assert_eq!(looping(&[(0, 9), (20, 29), (40, 49)]), [false, false, true]);
        assert_eq!(looping(&[(0, 9), (20, 31), (40, 49), (60, 69)]), [false; 4]);
        let each = |every: u64| looping(&[0, 1, 2, 3, 4].map(|n| (n * every, (n + 1) * every - 1)));
        assert_eq!(each(150), [false, false, false, false, true]);
        assert_eq!(each(151), [false; 5]);
    }
}
