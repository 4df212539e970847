//! The generation that a user's bearers must carry: raising it revokes all that were issued before.
//!
//! Functions on a connection, run inside the store's transactions. `user token` issues and revokes,
//! `api` compares at each call. Bearers themselves are not stored.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::Error;

/// The row that counts for every user; no gateway has a user of this id.
const EVERYBODY: i64 = 0;

/// The generation of the bearers that `user` (`users.id`) may use now; 0 until one is raised.
///
/// # Errors
/// When the state cannot be read.
pub fn generation(db: &Connection, user: i64) -> Result<i64, Error> {
    Ok(db
        .prepare_cached("SELECT COALESCE(SUM(generation), 0) FROM bearer WHERE user IN (?1, ?2)")?
        .query_row([user, EVERYBODY], |row| row.get(0))?)
}

/// Revokes every bearer of `user` issued so far; returns the generation of the next ones.
///
/// # Errors
/// When the state cannot be written.
pub fn raise(db: &Connection, user: i64) -> Result<i64, Error> {
    db.prepare_cached(
        "INSERT INTO bearer (user, generation) VALUES (?1, 1)
         ON CONFLICT (user) DO UPDATE SET generation = generation + 1",
    )?
    .execute([user])?;
    generation(db, user)
}

/// The database whose users bearers were issued for so far.
///
/// # Errors
/// When the state cannot be read.
pub fn gateway(db: &Connection) -> Result<Option<String>, Error> {
    let sql = "SELECT value FROM meta WHERE name = 'bearer_gateway'";
    let known = db.query_row(sql, [], |row| row.get::<_, Vec<u8>>(0));
    Ok(known
        .optional()?
        .map(|text| String::from_utf8_lossy(&text).into_owned()))
}

/// Notes the database whose users bearers are issued for from now on. In another one the same id is
/// another person: what was issued before is revoked.
///
/// # Errors
/// When the state cannot be written.
pub fn belong_to(db: &Connection, database: &str) -> Result<(), Error> {
    if gateway(db)?.is_some_and(|known| known != database) {
        raise(db, EVERYBODY)?;
    }
    db.execute(
        "INSERT INTO meta (name, value) VALUES ('bearer_gateway', ?1)
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        params![database.as_bytes()],
    )?;
    Ok(())
}
