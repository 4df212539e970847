//! The time of a job: SQLite asks between its steps whether it is up.
//!
//! `sqlite.rs` installs it in each connection, `lane.rs` arms it for each job and never for COMMIT.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::{Clock, Stopwatch};

/// How many steps of SQLite's virtual machine pass between two looks: some ten microseconds in memory,
/// some milliseconds if each step waits for a disk.
pub(super) const STEPS: std::ffi::c_int = 1000;

/// A deadline that one thread sets and SQLite's progress handler reads; clones share it.
#[derive(Clone)]
pub(super) struct Deadline {
    watch: Stopwatch,
    span: Duration,
    /// Microseconds on `watch`.
    until: Arc<AtomicU64>,
}

impl Deadline {
    pub(super) fn new(span: Duration, clock: &Clock) -> Self {
        Self {
            watch: clock.stopwatch(),
            span,
            until: Arc::new(AtomicU64::new(u64::MAX)),
        }
    }

    pub(super) fn span(&self) -> Duration {
        self.span
    }

    pub(super) fn arm(&self) {
        let until = micros(self.watch.elapsed() + self.span);
        self.until.store(until, Ordering::Relaxed);
    }

    pub(super) fn disarm(&self) {
        self.until.store(u64::MAX, Ordering::Relaxed);
    }

    pub(super) fn is_past(&self) -> bool {
        let until = self.until.load(Ordering::Relaxed);
        until != u64::MAX && micros(self.watch.elapsed()) > until
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
