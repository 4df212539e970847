//! The one clock: every reading of the time and every wait goes through here (I6).
//!
//! Callers hold a [`Clock`]; rules take `now` as an argument and never ask. There are two hands. The wall
//! clock tells the date and may be set to anything at any moment; the machine's uptime tells how much
//! time has really passed, suspends included, as long as it is not started anew. Where a wait guards
//! something, both are read together ([`Reading`]). A manual clock stands still until it is set, so a
//! test decides what time it is. Waits are sliced: tokio's timers stop while the machine sleeps, so a
//! long wait looks at the clock again every [`SLICE`].

use std::ops::Add;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use nix::time::{ClockId, clock_gettime};
use tokio::sync::watch;

/// A moment, in UTC, of millisecond precision.
pub type Timestamp = DateTime<Utc>;

/// The longest single sleep: a machine woken from suspend notices a due credential within it.
pub const SLICE: Duration = Duration::from_secs(30);

/// Where Linux names the present boot (random(4)).
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// One boot of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Boot(pub [u8; 16]);

/// How long the machine has been up, suspends included, in milliseconds; comparable within one boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uptime {
    /// Which boot.
    pub boot: Boot,
    /// How long ago that was.
    pub since_boot: TimeDelta,
}

/// Both hands of the clock, read together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The wall clock's.
    pub wall: Timestamp,
    /// The machine's uptime; none where the boot is not known.
    pub uptime: Option<Uptime>,
}

impl Reading {
    /// How much time has really passed since `earlier`, whatever was done to the wall clock; none if
    /// that was in another boot.
    #[must_use]
    pub fn elapsed_since(self, earlier: Self) -> Option<TimeDelta> {
        let (now, then) = (self.uptime?, earlier.uptime?);
        let elapsed = now.since_boot - then.since_boot;
        (now.boot == then.boot && elapsed >= TimeDelta::zero()).then_some(elapsed)
    }

    /// How long ago `earlier` was, by the wall clock where the uptime cannot tell; then it may be less
    /// than nothing.
    #[must_use]
    pub fn age_of(self, earlier: Self) -> TimeDelta {
        let elapsed = self.elapsed_since(earlier);
        elapsed.unwrap_or_else(|| self.wall - earlier.wall)
    }

    /// `earlier` as the wall clock would have shown it if it had always gone as it does now.
    #[must_use]
    pub fn recall(self, earlier: Self) -> Self {
        let age = self.age_of(earlier).max(TimeDelta::zero());
        Self {
            wall: self.wall - age,
            ..earlier
        }
    }
}

impl Add<TimeDelta> for Reading {
    type Output = Self;

    /// The reading that much later, if nobody sets the wall clock.
    fn add(self, span: TimeDelta) -> Self {
        let later = |uptime: Uptime| Uptime {
            since_boot: uptime.since_boot + span,
            ..uptime
        };
        Self {
            wall: self.wall + span,
            uptime: self.uptime.map(later),
        }
    }
}

/// The source of time; cheap to clone.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System { boot: Option<Boot> },
    Manual(Arc<watch::Sender<Hands>>),
}

/// What a manual clock shows.
#[derive(Clone, Copy, Debug)]
struct Hands {
    wall: Timestamp,
    uptime: Uptime,
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn system() -> Self {
        let boot = std::fs::read_to_string(BOOT_ID).ok();
        Self(Source::System {
            boot: boot.as_deref().and_then(boot_id),
        })
    }

    /// A clock that shows `start` until it is set. Two that were not turned otherwise agree, as those of
    /// two processes of one machine do.
    #[must_use]
    pub fn manual(start: Timestamp) -> Self {
        let wall = in_millis(start);
        let uptime = Uptime {
            boot: Boot([0; 16]),
            since_boot: wall - Timestamp::UNIX_EPOCH,
        };
        Self(Source::Manual(Arc::new(watch::Sender::new(Hands {
            wall,
            uptime,
        }))))
    }

