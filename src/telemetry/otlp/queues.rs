//! Queues that come and go while others put things into them.

use std::{
    fmt,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::mpsc;

/// Everywhere that one kind of thing is put. Cheap to clone; all clones are the same.
pub(super) struct Queues<T>(Arc<RwLock<Vec<Queue<T>>>>);

struct Queue<T> {
    items: mpsc::Sender<T>,
    /// What found it full.
    dropped: Arc<AtomicU64>,
}

impl<T: Clone> Queues<T> {
    /// One more, until its reader is gone.
    pub(super) fn add(&self, items: mpsc::Sender<T>, dropped: Arc<AtomicU64>) {
        let mut queues = self.0.write().unwrap_or_else(PoisonError::into_inner);
        queues.retain(|queue| !queue.items.is_closed());
        queues.push(Queue { items, dropped });
    }

    pub(super) fn is_empty(&self) -> bool {
        let queues = self.0.read().unwrap_or_else(PoisonError::into_inner);
        queues.iter().all(|queue| queue.items.is_closed())
    }

    /// Into each of them. Never waits.
    pub(super) fn put(&self, item: &T) {
        for queue in self.0.read().unwrap_or_else(PoisonError::into_inner).iter() {
            if let Err(mpsc::error::TrySendError::Full(_)) = queue.items.try_send(item.clone()) {
                queue.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl<T> Clone for Queues<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Default for Queues<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> fmt::Debug for Queues<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Queues")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_queue_gets_everything_a_full_one_counts_and_a_closed_one_is_forgotten() {
        let queues = Queues::default();
        assert!(queues.is_empty());
        let (first, mut reader) = mpsc::channel(1);
        let (second, closed) = mpsc::channel(1);
        let dropped = Arc::<AtomicU64>::default();
        queues.clone().add(first, dropped.clone());
        queues.add(second, dropped.clone());
        drop(closed);
        queues.put(&1);
        queues.put(&2);
        assert_eq!((reader.try_recv(), dropped.load(Ordering::Relaxed)), (Ok(1), 1));
        assert!(!queues.is_empty());
        drop(reader);
        assert!(queues.is_empty());
    }
}
