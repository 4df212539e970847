//! What the administrator is told: events folded into messages, one file per notifier.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// What an event is about; the words of `events = […]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    /// A new access token was obtained.
    Refreshed,
    /// An exchange failed and will be tried again: the first of an incident only.
    Failing,
    /// The provider rejected the refresh token: a person must log in again.
    Dead,
    /// Whether the refresh token was spent is not known.
    Unconfirmed,
    /// A refresh succeeded after an incident.
    Recovered,
    /// A channel's key was changed by somebody else.
    Conflict,
    /// The daemon started.
    Starting,
    /// The daemon is stopping.
    Stopping,
}

/// Something the administrator may want to know, as stored.
#[derive(Clone, Debug)]
pub struct Event {
    /// Grows by one with each event.
    pub id: i64,
    /// When it happened.
    pub at: Timestamp,
    /// The credential's name; none for the daemon itself.
    pub credential: Option<String>,
    /// What happened.
    pub kind: EventKind,
    /// The particulars.
    pub detail: Detail,
}

/// An event's particulars; no secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Detail {
    /// The access token's generation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// The access token, masked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// When the access token expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// When the next exchange is planned (refreshed, failing) or the token may be sent again (unconfirmed).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Timestamp>,
    /// What went wrong, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The channel a conflict is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<i64>,
}

/// The language of notices and API messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Locale {
    /// Simplified Chinese.
    #[default]
    #[serde(rename = "zh-CN")]
    Chinese,
    /// English.
    #[serde(rename = "en")]
    English,
}
