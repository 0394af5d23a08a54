//! Counters of the server, and whether its store works.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
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
    pub package_offers: Counter,
    pub restarts: Counter,
    pub dropped: Counter,
    pub custom_sent: Counter,
    pub custom_received: Counter,
    pub custom_ignored: Counter,
    pub custom_dropped: Counter,
    /// Agents told to take another uid because theirs is another agent's.
    pub duplicates: Counter,
    /// Answers with a file of a package, or a part of one, and their bytes.
    pub downloads: Counter,
    pub download_bytes: Counter,
    /// Turned away because the server is full, or because too many connect at once.
    pub full: Counter,
    pub herd: Counter,
    /// Connections closed because they said too much.
    pub flood: Counter,
    /// Of OpAMP messages, uncompressed.
    pub received_bytes: Counter,
    pub sent_bytes: Counter,
    /// How long the fleet takes for a message.
    pub handling: Histogram,
    /// Connections and requests that were not let in.
    pub refused: Counter,
    store_problem: Mutex<Option<String>>,
}

/// Durations by their upper bounds.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [Counter; Self::BOUNDS.len() + 1],
    micros: Counter,
}

impl Histogram {
    /// In microseconds; what takes longer is in one more bucket.
    pub const BOUNDS: [u64; 9] = [50, 100, 250, 500, 1_000, 5_000, 25_000, 100_000, 1_000_000];

    pub(super) fn note(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = Self::BOUNDS.iter().position(|bound| micros <= *bound).unwrap_or(Self::BOUNDS.len());
        self.buckets[bucket].add(1);
        self.micros.add(micros);
    }

    /// How many are in each bucket, and how long all took.
    pub fn values(&self) -> ([u64; Self::BOUNDS.len() + 1], Duration) {
        (self.buckets.each_ref().map(Counter::value), Duration::from_micros(self.micros.value()))
    }
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
