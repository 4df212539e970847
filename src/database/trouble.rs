//! What kept a job from being done, told apart by what helps against it.
//!
//! `sqlite.rs` judges; `lane.rs` looks whether the connection can stay; `database.rs` waits, or passes the
//! error on.

use super::Error;

/// What one attempt on a database ended with, if not in success.
#[derive(Clone)]
pub(super) enum Trouble {
    /// May pass; the error tells it should it not.
    Passing(Error),
    /// Will not pass by waiting.
    Lasting(Error),
}

impl Trouble {
    /// Whether the connection is as good as before.
    pub(super) fn spares_the_connection(&self) -> bool {
        match self {
            Self::Passing(error) => !matches!(error, Error::NotDatabase(_)),
            Self::Lasting(error) => matches!(
                error,
                Error::Overrun { .. } | Error::NotKept(_) | Error::Constraint { .. }
            ),
        }
    }
}
