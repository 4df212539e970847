//! New API (QuantumNous/new-api): `abilities` repeats `status`; a channel may hold several keys.
//!
//! Recognised by `channels.channel_info` (since v0.8.5 of 2025-08; seen in v0.9.5, 2026-02 and 2026-08).
//! Type 57 (Codex, since 2026-01) keeps its key as JSON; JSON text in a channel of any other type is
//! that channel's key as it stands, so it counts as opaque text. With its memory cache it reloads every
//! 60 s, or at once when told.

use std::time::Duration;

use super::layout::Layout;
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
    soft_delete: &["users"],
    json_type: Some(57),
};
