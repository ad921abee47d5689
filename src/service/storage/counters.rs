//! Counts what was sent, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What was sent since the start.
#[derive(Debug, Default)]
pub struct Counters {
    bytes: AtomicU64,
    files: AtomicU64,
    recordings: AtomicU64,
    errors: AtomicU64,
    milliseconds: AtomicU64,
    packs: AtomicU64,
    pack_errors: AtomicU64,
    /// Files and parts that need not be sent again.
    steps: AtomicU64,
}

/// The counters' values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Bytes that were sent, also those that were sent again.
    pub bytes: u64,
    /// Files that were verified.
    pub files: u64,
    /// Recordings that are whole in a store.
    pub recordings: u64,
    /// Tries that failed.
    pub errors: u64,
    /// Packs of recordings that were being made.
    pub packs: u64,
    /// Times that such a pack could not be sent.
    pub pack_errors: u64,
    /// How long whole recordings took.
    pub time: Duration,
}

impl Counters {
    pub(super) fn sent(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
    /// A part is in the store and noted.
    pub(super) fn step(&self) {
        self.steps.fetch_add(1, Ordering::Relaxed);
    }
    pub(super) fn verified(&self) {
        self.files.fetch_add(1, Ordering::Relaxed);
        self.step();
    }
    pub(super) fn failed(&self) {
        self.errors.fetch_add(1, Ordering::Relaxed);
    }
    /// What a recorder wrote is in the store.
    pub(super) fn packed(&self, packs: u64, bytes: u64) {
        self.packs.fetch_add(packs, Ordering::Relaxed);
        self.sent(bytes);
    }
    pub(super) fn not_packed(&self) {
        self.pack_errors.fetch_add(1, Ordering::Relaxed);
    }
    pub(super) fn stored(&self, took: Duration) {
        self.recordings.fetch_add(1, Ordering::Relaxed);
        self.milliseconds.fetch_add(u64::try_from(took.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
    /// How many files and parts need not be sent again.
    pub(super) fn steps(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
    }

    /// Their values now.
    pub fn totals(&self) -> Totals {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Totals {
            bytes: of(&self.bytes),
            files: of(&self.files),
            recordings: of(&self.recordings),
            errors: of(&self.errors),
            packs: of(&self.packs),
            pack_errors: of(&self.pack_errors),
            time: Duration::from_millis(of(&self.milliseconds)),
        }
    }
}
