//! What a database looks like, and what a set of statements relies on.
//!
//! `sqlite.rs` recognises a file by this, again whenever its schema has changed; `session.rs` answers
//! jobs from what was found.

use std::collections::{BTreeMap, BTreeSet};

/// Tables, each with columns.
pub type Shape = BTreeMap<String, BTreeSet<String>>;

/// What a set of statements relies on; a database has this form or not.
#[derive(Debug)]
pub struct Form {
    /// How messages call it.
    pub name: &'static str,
    /// Tables with columns that must be there.
    pub present: &'static [(&'static str, &'static [&'static str])],
    /// Columns (table, column) that tell another form apart and must not be there.
    pub absent: &'static [(&'static str, &'static str)],
}

impl Form {
    /// Why `shape` has not this form: empty if it has.
    fn misfits(&self, shape: &Shape) -> Vec<String> {
        let missing = self.present.iter().filter_map(|(table, columns)| {
            let Some(there) = shape.get(*table) else {
                return Some(format!("no table {table}"));
            };
            let lacking: Vec<&str> = columns
                .iter()
                .copied()
                .filter(|column| !there.contains(*column))
                .collect();
            (!lacking.is_empty()).then(|| format!("{table} lacks {}", lacking.join(", ")))
        });
        let foreign = self
            .absent
            .iter()
            .filter(|(table, column)| has(shape, table, column))
            .map(|(table, column)| format!("{table} has {column}"));
        missing.chain(foreign).collect()
    }
}

pub(super) fn has(shape: &Shape, table: &str, column: &str) -> bool {
    shape
        .get(table)
        .is_some_and(|columns| columns.contains(column))
}

/// Which of the forms `shape` has: `known`, if it was recognised before; else what is there, and what
/// each form misses.
pub(super) fn recognise(
    shape: &Shape,
    forms: &[&Form],
    known: Option<usize>,
) -> Result<usize, String> {
    let mut misfits = Vec::new();
    for (number, form) in forms.iter().enumerate() {
        if known.is_some_and(|known| known != number) {
            continue;
        }
        let reasons = form.misfits(shape);
        if reasons.is_empty() {
            return Ok(number);
        }
        misfits.push(format!("not {}: {}", form.name, reasons.join(", ")));
    }
    let tables: Vec<&str> = shape.keys().take(8).map(String::as_str).collect();
    let more = if shape.len() > tables.len() {
        ", …"
    } else {
        ""
    };
    Err(format!(
        "its tables are {}{more}; {}",
        tables.join(", "),
        misfits.join("; ")
    ))
}
