//! Failed attempts by source (F-102): a handful are free, then each must wait.

use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant},
};

const FREE: u32 = 10;
const WINDOW: Duration = Duration::from_secs(60);
/// Sources remembered at once.
const SOURCES: usize = 4096;

#[derive(Default)]
pub struct Throttle(HashMap<IpAddr, (u32, Instant)>);

impl Throttle {
    /// Counts a failure; how long the source must wait, if it has used up its free ones.
    pub fn failed(&mut self, source: IpAddr, now: Instant) -> Option<Duration> {
        if self.0.len() >= SOURCES {
            self.0.retain(|_, (_, since)| now.duration_since(*since) < WINDOW);
        }
        if self.0.len() >= SOURCES && !self.0.contains_key(&source) {
            return Some(WINDOW);
        }
        let (failures, since) = self.0.entry(source).or_insert((0, now));
        if now.duration_since(*since) >= WINDOW {
            (*failures, *since) = (0, now);
        }
        *failures = failures.saturating_add(1);
        (*failures > FREE).then(|| WINDOW.saturating_sub(now.duration_since(*since)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f_102_ten_failures_are_free_and_other_sources_do_not_pay() {
        let mut throttle = Throttle::default();
        let start = Instant::now();
        let (a, b) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        for _ in 0..FREE {
            assert_eq!(throttle.failed(a, start), None);
        }
        assert_eq!(throttle.failed(a, start), Some(WINDOW));
        assert_eq!(throttle.failed(b, start), None);
        assert_eq!(throttle.failed(a, start + WINDOW), None);
    }
}
