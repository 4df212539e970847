//! The loop of one notifier: reads what lies behind its cursor, sends, keeps what came of it.
//!
//! `daemon.rs` runs one per notifier, so that a dead service delays no other and no refresh; `once`
//! only flushes them. Every decision is `step.rs`'s; here are the doors: rows, HTTP, clock and log.

use std::sync::Arc;
use std::time::Duration;

use chrono_tz::Tz;
use tokio::sync::watch;
use tracing::{error, info, warn};

use super::step::{Plan, Row, Step};
use super::text::{self, Style};
use super::{Delivery, EventKind, Locale, Message, Notifier};
use crate::clock::{Clock, Timestamp};
use crate::http::Http;
use crate::store::{self, Store, notice};
use crate::telemetry::chain;

/// How long after an event others are waited for, so that one wave makes one message; a wave that goes
/// on and on makes one of each [`WAVE`].
const FOLD: Duration = Duration::from_secs(3);
const WAVE: Duration = Duration::from_mins(2);

/// How long a loop that cannot read or write its row lets the state alone.
const AILING: Duration = Duration::from_mins(1);

/// A notifier as configured.
pub struct Subscriber {
    /// The name in `[notify.NAME]`.
    pub name: String,
    /// The plug-in with its settings.
    pub notifier: Box<dyn Notifier>,
    /// What it tells.
    pub events: Vec<EventKind>,
    /// In which language.
    pub locale: Locale,
    /// In which time zone times are shown: the schedule's.
    pub timezone: Tz,
}

/// Carries notices to one notifier. Its row exists already: [`notice::enrol`] comes first.
pub struct Courier {
    notifier: Box<dyn Notifier>,
    plan: Arc<Plan>,
    store: Store,
    http: Http,
    clock: Clock,
}

/// What came of one attempt to tell what there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There was nothing to tell.
    Idle,
    /// The service accepted a message.
    Sent,
    /// Nothing may be sent before `until`.
    Waiting {
        /// When it goes on.
        until: Timestamp,
        /// What went wrong; none: the service's limits.
        reason: Option<String>,
    },
    /// Nothing is sent before a person acts.
    Stopped {
        /// What the service said.
        reason: String,
    },
}

impl Courier {
    /// The courier of `subscriber`.
    #[must_use]
    pub fn new(subscriber: Subscriber, store: Store, http: Http, clock: Clock) -> Self {
        let notifier = subscriber.notifier;
        let settings = store.key().fingerprint(&notifier.identity()).to_string();
        let plan = Arc::new(Plan {
            name: subscriber.name,
            events: subscriber.events,
            style: Style {
                locale: subscriber.locale,
                timezone: subscriber.timezone,
                format: notifier.format(),
                limits: notifier.limits(),
            },
            settings,
        });
        Self {
            notifier,
            plan,
            store,
            http,
            clock,
        }
    }

