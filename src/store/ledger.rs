//! The ledger: every token ever held and every channel key met at first contact, by fingerprint.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::Error;
use crate::clock::Timestamp;
use crate::credential::CredentialId;
use crate::secret::Fingerprint;

/// Whose token or channel key this is, if it was ever held or met.
///
/// # Errors
/// When the state cannot be read.
pub fn owner(db: &Connection, fingerprint: Fingerprint) -> Result<Option<CredentialId>, Error> {
    Ok(db
        .prepare_cached("SELECT credential FROM ledger WHERE fingerprint = ?1")?
        .query_row([fingerprint.as_bytes()], |row| row.get(0).map(CredentialId))
        .optional()?)
}

/// Notes a token or channel key as `id`'s, whoever had it before.
///
/// # Errors
/// When the state cannot be written.
pub fn enter(
    db: &Connection,
    fingerprint: Fingerprint,
    id: CredentialId,
    kind: &str,
    generation: u64,
    now: Timestamp,
) -> Result<(), Error> {
    db.prepare_cached(
        "INSERT INTO ledger (fingerprint, credential, kind, generation, at)
         VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (fingerprint) DO UPDATE SET credential = excluded.credential",
    )?
    .execute(params![
        fingerprint.as_bytes(),
        id.0,
        kind,
        generation,
        now.timestamp_millis()
    ])?;
    Ok(())
}
