//! The SQL door to a gateway's database: jobs, each a part of one short transaction.
//!
//! [`Database`] runs them on threads of its own (`database/lane.rs`) and waits out the locks of others:
//! a gateway's file may be dead for a minute (facts: New API after a long read), so only
//! `gateway.busy_timeout` makes busy a failure. A file is recognised by the columns of a [`Form`], again
//! after every change of its schema. Caller: `gateway.rs`. A job is a closure, for the token API decides
//! between its statements, but it sees only a [`Session`]: no engine, no BEGIN, no COMMIT. So many share
//! one commit, a failed one is run again, none outlives its time, and later engines take the same jobs.
//! Links' writes stay lists of statements. Nothing here creates or migrates a database.

mod deadline;
mod form;
mod lane;
mod memory;
mod place;
mod queue;
mod session;
mod sqlite;
mod trouble;
mod turnstile;

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use secrecy::SecretString;

use crate::clock::Clock;
use lane::{Lane, Purpose};
use sqlite::{File, Source};
use trouble::Trouble;
use turnstile::Turnstile;

pub use form::{Form, Shape};
pub use memory::Memorable;
pub use session::{Columns, Fault, Halt, Session};

/// Threads for point reads: beside one that waits for the disk, another serves those whose rows are
/// cached. The second is woken only while the first is busy.
const POINT_THREADS: usize = 2;

/// Pauses between attempts: the first, doubled up to the last. SQLite's own busy time-out looks every
/// 100 ms, which a process that writes without pause starves for a minute (tried); an attempt that
/// finds the lock taken costs microseconds.
const PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(8));

/// How long a file that was there may be missing or half copied, as while a backup is put back; what
/// stays away is to be told soon.
const COPYING: Duration = Duration::from_secs(5);

/// A value bound to a statement or read by one. Any text may be a secret.
#[derive(Clone, Debug)]
pub enum Value {
    /// An integer or a boolean.
    Int(i64),
    /// Text; bytes that are read count as text.
    Text(SecretString),
    /// SQL's NULL.
    Null,
}

/// SQL with `?` for its values and double quotes around names.
#[derive(Clone, Debug)]
pub struct Statement {
    /// The text, free of values.
    pub sql: String,
    /// One for each `?`.
    pub values: Vec<Value>,
}

/// A row as selected, column by column.
pub type Row = Vec<Value>;

/// A change that happens whole or not at all.
#[derive(Clone, Debug)]
pub struct Change {
    /// Must hit exactly one row, or nothing is done.
    pub guarded: Statement,
    /// Run after it; may hit any number of rows.
    pub then: Vec<Statement>,
    /// Must find a row at the end, or nothing is done: proves that the values were kept unshortened.
    pub proof: Statement,
}

/// Why a database cannot be used, and what to do about it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// No file stands at the path.
    #[error("{} does not exist: name the gateway's database file in gateway.database (keyfresh never creates it)", .0.display())]
    Missing(PathBuf),
    /// Something else stands there.
    #[error("{} is not a regular file: name the gateway's database file itself in gateway.database", .0.display())]
    NotFile(PathBuf),
    /// The file has no content.
    #[error("{} is an empty file: start the gateway once, or name its real database in gateway.database", .0.display())]
    Empty(PathBuf),
    /// The file has other content.
    #[error("{} is not an SQLite database: name the gateway's database file in gateway.database", .0.display())]
    NotDatabase(PathBuf),
    /// The file cannot be read by this process.
    #[error("{path} cannot be opened ({who}): run keyfresh as the file's owner, or add its user to the file's group and give that group read and write access to file and folder (chmod g+rw)", path = .path.display())]
    Denied {
        /// The file.
        path: PathBuf,
        /// Who we are and whose it is.
        who: String,
    },
    /// The file can be read but not written.
    #[error("{path} cannot be written ({who}): run keyfresh as the file's owner, or add its user to the file's group and `chmod g+rw` it; under systemd also list its folder in ReadWritePaths=", path = .path.display())]
    ReadOnly {
        /// The file.
        path: PathBuf,
        /// Who we are and whose it is.
        who: String,
    },
    /// The journal cannot be made beside the file.
    #[error("no journal can be made in {folder} ({who}): SQLite needs write access to the folder too (chown, or `chmod g+rwx`); under systemd list it in ReadWritePaths=", folder = .folder.display())]
    Folder {
        /// The folder of the database file.
        folder: PathBuf,
        /// Who we are and whose it is.
        who: String,
    },
    /// Its tables and columns are those of no known form.
    #[error("{path} is no database that keyfresh knows ({found}): nothing was changed", path = .path.display())]
    Unrecognised {
        /// The file.
        path: PathBuf,
        /// What is there, and what each form misses.
        found: String,
    },
    /// Locked by others for the whole of `gateway.busy_timeout`.
    #[error("{path} has been locked by another process for {waited:?}: find it (`fuser -v {path}`), restart the gateway if nothing else holds it, or raise gateway.busy_timeout", path = .path.display())]
    Busy {
        /// The file.
        path: PathBuf,
        /// How long we tried.
        waited: Duration,
    },
    /// A value was stored otherwise than it was given.
    #[error("{} did not keep the value as it was given (a trigger or a column that is too short): nothing was changed", .0.display())]
    NotKept(PathBuf),
    /// A row would have broken a rule of its table, as a key that is taken does.
    #[error("{path} refused a row against a rule of its table: nothing was changed", path = .path.display())]
    Constraint {
        /// The file.
        path: PathBuf,
        /// The engine's own words.
        source: Arc<rusqlite::Error>,
    },
    /// Anything else that the engine reports.
    #[error("{path} failed: check the disk, then the file with `sqlite3 FILE 'PRAGMA integrity_check'`", path = .path.display())]
    Engine {
        /// The file.
        path: PathBuf,
        /// The engine's own words.
        source: Arc<rusqlite::Error>,
    },
    /// A job was cut off, and undone, so that the gateway need not wait for it.
    #[error("{path} was busy for {after:?} with one request of ours, which was cut off to spare the gateway: ask for less at once", path = .path.display())]
    Overrun {
        /// The file.
        path: PathBuf,
        /// How long it ran.
        after: Duration,
    },
    /// The job panicked, and what it did was undone.
    #[error(
        "a request of ours ended in a panic and was undone: this is a fault in keyfresh, report it"
    )]
    Panicked,
    /// The database's thread could not be started, or has ended.
    #[error("the database thread does not run: restart keyfresh")]
    Stopped,
}