    /// The name in `[notify.NAME]`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.plan.name
    }

    /// Tells what there is, whenever `news` says that there may be some, until `stop` is true; then
    /// once more without waiting for others, and returns. A request under way is waited for: aborting
    /// loses nothing, but would repeat a message.
    pub async fn run(
        self: Arc<Self>,
        mut news: watch::Receiver<()>,
        mut stop: watch::Receiver<bool>,
    ) {
        // Nobody being left who could stop it is a stop as well.
        let stopped = async { drop(stop.wait_for(|stop| *stop).await) };
        tokio::pin!(stopped);
        loop {
            tokio::select! {
                () = self.lull(&mut news) => {}
                () = &mut stopped => break,
            }
            news.mark_unchanged();
            let outcome = self.flush().await;
            tokio::select! {
                () = self.rest(outcome, &mut news) => {}
                () = &mut stopped => break,
            }
        }
        if let Err(error) = self.flush().await {
            self.complain(&error);
        }
    }

    /// Waits until a wave of news is over, or has lasted for long.
    async fn lull(&self, news: &mut watch::Receiver<()>) {
        let wave = self.clock.stopwatch();
        while wave.elapsed() < WAVE {
            tokio::select! {
                () = self.clock.pause(FOLD) => break,
                () = heard(news) => {}
            }
        }
    }

    /// Waits until another look is worth while.
    async fn rest(&self, outcome: Result<Outcome, store::Error>, news: &mut watch::Receiver<()>) {
        match outcome {
            Ok(Outcome::Sent) => {}
            Ok(Outcome::Idle | Outcome::Stopped { .. }) => heard(news).await,
            Ok(Outcome::Waiting { until, .. }) => tokio::select! {
                () = self.clock.sleep_until(until) => {}
                // A test that a person had sent may end the wait.
                () = heard(news) => {}
            },
            Err(error) => {
                self.complain(&error);
                self.clock.pause(AILING).await;
            }
        }
    }

    /// Tells what there is now, in one message, if the service's limits and its last answer allow.
    ///
    /// # Errors
    /// When the state cannot be read or written.
    pub async fn flush(&self) -> Result<Outcome, store::Error> {
        match self.step().await? {
            None => Ok(Outcome::Idle),
            Some(Step::Skip { cursor }) => {
                self.change(move |row| row.passed(cursor)).await?;
                Ok(Outcome::Idle)
            }
            Some(Step::Wait(until)) => Ok(Outcome::Waiting {
                until,
                reason: None,
            }),
            Some(Step::Stopped { reason }) => Ok(Outcome::Stopped { reason }),
            Some(Step::Send { message, cursor }) => self.attempt(message, cursor).await,
        }
    }

    /// What to do now, if there is anything to tell. The state's thread only reads, and a long backlog
    /// only if something may be sent: claims wait behind it.
    async fn step(&self) -> Result<Option<Step>, store::Error> {
        let (plan, now) = (&self.plan, self.clock.now());
        let name = plan.name.clone();
        let look = move |db: &rusqlite::Connection| {
            let row = notice::row(db, &name)?;
            row.map(|row| Ok((notice::untold(db, &row)?, row)))
                .transpose()
        };
        let Some((1.., row)) = self.store.read(look).await? else {
            return Ok(None);
        };
        if let Some(barred) = row.barred(&plan.settings, now) {
            return Ok(Some(barred));
        }
        let name = plan.name.clone();
        let read = move |db: &rusqlite::Connection| {
            // Once more: old events may have become a part of it.
            let row = notice::row(db, &name)?.unwrap_or_default();
            Ok((notice::backlog(db, &row)?, row))
        };
        let (backlog, row) = self.store.read(read).await?;
        Ok(backlog.map(|backlog| row.next(&backlog, plan, now)))
    }

    /// Sends a test message at once, also by a notifier that waits or is stopped; acceptance sets it
    /// going again. Only the service's limits and a ban with an end are minded.
    ///
    /// # Errors
    /// When the state cannot be read or written.
    pub async fn test(&self) -> Result<Outcome, store::Error> {
        let now = self.clock.now();
        let plan = Arc::clone(&self.plan);
        let banned = self
            .store
            .read(move |db| {
                let row = notice::row(db, &plan.name)?.unwrap_or_default();
                let until = row.banned(&plan.settings, now);
                Ok(until.map(|until| (until, row.memory.stop.map(|stop| stop.reason))))
            })
            .await?;
        if let Some((until, reason)) = banned {
            return Ok(Outcome::Waiting { until, reason });
        }
        let message = text::test_message(&self.plan.name, &self.plan.style, now);
        self.attempt(message, 0).await
    }

    /// Counts the request, sends it and keeps what came of it.
    async fn attempt(&self, message: Message, cursor: i64) -> Result<Outcome, store::Error> {
        let now = self.clock.now();
        let request = self.notifier.request(&message, now);
        let plan = Arc::clone(&self.plan);
        let allowed = self
            .change(move |row| row.sending(&message, &plan, now))
            .await?;
        if let Err(until) = allowed {
            return Ok(Outcome::Waiting {
                until,
                reason: None,
            });
        }
        let delivery = match self.http.send(request).await {
            Ok(answer) => self.notifier.accepted(&answer),
            Err(error) => Delivery::Later {
                reason: chain(&error),
                after: None,
            },
        };
        let (plan, now, came) = (Arc::clone(&self.plan), self.clock.now(), delivery.clone());
        let until = self
            .change(move |row| {
                row.settled(&came, cursor, &plan, now);
                row.not_before
            })
            .await?;
        Ok(self.report(delivery, until.unwrap_or(now)))
    }

    /// Changes the notifier's row in one transaction.
    async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Row) -> T + Send + 'static,
    ) -> Result<T, store::Error> {
        let plan = Arc::clone(&self.plan);
        self.store
            .write(move |db| {
                let mut row = notice::row(db, &plan.name)?.unwrap_or_default();
                let result = change(&mut row);
                notice::save(db, &plan.name, &row)?;
                Ok(result)
            })
            .await
    }

    fn report(&self, delivery: Delivery, until: Timestamp) -> Outcome {
        let name = self.name();
        match delivery {
            Delivery::Accepted { serial } => {
                info!(notifier.name = name, serial, "a notice was accepted");
                Outcome::Sent
            }
            Delivery::Later { reason, .. } | Delivery::StopToday { reason } => {
                let next = until.to_rfc3339();
                warn!(
                    notifier.name = name,
                    reason, next, "a notice was not accepted"
                );
                let reason = Some(reason);
                Outcome::Waiting { until, reason }
            }
            Delivery::StopUntilChanged { reason } => {
                error!(
                    notifier.name = name,
                    reason,
                    "a notifier has stopped: mend its account or settings, then run `keyfresh notify test {name}`"
                );
                Outcome::Stopped { reason }
            }
        }
    }

    fn complain(&self, error: &store::Error) {
        error!(
            notifier.name = self.name(),
            error = chain(error),
            "notices wait: the state cannot be read or written"
        );
    }
}

/// Waits for news; for ever, if nobody is left who could have some.
async fn heard(news: &mut watch::Receiver<()>) {
    if news.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests;
