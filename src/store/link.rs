//! Links at rest: which channel line a credential feeds, and how far it got.
//!
//! Functions on a connection, run inside the store's transactions. What to do about a link is
//! decided in `link.rs`.

use rusqlite::{Connection, Row, named_params, params};
use secrecy::SecretString;

use super::{Error, moment, open_text};
use crate::clock::Timestamp;
use crate::credential::CredentialId;
use crate::secret::{Place, StateKey};

/// How a channel line stands to the credential's newest access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It holds it, and the gateway was told where it must be.
    Current,
    /// It is still to be brought there.
    Pending,
    /// A stranger's key stands there, or another channel does.
    Conflict,
    /// There is no such channel.
    Gone,
}

impl State {
    /// The state's name, as stored and shown.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Pending => "pending",
            Self::Conflict => "conflict",
            Self::Gone => "gone",
        }
    }
}

/// A channel row's identity: ids are used again after a deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// `channels.created_time`, unix seconds.
    pub created_time: i64,
    /// `channels.type`.
    pub kind: i64,
}

/// One link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its row.
    pub id: i64,
    /// The credential that feeds it.
    pub credential: CredentialId,
    /// `channels.id`.
    pub channel: i64,
    /// The line of a multi-key channel, counted from 0.
    pub line: Option<usize>,
    /// The channel as met first; `None` before that.
    pub identity: Option<Identity>,
    /// How it stands.
    pub state: State,
    /// The generation brought to the channel.
    pub generation: u64,
    /// `channels.status` when last read; 0 before.
    pub status: i64,
    /// Until when the gateway may still refuse by the old key.
    pub watch_until: Option<Timestamp>,
    /// How often it was enabled again after the watch, since the last write.
    pub enables: u32,
    /// Whether the gateway is still to be told of a write.
    pub untold: bool,
    /// Whether a refresh token was taken out of a JSON key.
    pub stripped: bool,
    /// When the channel is read again after stripping.
    pub settle_at: Option<Timestamp>,
    /// What stands in its way.
    pub last_error: Option<String>,
}

impl Link {
    /// Whether the channel is left alone: another's key stands there, another channel, or none.
    #[must_use]
    pub fn is_estranged(&self) -> bool {
        matches!(self.state, State::Conflict | State::Gone)
    }
}

