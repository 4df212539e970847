//! The rules: the life of one credential as a pure state machine.
//!
//! ```text
//! Resting{due_at} ──claim──▶ Exchanging{slot} ── Granted     → Resting, generation + 1
//! Unconfirmed{resend_at} ──claim──▶ the same   ── Retry       → Resting{due_at}
//!                                              ── Unconfirmed → Unconfirmed{resend_at}
//!                                              ── Rejected    → Dead
//! ```
//!
//! Time is an argument, secrets stay outside: `store/credential.rs` keeps the row and the tokens,
//! `refresh.rs` acts. What happened is returned as events, never logged here.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use chrono::{TimeDelta, TimeZone as _, Utc};

use crate::clock::{Timestamp, jitter};
use crate::notify::{Detail, EventKind};
use crate::provider::{Client, Rotation, Verdict};
use crate::schedule::{self, Plan};

/// No exchange before this day (2026-11-01): a clock that shows less is wrong, and every moment
/// computed from it would be too.
const EARLIEST: (i32, u32, u32) = (2026, 11, 1);

/// A clock this far behind the last thing it timed was set back.
const SET_BACK: TimeDelta = TimeDelta::hours(1);

/// Minutes to wait after the first, second, … failure in a row, up to twice that: at most six calls
/// in the first hour, at most one an hour afterwards.
const LADDER: [u64; 6] = [1, 2, 4, 8, 16, 60];

/// The longest `Retry-After` that is believed.
const LONGEST_WAIT: Duration = Duration::from_hours(7 * 24);

/// The row id of a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CredentialId(pub i64);

/// Where a credential stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Its refresh token was not sent since it came; the next exchange is planned for `due_at`.
    Resting,
    /// A claim is durable: the token may leave, or have left, towards the provider.
    Exchanging {
        /// The slot that its answer goes to.
        slot: u8,
        /// Since when an earlier exchange left it open whether this token was spent, if one did.
        doubt: Option<Timestamp>,
    },
    /// The token may or may not have been spent; `since` is when it was first sent.
    Unconfirmed {
        /// When it may be sent again.
        resend_at: Timestamp,
    },
    /// Rejected, or no refresh token is known: nothing is sent until a person changes something.
    Dead,
}

/// One credential without its secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// Its row.
    pub id: CredentialId,
    /// Its name in the configuration.
    pub name: String,
    /// Whether it left the configuration; it then keeps its phase and rests.
    pub parked: bool,
    /// Where it stands.
    pub phase: Phase,
    /// Since when.
    pub since: Timestamp,
    /// When the next exchange is planned.
    pub due_at: Timestamp,
    /// A `Retry-After` still to be honoured.
    pub not_before: Option<Timestamp>,
    /// The number of its last claim.
    pub attempt: u64,
    /// Failures in a row.
    pub failures: u32,
    /// How many access tokens it was granted.
    pub generation: u64,
    /// When the newest access token came.
    pub obtained_at: Option<Timestamp>,
    /// When the newest access token expires.
    pub expires_at: Option<Timestamp>,
    /// What went wrong last, until something goes right.
    pub last_error: Option<String>,
}

/// What the configuration says of a credential's life.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Its OAuth client.
    pub client: Client,
    /// The schedule.
    pub plan: Arc<Plan>,
    /// How long before its expiry an access token is replaced.
    pub refresh_before: Duration,
}

impl Terms {
    /// Whether the provider takes a token that was first sent at `begun` again at `then`.
    fn allow_resending(&self, begun: Timestamp, then: Timestamp) -> bool {
        self.client.rotation == Rotation::Keeps || then < begun + self.client.grace
    }
}

/// Something to tell, found while settling.
pub type Told = (EventKind, Detail);

