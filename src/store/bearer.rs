//! The generation that a user's bearers must carry: raising it revokes all that were issued before.
//!
//! Functions on a connection, run inside the store's transactions. `user token` issues and revokes,
//! `api` compares at each call. Bearers themselves are not stored.

use rusqlite::{Connection, OptionalExtension as _};

use super::Error;

/// The generation of the bearers that `user` (`users.id`) may use now; 0 until it is raised.
///
/// # Errors
/// When the state cannot be read.
pub fn generation(db: &Connection, user: i64) -> Result<i64, Error> {
    let known = db
        .prepare_cached("SELECT generation FROM bearer WHERE user = ?1")?
        .query_row([user], |row| row.get(0))
        .optional()?;
    Ok(known.unwrap_or(0))
}

/// Revokes every bearer of `user` issued so far; returns the generation of the next ones.
///
/// # Errors
/// When the state cannot be written.
pub fn raise(db: &Connection, user: i64) -> Result<i64, Error> {
    Ok(db
        .prepare_cached(
            "INSERT INTO bearer (user, generation) VALUES (?1, 1)
             ON CONFLICT (user) DO UPDATE SET generation = generation + 1 RETURNING generation",
        )?
        .query_row([user], |row| row.get(0))?)
}
