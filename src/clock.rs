//! The one clock: every reading of the time and every wait goes through here (I6).
//!
//! Callers hold a [`Clock`]; rules take `now` as an argument and never ask. A manual clock stands
//! still until it is set, so a test decides what time it is. Waits are sliced: tokio's timers stop
//! while the machine sleeps, so a long wait looks at the wall clock again every [`SLICE`].

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::watch;

/// A moment, in UTC, of millisecond precision.
pub type Timestamp = DateTime<Utc>;

/// The longest single sleep: a machine woken from suspend notices a due credential within it.
pub const SLICE: Duration = Duration::from_secs(30);

/// The source of time; cheap to clone.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Manual(Arc<watch::Sender<Timestamp>>),
}

impl Clock {
    /// The machine's wall clock.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that shows `start` until it is set.
    #[must_use]
    pub fn manual(start: Timestamp) -> Self {
        Self(Source::Manual(Arc::new(watch::Sender::new(start))))
    }

    /// The present moment.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the door")]
    pub fn now(&self) -> Timestamp {
        let now = match &self.0 {
            Source::System => Utc::now(),
            Source::Manual(hand) => *hand.borrow(),
        };
        DateTime::from_timestamp_millis(now.timestamp_millis()).unwrap_or(now)
    }

    /// Sets a manual clock and wakes whoever waits on it; the system's clock is left alone.
    pub fn set(&self, now: Timestamp) {
        if let Source::Manual(hand) = &self.0 {
            hand.send_replace(now);
        }
    }

    /// Returns once the clock shows `until` or later, also after a suspend or a jump of the clock.
    pub async fn sleep_until(&self, until: Timestamp) {
        match &self.0 {
            Source::System => {
                while let Ok(rest) = (until - self.now()).to_std() {
                    if rest.is_zero() {
                        break;
                    }
                    self.pause(rest.min(SLICE)).await;
                }
            }
            Source::Manual(hand) => {
                // The sender lives in `self`, so waiting cannot end by its loss.
                let mut shown = hand.subscribe();
                let _reached = shown.wait_for(|now| *now >= until).await;
            }
        }
    }

    /// Waits `span` of real time: for polling and pacing, where the date does not matter.
    #[expect(clippy::disallowed_methods, reason = "this is the door")]
    pub async fn pause(&self, span: Duration) {
        tokio::time::sleep(span).await;
    }

    /// Blocks this thread for `span` of real time: for threads that serve a database, never in a task.
    #[expect(clippy::disallowed_methods, reason = "this is the door")]
    pub fn rest(&self, span: Duration) {
        std::thread::sleep(span);
    }

    /// A stop-watch started now, unaffected by changes of the wall clock.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the door")]
    pub fn stopwatch(&self) -> Stopwatch {
        Stopwatch(std::time::Instant::now())
    }
}

/// Measures a span on the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(std::time::Instant);

impl Stopwatch {
    /// The time since the stop-watch was started.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// A reproducible span in `[0, span)`: a hash of the credential and its attempt, so that restarts do
/// not move a planned moment and a thousand credentials do not move together.
#[must_use]
pub fn jitter(credential: &str, attempt: u64, span: Duration) -> Duration {
    let digest = ring::digest::digest(
        &ring::digest::SHA256,
        format!("{credential}\n{attempt}").as_bytes(),
    );
    let mut word = [0; 4];
    word.copy_from_slice(&digest.as_ref()[..4]);
    span.mul_f64(f64::from(u32::from_be_bytes(word)) / (f64::from(u32::MAX) + 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_inside_its_span_and_repeats_itself() {
        let hour = Duration::from_hours(1);
        for attempt in 0..1000 {
            let span = jitter("chatgpt", attempt, hour);
            assert!(span < hour);
            assert_eq!(span, jitter("chatgpt", attempt, hour));
        }
        assert_ne!(jitter("a", 1, hour), jitter("b", 1, hour));
    }
}
