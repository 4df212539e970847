//! The newest key that One-Hub signed: by it a copy of its `USER_TOKEN_SECRET` is proved before another
//! key is made with that. A wrong copy would make keys that One-Hub refuses.

use secrecy::SecretString;

use super::Tables;
use crate::database::Fault;

/// The length of a key that One-Hub signed; older ones have 48 characters and no signature.
const SIGNED: usize = 59;

/// How many ids are looked through, the newest: the table may hold a million, and who makes a key holds
/// the write lock.
const LOOK: usize = 1000;

impl Tables<'_> {
    /// `id` and `key` of the newest token that One-Hub signed, if there is one among the newest ids.
    /// Whose it was the key alone tells: One-Hub moves tokens from user to user.
    ///
    /// # Errors
    /// When the database fails.
    pub fn newest_signed_key(&self) -> Result<Option<(i64, SecretString)>, Fault> {
        let alive = self.layout.alive("tokens");
        let sql = format!(
            r#"SELECT "id", "key" FROM "tokens" WHERE "id" > (SELECT MAX("id") FROM "tokens") - {LOOK} AND LENGTH("key") = {SIGNED}{alive} ORDER BY "id" DESC LIMIT 1"#
        );
        let rows = self.session.rows(&sql, &[], |row| {
            (row.int(0), SecretString::from(row.text(1)))
        })?;
        Ok(rows.into_iter().next())
    }
}
