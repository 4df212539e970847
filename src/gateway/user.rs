//! A gateway's users: who calls the token API, and whom the commands list.
//!
//! Rows that the gateway counts as deleted are never found. Nothing of a user is ever written, but for
//! the embedded database's own (`embedded.rs`).

use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;

use super::Tables;
use super::token::row::unpadded;
use crate::database::{Columns, Fault, Memorable, Value};

const COLUMNS: &str =
    r#""id", "username", "display_name", "role", "status", "group", "access_token""#;

/// The most users that one query reads.
pub(super) const PAGE: usize = 1000;

/// A row of `users`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// `id`.
    pub id: i64,
    /// `username`.
    pub name: String,
    /// `display_name`.
    pub display_name: String,
    /// `role`: 0 guest, 1 common, 10 administrator, 100 root.
    pub role: i64,
    /// `status`: 1 enabled, 2 disabled.
    pub status: i64,
    /// `group`.
    pub group: String,
    /// Whether there is an `access_token`.
    pub has_access_token: bool,
}

impl User {
    /// Whether the gateway lets the user in.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.status == 1
    }

    /// Whether the role is too low for having tokens.
    #[must_use]
    pub fn is_guest(&self) -> bool {
        self.role < 1
    }
}

impl Memorable for Arc<User> {
    fn bytes(&self) -> usize {
        size_of::<User>() + self.name.len() + self.display_name.len() + self.group.len()
    }
}

impl Tables<'_> {
    /// Whose access token this is, byte for byte; nobody's if it is empty.
    ///
    /// # Errors
    /// When the database fails.
    pub fn user_by_access_token(&self, token: &SecretString) -> Result<Option<User>, Fault> {
        let token = token.expose_secret();
        if token.is_empty() {
            return Ok(None);
        }
        let values = [Value::Text(token.into())];
        let found = self.users(r#""access_token" = ?"#, "", &values, |row| {
            // MySQL's collations find tokens in the wrong case, too.
            let held = unpadded(row.text(6)).as_bytes();
            bool::from(held.ct_eq(token.as_bytes())).then(|| read(row))
        })?;
        Ok(found.into_iter().flatten().next())
    }

    /// The user with this id.
    ///
    /// # Errors
    /// When the database fails.
    pub fn user(&self, id: i64) -> Result<Option<User>, Fault> {
        let mut found = self.users(r#""id" = ?"#, "", &[Value::Int(id)], read)?;
        Ok(found.pop())
    }

    /// The user of this name, letter for letter.
    ///
    /// # Errors
    /// When the database fails.
    pub fn user_by_name(&self, name: &str) -> Result<Option<User>, Fault> {
        let values = [Value::Text(name.into())];
        let found = self.users(r#""username" = ?"#, "", &values, read)?;
        Ok(found.into_iter().find(|user| user.name == name))
    }

    /// The next [`PAGE`] users with ids above `after`, by id.
    pub(super) fn users_after(&self, after: i64) -> Result<Vec<User>, Fault> {
        let order = format!(r#" ORDER BY "id" LIMIT {PAGE}"#);
        self.users(r#""id" > ?"#, &order, &[Value::Int(after)], read)
    }

    fn users<T>(
        &self,
        filter: &str,
        order: &str,
        values: &[Value],
        each: impl Fn(&Columns<'_>) -> T,
    ) -> Result<Vec<T>, Fault> {
        let alive = self.layout.alive("users");
        let mut values = values.to_vec();
        let deleted = self.layout.deleted_user.map(Value::Int);
        let lives = match deleted {
            Some(_) => r#" AND COALESCE("status", 0) <> ?"#,
            None => "",
        };
        values.extend(deleted);
        let sql = format!(r#"SELECT {COLUMNS} FROM "users" WHERE {filter}{alive}{lives}{order}"#);
        self.session.rows(&sql, &values, each)
    }
}

fn read(row: &Columns<'_>) -> User {
    User {
        id: row.int(0),
        name: row.text(1).to_owned(),
        display_name: row.text(2).to_owned(),
        role: row.int(3),
        status: row.int(4),
        group: row.text(5).to_owned(),
        has_access_token: !unpadded(row.text(6)).is_empty(),
    }
}
