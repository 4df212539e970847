//! Our own state: one SQLite database on one thread, the slots beside it, the lock that guards both.
//!
//! The thread takes closures and answers after the commit (WAL, synchronous=FULL); closures that wait
//! at the same time share one commit, each in its own SAVEPOINT. After an error that leaves the disk's
//! content in doubt nobody claims until a restart. Only [`create`] makes a state (I11), and whoever
//! refreshes holds its [`Lock`] for life (I9). Callers: `refresh.rs`, `link.rs`, `notify.rs`, commands.

pub mod adopt;
pub mod bearer;
pub mod claim;
mod create;
pub mod credential;
pub mod embedded;
mod files;
pub mod ledger;
pub mod link;
mod lock;
pub mod notice;
pub mod secrets;
mod slot;
mod thread;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use chrono::DateTime;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};
use secrecy::SecretString;

use crate::clock::Timestamp;
use crate::secret::{self, Place, StateKey};

pub use create::{create, create_with, exists, give, owner_of};
use files::{check_owner, existing, file, read_key, sync_dir};
pub use lock::{Holder, Lock};
pub use slot::{Slot, Slots};
use thread::{Job, task, work};

/// The layout of `state.db` that this program reads and writes (SQLite's `user_version`).
const MIGRATIONS: [&str; 3] = [
    include_str!("store/schema.sql"),
    include_str!("store/bearer.sql"),
    include_str!("store/uptime.sql"),
];

/// How long our own database may be busy with another of our processes.
const BUSY: Duration = Duration::from_secs(10);

/// Besides safety: an eighth of the usual memory for pages, as the kernel has them too; and a short log,
/// for the next process reads all of it.
const PRAGMAS: &str = "PRAGMA synchronous = FULL; PRAGMA foreign_keys = OFF;
    PRAGMA cache_size = -256; PRAGMA wal_autocheckpoint = 256";

/// What is left to do about a state whose tokens nobody can read any more.
const ANEW: &str = "without a backup, move everything in the state folder but gateway.db away, run `keyfresh init`, then log in anew for each credential and run `keyfresh credential replace NAME` with the new token";

