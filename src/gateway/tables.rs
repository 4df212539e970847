//! `users` and `tokens` of one gateway, as a job inside a transaction sees them.
//!
//! What can be done with them stands in `user.rs` and `token/row.rs`; SQL is written once, with `?` and
//! double quotes, and the layout says what differs.

use super::layout::{Holds, Layout};
use crate::database::Session;

/// The users and tokens of a gateway, for the length of one transaction.
pub struct Tables<'s> {
    pub(super) session: &'s Session<'s>,
    pub(super) layout: &'static Layout,
}

impl Tables<'_> {
    /// What values tokens may have here and now: a gateway's update adds columns.
    #[must_use]
    pub fn holds(&self) -> Holds {
        (self.layout.tokens.holds)(&|column| self.session.has("tokens", column))
    }
}