/// Every link.
///
/// # Errors
/// When the state cannot be read.
pub fn all(db: &Connection) -> Result<Vec<Link>, Error> {
    let mut statement = db.prepare_cached("SELECT * FROM link ORDER BY channel, line")?;
    let rows = statement.query_map([], link)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Makes the links that the configuration wants and removes those it no longer does.
///
/// # Errors
/// When the state cannot be written.
pub fn adopt(db: &Connection, wanted: &[(CredentialId, i64, Option<usize>)]) -> Result<(), Error> {
    let present = all(db)?;
    let is = |link: &Link, (credential, channel, line): &(CredentialId, i64, Option<usize>)| {
        link.credential == *credential && link.channel == *channel && link.line == *line
    };
    for link in &present {
        if !wanted.iter().any(|wanted| is(link, wanted)) {
            db.execute("DELETE FROM link WHERE id = ?1", [link.id])?;
        }
    }
    for wanted in wanted {
        if !present.iter().any(|link| is(link, wanted)) {
            let (credential, channel, line) = wanted;
            db.execute(
                "INSERT INTO link (credential, channel, line, created_time, type, state)
                 VALUES (?1, ?2, ?3, ?4, 0, 'pending')",
                params![credential.0, channel, stored(*line), UNMET],
            )?;
        }
    }
    Ok(())
}

/// Writes a link as it was decided.
///
/// # Errors
/// When the state cannot be written.
pub fn save(db: &Connection, link: &Link) -> Result<(), Error> {
    let millis = |moment: Option<Timestamp>| moment.map(|moment| moment.timestamp_millis());
    db.prepare_cached(
        "UPDATE link SET created_time = :created_time, type = :type, state = :state,
         generation = :generation, status = :status, watch_until = :watch_until,
         enables = :enables, untold = :untold, settle_at = :settle_at, last_error = :last_error
         WHERE id = :id",
    )?
    .execute(named_params! {
        ":id": link.id,
        ":created_time": link.identity.map_or(UNMET, |identity| identity.created_time),
        ":type": link.identity.map_or(0, |identity| identity.kind),
        ":state": link.state.name(),
        ":generation": link.generation,
        ":status": link.status,
        ":watch_until": millis(link.watch_until),
        ":enables": link.enables,
        ":untold": link.untold,
        ":settle_at": millis(link.settle_at),
        ":last_error": link.last_error,
    })?;
    Ok(())
}

/// The credential's channels no longer hold its newest access token. What was known of them is about the
/// key before, but for a stranger's.
///
/// # Errors
/// When the state cannot be written.
pub(super) fn fall_behind(db: &Connection, credential: CredentialId) -> Result<(), Error> {
    db.prepare_cached(
        "UPDATE link SET untold = 0,
             last_error = iif(state = 'current' OR state = 'pending' AND untold, NULL, last_error),
             state = iif(state = 'current', 'pending', state)
         WHERE credential = ?1",
    )?
    .execute([credential.0])?;
    Ok(())
}

/// Keeps the refresh token found in a JSON key, or forgets it once it was put back.
///
/// # Errors
/// When the state cannot be written.
pub fn keep_stripped(
    db: &Connection,
    key: &StateKey,
    id: i64,
    token: Option<&str>,
) -> Result<(), Error> {
    let sealed = token
        .map(|token| key.seal(place(id), token.as_bytes()))
        .transpose()?;
    db.prepare_cached("UPDATE link SET stripped = ?2 WHERE id = ?1")?
        .execute(params![id, sealed])?;
    Ok(())
}

/// The refresh token that was taken out of the channel's JSON key.
///
/// # Errors
/// When it does not open.
pub fn stripped(db: &Connection, key: &StateKey, id: i64) -> Result<Option<SecretString>, Error> {
    let sealed: Option<Vec<u8>> = db
        .prepare_cached("SELECT stripped FROM link WHERE id = ?1")?
        .query_row([id], |row| row.get(0))?;
    sealed
        .map(|sealed| open_text(key, place(id), &sealed))
        .transpose()
}

/// `created_time` of a channel that was not met yet; no gateway makes such a row.
const UNMET: i64 = -1;

fn place(id: i64) -> Place<'static> {
    Place {
        table: "link",
        row: id,
        column: "stripped",
    }
}

fn stored(line: Option<usize>) -> i64 {
    line.and_then(|line| i64::try_from(line).ok()).unwrap_or(-1)
}

fn link(row: &Row<'_>) -> Result<Link, rusqlite::Error> {
    let state = match row.get::<_, String>("state")?.as_str() {
        "current" => State::Current,
        "conflict" => State::Conflict,
        "gone" => State::Gone,
        _ => State::Pending,
    };
    let created_time = row.get("created_time")?;
    let kind = row.get("type")?;
    Ok(Link {
        id: row.get("id")?,
        credential: CredentialId(row.get("credential")?),
        channel: row.get("channel")?,
        line: usize::try_from(row.get::<_, i64>("line")?).ok(),
        identity: (created_time != UNMET).then_some(Identity { created_time, kind }),
        state,
        generation: row.get("generation")?,
        status: row.get("status")?,
        watch_until: moment(row, "watch_until")?,
        enables: row.get("enables")?,
        untold: row.get("untold")?,
        stripped: row.get::<_, Option<Vec<u8>>>("stripped")?.is_some(),
        settle_at: moment(row, "settle_at")?,
        last_error: row.get("last_error")?,
    })
}