/// What can go wrong with our own state.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no state.
    #[error("{} is missing: restore the whole folder from its newest backup, or run `keyfresh init` for a new installation (refresh tokens may be spent, so nothing is made anew here; init tells of those that are configured already)", .0.display())]
    Missing(PathBuf),
    /// A piece of the state is missing.
    #[error("{} is missing: restore the whole state folder from its newest backup; {ANEW}", .0.display())]
    Incomplete(PathBuf),
    /// The API's own database is missing, and no gateway is configured.
    #[error("{} is missing, and gateway.database is not set: restore it from a backup, or set gateway.database; if it never held a user or token, `keyfresh init` makes an empty one", .0.display())]
    NoEmbedded(PathBuf),
    /// A state exists already.
    #[error("{} exists already: a state is made once; to begin anew, move everything in its folder but gateway.db away", .0.display())]
    Exists(PathBuf),
    /// Others may read the state.
    #[error("{path} can be read by others: run `chmod {mode:o} {path}`", path = path.display())]
    Readable {
        /// The file or folder.
        path: PathBuf,
        /// The mode that it must have.
        mode: u32,
    },
    /// The process runs under another user than the state's owner.
    #[error("{path} belongs to user id {owner}: run `sudo -u '#{owner}' keyfresh …`", path = path.display())]
    Owner {
        /// The folder.
        path: PathBuf,
        /// Its owner's user id.
        owner: u32,
    },
    /// The key beside the state is not the state's.
    #[error(
        "state.key does not belong to this state.db: restore both from the same backup; {ANEW}"
    )]
    WrongKey,
    /// Written by a newer keyfresh.
    #[error("state.db has version {0}, this program knows {known}: install the newer keyfresh again", known = MIGRATIONS.len())]
    Newer(usize),
    /// Somebody else refreshes with this state.
    #[error("another keyfresh ({0}) refreshes with this state: stop it first")]
    Held(Holder),
    /// No slot is free.
    #[error("all slots are in use: wait for the exchanges in flight")]
    NoSlot,
    /// The credential is not in the phase that the caller saw.
    #[error("credential {0} changed meanwhile")]
    Changed(String),
    /// There is no such credential.
    #[error("no credential is called {0}: `keyfresh status` lists them")]
    Unknown(String),
    /// A refresh token that belongs to another credential.
    #[error("this refresh token belongs to credential {0}: one login feeds one credential")]
    Foreign(String),
    /// A refresh token that this credential sent, or may have sent, before.
    #[error("this refresh token is no new login, {0} had it before: log in again")]
    Known(String),
    /// An earlier error left the disk's content in doubt.
    #[error(
        "the state is not trusted after a failed write: see the first error, mend the disk, restart"
    )]
    Untrusted,
    /// A file of the state.
    #[error("{}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// SQLite.
    #[error("state.db")]
    Database(#[from] rusqlite::Error),
    /// A shared commit failed.
    #[error("state.db: the commit failed")]
    Commit(#[source] Arc<Error>),
    /// The database could be opened for reading alone.
    #[error("{} can be read but not written: see to its disk and permissions, then start again", .0.display())]
    Unwritable(PathBuf),
    /// Sealing or opening.
    #[error("state.db")]
    Sealed(#[from] secret::Error),
    /// The thread is gone.
    #[error("the state's thread has ended")]
    Gone,
}

/// The handle to our own state; cheap to clone.
#[derive(Clone)]
pub struct Store(Arc<Shared>);

struct Shared {
    /// Taken when the last handle goes: the thread then ends.
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    key: Arc<StateKey>,
    trusted: Arc<AtomicBool>,
    dir: PathBuf,
}

impl Store {
    /// Opens the state in `dir`, which [`create`] made.
    ///
    /// # Errors
    /// When a piece is missing, foreign, readable by others or of a newer version.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        check_owner(dir)?;
        let key = read_key(&dir.join("state.key"))?;
        let path = existing(dir.join("state.db"), 0o600)?;
        let had_log = dir.join("state.db-wal").exists();
        let mut connection = Connection::open_with_flags(
            &path,
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        prepare(&connection)?;
        // Emptying the log and beginning another would cost each `once` four waits for the disk.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        migrate(&mut connection)?;
        // SQLite opens what it cannot open for writing for reading, without a word.
        if connection.is_readonly("main")? {
            return Err(Error::Unwritable(path));
        }
        let known =
            connection.query_row("SELECT value FROM meta WHERE name = 'key_id'", [], |row| {
                row.get::<_, Vec<u8>>(0)
            });
        // A state that was not made to its end belongs to no key either.
        if known.optional()?.is_none_or(|known| known != key.id()) {
            return Err(Error::WrongKey);
        }
        if !had_log {
            // SQLite does so too, at the first commit, but does not tell if that fails (`unixSync`).
            sync_dir(dir)?;
        }
        let (jobs, queue) = mpsc::channel();
        let trusted = Arc::new(AtomicBool::new(true));
        let doubt = Arc::clone(&trusted);
        let thread = std::thread::Builder::new()
            .name("state".into())
            .spawn(move || work(&connection, &queue, &doubt))
            .map_err(file(dir))?;
        Ok(Self(Arc::new(Shared {
            jobs: Some(jobs),
            thread: Some(thread),
            key: Arc::new(key),
            trusted,
            dir: dir.to_owned(),
        })))
    }

    /// Runs `f` on a consistent snapshot.
    ///
    /// # Errors
    /// Those of `f`.
    pub async fn read<T: Send + 'static>(
        &self,
        f: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (work, answer) = task(f);
        self.send(Job::Read(work))?;
        answer.await.map_err(|_| Error::Gone)?
    }

    /// Runs `f` in a transaction and returns once it is durable. An `Err` from `f` undoes what it did.
    ///
    /// # Errors
    /// Those of `f` and those of the commit.
    pub async fn write<T: Send + 'static>(
        &self,
        f: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (work, answer) = task(f);
        self.send(Job::Write(work))?;
        answer.await.map_err(|_| Error::Gone)?
    }

    fn send(&self, job: Job) -> Result<(), Error> {
        let jobs = self.0.jobs.as_ref().ok_or(Error::Gone)?;
        jobs.send(job).map_err(|_| Error::Gone)
    }

    /// Whether every write so far went well.
    #[must_use]
    pub fn is_trusted(&self) -> bool {
        self.0.trusted.load(Ordering::Acquire)
    }

    /// Ends claims until the restart: a write outside the database left the disk in doubt.
    pub fn distrust(&self) {
        self.0.trusted.store(false, Ordering::Release);
    }

    /// The key that seals this state.
    #[must_use]
    pub fn key(&self) -> Arc<StateKey> {
        Arc::clone(&self.0.key)
    }

    /// The state's folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.0.dir
    }

    /// A number that changes when another process writes to the state.
    ///
    /// # Errors
    /// When SQLite cannot tell.
    pub async fn version(&self) -> Result<i64, Error> {
        self.read(|db| Ok(db.query_row("PRAGMA data_version", [], |row| row.get(0))?))
            .await
    }
}

