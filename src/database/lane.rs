//! Threads that run jobs on connections of their own, many to a transaction.
//!
//! `database.rs` has three lanes: two threads for point reads, one for scans, one that writes. What
//! waits is drained into one transaction, so that a crowd of small jobs costs one lock, one `stat` and
//! one commit. A job that panics is nobody else's loss. Waiting for locks is the asker's business: no
//! attempt here waits, but for a COMMIT, and whoever waits behind one that finds the file locked hears so
//! with it. `queue.rs` holds what waits, `turnstile.rs` lets a foreign COMMIT through.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

use super::queue::{Answers, End, Queue, Ran, STUCK, Work};
use super::session::{Halt, Session};
use super::sqlite::File;
use super::turnstile::Stay;
use super::{Error, Trouble};
use crate::clock::Clock;

/// Reads join a transaction that is younger than this: with the last job's own 100 ms it stays far
/// below the seconds that kill a gateway's database (facts: New API, locking).
const READING: Duration = Duration::from_millis(10);

/// Writes join a transaction that is younger than this.
const WRITING: Duration = Duration::from_millis(50);

/// The most jobs of one transaction; those that read are few, for they are answered together.
const READS: usize = 64;
const WRITES: usize = 256;

/// After a commit the file is left alone for as long as it was held, within these: a writer without
/// pauses makes the gateway lose bookings (facts: New API, locking).
const REST: (Duration, Duration) = (Duration::from_micros(200), Duration::from_millis(20));

/// After a COMMIT that readers did not let through it is left alone for so many times as long as it was
/// held: while COMMIT waits it shuts out every other reader, and who blocks it may read for minutes.
const SET_BACK: u32 = 4;

/// What came of a job, or what kept it from being done.
type Attempt<T, R> = Result<Result<T, R>, Trouble>;

struct Task<F, T, R> {
    job: Arc<F>,
    outcome: Option<Result<T, R>>,
    asker: oneshot::Sender<(Attempt<T, R>, Answers)>,
}

impl<F, T, R> Work for Task<F, T, R>
where
    F: Fn(&Session<'_>) -> Result<T, Halt<R>> + Send + Sync,
    T: Send,
    R: Send,
{
    fn run(&mut self, session: &Session<'_>) -> End {
        let (outcome, end) = match (self.job)(session) {
            Ok(done) => (Some(Ok(done)), End::Keep),
            Err(Halt::Refused(refusal)) => (Some(Err(refusal)), End::Undo),
            Err(Halt::Fault(fault)) => (None, End::Fault(fault)),
        };
        self.outcome = outcome;
        end
    }

    fn reply(self: Box<Self>, trouble: Option<Trouble>, rest: Answers) {
        let answer = match (trouble, self.outcome) {
            (Some(trouble), _) => Err(trouble),
            (None, Some(outcome)) => Ok(outcome),
            (None, None) => return,
        };
        // Whoever asked may have stopped waiting; what was done stands all the same.
        drop(self.asker.send((answer, rest)));
    }
}

/// What a lane is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Read,
    Scan,
    Write,
}

/// A queue and the threads that serve it; they end with the last handle.
#[derive(Clone)]
pub(super) struct Lane(Arc<Sender>);

struct Sender(Arc<Queue>);

impl Drop for Sender {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Lane {
    /// Starts a thread for each of `files`. A file is opened by the first job that its thread runs.
    pub(super) fn start(
        name: &str,
        purpose: Purpose,
        clock: &Clock,
        files: impl ExactSizeIterator<Item = File>,
    ) -> Result<Self, Error> {
        let queue = Arc::new(Queue::new(files.len(), clock));
        let lane = Self(Arc::new(Sender(Arc::clone(&queue))));
        for mut file in files {
            let (queue, clock) = (Arc::clone(&queue), clock.clone());
            let serve = move || match purpose {
                Purpose::Read => read(&mut file, Stay::Short, &queue, &clock),
                Purpose::Scan => read(&mut file, Stay::Long, &queue, &clock),
                Purpose::Write => write(&mut file, &queue, &clock),
            };
            thread::Builder::new()
                .name(name.to_owned())
                .spawn(serve)
                .map_err(|_| Error::Stopped)?;
        }
        Ok(lane)
    }

