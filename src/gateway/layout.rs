//! What the statements need to know of a gateway's tables; one file beside this for each gateway.
//!
//! Data only: `channel.rs` and `change.rs` make the statements from it.

use std::time::Duration;

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
    /// The type whose key is JSON around an access token.
    pub(super) json_type: Option<i64>,
}

impl Layout {
    /// What a WHERE adds so that soft-deleted rows of `table` stay out.
    pub(super) fn alive(&self, table: &str) -> &'static str {
        if self.soft_delete.contains(&table) {
            r#" AND "deleted_at" IS NULL"#
        } else {
            ""
        }
    }
}

pub(super) static LAYOUTS: [&Layout; 3] = [&new_api::LAYOUT, &one_hub::LAYOUT, &one_api::LAYOUT];

pub(super) static FORMS: [&Form; 3] = [&LAYOUTS[0].form, &LAYOUTS[1].form, &LAYOUTS[2].form];
