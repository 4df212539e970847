//! Credentials at rest: rows and sealed tokens.
//!
//! Functions on a connection, run inside the store's transactions. The rules live in `credential.rs`
//! and are only kept here; claims are made in `store/claim.rs`.

use chrono::TimeDelta;
use rusqlite::{Connection, OptionalExtension as _, Row, named_params, params};
use secrecy::{ExposeSecret as _, SecretString};

use super::adopt::withheld;
use super::ledger::{enter, owner};
use super::{Error, notice};
use crate::clock::{Boot, Reading, Timestamp, Uptime};
use crate::credential::{Credential, CredentialId, Phase};
use crate::secret::{Place, StateKey};

/// Every credential, by name.
///
/// # Errors
/// When the state cannot be read.
pub fn all(db: &Connection) -> Result<Vec<Credential>, Error> {
    let mut statement = db.prepare_cached("SELECT * FROM credential ORDER BY name")?;
    let rows = statement.query_map([], row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Those that [`Credential::ready_at`] may find ready by `horizon`, by name: sparing the others, as a
/// rule almost all, keeps a daemon at rest cheap. A wall clock that was set back makes those rows one of
/// them that were planned after what it shows, and those whose span has passed by the uptime.
///
/// # Errors
/// When the state cannot be read.
pub fn ready_by(db: &Connection, horizon: Reading) -> Result<Vec<Credential>, Error> {
    let mut statement = db.prepare_cached(
        "SELECT * FROM credential WHERE since > ?1 OR due_at <= ?1 OR phase = 'unconfirmed'
         OR (boot = ?2 AND since_uptime + due_at - since <= ?3) ORDER BY name",
    )?;
    let (boot, uptime) = columns(horizon.uptime);
    let rows = statement.query_map(params![horizon.wall.timestamp_millis(), boot, uptime], row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The credential called `name`.
///
/// # Errors
/// When there is none.
pub fn by_name(db: &Connection, name: &str) -> Result<Credential, Error> {
    db.prepare_cached("SELECT * FROM credential WHERE name = ?1")?
        .query_row([name], row)
        .optional()?
        .ok_or_else(|| Error::Unknown(name.to_owned()))
}

/// The credential of row `id`.
///
/// # Errors
/// When there is none.
pub fn by_id(db: &Connection, id: CredentialId) -> Result<Credential, Error> {
    Ok(db
        .prepare_cached("SELECT * FROM credential WHERE id = ?1")?
        .query_row([id.0], row)?)
}

/// Writes a row as the rules left it.
///
/// # Errors
/// When the state cannot be written.
pub fn save(db: &Connection, row: &Credential) -> Result<(), Error> {
    let (phase, slot, resend_at) = match row.phase {
        Phase::Resting => ("resting", None, None),
        Phase::Exchanging { slot, doubt } => ("exchanging", Some(slot), doubt),
        Phase::Unconfirmed { resend_at } => ("unconfirmed", None, Some(resend_at)),
        Phase::Dead => ("dead", None, None),
    };
    let millis = |moment: Option<Timestamp>| moment.map(|moment| moment.timestamp_millis());
    let (boot, since_uptime) = columns(row.since.uptime);
    // One of an earlier boot says nothing any more.
    let (obtained_boot, obtained_uptime) = columns(row.obtained_uptime);
    let boot = boot.or(obtained_boot);
    let obtained_uptime = obtained_uptime.filter(|_| boot == obtained_boot);
    db.prepare_cached(
        "UPDATE credential SET parked = :parked, phase = :phase, since = :since, boot = :boot,
         since_uptime = :since_uptime, obtained_uptime = :obtained_uptime, due_at = :due_at,
         not_before = :not_before, resend_at = :resend_at, attempt = :attempt, slot = :slot,
         failures = :failures, generation = :generation, obtained_at = :obtained_at,
         expires_at = :expires_at, last_error = :last_error WHERE id = :id",
    )?
    .execute(named_params! {
        ":id": row.id.0,
        ":parked": row.parked,
        ":phase": phase,
        ":since": row.since.wall.timestamp_millis(),
        ":boot": boot,
        ":since_uptime": since_uptime,
        ":obtained_uptime": obtained_uptime,
        ":due_at": row.due_at.timestamp_millis(),
        ":not_before": millis(row.not_before),
        ":resend_at": millis(resend_at),
        ":attempt": row.attempt,
        ":slot": slot,
        ":failures": row.failures,
        ":generation": row.generation,
        ":obtained_at": millis(row.obtained_at),
        ":expires_at": millis(row.expires_at),
        ":last_error": row.last_error,
    })?;
    Ok(())
}

/// An exchange that could not be started; an event is written for the first of an incident.
///
/// # Errors
/// When the row is no longer as it was seen.
pub fn postpone(
    db: &Connection,
    seen: &Credential,
    reason: &str,
    now: Reading,
) -> Result<(), Error> {
    let mut row = seen.clone();
    for (kind, detail) in row.postpone(reason, now) {
        notice::record(db, now.wall, Some(&row.name), kind, &detail)?;
    }
    change(db, seen, &row)
}

/// Writes a row as the rules left it, if it still is as it was `seen`.
///
/// # Errors
/// When it is no longer.
pub fn change(db: &Connection, seen: &Credential, row: &Credential) -> Result<(), Error> {
    if by_id(db, seen.id)? != *seen {
        return Err(Error::Changed(seen.name.clone()));
    }
    save(db, row)
}

/// Installs a person's new login, or lets it wait for an exchange in flight.
///
/// # Errors
/// When the token belongs to another credential, or is one of this one's that may be spent.
pub fn replace(
    db: &Connection,
    key: &StateKey,
    row: &mut Credential,
    token: &SecretString,
    now: Timestamp,
) -> Result<(), Error> {
    let fingerprint = key.fingerprint(token.expose_secret());
    match owner(db, fingerprint)? {
        Some(owner) if owner != row.id => return Err(Error::Foreign(by_id(db, owner)?.name)),
        Some(_) if !is_unspent(db, key, row, token)? => return Err(Error::Known(row.name.clone())),
        _ => {}
    }
    if let Phase::Exchanging { .. } = row.phase {
        return keep(db, key, row, "candidate", token, now);
    }
    rotate(db, key, row, token, now)?;
    row.renew(now);
    save(db, row)
}

/// Whether a token of the ledger may be entered again: the one in use, unless an exchange left it open
/// whether it was spent, the candidate, and the seed that was withheld.
fn is_unspent(
    db: &Connection,
    key: &StateKey,
    row: &Credential,
    token: &SecretString,
) -> Result<bool, Error> {
    let column = match row.phase {
        Phase::Resting | Phase::Dead => "refresh",
        Phase::Exchanging { .. } | Phase::Unconfirmed { .. } => "candidate",
    };
    if withheld(db, row)? == Some(key.fingerprint(token.expose_secret())) {
        return Ok(true);
    }
    let held = sealed(db, key, row.id, column)?;
    Ok(held.is_some_and(|held| held.expose_secret() == token.expose_secret()))
}

/// The refresh token in use.
///
/// # Errors
/// When it does not open.
pub fn refresh_token(
    db: &Connection,
    key: &StateKey,
    id: CredentialId,
) -> Result<Option<SecretString>, Error> {
    sealed(db, key, id, "refresh")
}

/// The newest access token.
///
/// # Errors
/// When it does not open.
pub fn access_token(
    db: &Connection,
    key: &StateKey,
    id: CredentialId,
) -> Result<Option<SecretString>, Error> {
    sealed(db, key, id, "access")
}

/// Installs the login that waited for an exchange to settle, if one did. One that does not open is gone
/// for good: the answer must be settled all the same.
pub(super) fn install_candidate(
    db: &Connection,
    key: &StateKey,
    row: &mut Credential,
    now: Timestamp,
) -> Result<(), Error> {
    let candidate = sealed(db, key, row.id, "candidate");
    if let Ok(None) = candidate {
        return Ok(());
    }
    let candidate = readable(candidate, row, "candidate")?;
    db.execute(
        "UPDATE credential SET candidate = NULL WHERE id = ?1",
        [row.id.0],
    )?;
    if let Some(candidate) = candidate {
        rotate(db, key, row, &candidate, now)?;
        row.renew(now);
    }
    Ok(())
}

/// A token that its successor does not need; one that does not open is told and counts as none.
fn readable(
    token: Result<Option<SecretString>, Error>,
    row: &Credential,
    column: &str,
) -> Result<Option<SecretString>, Error> {
    match token {
        Err(Error::Sealed(error)) => {
            tracing::error!(credential.name = row.name, column, %error, "a stored token is damaged");
            Ok(None)
        }
        token => token,
    }
}

/// `token` becomes the refresh token in use, its predecessor stays as `previous`.
pub(super) fn rotate(
    db: &Connection,
    key: &StateKey,
    row: &Credential,
    token: &SecretString,
    now: Timestamp,
) -> Result<(), Error> {
    if let Some(current) = readable(refresh_token(db, key, row.id), row, "refresh")? {
        if current.expose_secret() == token.expose_secret() {
            return Ok(());
        }
        keep(db, key, row, "previous", &current, now)?;
    }
    keep(db, key, row, "refresh", token, now)
}

/// Seals `token` into `column` and enters it in the ledger.
pub(super) fn keep(
    db: &Connection,
    key: &StateKey,
    row: &Credential,
    column: &str,
    token: &SecretString,
    now: Timestamp,
) -> Result<(), Error> {
    let token = token.expose_secret();
    let place = Place {
        table: "credential",
        row: row.id.0,
        column,
    };
    let sealed = key.seal(place, token.as_bytes())?;
    db.prepare_cached(&format!(
        "UPDATE credential SET {column} = ?2 WHERE id = ?1"
    ))?
    .execute(params![row.id.0, sealed])?;
    let kind = if column == "access" {
        "access"
    } else {
        "refresh"
    };
    enter(
        db,
        key.fingerprint(token),
        row.id,
        kind,
        row.generation,
        now,
    )
}

fn sealed(
    db: &Connection,
    key: &StateKey,
    id: CredentialId,
    column: &str,
) -> Result<Option<SecretString>, Error> {
    let bytes: Option<Vec<u8>> = db
        .prepare_cached(&format!("SELECT {column} FROM credential WHERE id = ?1"))?
        .query_row([id.0], |row| row.get(0))?;
    let Some(bytes) = bytes else { return Ok(None) };
    let place = Place {
        table: "credential",
        row: id.0,
        column,
    };
    super::open_text(key, place, &bytes).map(Some)
}

/// A row as the rules see it.
pub(super) fn row(row: &Row<'_>) -> Result<Credential, rusqlite::Error> {
    let moment = |column| super::moment(row, column);
    let certain = |column| super::certain_moment(row, column);
    let phase = match row.get::<_, String>("phase")?.as_str() {
        "exchanging" => Phase::Exchanging {
            slot: row.get("slot")?,
            doubt: moment("resend_at")?,
        },
        "unconfirmed" => Phase::Unconfirmed {
            resend_at: certain("resend_at")?,
        },
        "resting" => Phase::Resting,
        _ => Phase::Dead,
    };
    Ok(Credential {
        id: CredentialId(row.get("id")?),
        name: row.get("name")?,
        parked: row.get("parked")?,
        phase,
        since: Reading {
            wall: certain("since")?,
            uptime: uptime(row, "since_uptime")?,
        },
        due_at: certain("due_at")?,
        not_before: moment("not_before")?,
        attempt: row.get("attempt")?,
        failures: row.get("failures")?,
        generation: row.get("generation")?,
        obtained_at: moment("obtained_at")?,
        obtained_uptime: uptime(row, "obtained_uptime")?,
        expires_at: moment("expires_at")?,
        last_error: row.get("last_error")?,
    })
}

/// An uptime's columns: its boot and the milliseconds since that.
fn columns(uptime: Option<Uptime>) -> (Option<[u8; 16]>, Option<i64>) {
    let boot = uptime.map(|uptime| uptime.boot.0);
    let since_boot = uptime.map(|uptime| uptime.since_boot.num_milliseconds());
    (boot, since_boot)
}

fn uptime(row: &Row<'_>, column: &str) -> Result<Option<Uptime>, rusqlite::Error> {
    let boot: Option<[u8; 16]> = row.get("boot")?;
    let millis: Option<i64> = row.get(column)?;
    Ok(boot.zip(millis).and_then(|(boot, millis)| {
        let since_boot = TimeDelta::try_milliseconds(millis)?;
        let boot = Boot(boot);
        Some(Uptime { boot, since_boot })
    }))
}
