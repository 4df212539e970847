//! A notifier's next step: everything the courier decides, as pure functions on its row.
//!
//! The row moves twice per message: [`Row::sending`] counts the request before it leaves, and
//! [`Row::settled`] moves the cursor if, and only if, the service accepted. A kill between the two
//! repeats one message and loses none.

use std::time::Duration;

use chrono::SubsecRound as _;
use serde::{Deserialize, Serialize};

use super::fold::{self, Counts, Digest};
use super::limits::{self, Tally};
use super::text::{self, Links, Style};
use super::{Delivery, Event, EventKind, Message};
use crate::clock::{Timestamp, jitter};

/// The wait after a first failure; it doubles up to [`LONGEST`].
const SHORTEST: Duration = Duration::from_mins(1);
const LONGEST: Duration = Duration::from_hours(1);

/// The longest wait that a service may ask for, and the farthest a stored one is believed: a clock
/// that was set back must not silence a notifier.
const DAY: Duration = Duration::from_hours(24);

/// A notifier's row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// The last event it is done with.
    pub cursor: i64,
    /// No request before this.
    pub not_before: Option<Timestamp>,
    /// Failures in a row.
    pub tries: u32,
    /// What else it remembers.
    pub memory: Memory,
}

/// The row's JSON; no secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// The requests that count against the service's limits.
    pub tally: Tally,
    /// Why the notifier is stopped, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop: Option<Stop>,
    /// What was forgotten behind its cursor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missed: Option<Missed>,
}

/// Events that were removed before the service took them, being too many: their number is still told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missed {
    /// How many of each kind.
    pub counts: Counts,
    /// The newest one's id.
    pub last: i64,
}

/// A refusal that another try would only make worse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// What the service said.
    pub reason: String,
    /// The fingerprint of the settings that were refused.
    pub settings: String,
    /// When it ends by itself; none: when the settings change or a test is accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// What lies behind a notifier's cursor.
#[derive(Clone, Debug, Default)]
pub struct Backlog {
    /// The events, oldest first.
    pub events: Vec<Event>,
    /// The others: those that were missed, and more than one reading holds.
    pub earlier: Counts,
    /// The newest event's id: the cursor once all this is told.
    pub last: i64,
    /// The links of the credentials that were refreshed or had a conflict.
    pub links: Links,
}

/// A notifier's settings as far as its steps need them.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The name in `[notify.NAME]`.
    pub name: String,
    /// What it wants to tell.
    pub events: Vec<EventKind>,
    /// How it tells it, and the service's limits.
    pub style: Style,
    /// The settings' fingerprint.
    pub settings: String,
}

/// What to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send this; once accepted, everything up to `cursor` is told.
    Send {
        /// The message.
        message: Message,
        /// The new cursor.
        cursor: i64,
    },
    /// Nothing behind the cursor is wanted.
    Skip {
        /// The new cursor.
        cursor: i64,
    },
    /// Nothing may be sent before this.
    Wait(Timestamp),
    /// Nothing may be sent before a person acts.
    Stopped {
        /// What the service said.
        reason: String,
    },
}

impl Row {
    /// Why nothing may be sent at `now`, whatever there is to tell.
    #[must_use]
    pub fn barred(&self, settings: &str, now: Timestamp) -> Option<Step> {
        match &self.memory.stop {
            Some(stop) if stop.settings != settings => return None,
            Some(Stop {
                reason,
                until: None,
                ..
            }) => {
                let reason = reason.clone();
                return Some(Step::Stopped { reason });
            }
            _ => {}
        }
        self.not_before
            .filter(|until| is_ahead(*until, now))
            .map(Step::Wait)
    }

