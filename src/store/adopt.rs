//! The configuration brought into the rows: new credentials, new logins, renamed and parked ones.
//!
//! A seed is adopted once: the ledger knows every token that came of it. `daemon.rs` calls [`adopt`] at
//! start and at each reload, inside one transaction.

use rusqlite::{Connection, params};
use secrecy::{ExposeSecret as _, SecretString};

use super::Error;
use super::credential::{all, by_id, by_name, refresh_token, replace, save};
use super::ledger::owner;
use crate::clock::Timestamp;
use crate::credential::{Credential, Phase};
use crate::secret::{Fingerprint, StateKey};

/// What the configuration wants of one credential.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Its name.
    pub name: String,
    /// The seed, if one is configured.
    pub seed: Option<SecretString>,
    /// Endpoint and client as text: a change revives a dead credential.
    pub client: String,
}

/// Brings the rows in line with the configuration: new ones, new logins, renamed and parked ones.
///
/// # Errors
/// When a seed belongs to another credential of the configuration; then nothing changes.
pub fn adopt(
    db: &Connection,
    key: &StateKey,
    wanted: &[Wanted],
    now: Timestamp,
) -> Result<(), Error> {
    for mut row in all(db)? {
        if !row.parked && !wanted.iter().any(|wanted| wanted.name == row.name) {
            row.parked = true;
            save(db, &row)?;
        }
    }
    for wanted in wanted {
        let mut row = match by_name(db, &wanted.name) {
            Err(Error::Unknown(_)) => introduce(db, key, wanted, now)?,
            found => found?,
        };
        let before = row.clone();
        row.parked = false;
        if let Some(seed) = &wanted.seed {
            adopt_seed(db, key, &mut row, seed, now)?;
        }
        revive(db, key, &mut row, &wanted.client, now)?;
        if row != before {
            save(db, &row)?;
        }
    }
    Ok(())
}

/// A row for a name that has none: a renamed credential's, or a new one without a token.
fn introduce(
    db: &Connection,
    key: &StateKey,
    wanted: &Wanted,
    now: Timestamp,
) -> Result<Credential, Error> {
    let known = match &wanted.seed {
        Some(seed) => owner(db, key.fingerprint(seed.expose_secret()))?,
        None => None,
    };
    let renamed = known.map(|id| by_id(db, id)).transpose()?;
    if let Some(renamed) = renamed.filter(|row| row.parked) {
        db.execute(
            "UPDATE credential SET name = ?2 WHERE id = ?1",
            params![renamed.id.0, wanted.name],
        )?;
    } else {
        let millis = now.timestamp_millis();
        db.execute(
            "INSERT INTO credential (name, phase, since, due_at, last_error)
             VALUES (?1, 'dead', ?2, ?2, 'no refresh token is known')",
            params![wanted.name, millis],
        )?;
    }
    by_name(db, &wanted.name)
}

/// A seed is adopted if it was never seen; the one that a token of ours came from is old news.
fn adopt_seed(
    db: &Connection,
    key: &StateKey,
    row: &mut Credential,
    seed: &SecretString,
    now: Timestamp,
) -> Result<(), Error> {
    let fingerprint = key.fingerprint(seed.expose_secret());
    let last: Option<[u8; 16]> = db.query_row(
        "SELECT seed FROM credential WHERE id = ?1",
        [row.id.0],
        |row| row.get(0),
    )?;
    if last.map(Fingerprint::from_bytes) == Some(fingerprint) {
        return Ok(());
    }
    if owner(db, fingerprint)? != Some(row.id) {
        replace(db, key, row, seed, now)?;
    }
    db.execute(
        "UPDATE credential SET seed = ?2 WHERE id = ?1",
        params![row.id.0, fingerprint.as_bytes()],
    )?;
    Ok(())
}

/// A dead credential is due again once its token, endpoint or client is another.
fn revive(
    db: &Connection,
    key: &StateKey,
    row: &mut Credential,
    client: &str,
    now: Timestamp,
) -> Result<(), Error> {
    if row.phase != Phase::Dead {
        return Ok(());
    }
    let Some(token) = refresh_token(db, key, row.id)? else {
        return Ok(());
    };
    let sent: Option<[u8; 16]> = db.query_row(
        "SELECT request_digest FROM credential WHERE id = ?1",
        [row.id.0],
        |row| row.get(0),
    )?;
    if sent.map(Fingerprint::from_bytes) != Some(digest(key, client, &token)) {
        row.renew(now);
    }
    Ok(())
}

/// What a request is known by: its token, endpoint and client.
pub(super) fn digest(key: &StateKey, client: &str, token: &SecretString) -> Fingerprint {
    key.fingerprint(&format!("{client}\n{}", token.expose_secret()))
}
