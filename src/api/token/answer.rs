//! Rows as the gateways answer them: the columns in their order, the key in full.

use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::value::RawValue;

use crate::api::PublicIds;
use crate::gateway::{Native, Token};
use crate::mint::{IdKind, Mint};
use crate::secret::ExposeSecret as _;

/// How answers name rows and users.
#[derive(Clone, Copy)]
pub(super) struct Ids<'m> {
    pub(super) mint: &'m Mint,
    pub(super) shape: PublicIds,
}

/// An id as an answer has it.
struct Id<'m>(Ids<'m>, IdKind, i64);

impl Serialize for Id<'_> {
    fn serialize<S: Serializer>(&self, json: S) -> Result<S::Ok, S::Error> {
        let Self(ids, kind, id) = *self;
        match ids.shape {
            PublicIds::Numbers => json.serialize_i64(id),
            PublicIds::Hashed => json.serialize_str(&ids.mint.public_id(kind, id)),
        }
    }
}

/// A row.
pub(super) struct Row<'a> {
    pub(super) token: &'a Token,
    pub(super) ids: Ids<'a>,
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, json: S) -> Result<S::Ok, S::Error> {
        let Self { token, ids } = self;
        let mut row = json.serialize_map(None)?;
        row.serialize_entry("id", &Id(*ids, IdKind::Token, token.id))?;
        row.serialize_entry("user_id", &Id(*ids, IdKind::User, token.user_id))?;
        row.serialize_entry("key", token.key.expose_secret())?;
        row.serialize_entry("status", &token.status)?;
        row.serialize_entry("name", &token.name)?;
        row.serialize_entry("created_time", &token.created_time)?;
        row.serialize_entry("accessed_time", &token.accessed_time)?;
        row.serialize_entry("expired_time", &token.expired_time)?;
        row.serialize_entry("remain_quota", &token.remain_quota)?;
        row.serialize_entry("unlimited_quota", &token.unlimited_quota)?;
        row.serialize_entry("model_limits_enabled", &token.model_limits_enabled)?;
        row.serialize_entry("model_limits", &token.model_limits)?;
        row.serialize_entry("allow_ips", &token.allow_ips)?;
        row.serialize_entry("used_quota", &token.used_quota)?;
        row.serialize_entry("group", &token.group)?;
        for (name, value) in &token.more {
            match value {
                Native::Bool(truth) => row.serialize_entry(name, truth)?,
                Native::Text(text) => row.serialize_entry(name, text)?,
                Native::Json(text) => row.serialize_entry(name, &raw(text.as_deref()))?,
            }
        }
        row.end()
    }
}

/// Stored JSON as it is; what is none after all is `null`.
fn raw(text: Option<&str>) -> Option<&RawValue> {
    text.and_then(|text| serde_json::from_str(text).ok())
}

/// Rows, in an array.
pub(super) struct Rows<'a> {
    pub(super) tokens: &'a [Token],
    pub(super) ids: Ids<'a>,
}

impl Serialize for Rows<'_> {
    fn serialize<S: Serializer>(&self, json: S) -> Result<S::Ok, S::Error> {
        json.collect_seq(self.tokens.iter().map(|token| Row {
            token,
            ids: self.ids,
        }))
    }
}

/// A page; the names and their order are the gateways'.
#[derive(serde::Serialize)]
pub(super) struct Paged<'a> {
    pub(super) page: u64,
    pub(super) page_size: usize,
    pub(super) total: i64,
    pub(super) items: Rows<'a>,
}
