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

mod due;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;

use crate::clock::{Reading, Timestamp, Uptime, jitter};
use crate::notify::{Cause, Detail, EventKind};
use crate::provider::{self, Client, Rotation, Verdict};
use crate::schedule::{self, Plan};

/// Minutes to wait after the first, second, … failure in a row, up to twice that: at most six calls
/// in the first hour, at most one an hour afterwards.
const LADDER: [u64; 6] = [1, 2, 4, 8, 16, 60];

/// By so much the two hands of the clock may differ without anybody having set one.
const DRIFT: TimeDelta = TimeDelta::minutes(1);

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
    /// Since when; all that is planned below was planned then.
    pub since: Reading,
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
    /// The uptime then, as long as the machine has not been started anew.
    pub obtained_uptime: Option<Uptime>,
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
    /// Whether the provider takes a token again that was first sent `age` ago; less than nothing is a
    /// clock that was set back, and no age to rely on.
    fn allow_resending(&self, age: TimeDelta) -> bool {
        let window = TimeDelta::zero()..self.grace();
        self.client.rotation == Rotation::Keeps || window.contains(&age)
    }

    /// `first`, when a token was sent, as the wall clock would have shown it if it had always gone as it
    /// does at `now`. One that stands before it cannot tell how long ago that was: the grace counts as over.
    fn dated(&self, first: Reading, now: Reading) -> Reading {
        if now.age_of(first) < TimeDelta::zero() {
            now + -self.grace()
        } else {
            now.recall(first)
        }
    }

    fn grace(&self) -> TimeDelta {
        TimeDelta::from_std(self.client.grace).unwrap_or(TimeDelta::MAX)
    }
}

/// Something to tell, found while settling.
pub type Told = (EventKind, Detail);

impl Credential {
    /// A person entered another refresh token, endpoint or client: due at once, a `Retry-After` apart.
    pub fn renew(&mut self, now: Timestamp) {
        self.phase = Phase::Resting;
        self.since = Reading {
            wall: now,
            uptime: None,
        };
        self.due_at = now;
        self.failures = 0;
        self.last_error = None;
    }

