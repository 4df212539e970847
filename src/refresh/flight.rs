//! The exchanges under way, and how many may be.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tracing::error;

use crate::credential::{CredentialId, Terms};

/// What the configuration says of the job.
#[derive(Debug)]
pub struct Settings {
    pub(super) terms: HashMap<String, Arc<Terms>>,
    pub(super) lanes: HashMap<String, Arc<Semaphore>>,
    pub(super) room: Arc<Semaphore>,
}

impl Settings {
    /// The terms of each credential by name, `concurrency` exchanges at once, `per_endpoint` of them
    /// with one token endpoint.
    #[must_use]
    pub fn new(
        terms: HashMap<String, Arc<Terms>>,
        concurrency: usize,
        per_endpoint: usize,
    ) -> Self {
        let lanes = terms
            .values()
            .map(|terms| (lane(terms), Arc::new(Semaphore::new(per_endpoint))))
            .collect();
        Self {
            terms,
            lanes,
            room: Arc::new(Semaphore::new(concurrency)),
        }
    }
}

/// The token endpoint, as far as it counts for `per_endpoint`.
pub(super) fn lane(terms: &Terms) -> String {
    terms.client.token_url.origin().ascii_serialization()
}

/// The exchanges under way.
#[derive(Debug, Default)]
pub struct Flight {
    pub(super) tasks: Mutex<JoinSet<()>>,
    pub(super) aboard: Mutex<HashSet<CredentialId>>,
    closed: AtomicBool,
}

impl Flight {
    /// Whether `id` was not under way and now is.
    pub(super) fn board(&self, id: CredentialId) -> bool {
        lock(&self.aboard).insert(id)
    }

    /// Nothing boards any more.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}

/// Locks for an instant, never across an await.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is guarded here stays whole whoever panics with it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A task that ended: only a panic is news.
pub(super) fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        error!(%error, "an exchange ended in a panic: its credential waits for the next start");
    }
}
