//! What a job sees of the transaction it runs in: statements, rows, the recognised schema.
//!
//! Engine-neutral on purpose, so that jobs are written once: SQL has `?` for values and double quotes
//! around names, faults are opaque. `lane.rs` makes a [`Session`] for each transaction; jobs neither
//! begin nor end one.

use std::cell::RefCell;

use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, ErrorCode, params_from_iter};
use secrecy::ExposeSecret as _;

use super::form::{self, Shape};
use super::memory::{Key, Memorable, Memory};
use super::{Row, Value};

/// A transaction under way.
pub struct Session<'c> {
    pub(super) connection: &'c Connection,
    pub(super) known: &'c Known,
    /// Where this connection only reads.
    pub(super) memory: Option<&'c RefCell<Memory>>,
    /// Another number for each commit of somebody else, and for each opening of the file.
    pub(super) version: i64,
}

/// What was found when the schema was last read.
#[derive(Default)]
pub(super) struct Known {
    /// Every table with its columns.
    pub(super) columns: Shape,
    /// The columns that an index of the whole table begins with.
    pub(super) indexed: Shape,
}

/// What the engine reported inside a job; opaque to jobs, which pass it on with `?`.
#[derive(Debug)]
pub struct Fault(pub(super) Reason);

#[derive(Debug)]
pub(super) enum Reason {
    Sql(rusqlite::Error),
    Unrecognised(String),
    Empty,
    NotKept,
}

impl Fault {
    /// What was written is not what is read back ([`Error::NotKept`](super::Error::NotKept)).
    #[must_use]
    pub fn not_kept() -> Self {
        Self(Reason::NotKept)
    }

    /// Whether the engine cut the job off because its time was up.
    #[must_use]
    pub fn is_overrun(&self) -> bool {
        let Reason::Sql(error) = &self.0 else {
            return false;
        };
        error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted)
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self(Reason::Sql(error))
    }
}

/// Why a job ended early.
#[derive(Debug)]
pub enum Halt<R> {
    /// The engine could not go on.
    Fault(Fault),
    /// The job itself decided against it; what it wrote is undone.
    Refused(R),
}

impl<R> From<Fault> for Halt<R> {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Session<'_> {
    /// Calls `each` for every row of a query.
    ///
    /// # Errors
    /// When the engine fails, or cuts the job off because its time is up.
    pub fn rows<T>(
        &self,
        sql: &str,
        values: &[Value],
        mut each: impl FnMut(&Columns<'_>) -> T,
    ) -> Result<Vec<T>, Fault> {
        self.rows_while(sql, values, |row| Some(each(row)))
    }

    /// The same up to the first row of which `each` makes nothing.
    ///
    /// # Errors
    /// Those of [`rows`](Self::rows).
    pub fn rows_while<T>(
        &self,
        sql: &str,
        values: &[Value],
        mut each: impl FnMut(&Columns<'_>) -> Option<T>,
    ) -> Result<Vec<T>, Fault> {
        let mut statement = self.prepare(sql)?;
        let mut rows = statement.query(params_from_iter(values))?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let Some(made) = each(&Columns { row }) else {
                break;
            };
            found.push(made);
        }
        Ok(found)
    }

    /// Rows hit by an INSERT, UPDATE or DELETE.
    ///
    /// # Errors
    /// When the engine fails, or the job is one of [`Database::view`](super::Database::view).
    pub fn execute(&self, sql: &str, values: &[Value]) -> Result<usize, Fault> {
        Ok(self.prepare(sql)?.execute(params_from_iter(values))?)
    }

    /// A counting query's single number; [`remembered`](Self::remembered) where all values are integers.
    ///
    /// # Errors
    /// When the engine fails, or cuts the job off because its time is up.
    pub fn count(&self, sql: &str, values: &[Value]) -> Result<i64, Fault> {
        let integers = values.iter().map(|value| match value {
            Value::Int(number) => Some(number.to_be_bytes()),
            Value::Text(_) | Value::Null => None,
        });
        let Some(integers) = integers.collect::<Option<Vec<_>>>() else {
            return self.number(sql, values);
        };
        let found = self.remembered(sql, integers.as_flattened(), || {
            self.number(sql, values).map(Some)
        });
        found.map(Option::unwrap_or_default)
    }

    /// What `compute` finds; a reading connection remembers it as long as nobody commits to the
    /// database. `question` and `about` together must say all that it depends on besides the database;
    /// what is not found is looked for anew each time.
    ///
    /// # Errors
    /// Those of `compute`.
    pub fn remembered<T: Memorable>(
        &self,
        question: &str,
        about: &[u8],
        compute: impl FnOnce() -> Result<Option<T>, Fault>,
    ) -> Result<Option<T>, Fault> {
        let Some(memory) = self.memory else {
            return compute();
        };
        let key = Key::new(question, about);
        let known = memory.borrow_mut().recall(self.version, &key);
        if known.is_some() {
            return Ok(known);
        }
        let found = compute()?;
        if let Some(found) = &found {
            memory.borrow_mut().keep(key, found.clone());
        }
        Ok(found)
    }

    /// Whether the table has the column.
    #[must_use]
    pub fn has(&self, table: &str, column: &str) -> bool {
        form::has(&self.known.columns, table, column)
    }

    /// Whether an index of the whole table begins with this column.
    #[must_use]
    pub fn has_index(&self, table: &str, column: &str) -> bool {
        form::has(&self.known.indexed, table, column)
    }

    /// The first column of the first row; 0 if there is none.
    pub(super) fn number(&self, sql: &str, values: &[Value]) -> Result<i64, Fault> {
        let found = self.rows(sql, values, |row| row.int(0))?;
        Ok(found.first().copied().unwrap_or_default())
    }

    /// A whole row of each hit, owned.
    pub(super) fn select(&self, sql: &str, values: &[Value]) -> Result<Vec<Row>, Fault> {
        let mut statement = self.prepare(sql)?;
        let width = statement.column_count();
        let mut rows = statement.query(params_from_iter(values))?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let row: rusqlite::Result<Row> = (0..width)
                .map(|column| row.get_ref(column).map(Value::from))
                .collect();
            found.push(row?);
        }
        Ok(found)
    }

