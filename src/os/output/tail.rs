//! The last words of a child.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Bytes kept at least.
const CAPACITY: usize = 64 * 1024;

/// A ring of the last 64 KiB, or more where more is asked for; clones share it. It grows as it fills.
#[derive(Debug, Clone)]
pub struct Tail {
    ring: Arc<Mutex<VecDeque<u8>>>,
    capacity: usize,
}

impl Default for Tail {
    fn default() -> Self {
        Self::of(CAPACITY)
    }
}

impl Tail {
    /// One that keeps at least so many bytes.
    #[must_use]
    pub fn of(bytes: usize) -> Self {
        Self { ring: Arc::default(), capacity: bytes.max(CAPACITY) }
    }

    pub fn push(&self, bytes: &[u8]) {
        let bytes = &bytes[bytes.len().saturating_sub(self.capacity)..];
        let mut ring = self.lock();
        let over = (ring.len() + bytes.len()).saturating_sub(self.capacity);
        ring.drain(..over);
        ring.extend(bytes);
    }

    /// The last lines that fit into so many bytes; whole lines where possible.
    #[must_use]
    pub fn last(&self, most: usize) -> String {
        let ring = self.lock();
        let start = ring.len().saturating_sub(most);
        let mut bytes: Vec<u8> = ring.range(start..).copied().collect();
        drop(ring);
        if start > 0
            && let Some(newline) = bytes.iter().position(|byte| *byte == b'\n')
            && newline + 1 < bytes.len()
        {
            bytes.drain(..=newline);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<u8>> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_64_kib_stay() {
        let tail = Tail::default();
        for number in 0..20_000 {
            tail.push(format!("line {number}\n").as_bytes());
        }
        let kept = tail.last(usize::MAX);
        assert!(kept.len() <= CAPACITY && kept.ends_with("line 19999\n"));
        tail.push(&vec![b'x'; 3 * CAPACITY]);
        assert_eq!(tail.last(usize::MAX).len(), CAPACITY);
    }

    #[test]
    fn more_is_kept_where_more_is_asked_for() {
        let tail = Tail::of(2 * CAPACITY);
        tail.push(&vec![b'x'; 3 * CAPACITY]);
        assert_eq!(tail.last(usize::MAX).len(), 2 * CAPACITY);
    }

    #[test]
    fn a_short_tail_begins_with_a_whole_line() {
        let tail = Tail::default();
        tail.push("first\nsecond\nthird\n".as_bytes());
        assert_eq!(tail.last(15), "second\nthird\n");
        assert_eq!(tail.last(100), "first\nsecond\nthird\n");
        assert_eq!(tail.last(3), "rd\n");
    }
}
