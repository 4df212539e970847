//! One connection to an SQLite file that belongs to somebody else.
//!
//! Only `database.rs` calls this, from the thread that owns the [`File`]. Each call looks whether the
//! path still leads to the file that is open (I12) and whether the schema is still the one that was
//! recognised, and leaves no transaction and no statement behind. The journal mode stays as it is.

use std::path::PathBuf;
use std::time::Duration;

use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior, ffi};
use secrecy::ExposeSecret as _;

use super::place::{self, Identity, read_only_folder, who};
use super::{Change, Error, Form, Row, Shape, Statement, Trouble, Value};

/// How long COMMIT may wait for readers: while it waits, new readers are shut out.
const COMMIT_WAIT: Duration = Duration::from_millis(100);

/// The file and, while all is well, its connection.
pub(super) struct File {
    path: PathBuf,
    forms: &'static [&'static Form],
    limit: Duration,
    /// What the file was first recognised as: it must stay that.
    form: Option<usize>,
    open: Option<Open>,
    openings: i64,
}

struct Open {
    connection: Connection,
    identity: Identity,
    /// SQLite's `schema_version` when the form was last recognised.
    schema: Option<i64>,
}

/// What stops a transaction.
enum Fault {
    Sql(rusqlite::Error),
    Unrecognised(String),
    Empty,
    NotKept,
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

/// How a transaction that went well ends.
enum End {
    Commit,
    Rollback,
}

impl File {
    pub(super) fn new(path: PathBuf, forms: &'static [&'static Form], limit: Duration) -> Self {
        Self {
            path,
            forms,
            limit,
            form: None,
            open: None,
            openings: 0,
        }
    }

    pub(super) fn recognise(&mut self) -> Result<usize, Trouble> {
        self.transact(TransactionBehavior::Deferred, |_| Ok((End::Commit, ())))?;
        self.form
            .ok_or_else(|| Trouble::Lasting(Error::Empty(self.path.clone())))
    }

    pub(super) fn read(&mut self, query: &Statement) -> Result<Vec<Row>, Trouble> {
        self.transact(TransactionBehavior::Deferred, |transaction| {
            Ok((End::Commit, select(transaction, query)?))
        })
    }

    pub(super) fn write(&mut self, change: &Change) -> Result<bool, Trouble> {
        self.transact(TransactionBehavior::Immediate, |transaction| {
            if execute(transaction, &change.guarded)? != 1 {
                return Ok((End::Rollback, false));
            }
            for statement in &change.then {
                execute(transaction, statement)?;
            }
            if select(transaction, &change.proof)?.is_empty() {
                return Err(Fault::NotKept);
            }
            Ok((End::Commit, true))
        })
    }

    /// `user_version` stands in the file's first page, so changing it makes a journal whatever the
    /// tables hold.
    pub(super) fn probe(&mut self) -> Result<(), Trouble> {
        self.transact(TransactionBehavior::Immediate, |transaction| {
            let version = pragma(transaction, "user_version")?;
            transaction.pragma_update(None, "user_version", version ^ 1)?;
            Ok((End::Rollback, ()))
        })
    }

    /// `data_version` counts per connection; a connection opened anew must not repeat an old number.
    pub(super) fn version(&mut self) -> Result<i64, Trouble> {
        let version = self.transact(TransactionBehavior::Deferred, |transaction| {
            Ok((End::Commit, pragma(transaction, "data_version")?))
        })?;
        Ok((self.openings << 32) + version)
    }

    pub(super) fn is_wal(&mut self) -> Result<bool, Trouble> {
        self.transact(TransactionBehavior::Deferred, |transaction| {
            let mode: String =
                transaction.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
            Ok((End::Commit, mode == "wal"))
        })
    }

    fn transact<T>(
        &mut self,
        behaviour: TransactionBehavior,
        body: impl FnOnce(&Transaction<'_>) -> Result<(End, T), Fault>,
    ) -> Result<T, Trouble> {
        self.follow()?;
        self.attempt(behaviour, body).map_err(|fault| {
            let trouble = self.judge(fault);
            if let Trouble::Lasting(_) = trouble {
                self.open = None;
            }
            trouble
        })
    }

    /// Opens the file that stands at the path now, unless it is the one that is open.
    fn follow(&mut self) -> Result<(), Trouble> {
        let identity = place::identity(&self.path).map_err(|error| {
            self.open = None;
            Trouble::Lasting(error)
        })?;
        if self
            .open
            .as_ref()
            .is_some_and(|open| open.identity == identity)
        {
            return Ok(());
        }
        self.open = None;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)
            .map_err(|error| self.judge(error.into()))?;
        connection
            .pragma_update(None, "foreign_keys", false)
            .map_err(|error| self.judge(error.into()))?;
        self.openings += 1;
        self.open = Some(Open {
            connection,
            identity,
            schema: None,
        });
        // Replaced between looking and opening: the next attempt finds out.
        match place::identity(&self.path) {
            Ok(now) if now == identity => Ok(()),
            _ => {
                self.open = None;
                Err(self.busy())
            }
        }
    }

