//! A row of `channels`: how it is selected and what it says.
//!
//! Pure. Callers: `gateway.rs`, which reads, and `change.rs`, which decides from a row what to write.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret as _, SecretString};

use super::json_key::JsonKey;
use super::layout::Layout;
use super::multi_key::{self, MultiKey};
use crate::database::{Row, Statement, Value};

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

impl From<i64> for Status {
    fn from(number: i64) -> Self {
        match number {
            1 => Self::Enabled,
            2 => Self::ManuallyDisabled,
            3 => Self::AutoDisabled,
            other => Self::Other(other),
        }
    }
}

impl Status {
    /// As the column has it.
    #[must_use]
    pub fn number(self) -> i64 {
        match self {
            Self::Enabled => 1,
            Self::ManuallyDisabled => 2,
            Self::AutoDisabled => 3,
            Self::Other(number) => number,
        }
    }
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
    /// Whether `key` is JSON around an access token ([`JsonKey`]; New API type 57).
    pub json: bool,
    /// Whether `channel_info` says that each line of `key` is a key of its own (New API).
    pub multi_key: bool,
    /// The lines of a multi-key channel that are not enabled, counted from 0.
    pub lines_off: BTreeMap<usize, Status>,
    /// Whether an ability is off: without a cache the gateway goes by abilities, not by `status`.
    pub abilities_off: bool,
}

impl Channel {
    /// The access token in service here: the whole key, that line of it, or the one inside its JSON.
    /// Nothing if there is no such line, the channel has several keys and no line is named, or the
    /// JSON cannot be read.
    #[must_use]
    pub fn access_token(&self, line: Option<usize>) -> Option<SecretString> {
        let key = self.key.expose_secret();
        match (self.multi_key, line) {
            (true, Some(line)) => multi_key::line(key, line).map(SecretString::from),
            (false, None) if self.json => Some(JsonKey::parse(key)?.access_token().into()),
            (false, None) => Some(self.key.clone()),
            _ => None,
        }
    }

    /// The state of the channel, or of that line: auto-disabled if anything that
    /// `Write::enable` would enable keeps traffic away.
    #[must_use]
    pub fn status_of(&self, line: Option<usize>) -> Status {
        let line = line.and_then(|line| self.lines_off.get(&line)).copied();
        match (self.status, line) {
            (Status::Enabled | Status::AutoDisabled, Some(line)) => line,
            (Status::Enabled, None) if self.abilities_off => Status::AutoDisabled,
            (status, _) => status,
        }
    }
}

/// A channel with the column that only a change needs.
pub(super) struct Stored {
    pub(super) channel: Channel,
    pub(super) multi_key: Option<MultiKey>,
}

pub(super) fn select(layout: &Layout, ids: &[i64]) -> Statement {
    let abilities_off = if layout.abilities {
        r#"EXISTS (SELECT 1 FROM "abilities" a WHERE a."channel_id" = c."id" AND NOT a."enabled")"#
    } else {
        "0"
    };
    let channel_info = if layout.multi_key {
        r#"CAST(c."channel_info" AS TEXT)"#
    } else {
        "NULL"
    };
    let marks = vec!["?"; ids.len()].join(", ");
    let alive = layout.alive("channels");
    Statement {
        sql: format!(
            r#"SELECT c."id", c."created_time", c."type", c."name", c."status", c."key", {abilities_off}, {channel_info} FROM "channels" c WHERE c."id" IN ({marks}){alive} ORDER BY c."id""#
        ),
        values: ids.iter().copied().map(Value::Int).collect(),
    }
}

pub(super) fn read(layout: &Layout, row: &Row) -> Stored {
    let kind = int(row, 2);
    let multi_key = MultiKey::parse(text(row, 7));
    let channel = Channel {
        id: int(row, 0),
        created_time: int(row, 1),
        kind,
        name: text(row, 3).to_owned(),
        status: int(row, 4).into(),
        key: text(row, 5).into(),
        json: multi_key.is_none() && layout.json_type == Some(kind),
        multi_key: multi_key.is_some(),
        lines_off: multi_key
            .as_ref()
            .map(MultiKey::lines_off)
            .unwrap_or_default(),
        abilities_off: int(row, 6) != 0,
    };
    Stored { channel, multi_key }
}

pub(super) fn int(row: &Row, column: usize) -> i64 {
    match row.get(column) {
        Some(Value::Int(number)) => *number,
        _ => 0,
    }
}

pub(super) fn text(row: &Row, column: usize) -> &str {
    match row.get(column) {
        Some(Value::Text(text)) => text.expose_secret(),
        _ => "",
    }
}
