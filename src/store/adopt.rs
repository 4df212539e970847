//! The configuration brought into the rows: new credentials, new logins, renamed and parked ones.
//!
//! A seed is adopted once: the ledger knows every token that came of it. `daemon.rs` calls [`adopt`] at
//! start and at each reload, inside one transaction. A seed that is older than the state is withheld
//! by `init` ([`withhold`]): its row is dead and holds no token, so that only a person's word or another
//! seed brings it back.

use rusqlite::{Connection, OptionalExtension as _, params};
use secrecy::{ExposeSecret as _, SecretString};

use super::credential::{all, by_id, by_name, refresh_token, replace, save};
use super::ledger::{enter, owner};
use super::{Error, notice};
use crate::clock::Timestamp;
use crate::credential::{Credential, CredentialId, Phase};
use crate::notify::Cause;
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
        if row.phase == Phase::Dead && row.failures == 0 && withheld(db, &row)?.is_some() {
            tell_withheld(db, &mut row, now)?;
        }
        if row != before {
            save(db, &row)?;
        }
    }
    Ok(())
}

/// Makes the rows of a new state for an installation that is older: what was configured may be spent, so
/// no seed is adopted. Each row's `last_error` says what is to be done about it.
///
/// # Errors
/// When the state cannot be written.
pub fn withhold(
    db: &Connection,
    key: &StateKey,
    wanted: &[Wanted],
    now: Timestamp,
) -> Result<Vec<Credential>, Error> {
    let mut rows = Vec::new();
    for wanted in wanted {
        let mut row = introduce(db, key, wanted, now)?;
        if let Some(seed) = &wanted.seed {
            let seed = key.fingerprint(seed.expose_secret());
            enter(db, seed, row.id, "refresh", 0, now)?;
            note_seed(db, row.id, seed)?;
            row.last_error = Some(Cause::Withheld.explain(&row.name));
            save(db, &row)?;
        }
        rows.push(row);
    }
    Ok(rows)
}

/// The seed that waits for a person's word, if `row` has such a one.
pub(super) fn withheld(db: &Connection, row: &Credential) -> Result<Option<Fingerprint>, Error> {
    let seed: Option<[u8; 16]> = db
        .query_row(
            "SELECT seed FROM credential
             WHERE id = ?1 AND phase = 'dead' AND refresh IS NULL AND seed IS NOT NULL",
            [row.id.0],
            |row| row.get(0),
        )
        .optional()?;
    Ok(seed.map(Fingerprint::from_bytes))
}

/// At the first start: `init` had no notifier to tell of it.
fn tell_withheld(db: &Connection, row: &mut Credential, now: Timestamp) -> Result<(), Error> {
    for (kind, detail) in row.withhold() {
        notice::record(db, now, Some(&row.name), kind, &detail)?;
    }
    tracing::error!(
        credential.name = row.name,
        reason = row.last_error,
        "the refresh token is not sent"
    );
    Ok(())
}

fn note_seed(db: &Connection, id: CredentialId, seed: Fingerprint) -> Result<(), Error> {
    db.execute(
        "UPDATE credential SET seed = ?2 WHERE id = ?1",
        params![id.0, seed.as_bytes()],
    )?;
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
    note_seed(db, row.id, fingerprint)
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
