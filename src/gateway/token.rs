//! A gateway's tokens: what one is, what a new one or a change may say, and the words of refusals.
//!
//! In New API's words whatever the gateway; `token/row.rs` makes the statements, `token/walk.rs` lists
//! and searches. What may be wished for is the API's business: here only what a layout cannot hold is
//! refused.

mod change;
pub(super) mod column;
pub(super) mod row;
mod walk;

use secrecy::SecretString;

use super::Kind;

pub use walk::FOUND_MOST;

/// A row of `tokens`.
#[derive(Clone, Debug)]
pub struct Token {
    /// `id`.
    pub id: i64,
    /// `user_id`: whose it is.
    pub user_id: i64,
    /// `key`, without `sk-`.
    pub key: SecretString,
    /// `status`: 1 enabled, 2 disabled, 3 expired, 4 exhausted.
    pub status: i64,
    /// `name`.
    pub name: String,
    /// `created_time`, unix seconds.
    pub created_time: i64,
    /// `accessed_time`, unix seconds.
    pub accessed_time: i64,
    /// `expired_time`, unix seconds; -1 for never.
    pub expired_time: i64,
    /// `remain_quota`.
    pub remain_quota: i64,
    /// `unlimited_quota`.
    pub unlimited_quota: bool,
    /// Whether only `model_limits` may be used.
    pub model_limits_enabled: bool,
    /// Models, joined by commas.
    pub model_limits: String,
    /// Addresses and CIDRs, one a line; nothing where the column holds NULL.
    pub allow_ips: Option<String>,
    /// `used_quota`.
    pub used_quota: i64,
    /// `group`; empty where the gateway has none.
    pub group: String,
    /// What the gateway's own answers say of the row besides, in their order and words: New API's
    /// `cross_group_retry`, `DeletedAt` and `auto_groups`, One-API's `models` and `subnet`, One-Hub's
    /// `backup_group` and `setting`.
    pub more: Vec<(&'static str, Native)>,
}

/// A value in the gateway's own terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Native {
    /// A boolean.
    Bool(bool),
    /// A text or null.
    Text(Option<String>),
    /// Valid JSON as it is stored, or null.
    Json(Option<String>),
}

/// What a creation may set; the rest is as the gateway itself makes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewToken {
    /// `name`.
    pub name: String,
    /// Unix seconds; -1 for never, and so is 0, as the gateways have it.
    pub expired_time: i64,
    /// `remain_quota`.
    pub remain_quota: i64,
    /// `unlimited_quota`.
    pub unlimited_quota: bool,
    /// `model_limits_enabled`.
    pub model_limits_enabled: bool,
    /// Models, joined by commas.
    pub model_limits: String,
    /// Addresses and CIDRs, one a line.
    pub allow_ips: String,
    /// `group`.
    pub group: String,
    /// `cross_group_retry`, false if not said.
    pub cross_group_retry: Option<bool>,
    /// `created_time` and `accessed_time`, unix seconds.
    pub now: i64,
}

/// What an update may set; `None` keeps what is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenChange {
    /// `name`.
    pub name: Option<String>,
    /// `status`.
    pub status: Option<i64>,
    /// Unix seconds; -1 for never.
    pub expired_time: Option<i64>,
    /// `remain_quota`, whatever was spent meanwhile: so the gateway does it.
    pub remain_quota: Option<i64>,
    /// `unlimited_quota`.
    pub unlimited_quota: Option<bool>,
    /// `model_limits_enabled`.
    pub model_limits_enabled: Option<bool>,
    /// Models, joined by commas.
    pub model_limits: Option<String>,
    /// Addresses and CIDRs, one a line.
    pub allow_ips: Option<String>,
    /// `group`.
    pub group: Option<String>,
    /// `cross_group_retry`.
    pub cross_group_retry: Option<bool>,
}

/// A field that this gateway cannot hold as it is wished for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfit {
    /// The field's name in [`Token`].
    pub field: &'static str,
    /// The field that it has to agree with, where it could be held then.
    pub partner: Option<&'static str>,
    /// Which gateway.
    pub gateway: Kind,
}

/// The key of a row to come.
pub enum Key<'k, R> {
    /// Made already: New API's, One-API's and the embedded database's.
    Made(&'k SecretString),
    /// Made of the row's id inside the same transaction, or refused: One-Hub signs it.
    OfId(&'k dyn Fn(i64) -> Result<SecretString, R>),
}

impl<R> Clone for Key<'_, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Key<'_, R> {}

/// The own tokens of one page, and how many there are in all.
#[derive(Clone, Debug)]
pub struct Page {
    /// Newest id first.
    pub tokens: Vec<Token>,
    /// On all pages.
    pub total: i64,
}
