//! What is wanted of a channel, and the statements that make it so.
//!
//! Pure; `gateway.rs` runs what comes out of here. Only the columns named here are ever written, and
//! the UPDATE repeats in its WHERE all that it was decided from.

use secrecy::{ExposeSecret as _, SecretString};

use super::channel::Stored;
use super::json_key::JsonKey;
use super::layout::Layout;
use super::multi_key;
use super::{Channel, Error, Status};
use crate::database::{Change, Statement, Value};

/// What is to become of one channel, and what it must still be for that.
#[derive(Clone, Debug)]
pub struct Write {
    /// `id`.
    pub channel: i64,
    /// `created_time` at first contact: ids are used again after a deletion.
    pub created_time: i64,
    /// `type` at first contact.
    pub kind: i64,
    /// The whole `key` as read before.
    pub expected: SecretString,
    /// What shall stand there instead: the whole key, or the line's text.
    pub new_key: Option<SecretString>,
    /// Whether an automatic disabling is taken back; one by hand never is.
    pub enable: bool,
    /// The line of a multi-key channel, counted from 0.
    pub line: Option<usize>,
}

impl Write {
    /// Whether `channel` is still the row that this was decided from.
    pub(super) fn is_about(&self, channel: &Channel) -> bool {
        channel.created_time == self.created_time
            && channel.kind == self.kind
            && channel.key.expose_secret() == self.expected.expose_secret()
    }
}

/// The change that makes `stored` what `write` wants; none if it is that already.
pub(super) fn change(
    layout: &Layout,
    stored: &Stored,
    write: &Write,
) -> Result<Option<Change>, Error> {
    let channel = &stored.channel;
    let key = new_key(channel, write)?;
    let enable = write.enable && channel.status_of(write.line) == Status::AutoDisabled;
    if key.is_none() && !enable {
        return Ok(None);
    }
    let mut update = Update::default();
    if let Some(key) = &key {
        update.set(r#""key" = ?"#, Value::Text(key.clone()));
    }
    if enable {
        update.set(r#""status" = ?"#, Value::Int(1));
    }
    let cleared = match (&stored.multi_key, write.line) {
        (Some(multi_key), Some(line)) if enable => Some((multi_key, multi_key.without(line))),
        _ => None,
    };
    if let Some((_, cleared)) = &cleared {
        // New API cannot read the column unless its bytes are stored as a BLOB (live-new-api 7).
        update.set(
            r#""channel_info" = CAST(? AS BLOB)"#,
            Value::Text(cleared.as_str().into()),
        );
    }
    update.guard(r#""id" = ?"#, Value::Int(channel.id));
    update.guard(
        r#"COALESCE("created_time", 0) = ?"#,
        Value::Int(write.created_time),
    );
    update.guard(r#"COALESCE("type", 0) = ?"#, Value::Int(write.kind));
    update.guard(KEY_IS, Value::Text(write.expected.clone()));
    if enable {
        update.guard(r#""status" = ?"#, Value::Int(channel.status.number()));
    }
    if let Some((multi_key, _)) = cleared {
        update.guard(
            r#"CAST("channel_info" AS TEXT) = ?"#,
            Value::Text(multi_key.text().into()),
        );
    }
    let kept = key.unwrap_or_else(|| write.expected.clone());
    Ok(Some(Change {
        guarded: update.statement(layout.alive("channels")),
        then: abilities(layout, channel.id, enable),
        proof: Statement {
            sql: format!(r#"SELECT 1 FROM "channels" WHERE "id" = ? AND {KEY_IS}"#),
            values: vec![Value::Int(channel.id), Value::Text(kept)],
        },
    }))
}

/// Keys that somebody stored as bytes (`readfile()`) compare equal, too.
const KEY_IS: &str = r#"COALESCE(CAST("key" AS TEXT), '') = ?"#;

/// The text that `key` shall have, if another than it has.
fn new_key(channel: &Channel, write: &Write) -> Result<Option<SecretString>, Error> {
    let old = channel.key.expose_secret();
    let named = match (channel.multi_key, write.line) {
        (true, Some(line)) => multi_key::line(old, line).is_some(),
        (multi_key, line) => !multi_key && line.is_none(),
    };
    if !named {
        return Err(Error::Line {
            channel: channel.id,
            line: write.line,
        });
    }
    let Some(new) = write.new_key.as_ref().map(SecretString::expose_secret) else {
        return Ok(None);
    };
    let problem = if new.is_empty() {
        Some("is empty")
    } else if channel.json && JsonKey::parse(new).is_none() {
        Some("is not JSON with an access_token")
    } else if new.contains(['\n', '\r']) {
        Some("has more than one line")
    } else {
        None
    };
    if let Some(problem) = problem {
        return Err(Error::Unfit {
            channel: channel.id,
            problem,
        });
    }
    let whole = match write.line {
        Some(line) => multi_key::with_line(old, line, new),
        None => Some(new.to_owned()),
    };
    Ok(whole.filter(|whole| whole != old).map(SecretString::from))
}

fn abilities(layout: &Layout, channel: i64, enable: bool) -> Vec<Statement> {
    if !(layout.abilities && enable) {
        return Vec::new();
    }
    vec![Statement {
        sql: r#"UPDATE "abilities" SET "enabled" = TRUE WHERE "channel_id" = ? AND NOT "enabled""#
            .to_owned(),
        values: vec![Value::Int(channel)],
    }]
}

/// An UPDATE of `channels` in the making: what it sets, then what must still be so.
#[derive(Default)]
struct Update {
    sets: Vec<&'static str>,
    set_values: Vec<Value>,
    guards: Vec<&'static str>,
    guard_values: Vec<Value>,
}

impl Update {
    fn set(&mut self, sql: &'static str, value: Value) {
        self.sets.push(sql);
        self.set_values.push(value);
    }

    fn guard(&mut self, sql: &'static str, value: Value) {
        self.guards.push(sql);
        self.guard_values.push(value);
    }

    fn statement(mut self, alive: &str) -> Statement {
        self.set_values.append(&mut self.guard_values);
        Statement {
            sql: format!(
                r#"UPDATE "channels" SET {} WHERE {}{alive}"#,
                self.sets.join(", "),
                self.guards.join(" AND ")
            ),
            values: self.set_values,
        }
    }
}
