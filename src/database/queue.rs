//! Jobs that wait for a lane's thread, and answers that wait for their askers.
//!
//! `lane.rs` has the threads. A thread that has nothing to do is parked. To wake one takes a system call
//! and a change of context, which askers share: whoever comes first wakes it for all of one turn of the
//! runtime, and while a thread works nobody wakes another, unless it is stuck.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;

use super::Trouble;
use super::session::{Fault, Session};
use crate::clock::{Clock, Stopwatch};

/// A thread that is at one job for longer waits for the disk: another is woken for those behind it.
pub(super) const STUCK: Duration = Duration::from_millis(1);

/// A job with the place for its answer.
pub(super) trait Work: Send {
    fn run(&mut self, session: &Session<'_>) -> End;
    /// The answer of the last run, or what kept it from being done; whoever hears it passes on `rest`.
    fn reply(self: Box<Self>, trouble: Option<Trouble>, rest: Answers);
}

/// Answers that are due. A thread gives the first, whose hearer gives the others: to wake the runtime
/// from another thread takes a system call each time, from within it takes none.
#[derive(Default)]
pub(super) struct Answers(pub(super) Vec<Ran>);

impl Answers {
    pub(super) fn send(mut self) {
        if let Some((work, trouble)) = self.0.pop() {
            work.reply(trouble, self);
        }
    }
}

/// Also where nobody listens any more.
impl Drop for Answers {
    fn drop(&mut self) {
        for (work, trouble) in self.0.drain(..) {
            work.reply(trouble, Self::default());
        }
    }
}

/// How a job ended.
pub(super) enum End {
    Keep,
    Undo,
    Fault(Fault),
    Panic,
}

/// A job that ran, and what kept it from being done.
pub(super) type Ran = (Box<dyn Work>, Option<Trouble>);

pub(super) struct Queue {
    threads: usize,
    watch: Stopwatch,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Box<dyn Work>>,
    /// Threads that wait; the one that waits shortest is woken first, its cache is warm.
    idle: Vec<Thread>,
    /// When a thread last took a job or was woken for one.
    stirred: Duration,
    /// Whether an asker is about to wake a thread.
    called: bool,
    closed: bool,
}

/// The duty to wake a thread; done when it goes, also where the asker has gone.
pub(super) struct Call<'q>(&'q Queue);

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.0.wake();
    }
}

impl Queue {
    /// For as many `threads`, which will all ask for the [`next`](Self::next) job.
    pub(super) fn new(threads: usize, clock: &Clock) -> Self {
        Self {
            threads,
            watch: clock.stopwatch(),
            state: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether no thread works, or one that does is stuck and another is free.
    fn lacks_a_thread(&self, state: &State) -> bool {
        let idle = state.idle.len();
        idle == self.threads
            || idle > 0 && self.watch.elapsed().saturating_sub(state.stirred) > STUCK
    }

    /// Whoever is given the call has to let it go once others have had their chance to push.
    #[must_use]
    pub(super) fn push(&self, work: Box<dyn Work>) -> Option<Call<'_>> {
        let mut state = self.lock();
        state.jobs.push_back(work);
        let is_due = !state.called && self.lacks_a_thread(&state);
        state.called |= is_due;
        is_due.then(|| Call(self))
    }

    /// Wakes a thread if jobs wait for one.
    pub(super) fn wake(&self) {
        let woken = {
            let mut state = self.lock();
            state.called = false;
            let is_due = !state.jobs.is_empty() && self.lacks_a_thread(&state);
            let woken = is_due.then(|| state.idle.pop()).flatten();
            if woken.is_some() {
                state.stirred = self.watch.elapsed();
            }
            woken
        };
        if let Some(thread) = woken {
            thread.unpark();
        }
    }

    /// Whether jobs wait behind a thread that may prove to be stuck, and another is free.
    pub(super) fn has_a_spare(&self) -> bool {
        let state = self.lock();
        !state.jobs.is_empty() && !state.idle.is_empty()
    }

    /// The next job, if one waits.
    pub(super) fn waiting(&self) -> Option<Box<dyn Work>> {
        let mut state = self.lock();
        state.stirred = self.watch.elapsed();
        state.jobs.pop_front()
    }

    /// All that waits.
    pub(super) fn all(&self) -> VecDeque<Box<dyn Work>> {
        mem::take(&mut self.lock().jobs)
    }

    /// Lets the threads go once nothing waits.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        for idle in state.idle.drain(..) {
            idle.unpark();
        }
    }

    /// The next job, however long it takes to come; nothing once the last handle is gone.
    pub(super) fn next(&self) -> Option<Box<dyn Work>> {
        let me = thread::current();
        loop {
            {
                let mut state = self.lock();
                // A thread that wakes by itself is still on the list.
                state.idle.retain(|idle| idle.id() != me.id());
                if let Some(work) = state.jobs.pop_front() {
                    state.stirred = self.watch.elapsed();
                    return Some(work);
                }
                if state.closed {
                    return None;
                }
                state.idle.push(me.clone());
            }
            thread::park();
        }
    }
}
