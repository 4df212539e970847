//! Slot files: written, torn, bent and stale; what opens is what was written, or nothing.

use std::cell::Cell;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use keyfresh::credential::CredentialId;
use keyfresh::secret::StateKey;
use keyfresh::store::{self, Slot, Slots};
use proptest::prelude::*;
use proptest::sample::Index;
use tempfile::TempDir;

use crate::cases;

/// A half, as the map of the code has it.
const HALF: usize = 64 * 1024;

struct World {
    _folder: TempDir,
    path: PathBuf,
    slots: Slots,
    /// As in the rows: no attempt has the number of another.
    attempt: Cell<u64>,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        store::create(&state).unwrap();
        Self {
            path: state.join("slots/05"),
            slots: Slots::open(&state, Arc::new(StateKey::new(&[7; 32]))).unwrap(),
            attempt: Cell::new(1),
            _folder: folder,
        }
    }

    /// Another attempt's number.
    fn begin(&self) -> u64 {
        self.attempt.set(self.attempt.get() + 1);
        self.attempt.get()
    }

    fn slot(&self, attempt: u64) -> Slot {
        self.slots.slot(5, CredentialId(1), attempt).unwrap()
    }

    fn file(&self) -> Vec<u8> {
        fs::read(&self.path).unwrap()
    }

    fn put(&self, file: &[u8]) {
        fs::write(&self.path, file).unwrap();
    }

    fn read(&self, attempt: u64) -> Option<Vec<u8>> {
        let received = self.slot(attempt).read().unwrap();
        received.map(|received| received.to_vec())
    }
}

/// An answer as it comes, read after read.
fn answer() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let parts = prop::collection::vec(prop::collection::vec(any::<u8>(), 1..600), 1..6);
    parts.prop_map(|parts| {
        let mut received = Vec::new();
        let so_far = parts.into_iter().map(|part| {
            received.extend(part);
            received.clone()
        });
        so_far.collect()
    })
}

#[test]
fn a_torn_write_leaves_the_one_before_it_wherever_it_was_torn() {
    let world = World::new();
    let check = |parts: &[Vec<u8>], end: Index| {
        let attempt = world.begin();
        let mut slot = world.slot(attempt);
        let mut before = world.file();
        let mut last: Option<&Vec<u8>> = None;
        for part in parts {
            slot.write(part);
            let after = world.file();
            let changed: Vec<usize> = (0..2 * HALF)
                .filter(|&at| before[at] != after[at])
                .collect();
            let (first, past) = (changed[0], changed[changed.len() - 1] + 1);
            prop_assert_eq!(first / HALF, (past - 1) / HALF, "a write stays in its half");
            let torn = first + end.index(past - first);
            world.put(&[&after[..torn], &before[torn..]].concat());
            prop_assert_eq!(world.read(attempt), last.cloned());
            world.put(&after);
            prop_assert_eq!(world.read(attempt), Some(part.clone()));
            prop_assert_eq!(world.read(attempt + 1), None, "it is another attempt's");
            (before, last) = (after, Some(part));
        }
        Ok(())
    };
    let mut runner = proptest::test_runner::TestRunner::new(cases(2));
    let cases = (answer(), any::<Index>());
    runner
        .run(&cases, |(parts, end)| check(&parts, end))
        .unwrap();
}

#[test]
fn a_bent_file_opens_as_something_that_was_written_or_not_at_all() {
    let world = World::new();
    let check = |parts: &[Vec<u8>], places: &[(Index, u8)], swapped: bool| {
        let attempt = world.begin();
        let mut slot = world.slot(attempt);
        for part in parts {
            slot.write(part);
        }
        let mut file = world.file();
        for (place, byte) in places {
            // Near the head of either half, where the records are.
            let at = place.index(2 * 4096);
            file[at / 4096 * HALF + at % 4096] = *byte;
        }
        if swapped {
            file.rotate_left(HALF);
        }
        world.put(&file);
        if let Some(found) = world.read(attempt) {
            prop_assert!(parts.contains(&found));
        }
        prop_assert_eq!(world.read(attempt + 1), None);
        Ok(())
    };
    let mut runner = proptest::test_runner::TestRunner::new(cases(2));
    let places = prop::collection::vec(any::<(Index, u8)>(), 0..8);
    let cases = (answer(), places, any::<bool>());
    runner
        .run(&cases, |(parts, places, swapped)| {
            check(&parts, &places, swapped)
        })
        .unwrap();
}
