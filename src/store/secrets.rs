//! Fingerprints of the API's secrets in `meta`, so that a changed secret is found out at the start and
//! not by the first call that it makes fail.
//!
//! Functions on a connection, run inside the store's transactions. `daemon/secrets.rs` says what a
//! change means. The secrets themselves are not stored.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::Error;
use crate::secret::Fingerprint;

/// One of the API's secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// Signs bearers and keys.
    TokenSecret,
    /// Keys the shuffle that hides ids.
    HashidsSalt,
}

impl Name {
    /// As the configuration has it, and `meta`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TokenSecret => "token_secret",
            Self::HashidsSalt => "hashids_salt",
        }
    }
}

/// The fingerprint of the secret in use so far; `None` before the first.
///
/// # Errors
/// When the state cannot be read.
pub fn used(db: &Connection, name: Name) -> Result<Option<Fingerprint>, Error> {
    let sql = "SELECT value FROM meta WHERE name = ?1";
    let bytes = db.query_row(sql, [name.as_str()], |row| row.get(0));
    Ok(bytes.optional()?.map(Fingerprint::from_bytes))
}

/// Notes that the secret of this fingerprint is in use from now on.
///
/// # Errors
/// When the state cannot be written.
pub fn keep(db: &Connection, name: Name, fingerprint: Fingerprint) -> Result<(), Error> {
    db.execute(
        "INSERT INTO meta (name, value) VALUES (?1, ?2)
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        params![name.as_str(), fingerprint.as_bytes()],
    )?;
    Ok(())
}
