//! Browser sessions, kept in memory: a restart of the server asks people to log in again.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use super::{digest, random_hex};

/// The cookie that carries a session.
pub const COOKIE: &str = "opamp_session";
pub const LIFETIME: Duration = Duration::from_secs(12 * 3600);
/// Sessions open at once; beyond it the oldest goes.
const MOST: usize = 1000;

/// Open sessions by the digest of their id, with the time they end.
#[derive(Default)]
pub(super) struct Sessions(HashMap<[u8; 32], Instant>);

impl Sessions {
    pub(super) fn open(&mut self, now: Instant) -> String {
        self.0.retain(|_, end| *end > now);
        if self.0.len() >= MOST
            && let Some(oldest) = self.0.iter().min_by_key(|(_, end)| **end).map(|(id, _)| *id)
        {
            self.0.remove(&oldest);
        }
        let id = random_hex();
        self.0.insert(digest(&id), now + LIFETIME);
        id
    }

    pub(super) fn is_open(&self, id: &str, now: Instant) -> bool {
        self.0.get(&digest(id)).is_some_and(|end| *end > now)
    }

    pub(super) fn close(&mut self, id: &str) {
        self.0.remove(&digest(id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_by_time_by_logout_and_by_number() {
        let mut sessions = Sessions::default();
        let start = Instant::now();
        let first = sessions.open(start);
        assert!(sessions.is_open(&first, start));
        assert!(!sessions.is_open(&first, start + LIFETIME));
        assert!(!sessions.is_open("guess", start));
        let others: Vec<_> =
            (1..=MOST as u64).map(|n| sessions.open(start + Duration::from_millis(n))).collect();
        assert!(!sessions.is_open(&first, start));
        sessions.close(&others[5]);
        assert!(!sessions.is_open(&others[5], start));
        assert!(sessions.is_open(&others[6], start));
    }
}
