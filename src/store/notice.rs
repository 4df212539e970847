//! Events and the notifiers' rows at rest.
//!
//! Functions on a connection, run inside the store's transactions. Settling records events
//! (`credential.rs`, `link.rs`); each notifier's courier reads those behind its cursor. What they
//! become is decided in `notify/`.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{Error, link};
use crate::clock::Timestamp;
use crate::notify::fold::Counts;
use crate::notify::step::{Backlog, Missed, Row};
use crate::notify::text::Links;
use crate::notify::{Detail, Event, EventKind};

/// How many events one message can be made of; of the rest, refreshes first, only the number is told.
const PAGE: i64 = 5000;

/// How long an event is kept once every notifier is past it.
pub const KEEP: TimeDelta = TimeDelta::days(30);

/// How many events are kept: more than a thousand hourly credentials make in the 72 hours that are told
/// in full.
pub const MOST: i64 = 200_000;

/// Appends an event.
///
/// # Errors
/// When the state cannot be written.
pub fn record(
    db: &Connection,
    at: Timestamp,
    credential: Option<&str>,
    kind: EventKind,
    detail: &Detail,
) -> Result<(), Error> {
    db.prepare_cached("INSERT INTO event (at, credential, kind, detail) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![
            at.timestamp_millis(),
            credential,
            kind.word(),
            json(detail)?
        ])?;
    Ok(())
}

/// Makes the rows of the configured notifiers, and forgets those of others. A new one begins with
/// what happens from now on; so this comes before the first refresh of a process.
///
/// # Errors
/// When the state cannot be written.
pub fn enrol(db: &Connection, names: &[String]) -> Result<(), Error> {
    let mut known = db.prepare("SELECT name FROM notifier")?;
    let known: Vec<String> = known
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for name in known.iter().filter(|name| !names.contains(name)) {
        db.execute("DELETE FROM notifier WHERE name = ?1", [name])?;
    }
    for name in names.iter().filter(|name| !known.contains(name)) {
        db.execute(
            "INSERT INTO notifier (name, cursor) SELECT ?1, coalesce(max(id), 0) FROM event",
            [name],
        )?;
    }
    Ok(())
}

/// The notifier's row; none before [`enrol`].
///
/// # Errors
/// When the state cannot be read.
pub fn row(db: &Connection, name: &str) -> Result<Option<Row>, Error> {
    let row = db
        .prepare_cached("SELECT cursor, not_before, tries, detail FROM notifier WHERE name = ?1")?
        .query_row([name], |row| {
            Ok(Row {
                cursor: row.get("cursor")?,
                not_before: super::moment(row, "not_before")?,
                tries: row.get("tries")?,
                memory: parsed(row, "detail")?,
            })
        })
        .optional()?;
    Ok(row)
}

/// Every notifier's row, by its name.
///
/// # Errors
/// When the state cannot be read.
pub fn rows(db: &Connection) -> Result<BTreeMap<String, Row>, Error> {
    let mut names = db.prepare_cached("SELECT name FROM notifier")?;
    let names: Vec<String> = names
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut rows = BTreeMap::new();
    for name in names {
        if let Some(row) = row(db, &name)? {
            rows.insert(name, row);
        }
    }
    Ok(rows)
}

/// How many events lie behind the row's cursor, wanted or not.
///
/// # Errors
/// When the state cannot be read.
pub fn untold(db: &Connection, row: &Row) -> Result<usize, Error> {
    let kept: usize = db
        .prepare_cached("SELECT count(*) FROM event WHERE id > ?1")?
        .query_row([row.cursor], |row| row.get(0))?;
    let missed = row.memory.missed.iter();
    Ok(kept
        + missed
            .flat_map(|missed| missed.counts.values())
            .sum::<usize>())
}

/// Writes the notifier's row; a row that was forgotten meanwhile stays forgotten.
///
/// # Errors
/// When the state cannot be written.
pub fn save(db: &Connection, name: &str, row: &Row) -> Result<(), Error> {
    db.prepare_cached(
        "UPDATE notifier SET cursor = ?2, not_before = ?3, tries = ?4, detail = ?5 WHERE name = ?1",
    )?
    .execute(params![
        name,
        row.cursor,
        row.not_before.map(|at| at.timestamp_millis()),
        row.tries,
        json(&row.memory)?
    ])?;
    Ok(())
}

/// What lies behind the row's cursor; none if nothing does.
///
/// # Errors
/// When the state cannot be read.
pub fn backlog(db: &Connection, row: &Row) -> Result<Option<Backlog>, Error> {
    let (cursor, missed) = (row.cursor, row.memory.missed.as_ref());
    let kept: Option<i64> = db
        .prepare_cached("SELECT max(id) FROM event WHERE id > ?1")?
        .query_row([cursor], |row| row.get(0))?;
    let Some(last) = kept.max(missed.map(|missed| missed.last)) else {
        return Ok(None);
    };
    let mut statement = db.prepare_cached(
        "SELECT id, at, credential, kind, detail FROM event WHERE id > ?1
         ORDER BY kind = 'refreshed', id DESC LIMIT ?2",
    )?;
    let page = statement.query_map([cursor, PAGE], event)?;
    let mut events: Vec<Event> = page.collect::<Result<_, _>>()?;
    events.sort_by_key(|event| event.id);
    let mut earlier = beyond(db, cursor, &events)?;
    for (kind, count) in missed.iter().flat_map(|missed| &missed.counts) {
        *earlier.entry(*kind).or_default() += count;
    }
    Ok(Some(Backlog {
        earlier,
        links: links(db, &events)?,
        events,
        last,
    }))
}

