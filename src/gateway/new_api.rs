//! New API (QuantumNous/new-api): `abilities` repeats `status`; a channel may hold several keys.
//!
//! Recognised by `channels.channel_info` (since v0.8.5 of 2025-08; seen in v0.9.5, 2026-02 and 2026-08).
//! Type 57 (Codex, since 2026-01) keeps its key as JSON; JSON text in a channel of any other type is
//! that channel's key as it stands, so it counts as opaque text. With its memory cache it reloads every
//! 60 s, or at once when told.

use std::time::Duration;

use super::layout::{Holds, Layout, MOST_QUOTA, TokenLayout};
use super::token::Native;
use super::token::column::{GROUP, Own, flag, json, text};
use super::{Kind, Telling};
use crate::database::Form;

pub(super) static LAYOUT: Layout = Layout {
    kind: Kind::NewApi,
    form: Form {
        name: "new-api",
        present: &[
            (
                "channels",
                &[
                    "id",
                    "type",
                    "key",
                    "status",
                    "name",
                    "created_time",
                    "channel_info",
                ],
            ),
            ("abilities", &["group", "model", "channel_id", "enabled"]),
            ("users", &["id", "access_token", "deleted_at"]),
        ],
        absent: &[("channels", "deleted_at"), ("channels", "plugin")],
    },
    sync_interval: Duration::from_mins(1),
    telling: Some(Telling::Useful),
    abilities: true,
    multi_key: true,
    soft_delete: &["users", "tokens"],
    deleted_user: None,
    json_type: Some(57),
    tokens: &TOKENS,
};

/// Since 2025-12 there is `cross_group_retry`, since 2026-08 `auto_groups`, which the answers have last.
/// A new row holds '' and 0 where nothing was wished for (tests/fixtures, rows of all generations).
pub(super) static TOKENS: TokenLayout = TokenLayout {
    own: &[
        Own {
            name: "model_limits_enabled",
            holds: &["model_limits_enabled"],
            read: |token, cell| token.model_limits_enabled = cell.is_set(),
            write: |_, change| Ok(change.model_limits_enabled.map(flag)),
        },
        Own {
            name: "model_limits",
            holds: &["model_limits"],
            read: |token, cell| token.model_limits = cell.text(),
            write: |stored, change| {
                let list = change.model_limits.as_ref();
                let is_held =
                    |list: &&String| stored.is_some_and(|held| held.model_limits == **list);
                Ok(list.filter(|list| !is_held(list)).map(text))
            },
        },
        Own {
            name: "allow_ips",
            holds: &["allow_ips"],
            read: |token, cell| token.allow_ips = cell.nullable(),
            write: |_, change| Ok(change.allow_ips.as_ref().map(text)),
        },
        GROUP,
        Own {
            name: "cross_group_retry",
            holds: &["cross_group_retry"],
            read: |token, cell| {
                let value = Native::Bool(cell.is_set());
                token.more.push(("cross_group_retry", value));
            },
            write: |_, change| Ok(change.cross_group_retry.map(flag)),
        },
        Own {
            name: "deleted_at",
            holds: &[],
            read: |token, cell| {
                let value = Native::Text(cell.nullable());
                token.more.push(("DeletedAt", value));
            },
            write: |_, _| Ok(None),
        },
        Own {
            name: "auto_groups",
            holds: &[],
            read: |token, cell| {
                let value = Native::Json(json(cell.nullable()));
                token.more.push(("auto_groups", value));
            },
            write: |stored, _| Ok(stored.is_none().then(|| text(""))),
        },
    ],
    // The generation of 2026-08 refuses more (live-new-api 9); ranges are understood since 2025-12-15,
    // three days after the column came; before, a list of nothing but ranges is open to everybody.
    holds: |has| Holds {
        quota: if has("auto_groups") {
            i64::from(i32::MAX)
        } else {
            MOST_QUOTA
        },
        ranges: has("cross_group_retry"),
    },
};
