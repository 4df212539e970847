//! Jobs that wait for a lane's thread, and answers that wait for their askers.
//!
//! `lane.rs` has the threads. A thread that has nothing to do is parked: to push a job wakes one at most.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};

use super::Trouble;
use super::session::{Fault, Session};

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

#[derive(Default)]
pub(super) struct Queue(Mutex<State>);

#[derive(Default)]
struct State {
    jobs: VecDeque<Box<dyn Work>>,
    /// Threads that wait; the one that waits shortest is woken first, its cache is warm.
    idle: Vec<Thread>,
    closed: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, work: Box<dyn Work>) {
        let idle = {
            let mut state = self.lock();
            state.jobs.push_back(work);
            state.idle.pop()
        };
        if let Some(idle) = idle {
            idle.unpark();
        }
    }

    /// The next job, if one waits.
    pub(super) fn waiting(&self) -> Option<Box<dyn Work>> {
        self.lock().jobs.pop_front()
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
