//! The columns of `tokens` that not every layout has, as data: how each is read and what it shall hold.
//!
//! The eleven that all layouts share stand in `row.rs`. The layouts' files hold the tables of these; a
//! column that a generation lacks is left out, and what only it could hold is then refused.

use serde::de::IgnoredAny;

use super::{Token, TokenChange};
use crate::database::{Columns, Value};

/// One column of a layout's own.
pub(in crate::gateway) struct Own {
    pub(in crate::gateway) name: &'static str,
    /// The fields of a [`TokenChange`] that it holds.
    pub(in crate::gateway) holds: &'static [&'static str],
    /// Takes what is stored over into the token.
    pub(in crate::gateway) read: fn(&mut Token, Cell<'_>),
    /// What it shall hold after a change of the stored token, if anything else; of a row that is yet to
    /// be made, the column's default if nothing.
    pub(in crate::gateway) write: Write,
}

/// `group`, the same in all layouts that have it.
pub(in crate::gateway) const GROUP: Own = Own {
    name: "group",
    holds: &["group"],
    read: |token, cell| token.group = cell.text(),
    write: |_, change| Ok(change.group.as_ref().map(text)),
};

pub(in crate::gateway) type Write =
    fn(Option<&Token>, &TokenChange) -> Result<Option<Value>, Misfit>;

/// What cannot be held so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gateway) struct Misfit {
    pub(in crate::gateway) field: &'static str,
    /// The field that it has to agree with, if that is all.
    pub(in crate::gateway) partner: Option<&'static str>,
}

impl Misfit {
    pub(in crate::gateway) fn of(field: &'static str) -> Self {
        let partner = None;
        Self { field, partner }
    }
}

/// A column of the row under the cursor.
#[derive(Clone, Copy)]
pub(in crate::gateway) struct Cell<'c> {
    pub(super) row: &'c Columns<'c>,
    pub(super) place: usize,
}

impl Cell<'_> {
    pub(in crate::gateway) fn is_set(&self) -> bool {
        self.row.flag(self.place)
    }

    pub(in crate::gateway) fn text(&self) -> String {
        self.row.text(self.place).to_owned()
    }

    /// The text, or nothing for NULL.
    pub(in crate::gateway) fn nullable(&self) -> Option<String> {
        (!self.row.is_null(self.place)).then(|| self.text())
    }
}

pub(in crate::gateway) fn flag(value: bool) -> Value {
    Value::Int(i64::from(value))
}

pub(in crate::gateway) fn text(value: impl Into<String>) -> Value {
    Value::Text(value.into().into())
}

/// JSON for an answer: what is none, as '' is, counts as nothing.
pub(in crate::gateway) fn json(stored: Option<String>) -> Option<String> {
    stored.filter(|text| serde_json::from_str::<IgnoredAny>(text).is_ok())
}