/// Removes events that are [`KEEP`] old at `now` and that every notifier is done with; returns how many.
///
/// # Errors
/// When the state cannot be written.
pub fn prune(db: &Connection, now: Timestamp) -> Result<usize, Error> {
    Ok(db.execute(
        "DELETE FROM event WHERE at < ?1
         AND id <= coalesce((SELECT min(cursor) FROM notifier), (SELECT max(id) FROM event))",
        [(now - KEEP).timestamp_millis()],
    )?)
}

/// Removes all but the newest `most` events, told or not, and returns how many: a notifier that is stopped
/// for good must not fill the disk. Of what it had not told, its row keeps the number.
///
/// # Errors
/// When the state cannot be written.
pub fn forget(db: &Connection, most: i64) -> Result<usize, Error> {
    let until: i64 = db
        .prepare_cached("SELECT coalesce(max(id), 0) - ?1 FROM event")?
        .query_row([most], |row| row.get(0))?;
    let mut statement = db.prepare_cached(
        "SELECT kind, count(*), max(id) FROM event WHERE id > ?1 AND id <= ?2 GROUP BY kind",
    )?;
    for (name, mut row) in rows(db)? {
        let found = statement.query_map([row.cursor, until], |found| {
            Ok((kind(found, 0)?, found.get(1)?, found.get(2)?))
        })?;
        let found: Vec<(EventKind, usize, i64)> = found.collect::<Result<_, _>>()?;
        for (kind, count, last) in &found {
            let missed = row.memory.missed.get_or_insert_with(Missed::default);
            *missed.counts.entry(*kind).or_default() += count;
            missed.last = missed.last.max(*last);
        }
        if !found.is_empty() {
            save(db, &name, &row)?;
        }
    }
    Ok(db.execute("DELETE FROM event WHERE id <= ?1", [until])?)
}

/// The events after `cursor` that are not among `events`, by kind.
fn beyond(db: &Connection, cursor: i64, events: &[Event]) -> Result<Counts, Error> {
    let mut statement =
        db.prepare_cached("SELECT kind, count(*) FROM event WHERE id > ?1 GROUP BY kind")?;
    let all = statement.query_map([cursor], |row| Ok((kind(row, 0)?, row.get(1)?)))?;
    let mut counts: Counts = all.collect::<Result<_, _>>()?;
    for event in events {
        if let Some(count) = counts.get_mut(&event.kind) {
            *count -= 1;
        }
    }
    counts.retain(|_, count| *count > 0);
    Ok(counts)
}

/// The links of the credentials that `events` say were refreshed or had a conflict.
fn links(db: &Connection, events: &[Event]) -> Result<Links, Error> {
    let mut links: Links = events
        .iter()
        .filter(|event| {
            use EventKind::{Conflict, Recovered, Refreshed};
            matches!(event.kind, Refreshed | Recovered | Conflict)
        })
        .filter_map(|event| Some((event.credential.clone()?, Vec::new())))
        .collect();
    if links.is_empty() {
        return Ok(links);
    }
    let mut statement = db.prepare_cached("SELECT id, name FROM credential")?;
    let names: BTreeMap<i64, String> = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    for link in link::all(db)? {
        let own = names
            .get(&link.credential.0)
            .and_then(|name| links.get_mut(name));
        if let Some(own) = own {
            own.push(link);
        }
    }
    Ok(links)
}

fn event(row: &rusqlite::Row<'_>) -> Result<Event, rusqlite::Error> {
    let at: i64 = row.get("at")?;
    Ok(Event {
        id: row.get("id")?,
        at: Timestamp::from_timestamp_millis(at)
            .ok_or(rusqlite::Error::IntegralValueOutOfRange(1, at))?,
        credential: row.get("credential")?,
        kind: kind(row, 3)?,
        detail: parsed(row, "detail")?,
    })
}

fn kind(row: &rusqlite::Row<'_>, column: usize) -> Result<EventKind, rusqlite::Error> {
    let word: String = row.get(column)?;
    EventKind::from_word(&word)
        .ok_or_else(|| rusqlite::Error::InvalidColumnType(column, word, Type::Text))
}

fn json(value: &impl serde::Serialize) -> Result<String, rusqlite::Error> {
    serde_json::to_string(value)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

fn parsed<T: serde::de::DeserializeOwned>(
    row: &rusqlite::Row<'_>,
    column: &str,
) -> Result<T, rusqlite::Error> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, Type::Text, error.into()))
}
