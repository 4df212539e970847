//! Events and the notifiers' cursors at rest.

use rusqlite::{Connection, params};

use super::Error;
use crate::clock::Timestamp;
use crate::notify::{Detail, EventKind};

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
    let text = |value: Result<serde_json::Value, serde_json::Error>| {
        value.map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
    };
    let kind = text(serde_json::to_value(kind))?;
    let detail = text(serde_json::to_value(detail))?;
    db.prepare_cached("INSERT INTO event (at, credential, kind, detail) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![
            at.timestamp_millis(),
            credential,
            kind.as_str(),
            detail.to_string()
        ])?;
    Ok(())
}
