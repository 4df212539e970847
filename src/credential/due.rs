//! When a credential may be exchanged: the one place where the two hands of the clock are weighed.
//!
//! `since` and what was planned then were read off one clock, so what must pass is the span between
//! them. Within one boot the uptime tells how much of it really has: a wall clock that is set forward
//! ends no wait that guards a token, and one that is set back draws none out. After a restart, and where
//! the boot is not known, the wall clock alone decides. A child of `credential.rs`; nothing is stored here.

use chrono::{TimeDelta, TimeZone as _, Utc};

use super::{Credential, LONGEST_WAIT, Phase, Terms};
use crate::clock::{Reading, Timestamp};

/// No exchange before this day (2026-11-01): a clock that shows less is wrong, and every moment
/// computed from it would be too.
const EARLIEST: (i32, u32, u32) = (2026, 11, 1);

/// A clock this far behind the last thing it timed was set back.
const SET_BACK: TimeDelta = TimeDelta::hours(1);

impl Credential {
    /// Whether an exchange may start at `now`.
    #[must_use]
    pub fn is_due(&self, now: Reading) -> bool {
        self.ready_at(now).is_some_and(|ready| ready <= now.wall)
    }

    /// When an exchange may start, as seen at `now`; `None` if never by itself.
    #[must_use]
    pub fn ready_at(&self, now: Reading) -> Option<Timestamp> {
        if self.parked {
            return None;
        }
        let planned = match self.phase {
            Phase::Resting if self.since.wall - now.wall > SET_BACK => now.wall,
            Phase::Resting => self.due_at.min(self.overdue_at(now)),
            Phase::Unconfirmed { resend_at } => {
                let over = self.over_at(resend_at, now);
                over.max(resend_at.min(over + self.slack(now)))
            }
            Phase::Exchanging { .. } | Phase::Dead => return None,
        };
        let wait = self.may_ask_at(now).unwrap_or(planned);
        Some(planned.max(wait).max(earliest()))
    }

    /// When the wait is over that was to end at `moment`, as seen at `now`. A wall clock alone that
    /// stands before `since` cannot tell: then somebody has to look ([`Self::wait_out`]).
    fn over_at(&self, moment: Timestamp, now: Reading) -> Timestamp {
        match now.elapsed_since(self.since) {
            Some(elapsed) => now.wall + (moment - self.since.wall - elapsed),
            None if self.is_undated(now) => now.wall,
            None => moment,
        }
    }

    /// Whether how long ago `since` was cannot be told.
    fn is_undated(&self, now: Reading) -> bool {
        now.elapsed_since(self.since).is_none() && self.since.wall - now.wall > SET_BACK
    }

    /// When an exchange cannot wait for the wall clock any more, because that was set back: its time
    /// has come by the uptime, and the access token is as good as expired.
    fn overdue_at(&self, now: Reading) -> Timestamp {
        let Some((obtained, life)) = self.life() else {
            return self.due_at;
        };
        let expired = now.wall + (of_use(life) - now.age_of(obtained));
        self.over_at(self.due_at, now).max(expired)
    }

    /// For how long an unconfirmed token also waits for the wall clock. When it was first sent, the
    /// access token's age was told by a wall clock that may have been wrong, if that came in an earlier
    /// boot; so one that was set back since is heeded, for no longer than an access token lives.
    fn slack(&self, now: Reading) -> TimeDelta {
        let is_timed = |moment| now.elapsed_since(moment).is_some();
        match self.life() {
            Some((obtained, life)) if is_timed(self.since) && !is_timed(obtained) => life,
            _ => TimeDelta::zero(),
        }
    }

    /// When the newest access token came, and for how long it was to live.
    fn life(&self) -> Option<(Reading, TimeDelta)> {
        let (wall, uptime) = (self.obtained_at?, self.obtained_uptime);
        Some((Reading { wall, uptime }, self.expires_at? - wall))
    }

    /// From when on a `Retry-After` allows an exchange; a wait that none can ask for is not believed.
    fn may_ask_at(&self, now: Reading) -> Option<Timestamp> {
        let wait = self.not_before.map(|wait| self.over_at(wait, now));
        wait.filter(|wait| *wait <= now.wall + LONGEST_WAIT)
    }

    /// Whether `once --force` and `credential refresh` may start an exchange now: they override the
    /// schedule and the back-off, never a `Retry-After`, Unconfirmed or Dead.
    #[must_use]
    pub fn may_be_forced(&self, now: Reading) -> bool {
        !self.parked
            && self.phase == Phase::Resting
            && self.may_ask_at(now).is_none_or(|wait| wait <= now.wall)
            && now.wall >= earliest()
    }

    /// From when on a replay can cost nothing: the access token is as good as expired. Before the first
    /// grant that is the one that the channels hold; it counts as new when the token was sent at `begun`.
    pub(super) fn nothing_left_to_lose(
        &self,
        begun: Reading,
        terms: &Terms,
        now: Reading,
    ) -> Timestamp {
        let lifetime = TimeDelta::from_std(terms.client.lifetime).unwrap_or(TimeDelta::MAX);
        let (obtained, life) = self.life().unwrap_or((begun, lifetime));
        // A clock that was set back may date it later than that: it came before the exchange began.
        let age = now.age_of(obtained).max(now.age_of(begun));
        now.wall + (of_use(life) - age).max(TimeDelta::zero())
    }
}

/// For how long of its `life` an access token is of use: after that it is as good as expired.
fn of_use(life: TimeDelta) -> TimeDelta {
    life - TimeDelta::hours(1).min(life / 8)
}

/// The first moment that a right clock can show.
fn earliest() -> Timestamp {
    let (year, month, day) = EARLIEST;
    Utc.with_ymd_and_hms(year, month, day, 0, 0, 0)
        .earliest()
        .unwrap_or_default()
}
