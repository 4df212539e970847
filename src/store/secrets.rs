//! Fingerprints of the API's secrets in `meta`: a changed secret is found out at the start, not by the
//! first call that it makes fail.
//!
//! Functions on a connection, run inside the store's transactions. `daemon/secrets.rs` says what a
//! change means. The fingerprints are keyed with `state.key`; the secrets themselves are not stored.

use rusqlite::{Connection, OptionalExtension as _, params};
use secrecy::{ExposeSecret as _, SecretString};

use super::Error;
use crate::secret::StateKey;

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

/// How a configured secret stands to the one that was in use so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// None was in use.
    First,
    /// It is the same.
    Same,
    /// It takes over from the one in use, which is still at hand as the previous one.
    Successor,
    /// The one in use is gone.
    Changed,
}

/// How `secret` stands to the one in use so far; `previous` is the one it says it takes over from.
///
/// # Errors
/// When the state cannot be read.
pub fn standing(
    db: &Connection,
    key: &StateKey,
    name: Name,
    secret: &SecretString,
    previous: Option<&SecretString>,
) -> Result<Standing, Error> {
    let used: Option<Vec<u8>> = db
        .query_row(
            "SELECT value FROM meta WHERE name = ?1",
            [name.as_str()],
            |row| row.get(0),
        )
        .optional()?;
    let Some(used) = used else {
        return Ok(Standing::First);
    };
    let is_used =
        |secret: &SecretString| *key.fingerprint(secret.expose_secret()).as_bytes() == *used;
    Ok(if is_used(secret) {
        Standing::Same
    } else if previous.is_some_and(is_used) {
        Standing::Successor
    } else {
        Standing::Changed
    })
}

/// Notes that `secret` is in use from now on.
///
/// # Errors
/// When the state cannot be written.
pub fn keep(
    db: &Connection,
    key: &StateKey,
    name: Name,
    secret: &SecretString,
) -> Result<(), Error> {
    let fingerprint = key.fingerprint(secret.expose_secret());
    db.execute(
        "INSERT INTO meta (name, value) VALUES (?1, ?2)
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        params![name.as_str(), fingerprint.as_bytes()],
    )?;
    Ok(())
}