    fn attempt<T>(
        &mut self,
        behaviour: TransactionBehavior,
        body: impl FnOnce(&Transaction<'_>) -> Result<(End, T), Fault>,
    ) -> Result<T, Fault> {
        let Some(open) = &mut self.open else {
            return Err(Fault::Empty);
        };
        open.connection.busy_timeout(Duration::ZERO)?;
        let transaction = open.connection.transaction_with_behavior(behaviour)?;
        let schema = pragma(&transaction, "schema_version")?;
        if open.schema != Some(schema) {
            self.form = Some(recognise(&transaction, self.forms, self.form)?);
            open.schema = Some(schema);
        }
        let (end, value) = body(&transaction)?;
        match end {
            End::Commit => {
                transaction.busy_timeout(COMMIT_WAIT)?;
                transaction.commit()?;
            }
            End::Rollback => transaction.rollback()?,
        }
        Ok(value)
    }

    fn busy(&self) -> Trouble {
        Trouble::Passing(Error::Busy {
            path: self.path.clone(),
            waited: self.limit,
        })
    }

    /// Whether waiting helps, and what to tell people if not.
    fn judge(&self, fault: Fault) -> Trouble {
        let path = self.path.clone();
        let error = match fault {
            Fault::NotKept => return Trouble::Lasting(Error::NotKept(path)),
            Fault::Empty => Error::Empty(path),
            Fault::Unrecognised(found) => Error::Unrecognised { path, found },
            Fault::Sql(error) => return self.judge_sql(error),
        };
        // A gateway that starts rebuilds its tables: a file known before gets time to be itself again.
        match self.form {
            Some(_) => Trouble::Passing(error),
            None => Trouble::Lasting(error),
        }
    }

    fn judge_sql(&self, error: rusqlite::Error) -> Trouble {
        let path = self.path.clone();
        let Some(&ffi::Error {
            code,
            extended_code,
        }) = error.sqlite_error()
        else {
            return Trouble::Lasting(Error::Engine {
                path,
                source: error,
            });
        };
        Trouble::Lasting(match code {
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::SchemaChanged
            | ErrorCode::FileLockingProtocolFailed => return self.busy(),
            // Replaced under our hands: the next attempt opens the new file.
            ErrorCode::ReadOnly if extended_code == ffi::SQLITE_READONLY_DBMOVED => {
                return self.busy();
            }
            ErrorCode::ReadOnly if extended_code != ffi::SQLITE_READONLY_DIRECTORY => {
                let who = who(&path);
                Error::ReadOnly { path, who }
            }
            ErrorCode::ReadOnly => read_only_folder(&path),
            ErrorCode::CannotOpen if self.open.is_some() => read_only_folder(&path),
            ErrorCode::CannotOpen | ErrorCode::PermissionDenied => {
                let who = who(&path);
                Error::Denied { path, who }
            }
            ErrorCode::NotADatabase => Error::NotDatabase(path),
            _ => Error::Engine {
                path,
                source: error,
            },
        })
    }
}

/// Which of the forms the tables have: `known`, if they were recognised before.
fn recognise(
    transaction: &Transaction<'_>,
    forms: &[&Form],
    known: Option<usize>,
) -> Result<usize, Fault> {
    let shape = shape(transaction)?;
    if shape.is_empty() {
        return Err(Fault::Empty);
    }
    let mut misfits = Vec::new();
    for (number, form) in forms.iter().enumerate() {
        if known.is_some_and(|known| known != number) {
            continue;
        }
        let reasons = form.misfits(&shape);
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
    Err(Fault::Unrecognised(format!(
        "its tables are {}{more}; {}",
        tables.join(", "),
        misfits.join("; ")
    )))
}

fn shape(transaction: &Transaction<'_>) -> rusqlite::Result<Shape> {
    let mut statement = transaction.prepare(
        r#"SELECT t."name", c."name" FROM "sqlite_master" t, pragma_table_info(t."name") c WHERE t."type" = 'table'"#,
    )?;
    let mut rows = statement.query([])?;
    let mut shape = Shape::new();
    while let Some(row) = rows.next()? {
        let table = shape.entry(row.get(0)?).or_default();
        table.insert(row.get(1)?);
    }
    Ok(shape)
}

fn pragma(transaction: &Transaction<'_>, name: &str) -> rusqlite::Result<i64> {
    transaction.pragma_query_value(None, name, |row| row.get(0))
}

fn execute(transaction: &Transaction<'_>, statement: &Statement) -> rusqlite::Result<usize> {
    transaction.execute(
        &statement.sql,
        rusqlite::params_from_iter(&statement.values),
    )
}

fn select(transaction: &Transaction<'_>, query: &Statement) -> rusqlite::Result<Vec<Row>> {
    let mut statement = transaction.prepare(&query.sql)?;
    let width = statement.column_count();
    let mut rows = statement.query(rusqlite::params_from_iter(&query.values))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(
            (0..width)
                .map(|column| row.get_ref(column).map(Value::from))
                .collect::<rusqlite::Result<Row>>()?,
        );
    }
    Ok(found)
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