    /// The present moment by the wall clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.read().wall
    }

    /// The present moment by both hands.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the door")]
    pub fn read(&self) -> Reading {
        match &self.0 {
            Source::System { boot } => Reading {
                wall: in_millis(Utc::now()),
                uptime: boot.map(|boot| Uptime {
                    boot,
                    since_boot: since_boot(),
                }),
            },
            Source::Manual(hands) => {
                let Hands { wall, uptime } = *hands.borrow();
                let uptime = Some(uptime);
                Reading { wall, uptime }
            }
        }
    }

    /// Lets time pass on a manual clock until it shows `now`, and wakes whoever waits on it; back in time
    /// only the wall clock goes. The system's clock is left alone.
    pub fn set(&self, now: Timestamp) {
        self.turn(|hands| {
            let passed = in_millis(now) - hands.wall;
            hands.wall += passed;
            hands.uptime.since_boot += passed.max(TimeDelta::zero());
        });
    }

    /// Somebody sets the wall clock of a manual clock `by` that much, while no time passes.
    pub fn jump(&self, by: TimeDelta) {
        self.turn(|hands| hands.wall = in_millis(hands.wall + by));
    }

    /// A manual clock's machine is started anew.
    pub fn reboot(&self) {
        self.turn(|Hands { uptime, .. }| {
            let Boot(id) = uptime.boot;
            uptime.boot = Boot(u128::from_be_bytes(id).wrapping_add(1).to_be_bytes());
            uptime.since_boot = TimeDelta::zero();
        });
    }

    fn turn(&self, turn: impl FnOnce(&mut Hands)) {
        if let Source::Manual(hands) = &self.0 {
            hands.send_modify(turn);
        }
    }

    /// Returns once the clock shows `until` or later, also after a suspend or a jump of the wall clock;
    /// and once as much time has passed as lies before that now, so that a clock that is set back makes
    /// nobody wait for longer. Whoever waits for a date looks again.
    pub async fn sleep_until(&self, until: Timestamp) {
        match &self.0 {
            Source::System { .. } => {
                let awake = since_boot() + (until - self.now());
                while let Ok(rest) = (until - self.now()).min(awake - since_boot()).to_std() {
                    if rest.is_zero() {
                        break;
                    }
                    self.pause(rest.min(SLICE)).await;
                }
            }
            Source::Manual(hands) => {
                let mut shown = hands.subscribe();
                let Hands { wall, uptime } = *shown.borrow();
                let awake = uptime.since_boot + (until - wall);
                let over = |now: &Hands| now.wall >= until || now.uptime.since_boot >= awake;
                // The sender lives in `self`, so waiting cannot end by its loss.
                let _reached = shown.wait_for(over).await;
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

    /// A stop-watch started now, unaffected by changes of the wall clock; it stops during a suspend.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the door")]
    pub fn stopwatch(&self) -> Stopwatch {
        Stopwatch(std::time::Instant::now())
    }
}

fn in_millis(moment: Timestamp) -> Timestamp {
    DateTime::from_timestamp_millis(moment.timestamp_millis()).unwrap_or(moment)
}

/// The id in `text`, a UUID with its line's end.
fn boot_id(text: &str) -> Option<Boot> {
    let digits = text.trim_end().replace('-', "");
    let id = u128::from_str_radix(&digits, 16).ok()?;
    (digits.len() == 32).then(|| Boot(id.to_be_bytes()))
}

/// The time since the machine was started, which Linux counts since 2.6.39.
fn since_boot() -> TimeDelta {
    let passed = clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from);
    TimeDelta::milliseconds(i64::try_from(passed.as_millis()).unwrap_or(i64::MAX))
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

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// Whether somebody who waits for a minute wakes up after `passed`, the wall clock set `by`.
    async fn wakes(by: TimeDelta, passed: TimeDelta) -> bool {
        let clock = Clock::manual(at("2026-11-21T00:00:00Z"));
        let until = clock.now() + TimeDelta::minutes(1);
        let waiting = clock.clone();
        let sleeper = tokio::spawn(async move { waiting.sleep_until(until).await });
        tokio::task::yield_now().await;
        clock.jump(by);
        clock.set(clock.now() + passed);
        tokio::task::yield_now().await;
        sleeper.is_finished()
    }

    #[tokio::test]
    async fn a_clock_set_back_makes_nobody_sleep_for_longer() {
        let (minute, years) = (TimeDelta::minutes(1), TimeDelta::days(3650));
        for (by, passed, expected) in [
            (TimeDelta::zero(), minute / 2, false),
            (TimeDelta::zero(), minute, true),
            (-years, minute / 2, false),
            (-years, minute, true),
            (years, TimeDelta::zero(), true),
        ] {
            assert_eq!(wakes(by, passed).await, expected, "{by}, {passed}");
        }
    }

    #[test]
    fn time_that_passed_is_told_within_one_boot_whatever_the_wall_clock_shows() {
        let clock = Clock::manual(at("2026-11-21T00:00:00Z"));
        let hour = TimeDelta::hours(1);
        let begun = clock.read();
        clock.set(begun.wall + hour);
        clock.jump(TimeDelta::days(-1));
        clock.set(clock.now() - hour);
        assert_eq!(clock.read().elapsed_since(begun), Some(hour));
        assert_eq!(clock.read().recall(begun).wall, clock.now() - hour);
        clock.reboot();
        assert_eq!(clock.read().elapsed_since(begun), None);
        assert_eq!(clock.read().age_of(begun), TimeDelta::days(-1));
        assert_eq!(clock.read().recall(begun).wall, clock.now());
    }

    #[test]
    fn the_machine_tells_its_boot() {
        let (clock, again) = (Clock::system(), Clock::system());
        let passed = again.read().elapsed_since(clock.read()).unwrap();
        assert!(passed < TimeDelta::hours(1));
        let id = boot_id("0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0\n").unwrap();
        assert_eq!((id.0[0], id.0[15]), (0x0f, 0xf0));
        for damaged in ["", "0f1e", "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1fx"] {
            assert_eq!(boot_id(damaged), None);
        }
    }
}
