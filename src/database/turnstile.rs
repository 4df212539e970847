//! Lets all our transactions on a file be out at once, now and then.
//!
//! A process has one set of POSIX locks on a file: while any connection of ours reads, every other gets
//! SHARED without a look at the PENDING of a foreign COMMIT, and readers that overlap keep it waiting
//! for ever. Once nobody of ours is in, the next one does look. `lane.rs` takes a [`Turn`] for each
//! read and for the beginning of each write; whoever is inside waits for nobody here.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::{Clock, Stopwatch};

/// After so long without a moment in which all were out, nobody comes in until there is one. To empty
/// the room of short reads takes less than a millisecond (measured: below one in a hundred of them).
const CROWDED: Duration = Duration::from_millis(50);

/// The same for short transactions while a long one is in, which they would have to sit out: as it ends
/// within 100 ms, and no other comes, the moment comes no later.
const CROWDED_BY_LONG: Duration = Duration::from_millis(160);

/// How long a transaction may take.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stay {
    /// Some milliseconds.
    Short,
    /// A piece of a scan.
    Long,
}

/// One for each file.
pub(super) struct Turnstile {
    room: Mutex<Room>,
    /// The last one left.
    empty: Condvar,
    clock: Clock,
}

struct Room {
    inside: usize,
    long: usize,
    waiting: usize,
    /// Runs since the room was last empty.
    crowded: Stopwatch,
}

impl Room {
    fn is_shut(&self, stay: Stay) -> bool {
        let most = if stay == Stay::Short && self.long > 0 {
            CROWDED_BY_LONG
        } else {
            CROWDED
        };
        self.inside > 0 && self.crowded.elapsed() > most
    }
}

/// The right to a transaction, until it is dropped.
pub(super) struct Turn<'t> {
    turnstile: &'t Turnstile,
    stay: Stay,
}

impl Turnstile {
    pub(super) fn new(clock: &Clock) -> Self {
        Self {
            room: Mutex::new(Room {
                inside: 0,
                long: 0,
                waiting: 0,
                crowded: clock.stopwatch(),
            }),
            empty: Condvar::new(),
            clock: clock.clone(),
        }
    }

    /// Waits, if it is time, until all others are out.
    pub(super) fn enter(&self, stay: Stay) -> Turn<'_> {
        let mut room = self.lock();
        while room.is_shut(stay) {
            room.waiting += 1;
            room = self
                .empty
                .wait(room)
                .unwrap_or_else(PoisonError::into_inner);
            room.waiting -= 1;
        }
        if room.inside == 0 {
            room.crowded = self.clock.stopwatch();
        }
        room.inside += 1;
        room.long += usize::from(stay == Stay::Long);
        Turn {
            turnstile: self,
            stay,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Room> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut room = self.turnstile.lock();
        room.inside -= 1;
        room.long -= usize::from(self.stay == Stay::Long);
        if room.inside == 0 && room.waiting > 0 {
            self.turnstile.empty.notify_all();
        }
    }
}
