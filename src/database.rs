//! The SQL door to a gateway's database: statements as data, each list one short transaction.
//!
//! [`Database`] runs them on two threads of its own, a writer and a reader, and waits out the locks of
//! others: a gateway's file may be dead for a minute (facts: New API after a long read), so only
//! `gateway.busy_timeout` makes busy a failure. A file is recognised by the columns of a [`Form`],
//! again after every change of its schema. Caller: `gateway.rs`. Nothing here creates or migrates a
//! database, and no closure runs inside a transaction: later engines take the same lists.

mod place;
mod sqlite;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use secrecy::SecretString;
use tokio::sync::oneshot;

use crate::clock::Clock;
use sqlite::File;

/// Pauses between attempts: the first, doubled up to the last. SQLite's own busy time-out looks every
/// 100 ms, which a process that writes without pause starves for a minute (tried); an attempt that
/// finds the lock taken costs microseconds.
const PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(8));

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

/// The tables of a database, each with its columns.
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
            .filter(|(table, column)| {
                shape
                    .get(*table)
                    .is_some_and(|there| there.contains(*column))
            })
            .map(|(table, column)| format!("{table} has {column}"));
        missing.chain(foreign).collect()
    }
}

/// Why a database cannot be used, and what to do about it.
#[derive(Debug, thiserror::Error)]
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
    /// Anything else that the engine reports.
    #[error("{path} failed: check the disk, then the file with `sqlite3 FILE 'PRAGMA integrity_check'`", path = .path.display())]
    Engine {
        /// The file.
        path: PathBuf,
        /// The engine's own words.
        source: rusqlite::Error,
    },
    /// The database's thread could not be started, or is gone after a panic.
    #[error("the database thread does not run: restart keyfresh")]
    Stopped,
}

/// What one attempt on a database ended with, if not in success.
enum Trouble {
    /// May pass; the error tells it should it not.
    Passing(Error),
    /// Will not pass by waiting.
    Lasting(Error),
}

/// A database of somebody else's, open for short transactions; cheap to clone.
#[derive(Clone)]
pub struct Database {
    writer: Worker,
    reader: Worker,
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
        let reader = Worker::start("gateway-reader", File::new(path.clone(), forms, limit))?;
        let form = persist(&clock, limit, &reader, File::recognise).await?;
        let writer = Worker::start("gateway-writer", File::new(path, forms, limit))?;
        persist(&clock, limit, &writer, File::recognise).await?;
        Ok(Self {
            writer,
            reader,
            limit,
            clock,
            form,
        })
    }

    /// Which of the forms the database was recognised by.
    #[must_use]
    pub fn form(&self) -> usize {
        self.form
    }

    /// The rows of one bounded query; no transaction stays open.
    ///
    /// # Errors
    /// When the database fails or stays locked.
    pub async fn read(&self, query: Statement) -> Result<Vec<Row>, Error> {
        self.persist(&self.reader, move |file| file.read(&query))
            .await
    }

    /// Carries out `change`; false if its guard hit nothing, and nothing was done.
    ///
    /// # Errors
    /// When the database fails or stays locked. After [`Error::Engine`] the change may have happened:
    /// read before writing again.
    pub async fn write(&self, change: Change) -> Result<bool, Error> {
        self.persist(&self.writer, move |file| file.write(&change))
            .await
    }

    /// Changes a byte and takes it back: proves that file and folder can be written.
    ///
    /// # Errors
    /// When they cannot, or the database stays locked.
    pub async fn probe(&self) -> Result<(), Error> {
        self.persist(&self.writer, File::probe).await
    }

    /// A number that differs from the last one if anybody committed meanwhile, or the file is another.
    ///
    /// # Errors
    /// When the database fails or stays locked.
    pub async fn version(&self) -> Result<i64, Error> {
        self.persist(&self.reader, File::version).await
    }

    /// Whether somebody switched the file to a write-ahead log, which none of the gateways expects.
    ///
    /// # Errors
    /// When the database fails or stays locked.
    pub async fn is_wal(&self) -> Result<bool, Error> {
        self.persist(&self.reader, File::is_wal).await
    }

    async fn persist<T: Send + 'static>(
        &self,
        worker: &Worker,
        attempt: impl Fn(&mut File) -> Result<T, Trouble> + Clone + Send + 'static,
    ) -> Result<T, Error> {
        persist(&self.clock, self.limit, worker, attempt).await
    }
}

/// Attempts until it succeeds, fails for good, or `limit` has passed. No attempt waits for a lock, so
/// calls queued behind a locked file fail together, not one after another.
async fn persist<T: Send + 'static>(
    clock: &Clock,
    limit: Duration,
    worker: &Worker,
    attempt: impl Fn(&mut File) -> Result<T, Trouble> + Clone + Send + 'static,
) -> Result<T, Error> {
    let started = clock.stopwatch();
    let mut pause = PAUSES.0;
    loop {
        match worker.call(attempt.clone()).await? {
            Ok(done) => return Ok(done),
            Err(Trouble::Lasting(error)) => return Err(error),
            Err(Trouble::Passing(error)) if started.elapsed() >= limit => return Err(error),
            Err(Trouble::Passing(_)) => {}
        }
        clock.pause(pause).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}

type Job = Box<dyn FnOnce(&mut File) + Send>;

/// A thread that owns one connection and runs jobs on it, one after another; it ends with the last
/// handle.
#[derive(Clone)]
struct Worker(mpsc::Sender<Job>);

impl Worker {
    fn start(name: &str, mut file: File) -> Result<Self, Error> {
        let (jobs, queue) = mpsc::channel::<Job>();
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || queue.into_iter().for_each(|job| job(&mut file)))
            .map_err(|_| Error::Stopped)?;
        Ok(Self(jobs))
    }

    async fn call<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut File) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |file| {
            // Nobody waits for the answer if the caller was cancelled; the job is done all the same.
            let _unheard = reply.send(job(file));
        });
        self.0.send(job).map_err(|_| Error::Stopped)?;
        answer.await.map_err(|_| Error::Stopped)
    }
}
