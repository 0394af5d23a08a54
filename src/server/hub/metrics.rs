//! Counters of the server, and whether its store works.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use crate::server::store::StoreError;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Default)]
pub struct Metrics {
    pub messages: Counter,
    pub malformed: Counter,
    pub full_state_requests: Counter,
    pub offers: Counter,
    pub restarts: Counter,
    pub dropped: Counter,
    pub custom_sent: Counter,
    pub custom_received: Counter,
    pub custom_ignored: Counter,
    pub custom_dropped: Counter,
    /// Agents told to take another uid because theirs is another agent's.
    pub duplicates: Counter,
    store_problem: Mutex<Option<String>>,
}

impl Metrics {
    /// Keeps the outcome of a write, and logs when it turns.
    pub(super) fn note_store(&self, written: &Result<(), StoreError>) {
        let now = written.as_ref().err().map(ToString::to_string);
        let mut problem = self.store_problem.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*problem, &now) {
            (None, Some(error)) => tracing::error!(error, "agents' state cannot be written; trying again"),
            (Some(_), None) => tracing::info!("agents' state is written again"),
            _ => {}
        }
        *problem = now;
    }

    /// Why the store does not work, if it does not.
    pub fn store_problem(&self) -> Option<String> {
        self.store_problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
