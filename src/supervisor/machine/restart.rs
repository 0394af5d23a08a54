//! When to start a Collector that died: at once the first time, then ever more slowly, never giving up.

use std::time::Duration;

/// Deaths further apart than this have nothing to do with each other.
const CALM: Duration = Duration::from_secs(60);
const BASE: Duration = Duration::from_millis(250);
const CEILING: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct RestartPolicy {
    deaths: u32,
    healthy_since: Option<Duration>,
    random: u64,
}

impl RestartPolicy {
    pub(super) const fn new(seed: u64) -> Self {
        Self { deaths: 0, healthy_since: None, random: seed }
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

    /// The process died: how long to wait before the next one.
    pub(super) fn died(&mut self, now: Duration) -> Duration {
        if self.healthy_since.take().is_some_and(|since| now.saturating_sub(since) >= CALM) {
            self.deaths = 0;
        }
        let wait = match self.deaths {
            0 => Duration::ZERO,
            n => self.jittered(BASE.saturating_mul(1 << (n - 1).min(8)).min(CEILING)),
        };
        self.deaths = self.deaths.saturating_add(1);
        wait
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

    #[test]
    fn f_61_backs_off_and_never_gives_up() {
        let mut policy = RestartPolicy::new(7);
        let now = Duration::from_secs(1000);
        assert_eq!(policy.died(now), Duration::ZERO);
        for expected in [250, 500, 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000, 60000] {
            let wait = policy.died(now).as_millis();
            assert!(wait >= expected * 8 / 10 && wait <= expected * 12 / 10, "{wait} for {expected}");
        }
    }

    #[test]
    fn f_60_a_minute_of_health_makes_the_next_death_a_first_one() {
        let mut policy = RestartPolicy::new(7);
        policy.died(Duration::from_secs(0));
        policy.died(Duration::from_secs(1));
        policy.healthy(true, Duration::from_secs(2));
        policy.healthy(true, Duration::from_secs(30));
        assert_eq!(policy.died(Duration::from_secs(62)), Duration::ZERO);
        policy.healthy(true, Duration::from_secs(63));
        assert!(policy.died(Duration::from_secs(64)) > Duration::ZERO);
    }
}