    /// A prepared statement of the connection's bounded store; SQLite prepares it anew after a change
    /// of the schema.
    fn prepare(&self, sql: &str) -> Result<CachedStatement<'_>, Fault> {
        Ok(self.connection.prepare_cached(sql)?)
    }
}

/// A row under the cursor, borrowed: no allocation.
pub struct Columns<'r> {
    row: &'r rusqlite::Row<'r>,
}

impl Columns<'_> {
    /// The integer in column `i`, counted from 0; 0 for NULL or what is no number. `SQLite` keeps what it
    /// was given: the nearest integer stands for a sum that became too large for one, and text that says
    /// one is read as the gateways read it (Go, `strconv.ParseInt`).
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the nearest is meant")]
    pub fn int(&self, i: usize) -> i64 {
        match self.row.get_ref(i) {
            Ok(ValueRef::Integer(number)) => number,
            Ok(ValueRef::Real(number)) => number as i64,
            _ => self.text(i).parse().unwrap_or_default(),
        }
    }

    /// The boolean in column `i`: text as the gateways read it (Go, `strconv.ParseBool`), else whether
    /// it is a number other than 0.
    #[must_use]
    pub fn flag(&self, i: usize) -> bool {
        matches!(self.text(i), "t" | "T" | "true" | "TRUE" | "True") || self.int(i) != 0
    }

    /// The text or the bytes in column `i`, up to the first that is no UTF-8; "" for NULL or anything
    /// else.
    #[must_use]
    pub fn text(&self, i: usize) -> &str {
        let Ok(ValueRef::Text(bytes) | ValueRef::Blob(bytes)) = self.row.get_ref(i) else {
            return "";
        };
        match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(_) => bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid()),
        }
    }

    /// Whether column `i` is NULL, or there is none.
    #[must_use]
    pub fn is_null(&self, i: usize) -> bool {
        matches!(self.row.get_ref(i), Ok(ValueRef::Null) | Err(_))
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Int(number) => ValueRef::Integer(*number),
            Self::Text(text) => ValueRef::Text(text.expose_secret().as_bytes()),
            Self::Null => ValueRef::Null,
        }))
    }
}

impl From<ValueRef<'_>> for Value {
    fn from(value: ValueRef<'_>) -> Self {
        match value {
            ValueRef::Null => Self::Null,
            ValueRef::Integer(number) => Self::Int(number),
            ValueRef::Real(number) => Self::Text(number.to_string().into()),
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
                Self::Text(String::from_utf8_lossy(bytes).into_owned().into())
            }
        }
    }
}