/// The last handle waits until the database is closed: whoever copies the state then copies all of it.
impl Drop for Shared {
    fn drop(&mut self) {
        self.jobs.take();
        let thread = self.thread.take().filter(|thread| !is_current(thread));
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the state's thread ended in a panic");
        }
    }
}

fn is_current(thread: &JoinHandle<()>) -> bool {
    thread.thread().id() == std::thread::current().id()
}

fn prepare(connection: &Connection) -> Result<(), Error> {
    connection.busy_timeout(BUSY)?;
    connection.execute_batch(PRAGMAS)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

fn migrate(connection: &mut Connection) -> Result<(), Error> {
    let transaction =
        connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let version: usize = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let pending = MIGRATIONS.get(version..).ok_or(Error::Newer(version))?;
    for (done, script) in pending.iter().enumerate() {
        transaction.execute_batch(script)?;
        transaction.pragma_update(None, "user_version", version + done + 1)?;
    }
    Ok(transaction.commit()?)
}

/// The last millisecond of the year 9999, and as far the other way: no clock shows what lies beyond,
/// and nothing computed from what lies within leaves the range of [`Timestamp`].
const LATEST: i64 = 253_402_300_799_999;

/// A column of unix milliseconds. One out of range is an error: whatever stood for it, a spent token
/// might be sent by it.
fn moment(row: &rusqlite::Row<'_>, column: &str) -> Result<Option<Timestamp>, rusqlite::Error> {
    let millis: Option<i64> = row.get(column)?;
    let Some(millis) = millis else {
        return Ok(None);
    };
    let within = (-LATEST..=LATEST).contains(&millis);
    let moment = DateTime::from_timestamp_millis(millis).filter(|_| within);
    let place = row.as_ref().column_index(column)?;
    let error = rusqlite::Error::IntegralValueOutOfRange(place, millis);
    moment.map(Some).ok_or(error)
}

/// The same of a column that is never NULL.
fn certain_moment(row: &rusqlite::Row<'_>, column: &str) -> Result<Timestamp, rusqlite::Error> {
    let place = row.as_ref().column_index(column)?;
    let missing = || {
        rusqlite::Error::InvalidColumnType(place, column.to_owned(), rusqlite::types::Type::Null)
    };
    moment(row, column)?.ok_or_else(missing)
}

/// A sealed token.
fn open_text(key: &StateKey, place: Place<'_>, bytes: &[u8]) -> Result<SecretString, Error> {
    let plain = key.open(place, bytes)?;
    let text = std::str::from_utf8(&plain).map_err(|_| secret::Error::Sealed)?;
    Ok(text.into())
}