    /// One attempt on `job`.
    pub(super) async fn attempt<T, R, F>(&self, job: Arc<F>) -> Attempt<T, R>
    where
        T: Send + 'static,
        R: Send + 'static,
        F: Fn(&Session<'_>) -> Result<T, Halt<R>> + Send + Sync + 'static,
    {
        let queue = &self.0.0;
        let (asker, mut answer) = oneshot::channel();
        let call = queue.push(Box::new(Task {
            job,
            outcome: None,
            asker,
        }));
        if call.is_some() {
            // Whoever else asks in this turn of the runtime shares the waking and the transaction.
            tokio::task::yield_now().await;
        }
        drop(call);
        let mut heard = None;
        while heard.is_none() && queue.has_a_spare() {
            match tokio::time::timeout(STUCK, &mut answer).await {
                Ok(answer) => heard = Some(answer),
                Err(_) => queue.wake(),
            }
        }
        let heard = match heard {
            Some(heard) => heard,
            None => answer.await,
        };
        match heard {
            Ok((answer, rest)) => {
                drop(rest);
                answer
            }
            Err(_) => Err(Trouble::Lasting(Error::Stopped)),
        }
    }
}

fn read(file: &mut File, stay: Stay, queue: &Queue, clock: &Clock) {
    let source = file.source();
    while let Some(first) = queue.next() {
        let turn = source.turnstile.enter(stay);
        if let Err(trouble) = file.begin() {
            drop(turn);
            turn_away(&trouble, first, queue);
            continue;
        }
        let mut answers = Answers::default();
        let sound = share(file, queue, clock, first, &mut answers.0);
        file.leave(sound);
        drop(turn);
        // Whoever has an answer may count on our lock being gone.
        answers.send();
    }
}

/// Gives `first` and all that waits behind it the same answer: the file is as locked for them.
fn turn_away(trouble: &Trouble, first: Box<dyn Work>, queue: &Queue) {
    let all = std::iter::once(first).chain(queue.all());
    Answers(all.map(|work| (work, Some(trouble.clone()))).collect()).send();
}

/// Runs `first` and what waits behind it in the transaction under way; whether its connection is sound.
fn share(
    file: &File,
    queue: &Queue,
    clock: &Clock,
    first: Box<dyn Work>,
    answers: &mut Vec<Ran>,
) -> bool {
    let started = clock.stopwatch();
    let Some(session) = file.session() else {
        return false;
    };
    let mut next = Some(first);
    while let Some(mut work) = next.take() {
        match run(file, &session, &mut *work) {
            End::Keep | End::Undo => answers.push((work, None)),
            End::Panic => {
                answers.push((work, Some(Trouble::Lasting(Error::Panicked))));
                return false;
            }
            End::Fault(fault) => {
                let trouble = file.judge(fault);
                let sound = trouble.spares_the_connection();
                answers.push((work, Some(trouble)));
                return sound;
            }
        }
        if answers.len() < READS && started.elapsed() < READING {
            next = queue.waiting();
        }
    }
    true
}

fn write(file: &mut File, queue: &Queue, clock: &Clock) {
    let source = file.source();
    let mut left = clock.stopwatch();
    let mut rest = Duration::ZERO;
    while let Some(first) = queue.next() {
        // Whoever comes meanwhile shares the next commit.
        let early = rest.saturating_sub(left.elapsed());
        if !early.is_zero() {
            clock.rest(early);
        }
        rest = Duration::ZERO;
        // Only to begin: while we may write, no COMMIT of another waits.
        let turn = source.turnstile.enter(Stay::Short);
        let outcome = file.begin();
        drop(turn);
        if let Err(trouble) = outcome {
            turn_away(&trouble, first, queue);
            continue;
        }
        let begun = clock.stopwatch();
        let batch = gather(file, queue, clock, first);
        let was_set_back = batch.finish(file);
        let held = begun.elapsed();
        rest = if was_set_back {
            held * SET_BACK
        } else {
            held.clamp(REST.0, REST.1)
        };
        left = clock.stopwatch();
    }
}

/// The jobs of one transaction, each with its own failure.
struct Batch {
    works: Vec<Ran>,
    /// Whether anything is to be committed.
    changed: bool,
    /// Whether SQLite undid everything because one job failed badly.
    void: bool,
    /// Whether the connection may be used again.
    sound: bool,
}

/// Runs `first` and what waits behind it, each in its own SAVEPOINT.
fn gather(file: &File, queue: &Queue, clock: &Clock, first: Box<dyn Work>) -> Batch {
    let started = clock.stopwatch();
    let mut batch = Batch {
        works: Vec::new(),
        changed: false,
        void: false,
        sound: true,
    };
    let mut next = Some(first);
    while let Some(work) = next.take() {
        batch.add(file, work);
        if batch.works.len() < WRITES && started.elapsed() < WRITING && !batch.void {
            next = queue.waiting();
        }
    }
    batch
}

impl Batch {
    fn add(&mut self, file: &File, mut work: Box<dyn Work>) {
        let Some(session) = file.session() else {
            self.void = true;
            return;
        };
        let end = match file.save() {
            Ok(()) => run(file, &session, &mut *work),
            Err(fault) => End::Fault(fault),
        };
        let kept = matches!(end, End::Keep);
        match end {
            End::Keep | End::Undo => self.works.push((work, None)),
            End::Panic => {
                self.sound = false;
                // At once: a batch that runs again runs without it.
                work.reply(Some(Trouble::Lasting(Error::Panicked)), Answers::default());
            }
            End::Fault(fault) => {
                let trouble = file.judge(fault);
                self.sound &= trouble.spares_the_connection();
                self.works.push((work, Some(trouble)));
            }
        }
        self.changed |= kept;
        self.void |= !file.settle(kept);
    }

    /// Commits and answers; whether others did not let the COMMIT through.
    fn finish(self, file: &mut File) -> bool {
        let outcome = if self.void {
            file.leave(false);
            Err(file.busy())
        } else if self.changed {
            file.commit()
        } else {
            file.roll_back();
            Ok(())
        };
        if !self.sound {
            file.close();
        }
        let was_set_back = !self.void && matches!(outcome, Err(Trouble::Passing(_)));
        let answers = self.works.into_iter().map(|(work, own)| {
            // What one saw of the others is gone with them: all come again, refused ones too.
            let trouble = match (&outcome, own) {
                (Err(Trouble::Passing(error)), None) => Some(Trouble::Passing(error.clone())),
                (Err(Trouble::Passing(error)), Some(_)) if !self.void => {
                    Some(Trouble::Passing(error.clone()))
                }
                (Err(Trouble::Lasting(error)), None) => Some(Trouble::Lasting(error.clone())),
                (_, own) => own,
            };
            (work, trouble)
        });
        Answers(answers.collect()).send();
        was_set_back
    }
}

fn run(file: &File, session: &Session<'_>, work: &mut dyn Work) -> End {
    file.deadline.arm();
    // After a panic the connection is closed.
    let end = catch_unwind(AssertUnwindSafe(|| work.run(session)));
    file.deadline.disarm();
    end.unwrap_or(End::Panic)
}
