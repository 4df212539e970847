//! What a reading connection remembers of what its jobs computed, until anybody commits.
//!
//! `session.rs` asks it under the `data_version` of the transaction under way; a writer has none, for
//! that number does not tell its own changes. What is remembered may be a secret, and so may its key:
//! a key is compared whole, after a hash with a number of this process's own, and wiped when it goes.

use std::any::Any;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};

use zeroize::Zeroizing;

/// Room for keys and values, in bytes; once it is full, all is forgotten.
const ROOM: usize = 512 * 1024;

/// What an entry takes besides its key and its value, in bytes.
const ENTRY: usize = 96;

/// What may be remembered; a clone is to be cheap.
pub trait Memorable: Clone + Send + 'static {
    /// How much memory it takes, in bytes, roughly.
    fn bytes(&self) -> usize;
}

impl Memorable for i64 {
    fn bytes(&self) -> usize {
        size_of::<Self>()
    }
}

/// What was computed as of one version.
#[derive(Default)]
pub(super) struct Memory {
    version: i64,
    found: HashMap<Key, Box<dyn Any + Send>>,
    taken: usize,
}

/// What was asked, in words of the asker's, and about what.
#[derive(PartialEq, Eq)]
pub(super) struct Key(Zeroizing<Vec<u8>>);

impl Key {
    /// `question` holds no zero byte.
    pub(super) fn new(question: &str, about: &[u8]) -> Self {
        let parts = [question.as_bytes(), &[0], about];
        Self(Zeroizing::new(parts.concat()))
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.as_slice().hash(state);
    }
}

impl Memory {
    pub(super) fn recall<T: Memorable>(&mut self, version: i64, key: &Key) -> Option<T> {
        if self.version != version {
            self.forget();
            self.version = version;
        }
        self.found.get(key)?.downcast_ref().cloned()
    }

    /// Keeps what was computed since the last [`recall`](Self::recall), in the same transaction.
    pub(super) fn keep<T: Memorable>(&mut self, key: Key, value: T) {
        let size = ENTRY + key.0.len() + value.bytes();
        if size > ROOM {
            return;
        }
        if self.taken + size > ROOM {
            self.forget();
        }
        self.taken += size;
        self.found.insert(key, Box::new(value));
    }

    fn forget(&mut self) {
        self.found.clear();
        self.taken = 0;
    }
}
