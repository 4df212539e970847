//! One connection to an SQLite file that belongs to somebody else.
//!
//! Only `lane.rs` calls this, from the thread that owns the [`File`]. Each transaction looks whether the
//! path still leads to the file that is open (I12) and whether the schema is still the one that was
//! recognised. Statements stay prepared, transactions do not stay. The journal mode stays as it is.

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, ffi};

use super::deadline::{Deadline, STEPS};
use super::form::{self, Form, Shape};
use super::lane::Purpose;
use super::memory::Memory;
use super::place::{self, Identity, read_only_folder, who};
use super::session::{Fault, Known, Reason, Session};
use super::turnstile::Turnstile;
use super::{Error, Trouble};
use crate::clock::Clock;

/// How long COMMIT may wait for readers: while it waits, new readers are shut out.
const COMMIT_WAIT: Duration = Duration::from_millis(100);

/// The longest that one job may read: the gateway's COMMIT waits for it.
const READ: Duration = Duration::from_millis(100);

/// The longest that one job may write. A write that is cut off undoes its whole transaction, so this is
/// for what would hold the lock for seconds and make the gateway lose bookings.
const WRITE: Duration = Duration::from_secs(1);

/// The most prepared statements that a connection keeps.
const STATEMENTS: usize = 32;

/// SQLite's page cache per connection, in its own unit: minus KiB.
const CACHE: i64 = -1024;

/// What the connections to one file share.
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) forms: &'static [&'static Form],
    pub(super) limit: Duration,
    pub(super) turnstile: Turnstile,
    /// What the file was first recognised as: it must stay that.
    pub(super) form: OnceLock<usize>,
}

/// The file and, while all is well, its connection.
pub(super) struct File {
    source: Arc<Source>,
    purpose: Purpose,
    pub(super) deadline: Deadline,
    open: Option<Open>,
    openings: i64,
}

struct Open {
    connection: Connection,
    identity: Identity,
    /// Which opening of the file this is: `data_version` counts anew in each.
    opening: i64,
    /// As of the transaction under way, for [`Session::version`].
    version: i64,
    /// SQLite's `schema_version` when the form was last recognised.
    schema: Option<i64>,
    known: Known,
    memory: RefCell<Memory>,
}

impl File {
    pub(super) fn new(source: &Arc<Source>, purpose: Purpose, clock: &Clock) -> Self {
        let span = match purpose {
            Purpose::Read | Purpose::Scan => READ,
            Purpose::Write => WRITE,
        };
        Self {
            source: Arc::clone(source),
            purpose,
            deadline: Deadline::new(span, clock),
            open: None,
            openings: 0,
        }
    }

    pub(super) fn source(&self) -> Arc<Source> {
        Arc::clone(&self.source)
    }

    /// Begins a transaction on the file that stands at the path now.
    pub(super) fn begin(&mut self) -> Result<(), Trouble> {
        self.follow()?;
        self.start().map_err(|fault| self.give_up(fault))
    }

