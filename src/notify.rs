//! What the administrator is told: events folded into messages, one file per notifier.
//!
//! A settled exchange and a checked link append [`Event`]s; each notifier's [`Courier`] folds those
//! behind its cursor ([`fold`]) into one [`Message`] ([`text`]), minds the service's limits
//! ([`limits`]) and moves the cursor only after the service accepted. A notifier itself
//! ([`pushplus`]) only translates. Nothing here knows why an event happened, and no message holds a
//! secret: tokens arrive masked.

mod cause;
pub mod courier;
pub mod fold;
pub mod limits;
pub mod markup;
pub mod pushplus;
pub mod step;
pub mod text;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::clock::Timestamp;
use crate::wire;

pub use cause::Cause;
pub use courier::{Courier, Outcome, Subscriber};
pub use limits::Limits;
pub use markup::Format;

/// A service that carries messages to the administrator: pure translation, no IO.
pub trait Notifier: Send + Sync {
    /// The request that hands `message` to the service at the moment `at`.
    fn request(&self, message: &Message, at: Timestamp) -> wire::Request;

    /// What the service's answer means; a 2xx alone is never acceptance.
    fn accepted(&self, answer: &wire::Answer) -> Delivery;

    /// What the service allows.
    fn limits(&self) -> Limits;

    /// The markup that [`Message::body`] must be written in.
    fn format(&self) -> Format;

    /// Everything set for this notifier, secrets included: when it changes, a stopped notifier tries
    /// again. Only its fingerprint is stored.
    fn identity(&self) -> Zeroizing<String>;
}

/// What a notifier is given to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// One line of plain text.
    pub title: String,
    /// The text in the notifier's [`Format`].
    pub body: String,
}

/// How it went. Reasons are for people and hold no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The service took the message; whether it reaches the phone is the service's affair.
    Accepted {
        /// The service's serial number of the message.
        serial: Option<String>,
    },
    /// Not now: the same message may be accepted later.
    Later {
        /// What went wrong.
        reason: String,
        /// The shortest wait that the service asked for.
        after: Option<Duration>,
    },
    /// The service wants no more requests before its next day.
    StopToday {
        /// What the service said.
        reason: String,
    },
    /// Nothing will be accepted before the settings or the account change.
    StopUntilChanged {
        /// What the service said.
        reason: String,
    },
}

/// What an event is about; the words of `events = […]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    /// A new access token was obtained.
    Refreshed,
    /// An exchange failed and will be tried again, or a channel waits for its key: the first of an
    /// incident only.
    Failing,
    /// The provider rejected the refresh token: a person must log in again.
    Dead,
    /// Whether the refresh token was spent is not known.
    Unconfirmed,
    /// A refresh succeeded after an incident, with that refresh's own event; or a channel got the key
    /// that it waited for.
    Recovered,
    /// A channel's key was changed by somebody else.
    Conflict,
    /// The daemon started.
    Starting,
    /// The daemon is stopping.
    Stopping,
}

impl EventKind {
    /// Every kind, worst first: the order in which a message tells them.
    pub const WORST_FIRST: [Self; 8] = [
        Self::Dead,
        Self::Conflict,
        Self::Unconfirmed,
        Self::Failing,
        Self::Recovered,
        Self::Refreshed,
        Self::Starting,
        Self::Stopping,
    ];

    /// Its word in the configuration and in the state.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Refreshed => "refreshed",
            Self::Failing => "failing",
            Self::Dead => "dead",
            Self::Unconfirmed => "unconfirmed",
            Self::Recovered => "recovered",
            Self::Conflict => "conflict",
            Self::Starting => "starting",
            Self::Stopping => "stopping",
        }
    }

    /// The kind that `word` names.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::WORST_FIRST
            .into_iter()
            .find(|kind| kind.word() == word)
    }

    /// Whether it asks a person to act; the others only keep one informed.
    #[must_use]
    pub fn is_pressing(self) -> bool {
        matches!(self, Self::Dead | Self::Conflict | Self::Unconfirmed)
    }

    /// Its place in [`WORST_FIRST`](Self::WORST_FIRST).
    #[must_use]
    pub fn rank(self) -> usize {
        Self::WORST_FIRST
            .iter()
            .position(|kind| *kind == self)
            .unwrap_or(Self::WORST_FIRST.len())
    }
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
    /// Why nothing more is sent, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// The channel it is about, if it is about one.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_a_kind_are_those_of_the_configuration() {
        for kind in EventKind::WORST_FIRST {
            assert_eq!(EventKind::from_word(kind.word()), Some(kind));
            assert_eq!(
                serde_json::to_value(kind).unwrap(),
                serde_json::json!(kind.word())
            );
        }
        assert_eq!(EventKind::from_word("exploded"), None);
    }
}