/// A database of somebody else's, open for short transactions; cheap to clone.
#[derive(Clone)]
pub struct Database {
    writer: Lane,
    points: Lane,
    scans: Lane,
    limit: Duration,
    clock: Clock,
    form: usize,
}

impl Database {
    /// Opens the SQLite file at `path` if it has one of `forms`; changes nothing in it. `limit` is how
    /// long each later call may wait for the locks of others.
    ///
    /// # Errors
    /// When the file is missing, inaccessible, no database, locked, or of no such form.
    pub async fn open(
        path: &Path,
        limit: Duration,
        forms: &'static [&'static Form],
    ) -> Result<Self, Error> {
        let path = std::path::absolute(path).map_err(|_| Error::Missing(path.to_owned()))?;
        let clock = Clock::system();
        let source = Arc::new(Source {
            path,
            forms,
            limit,
            turnstile: Turnstile::new(&clock),
            form: OnceLock::new(),
        });
        let lane = |name, purpose, threads| {
            let files = (0..threads).map(|_| File::new(&source, purpose, &clock));
            Lane::start(name, purpose, &clock, files)
        };
        let mut database = Self {
            points: lane("gateway-reader", Purpose::Read, POINT_THREADS)?,
            scans: lane("gateway-scanner", Purpose::Scan, 1)?,
            writer: lane("gateway-writer", Purpose::Write, 1)?,
            limit,
            clock: clock.clone(),
            form: 0,
        };
        database.version().await?;
        database.form = source.form.get().copied().ok_or(Error::Stopped)?;
        Ok(database)
    }

    /// Which of the forms the database was recognised by.
    #[must_use]
    pub fn form(&self) -> usize {
        self.form
    }

    /// Runs `job` on one consistent state: for reads of a few rows. Jobs that wait together share a
    /// transaction. A refusal is just another answer. The job may run more than once: it must be a
    /// function of what it captured and of the session.
    ///
    /// # Errors
    /// When the database fails or stays locked. [`Error::Overrun`] after 100 ms of reading.
    pub async fn view<T, R>(
        &self,
        job: impl Fn(&Session<'_>) -> Result<T, Halt<R>> + Send + Sync + 'static,
    ) -> Result<Result<T, R>, Error>
    where
        T: Send + 'static,
        R: Send + 'static,
    {
        self.persist(&self.points, job).await
    }

    /// The same for long reads, one piece at a time, which so delay no [`view`](Self::view).
    ///
    /// # Errors
    /// When the database fails or stays locked. [`Error::Overrun`] if the piece took longer than 100 ms:
    /// ask for less.
    pub async fn scan<T, R>(
        &self,
        job: impl Fn(&Session<'_>) -> Result<T, Halt<R>> + Send + Sync + 'static,
    ) -> Result<Result<T, R>, Error>
    where
        T: Send + 'static,
        R: Send + 'static,
    {
        self.persist(&self.scans, job).await
    }

    /// Runs `job`, which may write, and answers once that is committed. Jobs that wait together share a
    /// commit, each in its own SAVEPOINT: a refusal or a failure undoes that job alone. The job may run
    /// more than once: it must be a function of what it captured and of the session.
    ///
    /// # Errors
    /// When the database fails or stays locked. [`Error::Overrun`] after a second. After
    /// [`Error::Engine`] the change may have happened: read before writing again.
    pub async fn alter<T, R>(
        &self,
        job: impl Fn(&Session<'_>) -> Result<T, Halt<R>> + Send + Sync + 'static,
    ) -> Result<Result<T, R>, Error>
    where
        T: Send + 'static,
        R: Send + 'static,
    {
        self.persist(&self.writer, job).await
    }

    /// The rows of one bounded query.
    ///
    /// # Errors
    /// When the database fails or stays locked.
    pub async fn read(&self, query: Statement) -> Result<Vec<Row>, Error> {
        let rows = self.view(move |session| Ok(session.select(&query.sql, &query.values)?));
        rows.await.map(always)
    }

    /// Carries out `change`; false if its guard hit nothing, and nothing was done.
    ///
    /// # Errors
    /// When the database fails or stays locked. After [`Error::Engine`] the change may have happened:
    /// read before writing again.
    pub async fn write(&self, change: Change) -> Result<bool, Error> {
        let changed = self.alter(move |session| {
            let execute =
                |statement: &Statement| session.execute(&statement.sql, &statement.values);
            if execute(&change.guarded)? != 1 {
                return Err(Halt::Refused(()));
            }
            for statement in &change.then {
                execute(statement)?;
            }
            let proof = &change.proof;
            if session.rows(&proof.sql, &proof.values, |_| ())?.is_empty() {
                return Err(Halt::Fault(Fault::not_kept()));
            }
            Ok(())
        });
        Ok(changed.await?.is_ok())
    }

    /// Changes a byte and takes it back: proves that file and folder can be written.
    ///
    /// # Errors
    /// When they cannot, or the database stays locked.
    pub async fn probe(&self) -> Result<(), Error> {
        // `user_version` stands in the file's first page, so changing it makes a journal whatever the
        // tables hold.
        let proved = self.alter(|session| {
            let version = session.number("PRAGMA user_version", &[])? ^ 1;
            session.execute(&format!("PRAGMA user_version = {version}"), &[])?;
            Err::<Infallible, _>(Halt::Refused(()))
        });
        proved.await.map(|_undone| ())
    }

    /// A number that differs from the last one if anybody committed meanwhile, or the file is another.
    ///
    /// # Errors
    /// When the database fails or stays locked.
    pub async fn version(&self) -> Result<i64, Error> {
        // One connection alone: each counts for itself.
        let version = self.scan(|session| Ok(session.version));
        version.await.map(always)
    }

    /// Whether somebody switched the file to a write-ahead log, which none of the gateways expects.
    ///
    /// # Errors
    /// When the database fails or stays locked.
    pub async fn is_wal(&self) -> Result<bool, Error> {
        let modes = self.view(|session| {
            Ok(session.rows("PRAGMA journal_mode", &[], |row| row.text(0) == "wal")?)
        });
        Ok(modes.await.map(always)?.contains(&true))
    }

    /// How long `error` may last before it is told.
    fn patience(&self, error: &Error) -> Duration {
        match error {
            Error::Missing(_) | Error::NotDatabase(_) => self.limit.min(COPYING),
            _ => self.limit,
        }
    }

    /// Attempts until it succeeds, fails for good, or the limit has passed. No attempt waits for a lock,
    /// so calls queued behind a locked file fail together, not one after another.
    async fn persist<T, R>(
        &self,
        lane: &Lane,
        job: impl Fn(&Session<'_>) -> Result<T, Halt<R>> + Send + Sync + 'static,
    ) -> Result<Result<T, R>, Error>
    where
        T: Send + 'static,
        R: Send + 'static,
    {
        let job = Arc::new(job);
        let started = self.clock.stopwatch();
        let mut pause = PAUSES.0;
        loop {
            match lane.attempt(Arc::clone(&job)).await {
                Ok(answer) => return Ok(answer),
                Err(Trouble::Lasting(error)) => return Err(error),
                Err(Trouble::Passing(error)) => {
                    if started.elapsed() >= self.patience(&error) {
                        return Err(error);
                    }
                }
            }
            self.clock.pause(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }
}

/// The answer of a job that never refuses.
fn always<T>(answer: Result<T, Infallible>) -> T {
    match answer {
        Ok(value) => value,
    }
}
