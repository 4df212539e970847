//! The state's thread: takes closures, runs them, answers after the commit.
//!
//! Writes that wait at the same time share one commit, each in its own SAVEPOINT, so that one that
//! fails undoes itself alone. Reads run between commits, each on one snapshot.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};

use rusqlite::{Connection, ErrorCode};
use tokio::sync::oneshot;

use super::Error;

/// The most closures that share one commit.
const BATCH: usize = 256;

/// A closure with the place for its answer; the thread runs it, then tells it how the commit went.
pub(super) trait Work: Send {
    fn run(&mut self, connection: &Connection) -> Result<(), &Error>;
    fn reply(self: Box<Self>, commit: Result<(), Error>);
}

struct Task<F, T> {
    f: Option<F>,
    result: Result<T, Error>,
    asker: oneshot::Sender<Result<T, Error>>,
}

impl<T, F> Work for Task<F, T>
where
    T: Send,
    F: FnOnce(&Connection) -> Result<T, Error> + Send,
{
    fn run(&mut self, connection: &Connection) -> Result<(), &Error> {
        if let Some(f) = self.f.take() {
            self.result = f(connection);
        }
        self.result.as_ref().map(drop)
    }

    fn reply(self: Box<Self>, commit: Result<(), Error>) {
        let answer = if self.f.is_some() || self.result.is_ok() {
            commit.and(self.result)
        } else {
            self.result
        };
        // Whoever asked may have stopped waiting; the commit stands all the same.
        drop(self.asker.send(answer));
    }
}

/// A closure as the thread takes it, and where its answer will arrive.
pub(super) fn task<T: Send + 'static>(
    f: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
) -> (Box<dyn Work>, oneshot::Receiver<Result<T, Error>>) {
    let (asker, answer) = oneshot::channel();
    let task = Task {
        f: Some(f),
        result: Err(Error::Gone),
        asker,
    };
    (Box::new(task), answer)
}

/// What the thread is sent.
pub(super) enum Job {
    /// On a snapshot.
    Read(Box<dyn Work>),
    /// In a transaction.
    Write(Box<dyn Work>),
}

/// Works off `queue` until every sender is gone; `trusted` becomes false after a doubtful write.
pub(super) fn work(connection: &Connection, queue: &mpsc::Receiver<Job>, trusted: &AtomicBool) {
    let mut next = None;
    while let Some(job) = next.take().or_else(|| queue.recv().ok()) {
        match job {
            Job::Read(work) => read(connection, work),
            Job::Write(work) => {
                let mut works = vec![work];
                while works.len() < BATCH && next.is_none() {
                    match queue.try_recv() {
                        Ok(Job::Write(work)) => works.push(work),
                        Ok(job @ Job::Read(_)) => next = Some(job),
                        Err(_) => break,
                    }
                }
                commit(connection, works, trusted);
            }
        }
    }
}

fn read(connection: &Connection, mut work: Box<dyn Work>) {
    let outcome = connection.execute_batch("BEGIN").and_then(|()| {
        // Its own failure is the asker's answer; here only the snapshot ends.
        let _ran = work.run(connection);
        connection.execute_batch("COMMIT")
    });
    work.reply(outcome.map_err(Error::from));
}

fn commit(connection: &Connection, mut works: Vec<Box<dyn Work>>, trusted: &AtomicBool) {
    let mut doubt = false;
    let outcome = run(connection, &mut works, &mut doubt).map_err(Error::from);
    if outcome.is_err() && !connection.is_autocommit() {
        // What cannot be rolled back is rolled back by SQLite when the state is opened again.
        doubt |= connection.execute_batch("ROLLBACK").is_err();
    }
    if let Err(Error::Database(error)) = &outcome {
        doubt |= is_doubtful(error);
    }
    if doubt {
        trusted.store(false, Ordering::Release);
    }
    let failure = outcome.err().map(Arc::new);
    for work in works {
        work.reply(match &failure {
            None => Ok(()),
            Some(error) => Err(Error::Commit(Arc::clone(error))),
        });
    }
}

fn run(
    connection: &Connection,
    works: &mut [Box<dyn Work>],
    doubt: &mut bool,
) -> Result<(), rusqlite::Error> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    for work in works {
        connection.execute_batch("SAVEPOINT work")?;
        if let Err(error) = work.run(connection) {
            *doubt |= matches!(error, Error::Database(error) if is_doubtful(error));
            connection.execute_batch("ROLLBACK TO work")?;
        }
        connection.execute_batch("RELEASE work")?;
    }
    connection.execute_batch("COMMIT")
}

fn is_doubtful(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::SystemIoFailure
                | ErrorCode::DiskFull
                | ErrorCode::DatabaseCorrupt
                | ErrorCode::NotADatabase
        )
    )
}