    /// The next step with what lies behind the cursor.
    #[must_use]
    pub fn next(&self, backlog: &Backlog, plan: &Plan, now: Timestamp) -> Step {
        let cursor = backlog.last.max(self.cursor);
        let (mut events, mut earlier) = (Vec::new(), backlog.earlier.clone());
        for event in &backlog.events {
            if text::is_settled(event, &backlog.links) {
                *earlier.entry(event.kind).or_default() += 1;
            } else {
                events.push(event);
            }
        }
        match fold::digest(events, &earlier, &plan.events, now) {
            None => Step::Skip { cursor },
            Some(digest) => self
                .barred(&plan.settings, now)
                .or_else(|| self.pause(&digest, plan, now))
                .unwrap_or_else(|| Step::Send {
                    message: text::message(&digest, &backlog.links, &plan.style),
                    cursor,
                }),
        }
    }

    /// What asks nobody to act waits on a day that had many messages.
    fn pause(&self, digest: &Digest<'_>, plan: &Plan, now: Timestamp) -> Option<Step> {
        let until = self.memory.tally.calm_until(&plan.style.limits, now);
        until.filter(|_| !digest.is_pressing()).map(Step::Wait)
    }

    /// Everything up to `cursor` is told, or nothing that is wanted.
    pub fn passed(&mut self, cursor: i64) {
        self.cursor = self.cursor.max(cursor);
        self.memory.missed.take_if(|missed| missed.last <= cursor);
    }

    /// Counts the request that is about to be sent, if the service's limits allow one now.
    ///
    /// # Errors
    /// The moment to wait for; nothing is counted then.
    pub fn sending(
        &mut self,
        message: &Message,
        plan: &Plan,
        now: Timestamp,
    ) -> Result<(), Timestamp> {
        let limits = &plan.style.limits;
        let content = limits::content_hash(message);
        let tally = &mut self.memory.tally;
        tally.may_send(limits, &content, now)?;
        tally.sending(limits, &content, now);
        Ok(())
    }

    /// The row after the attempt to tell everything up to `cursor`.
    pub fn settled(&mut self, delivery: &Delivery, cursor: i64, plan: &Plan, now: Timestamp) {
        self.memory.tally.answered(now);
        self.memory.stop = None;
        self.not_before = None;
        match delivery {
            Delivery::Accepted { .. } => {
                self.passed(cursor);
                self.memory.tally.accepted();
                self.tries = 0;
            }
            Delivery::Later { after, .. } => {
                self.tries = self.tries.saturating_add(1);
                let asked = after.unwrap_or_default().min(DAY);
                let until = now + backoff(&plan.name, self.tries).max(asked);
                // As precise as it is stored.
                self.not_before = Some(until.trunc_subsecs(3));
            }
            Delivery::StopToday { reason } => {
                let midnight = limits::next_midnight(&plan.style.limits, now);
                self.not_before = Some(midnight);
                self.memory.stop = Some(plan.stop(reason, Some(midnight)));
            }
            Delivery::StopUntilChanged { reason } => {
                self.memory.stop = Some(plan.stop(reason, None));
            }
        }
    }

    /// Whether a person's test would break a ban that has an end.
    #[must_use]
    pub fn banned(&self, settings: &str, now: Timestamp) -> Option<Timestamp> {
        let stop = self.memory.stop.as_ref()?;
        let until = stop.until.filter(|until| is_ahead(*until, now))?;
        (stop.settings == settings).then_some(until)
    }
}

impl Plan {
    fn stop(&self, reason: &str, until: Option<Timestamp>) -> Stop {
        Stop {
            reason: reason.to_owned(),
            settings: self.settings.clone(),
            until,
        }
    }
}

/// Whether `until` is still to be waited for, and no farther away than any wait can be.
fn is_ahead(until: Timestamp, now: Timestamp) -> bool {
    until > now && until <= now + DAY + LONGEST
}

/// A minute, doubling to an hour, up to a quarter less: two notifiers do not knock together.
fn backoff(name: &str, tries: u32) -> Duration {
    let doubled = SHORTEST * 2_u32.saturating_pow(tries.saturating_sub(1).min(6));
    let most = doubled.min(LONGEST);
    most * 3 / 4 + jitter(name, tries.into(), most / 4)
}

#[cfg(test)]
mod tests;