    /// The claim of the next attempt, with its answer going to `slot`.
    pub fn claim(&mut self, slot: u8, now: Reading) {
        self.attempt += 1;
        let doubt = self.begun(now).map(|begun| begun.wall);
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
        now: Reading,
    ) -> Vec<Told> {
        let claimed = self.since;
        let doubt = match self.phase {
            Phase::Exchanging { doubt, .. } => doubt.filter(|_| !rotated),
            _ => None,
        };
        let doubt = doubt.map(|begun| claimed + (begun - claimed.wall));
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
                    self.doubt(terms.dated(begun, now), self.due_at);
                }
                told
            }
            Verdict::Rejected { code } if rotated => {
                self.retry(&format!("{code}, with a new refresh token"), None, now)
            }
            Verdict::Unconfirmed { reason } if rotated => self.retry(reason, None, now),
            Verdict::Unconfirmed { reason } => self.unconfirmed(reason, doubt, claimed, terms, now),
            Verdict::Rejected { code } => self.rejected(code, doubt.is_some()),
        }
    }

    /// An exchange could not be started: the gateway or the store stands in its way.
    pub fn postpone(&mut self, reason: &str, now: Reading) -> Vec<Told> {
        let doubt = self.begun(now);
        self.since = now;
        let told = self.retry(reason, None, now);
        if let Some(begun) = doubt {
            self.doubt(begun, self.due_at);
        }
        told
    }

    /// The configured refresh token is older than this state: it is not sent on our own.
    pub fn withhold(&mut self) -> Vec<Told> {
        self.fail(&Cause::Withheld.explain(&self.name));
        self.phase = Phase::Dead;
        let detail = Detail {
            cause: Some(Cause::Withheld),
            ..Detail::default()
        };
        vec![(EventKind::Dead, detail)]
    }

    /// Whether the exchange that is due would come too late: an unconfirmed token may be sent again
    /// while its grace window is open, or when nothing is left to lose. In between it waits for that.
    /// Returns what is to be told of the waiting.
    pub fn wait_out(&mut self, terms: &Terms, now: Reading) -> Option<Vec<Told>> {
        let safe_at = self.nothing_left_to_lose(self.begun(now)?, terms, now);
        let begun = terms.dated(self.since, now);
        let waits = !terms.allow_resending(now.age_of(begun)) && safe_at > now.wall;
        waits.then(|| {
            self.doubt(begun, safe_at);
            let is_news = safe_at - now.wall > DRIFT;
            let told = self.told(EventKind::Unconfirmed, Some(safe_at));
            is_news.then_some(told).into_iter().collect()
        })
    }

    /// When the token was first sent of which nobody knows whether it was spent, if there is one.
    fn begun(&self, now: Reading) -> Option<Reading> {
        matches!(self.phase, Phase::Unconfirmed { .. }).then(|| now.recall(self.since))
    }

    fn granted(&mut self, lifetime: Duration, terms: &Terms, now: Reading) -> Vec<Told> {
        let ailing = self.failures > 0;
        self.phase = Phase::Resting;
        self.generation += 1;
        self.failures = 0;
        self.last_error = None;
        self.obtained_at = Some(now.wall);
        self.obtained_uptime = now.uptime;
        self.expires_at = Some(now.wall + lifetime);
        let share = |span| jitter(&self.name, self.attempt, span);
        let before = terms.refresh_before;
        self.due_at = schedule::due_at(&terms.plan, now.wall, lifetime, before, share);
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

    fn retry(&mut self, reason: &str, wait: Option<Duration>, now: Reading) -> Vec<Told> {
        self.fail(reason);
        self.phase = Phase::Resting;
        self.not_before = wait.map(|wait| now.wall + wait.min(LONGEST_WAIT));
        self.due_at = self.back_off(now.wall);
        let first = self.failures == 1;
        first
            .then(|| self.told(EventKind::Failing, self.ready_at(now)))
            .into_iter()
            .collect()
    }

    fn unconfirmed(
        &mut self,
        reason: &str,
        doubt: Option<Reading>,
        claimed: Reading,
        terms: &Terms,
        now: Reading,
    ) -> Vec<Told> {
        let first = doubt.unwrap_or(claimed);
        let begun = terms.dated(first, now);
        self.fail(reason);
        let soon = if self.failures == 1 {
            now.wall
        } else {
            self.back_off(now.wall)
        };
        let resend_at = if terms.allow_resending(now.age_of(begun) + (soon - now.wall)) {
            soon
        } else {
            let begun = now.recall(first);
            self.nothing_left_to_lose(begun, terms, now).max(soon)
        };
        self.doubt(begun, resend_at);
        // One alert for an incident, and one more when the time of sending it again at once is over.
        let is_news = doubt.is_none() || resend_at > soon;
        let told = self.told(EventKind::Unconfirmed, Some(resend_at));
        is_news.then_some(told).into_iter().collect()
    }

    fn doubt(&mut self, begun: Reading, resend_at: Timestamp) {
        self.phase = Phase::Unconfirmed { resend_at };
        self.since = begun;
    }

    /// `sent_before`: an earlier exchange with this token left it open whether it was spent.
    fn rejected(&mut self, code: &str, sent_before: bool) -> Vec<Told> {
        let blamed = provider::names_reuse(code) || provider::blames_token(code);
        let cause = match sent_before {
            true if blamed => Some(Cause::Lost),
            false if provider::names_reuse(code) => Some(Cause::Reused),
            false if blamed => Some(Cause::Refused),
            _ => None,
        };
        let error = format!("the provider rejected the refresh token: {code}");
        self.fail(&error);
        self.phase = Phase::Dead;
        let (kind, detail) = self.told(EventKind::Dead, None);
        // A notice explains the cause in its reader's language, beside the error.
        if let Some(cause) = cause {
            self.last_error = Some(format!("{error}: {}", cause.explain(&self.name)));
        }
        vec![(kind, Detail { cause, ..detail })]
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