impl Credential {
    /// Whether an exchange may start at `now`.
    #[must_use]
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.ready_at(now).is_some_and(|ready| ready <= now)
    }

    /// When an exchange may start, as seen at `now`; `None` if never by itself.
    #[must_use]
    pub fn ready_at(&self, now: Timestamp) -> Option<Timestamp> {
        if self.parked {
            return None;
        }
        let set_back = (self.since - now > SET_BACK).then(|| self.since - now);
        // A clock that was set back keeps the spans it had promised, not the moments.
        let moved = |moment: Timestamp| moment - set_back.unwrap_or_default();
        let planned = match self.phase {
            Phase::Resting if set_back.is_some() => now,
            Phase::Resting => self.due_at,
            Phase::Unconfirmed { resend_at } => moved(resend_at),
            Phase::Exchanging { .. } | Phase::Dead => return None,
        };
        let wait = self.not_before.map_or(planned, moved);
        Some(planned.max(wait).max(earliest()))
    }

    /// Whether `once --force` and `credential refresh` may start an exchange now: they override the
    /// schedule and the back-off, never a `Retry-After`, Unconfirmed or Dead.
    #[must_use]
    pub fn may_be_forced(&self, now: Timestamp) -> bool {
        !self.parked
            && self.phase == Phase::Resting
            && self.not_before.is_none_or(|wait| wait <= now)
            && now >= earliest()
    }

    /// A person entered another refresh token, endpoint or client: due at once, a `Retry-After` apart.
    pub fn renew(&mut self, now: Timestamp) {
        self.phase = Phase::Resting;
        self.since = now;
        self.due_at = now;
        self.failures = 0;
        self.last_error = None;
    }

    /// The claim of the next attempt, with its answer going to `slot`.
    pub fn claim(&mut self, slot: u8, now: Timestamp) {
        self.attempt += 1;
        let doubt = matches!(self.phase, Phase::Unconfirmed { .. }).then_some(self.since);
        self.phase = Phase::Exchanging { slot, doubt };
        self.since = now;
        self.not_before = None;
    }

    /// The exchange came to `verdict`; `rotated` tells that a refresh token came with it, so that the
    /// one sent no longer matters. Returns what the administrator may want to know.
    pub fn settle(
        &mut self,
        verdict: &Verdict,
        rotated: bool,
        terms: &Terms,
        now: Timestamp,
    ) -> Vec<Told> {
        let claimed = self.since;
        let doubt = match self.phase {
            Phase::Exchanging { doubt, .. } => doubt.filter(|_| !rotated),
            _ => None,
        };
        self.since = now;
        match verdict {
            Verdict::Granted { lifetime, .. } => self.granted(*lifetime, terms, now),
            Verdict::Retry {
                reason,
                retry_after,
            } => {
                let told = self.retry(reason, *retry_after, now);
                if let Some(begun) = doubt {
                    // This exchange spent nothing; the one before may have.
                    self.doubt(begun.min(now), self.due_at);
                }
                told
            }
            Verdict::Rejected { code } if rotated => {
                self.retry(&format!("{code}, with a new refresh token"), None, now)
            }
            Verdict::Unconfirmed { reason } if rotated => self.retry(reason, None, now),
            Verdict::Unconfirmed { reason } => self.unconfirmed(reason, doubt, claimed, terms, now),
            Verdict::Rejected { code } => self.rejected(code),
        }
    }

    /// An exchange could not be started: the gateway or the store stands in its way.
    pub fn postpone(&mut self, reason: &str, now: Timestamp) -> Vec<Told> {
        let doubt = matches!(self.phase, Phase::Unconfirmed { .. }).then_some(self.since);
        self.since = now;
        let told = self.retry(reason, None, now);
        if let Some(begun) = doubt {
            self.doubt(begun.min(now), self.due_at);
        }
        told
    }

    /// Whether the exchange that is due would come too late: an unconfirmed token may be sent again
    /// while its grace window is open, or when nothing is left to lose. In between it waits for that.
    pub fn wait_out(&mut self, terms: &Terms, now: Timestamp) -> bool {
        let Phase::Unconfirmed { .. } = self.phase else {
            return false;
        };
        if self.since - now > SET_BACK {
            return false;
        }
        let safe_at = self.nothing_left_to_lose(self.since, terms, now);
        let waits = !terms.allow_resending(self.since, now) && safe_at > now;
        if waits {
            self.doubt(self.since, safe_at);
        }
        waits
    }

    fn granted(&mut self, lifetime: Duration, terms: &Terms, now: Timestamp) -> Vec<Told> {
        let ailing = self.failures > 0;
        self.phase = Phase::Resting;
        self.generation += 1;
        self.failures = 0;
        self.last_error = None;
        self.obtained_at = Some(now);
        self.expires_at = Some(now + lifetime);
        self.due_at = schedule::due_at(&terms.plan, now, lifetime, terms.refresh_before, |span| {
            jitter(&self.name, self.attempt, span)
        });
        let detail = Detail {
            generation: Some(self.generation),
            expires_at: self.expires_at,
            next_at: Some(self.due_at),
            ..Detail::default()
        };
        let recovered = ailing.then(|| (EventKind::Recovered, detail.clone()));
        recovered
            .into_iter()
            .chain([(EventKind::Refreshed, detail)])
            .collect()
    }

    fn retry(&mut self, reason: &str, wait: Option<Duration>, now: Timestamp) -> Vec<Told> {
        self.fail(reason);
        self.phase = Phase::Resting;
        self.not_before = wait.map(|wait| now + wait.min(LONGEST_WAIT));
        self.due_at = self.back_off(now);
        let first = self.failures == 1;
        first
            .then(|| self.told(EventKind::Failing, self.ready_at(now)))
            .into_iter()
            .collect()
    }

    fn unconfirmed(
        &mut self,
        reason: &str,
        doubt: Option<Timestamp>,
        claimed: Timestamp,
        terms: &Terms,
        now: Timestamp,
    ) -> Vec<Told> {
        let begun = doubt.unwrap_or(claimed).min(now);
        self.fail(reason);
        let soon = if self.failures == 1 {
            now
        } else {
            self.back_off(now)
        };
        let resend_at = if terms.allow_resending(begun, soon) {
            soon
        } else {
            self.nothing_left_to_lose(begun, terms, now).max(soon)
        };
        self.doubt(begun, resend_at);
        // One alert for an incident, and one more when the time of sending it again at once is over.
        let is_news = doubt.is_none() || resend_at > soon;
        let told = self.told(EventKind::Unconfirmed, Some(resend_at));
        is_news.then_some(told).into_iter().collect()
    }

    fn doubt(&mut self, begun: Timestamp, resend_at: Timestamp) {
        self.phase = Phase::Unconfirmed { resend_at };
        self.since = begun;
    }

    fn rejected(&mut self, code: &str) -> Vec<Told> {
        self.fail(&format!("the provider rejected the refresh token: {code}"));
        self.phase = Phase::Dead;
        vec![self.told(EventKind::Dead, None)]
    }

    /// From when on a replay can cost nothing: the access token is as good as expired. Before the first
    /// grant that is the one that the channels hold; it counts as new when the token was sent at `begun`.
    fn nothing_left_to_lose(&self, begun: Timestamp, terms: &Terms, now: Timestamp) -> Timestamp {
        let obtained = self.obtained_at.unwrap_or(begun);
        let expires = self.expires_at.unwrap_or(obtained + terms.client.lifetime);
        let margin = TimeDelta::hours(1).min((expires - obtained) / 8);
        (expires - margin).max(now)
    }

    fn back_off(&self, now: Timestamp) -> Timestamp {
        let rung = LADDER.len().min(self.failures.max(1) as usize) - 1;
        let wait = Duration::from_mins(LADDER[rung]);
        now + wait + jitter(&self.name, self.attempt, wait)
    }

    fn fail(&mut self, reason: &str) {
        self.failures = self.failures.saturating_add(1);
        self.last_error = Some(reason.to_owned());
    }

    fn told(&self, kind: EventKind, next_at: Option<Timestamp>) -> Told {
        let detail = Detail {
            error: self.last_error.clone(),
            expires_at: self.expires_at,
            next_at,
            ..Detail::default()
        };
        (kind, detail)
    }
}

/// Whether the provider takes a token that was first sent at `begun` again at `then`.
fn earliest() -> Timestamp {
    let (year, month, day) = EARLIEST;
    Utc.with_ymd_and_hms(year, month, day, 0, 0, 0)
        .earliest()
        .unwrap_or_default()
}
