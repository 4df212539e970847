//! A gateway's users: who calls the token API, and whom the commands list.
//!
//! Rows that the gateway counts as deleted are never found. Nothing of a user is ever written, but for
//! the embedded database's own (`embedded.rs`).

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
