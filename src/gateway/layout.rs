//! What the statements need to know of a gateway's tables; one file beside this for each gateway.
//!
//! Data only: `channel.rs`, `change.rs`, `user.rs` and `token/` make the statements from it.

use std::time::Duration;

use super::token::column::Own;
use super::{Kind, Telling, new_api, one_api, one_hub};
use crate::database::Form;

/// A gateway's tables as far as we read and write them.
pub(super) struct Layout {
    pub(super) kind: Kind,
    /// The columns that the statements name, and those that tell the other gateways apart.
    pub(super) form: Form,
    /// How long the gateway may serve a cached key by its own default.
    pub(super) sync_interval: Duration,
    /// What telling it of a write does.
    pub(super) telling: Option<Telling>,
    /// Whether `abilities` repeats which channels are enabled.
    pub(super) abilities: bool,
    /// Whether `channel_info` may make each line of a key a key of its own.
    pub(super) multi_key: bool,
    /// The tables whose rows are gone once `deleted_at` is set.
    pub(super) soft_delete: &'static [&'static str],
    /// The status of a user who counts as deleted.
    pub(super) deleted_user: Option<i64>,
    /// The type whose key is JSON around an access token.
    pub(super) json_type: Option<i64>,
    /// What `tokens` has besides the columns that all share.
    pub(super) tokens: &'static TokenLayout,
}

/// A gateway's tokens.
pub(super) struct TokenLayout {
    /// The columns of its own, in the order of the gateway's answers.
    pub(super) own: &'static [Own],
    /// What their values may be.
    pub(super) holds: fn(Has<'_>) -> Holds,
}

/// Whether this database's `tokens` has a column.
pub(super) type Has<'h> = &'h dyn Fn(&str) -> bool;

/// What values a gateway's tokens may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holds {
    /// The largest `remain_quota`.
    pub quota: i64,
    /// Whether the gateway understands ranges among `allow_ips`.
    pub ranges: bool,
}

/// New API's largest quota before 2026-08: 10⁹ units of 500,000 (gateways 1.5).
pub(super) const MOST_QUOTA: i64 = 500_000_000_000_000;

impl Layout {
    /// What a WHERE adds so that soft-deleted rows of `table` stay out; not the plain `IS NULL`, lest
    /// `SQLite` take the index on `deleted_at`, in which nearly all rows are equal.
    pub(super) fn alive(&self, table: &str) -> &'static str {
        if self.deletes_softly(table) {
            r#" AND NOT ("deleted_at" IS NOT NULL)"#
        } else {
            ""
        }
    }

    /// Whether a deletion only marks the rows of `table`.
    pub(super) fn deletes_softly(&self, table: &str) -> bool {
        self.soft_delete.contains(&table)
    }
}

/// The gateways' layouts; the embedded database is never taken for one of them.
pub(super) static LAYOUTS: [&Layout; 3] = [&new_api::LAYOUT, &one_hub::LAYOUT, &one_api::LAYOUT];

pub(super) static FORMS: [&Form; 3] = [&LAYOUTS[0].form, &LAYOUTS[1].form, &LAYOUTS[2].form];