    /// The transaction under way, as jobs see it.
    pub(super) fn session(&self) -> Option<Session<'_>> {
        self.open.as_ref().map(|open| Session {
            connection: &open.connection,
            known: &open.known,
            memory: (self.purpose != Purpose::Write).then_some(&open.memory),
            version: open.version,
        })
    }

    /// Ends a transaction that wrote nothing.
    pub(super) fn leave(&mut self, sound: bool) {
        let left = sound && self.run("COMMIT").is_ok();
        if !left {
            self.close();
        }
    }

    /// Makes what the jobs wrote last.
    pub(super) fn commit(&mut self) -> Result<(), Trouble> {
        self.wait_and_commit().map_err(|fault| self.give_up(fault))
    }

    /// Undoes all that the jobs wrote.
    pub(super) fn roll_back(&mut self) {
        if self.is_within() && self.run("ROLLBACK").is_err() {
            self.close();
        }
    }

    /// Closes the connection; SQLite undoes what is not committed.
    pub(super) fn close(&mut self) {
        self.open = None;
    }

    /// Marks where a job begins.
    pub(super) fn save(&self) -> Result<(), Fault> {
        self.run("SAVEPOINT job")
    }

    /// Keeps or undoes what was done since; false if the whole transaction is lost.
    pub(super) fn settle(&self, keep: bool) -> bool {
        let undone = keep || (self.is_within() && self.run("ROLLBACK TO job").is_ok());
        undone && self.run("RELEASE job").is_ok() && self.is_within()
    }

    fn is_within(&self) -> bool {
        let open = self.open.as_ref();
        open.is_some_and(|open| !open.connection.is_autocommit())
    }

    fn run(&self, sql: &str) -> Result<(), Fault> {
        let open = self.open.as_ref().ok_or(Fault(Reason::Empty))?;
        open.run(sql)
    }

    fn wait_and_commit(&mut self) -> Result<(), Fault> {
        let open = self.open.as_ref().ok_or(Fault(Reason::Empty))?;
        open.connection.busy_timeout(COMMIT_WAIT)?;
        open.run("COMMIT")
    }

    /// Opens the file that stands at the path now, unless it is the one that is open.
    fn follow(&mut self) -> Result<(), Trouble> {
        let identity = place::identity(&self.source.path).map_err(|error| {
            self.open = None;
            match error {
                Error::Missing(_) => self.hope(error),
                _ => Trouble::Lasting(error),
            }
        })?;
        if self
            .open
            .as_ref()
            .is_some_and(|open| open.identity == identity)
        {
            return Ok(());
        }
        self.open = None;
        let connection = self.connect().map_err(|fault| self.judge(fault))?;
        self.openings += 1;
        self.open = Some(Open {
            connection,
            identity,
            opening: self.openings,
            version: 0,
            schema: None,
            known: Known::default(),
            memory: RefCell::default(),
        });
        // Replaced between looking and opening: the next attempt finds out.
        match place::identity(&self.source.path) {
            Ok(now) if now == identity => Ok(()),
            _ => {
                self.open = None;
                Err(self.busy())
            }
        }
    }

    fn connect(&self) -> Result<Connection, Fault> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(&self.source.path, flags)?;
        connection.pragma_update(None, "foreign_keys", false)?;
        connection.pragma_update(None, "query_only", self.purpose != Purpose::Write)?;
        // Else every statement with LIKE or `LIMIT ?` is prepared anew each time it runs.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        let deadline = self.deadline.clone();
        connection.progress_handler(STEPS, Some(move || deadline.is_past()))?;
        Ok(connection)
    }

    fn start(&mut self) -> Result<(), Fault> {
        let Some(open) = &mut self.open else {
            return Err(Fault(Reason::Empty));
        };
        open.connection.busy_timeout(Duration::ZERO)?;
        open.run(match self.purpose {
            Purpose::Read | Purpose::Scan => "BEGIN",
            Purpose::Write => "BEGIN IMMEDIATE",
        })?;
        // Where nobody has committed, nobody has changed the schema; a writer never does.
        let version = (open.opening << 32) + open.number("PRAGMA data_version")?;
        if open.schema.is_some() && open.version == version {
            return Ok(());
        }
        let schema = open.number("PRAGMA schema_version")?;
        if open.schema == Some(schema) {
            open.version = version;
            return Ok(());
        }
        // Not while opening: this pragma reads the file, which may be locked.
        open.connection.pragma_update(None, "cache_size", CACHE)?;
        let known = open.look()?;
        if known.columns.is_empty() {
            return Err(Fault(Reason::Empty));
        }
        let before = self.source.form.get().copied();
        let form = form::recognise(&known.columns, self.source.forms, before)
            .map_err(|found| Fault(Reason::Unrecognised(found)))?;
        self.source.form.get_or_init(|| form);
        open.known = known;
        open.schema = Some(schema);
        open.version = version;
        Ok(())
    }

    /// What to tell of a transaction that cannot begin or end, which is over.
    fn give_up(&mut self, fault: Fault) -> Trouble {
        let trouble = self.judge(fault);
        if trouble.spares_the_connection() {
            self.roll_back();
        } else {
            self.close();
        }
        trouble
    }

    pub(super) fn busy(&self) -> Trouble {
        Trouble::Passing(Error::Busy {
            path: self.source.path.clone(),
            waited: self.source.limit,
        })
    }

    /// Whether waiting helps, and what to tell people if not.
    pub(super) fn judge(&self, fault: Fault) -> Trouble {
        let path = self.source.path.clone();
        let error = match fault.0 {
            Reason::NotKept => return Trouble::Lasting(Error::NotKept(path)),
            Reason::Empty => Error::Empty(path),
            Reason::Unrecognised(found) => Error::Unrecognised { path, found },
            Reason::Sql(error) => return self.judge_sql(error),
        };
        self.hope(error)
    }

    /// A gateway that starts rebuilds its tables, and a backup is copied back in place: a file that was
    /// known before gets time to be itself again.
    fn hope(&self, error: Error) -> Trouble {
        match self.source.form.get() {
            Some(_) => Trouble::Passing(error),
            None => Trouble::Lasting(error),
        }
    }

    fn judge_sql(&self, error: rusqlite::Error) -> Trouble {
        let path = self.source.path.clone();
        let Some(&ffi::Error {
            code,
            extended_code,
        }) = error.sqlite_error()
        else {
            return Trouble::Lasting(Error::Engine {
                path,
                source: Arc::new(error),
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
            ErrorCode::NotADatabase => return self.hope(Error::NotDatabase(path)),
            ErrorCode::ConstraintViolation => Error::Constraint {
                path,
                source: Arc::new(error),
            },
            ErrorCode::OperationInterrupted => Error::Overrun {
                path,
                after: self.deadline.span(),
            },
            _ => Error::Engine {
                path,
                source: Arc::new(error),
            },
        })
    }
}

impl Open {
    fn run(&self, sql: &str) -> Result<(), Fault> {
        self.connection.prepare_cached(sql)?.execute([])?;
        Ok(())
    }

    fn number(&self, sql: &str) -> Result<i64, Fault> {
        let mut statement = self.connection.prepare_cached(sql)?;
        Ok(statement.query_row([], |row| row.get(0))?)
    }

    fn look(&self) -> Result<Known, Fault> {
        Ok(Known {
            columns: self.shape(
                r#"SELECT t."name", c."name" FROM "sqlite_master" t, pragma_table_info(t."name") c WHERE t."type" = 'table'"#,
            )?,
            indexed: self.shape(
                r#"SELECT t."name", c."name" FROM "sqlite_master" t, pragma_index_list(t."name") i, pragma_index_info(i."name") c WHERE t."type" = 'table' AND i."partial" = 0 AND c."seqno" = 0 AND c."name" IS NOT NULL"#,
            )?,
        })
    }

    fn shape(&self, sql: &str) -> Result<Shape, Fault> {
        let mut statement = self.connection.prepare(sql)?;
        let mut rows = statement.query([])?;
        let mut shape = Shape::new();
        while let Some(row) = rows.next()? {
            let table = shape.entry(row.get(0)?).or_default();
            table.insert(row.get(1)?);
        }
        Ok(shape)
    }
}
