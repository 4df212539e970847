//! The gateway whose `channels` we write: One-API, New API or One-Hub, each a layout of columns.
//!
//! Layouts are data and pure functions (`gateway/*.rs`): a row and what is wanted become statements.
//! [`Gateway`] runs them through `database.rs`; only `link.rs` and the commands call it. A foreign
//! gateway's tables are never migrated (I8).

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

/// Which gateway a database belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// songquanpeng/one-api.
    OneApi,
    /// QuantumNous/new-api, every generation.
    NewApi,
    /// MartialBE/one-hub.
    OneHub,
}

/// `[gateway]` of the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The SQLite file.
    pub database: PathBuf,
    /// The gateway that the administrator says it is; recognised by its columns if unset.
    pub kind: Option<Kind>,
    /// How long the gateway may go on serving a cached key; each layout has its default.
    pub sync_interval: Option<Duration>,
    /// How long a locked file is retried before it counts as a failure.
    pub busy_timeout: Duration,
    /// The gateway's base URL, to tell it after a write.
    pub url: Option<Url>,
    /// An administrator's access token, for that call alone.
    pub access_token: Option<SecretString>,
}

/// `channels.status`, the same in all three gateways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// 1.
    Enabled,
    /// 2: by hand; never touched by us.
    ManuallyDisabled,
    /// 3: by the gateway, after a refusal upstream.
    AutoDisabled,
    /// Any other number.
    Other(i64),
}

/// One row of `channels`, as far as a link needs it.
#[derive(Clone, Debug)]
pub struct Channel {
    /// `id`.
    pub id: i64,
    /// `created_time`, unix seconds.
    pub created_time: i64,
    /// `type`: its meaning differs from gateway to gateway.
    pub kind: i64,
    /// `name`.
    pub name: String,
    /// `status`.
    pub status: Status,
    /// `key` as stored: one token, several lines, or JSON.
    pub key: SecretString,
    /// Whether `channel_info` says that each line of `key` is a key of its own (New API).
    pub multi_key: bool,
    /// Whether the line's own state (multi-key: `multi_key_status_list`) or an ability is off while the channel counts as enabled.
    pub partly_disabled: bool,
}
