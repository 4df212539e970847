//! One-Hub (MartialBE/one-hub): no `abilities`; channels are soft-deleted.
//!
//! Recognised by `channels.plugin` and `channels.deleted_at` without `abilities` (seen at 387f8bf1). The
//! master holds the channels in memory and never looks again by itself, a slave every 600 s (facts:
//! live-one-api-one-hub 2). NULL in `weight` or `priority` keeps it from starting: neither is touched.

use std::time::Duration;

use super::layout::Layout;
use super::{Kind, Telling};
use crate::database::Form;

pub(super) static LAYOUT: Layout = Layout {
    kind: Kind::OneHub,
    form: Form {
        name: "one-hub",
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
                    "plugin",
                    "deleted_at",
                ],
            ),
            ("users", &["id", "access_token", "deleted_at"]),
        ],
        absent: &[("abilities", "channel_id"), ("channels", "channel_info")],
    },
    sync_interval: Duration::from_mins(10),
    telling: Some(Telling::Needed),
    abilities: false,
    multi_key: false,
    soft_delete: &["channels", "users"],
    json_type: None,
};
