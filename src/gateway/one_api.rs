//! One-API (songquanpeng/one-api): `abilities` repeats `status`; no multi-key, no soft delete.
//!
//! Recognised by `channels.config` (since 2024-04; seen at 8df4a267). With its memory cache it reloads
//! every 600 s and offers no way to be told (facts: live-one-api-one-hub 2.1).

use std::time::Duration;

use super::Kind;
use super::layout::Layout;
use crate::database::Form;

pub(super) static LAYOUT: Layout = Layout {
    kind: Kind::OneApi,
    form: Form {
        name: "one-api",
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
                    "config",
                ],
            ),
            ("abilities", &["group", "model", "channel_id", "enabled"]),
            ("users", &["id", "access_token"]),
        ],
        absent: &[("channels", "channel_info"), ("channels", "deleted_at")],
    },
    sync_interval: Duration::from_mins(10),
    telling: None,
    abilities: true,
    multi_key: false,
    soft_delete: &[],
    json_type: None,
};
