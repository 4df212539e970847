//! The job: what is due is claimed, exchanged and settled; what was interrupted is settled first.
//!
//! [`Refresher::run`] is the daemon's loop, [`Refresher::pass`] one round of it, which is all that
//! `once` does. Exchange and settling of a claim run in a task of their own that nobody cancels (I2);
//! one that fails parks its credential and slot, nobody else's. Links and notices are other loops.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use crate::clock::{Clock, SLICE, Timestamp};
use crate::credential::{Credential, CredentialId, Phase, Terms};
use crate::exchange::{Door, Keep, Sent, replay};
use crate::link::{Links, Obstacle};
use crate::provider::{self, Outcome, Verdict};
use crate::secret::ExposeSecret as _;
use crate::store::claim::{Claim, Owner, Tokens};
use crate::store::{self, Slot, Store};

/// How long to wait before a write that failed is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// What the configuration says of the job.
#[derive(Debug)]
pub struct Settings {
    terms: HashMap<String, Arc<Terms>>,
    lanes: HashMap<String, Arc<Semaphore>>,
    room: Arc<Semaphore>,
}

impl Settings {
    /// The terms of each credential by name, `concurrency` exchanges at once, `per_endpoint` of them
    /// with one token endpoint.
    #[must_use]
    pub fn new(
        terms: HashMap<String, Arc<Terms>>,
        concurrency: usize,
        per_endpoint: usize,
    ) -> Self {
        let lanes = terms
            .values()
            .map(|terms| (lane(terms), Arc::new(Semaphore::new(per_endpoint))))
            .collect();
        Self {
            terms,
            lanes,
            room: Arc::new(Semaphore::new(concurrency)),
        }
    }
}

fn lane(terms: &Terms) -> String {
    terms.client.token_url.origin().ascii_serialization()
}

/// Wakes the loops of this process when rows changed.
#[derive(Debug, Default)]
pub struct Wakers {
    /// Something may be due.
    pub refresh: Arc<Notify>,
    /// Something may have to go to a channel.
    pub links: Notify,
    /// Something may have to be told; each notifier watches it.
    pub notices: watch::Sender<()>,
}

impl Wakers {
    /// Wakes every loop.
    pub fn wake_all(&self) {
        self.refresh.notify_one();
        self.links.notify_one();
        self.notices.send_replace(());
    }
}

/// Which credentials a pass looks at.
#[derive(Clone, Debug, Default)]
pub struct Pick {
    /// Their names; empty: all.
    pub names: Vec<String>,
    /// Whether schedule and back-off are overridden.
    pub force: bool,
}

/// The job with all that it needs; shared by its tasks.
pub struct Refresher {
    /// Our own state.
    pub store: Store,
    /// The right to refresh with it.
    pub owner: Arc<Owner>,
    /// The door to token endpoints.
    pub door: Door,
    /// The links, asked before each claim.
    pub links: Arc<Links>,
    /// The one clock.
    pub clock: Clock,
    /// The settings in force.
    pub settings: watch::Receiver<Arc<Settings>>,
    /// Who is woken after a settling.
    pub wakers: Arc<Wakers>,
    /// Where an answer goes whose slot cannot be written, besides the state's folder.
    pub runtime_dir: Option<PathBuf>,
    /// What is under way.
    pub flight: Flight,
}

/// The exchanges under way.
#[derive(Debug, Default)]
pub struct Flight {
    tasks: Mutex<JoinSet<()>>,
    aboard: Mutex<HashSet<CredentialId>>,
    closed: AtomicBool,
}

impl Flight {
    /// Whether `id` was not under way and now is.
    fn board(&self, id: CredentialId) -> bool {
        lock(&self.aboard).insert(id)
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is guarded here stays whole whoever panics with it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Keep for Slot {
    fn keep(&mut self, received: &[u8]) {
        self.write(received);
    }
}

impl Refresher {
    /// Refreshes whatever becomes due, until `stop`; then lets the exchanges under way settle.
    pub async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        loop {
            let next = match self.pass(&Pick::default()).await {
                Ok(next) => next,
                Err(error) => {
                    error!(
                        error = crate::telemetry::chain(&error),
                        "cannot look for due credentials"
                    );
                    None
                }
            };
            let slice = self.clock.now() + SLICE;
            let until = next.map_or(slice, |next| next.min(slice));
            tokio::select! {
                () = self.clock.sleep_until(until) => {}
                () = self.wakers.refresh.notified() => {}
                _ = stop.wait_for(|stop| *stop) => break,
            }
        }
        self.drain().await;
    }

    /// Settles what was interrupted, starts what is due; returns when the next one is.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub async fn pass(self: &Arc<Self>, pick: &Pick) -> Result<Option<Timestamp>, store::Error> {
        self.reap();
        self.recover().await?;
        let rows = self.store.read(store::credential::all).await?;
        let settings = self.settings.borrow().clone();
        let now = self.clock.now();
        let mut next: Option<Timestamp> = None;
        for row in rows {
            let picked = pick.names.is_empty() || pick.names.contains(&row.name);
            let Some(terms) = settings.terms.get(&row.name).filter(|_| picked) else {
                continue;
            };
            if row.is_due(now) || (pick.force && row.may_be_forced(now)) {
                self.start(row, Arc::clone(terms), &settings);
            } else if let Some(ready) = row.ready_at(now) {
                next = Some(next.map_or(ready, |next| next.min(ready)));
            }
        }
        Ok(next)
    }

    /// Waits until nothing is under way.
    pub async fn settled(&self) {
        loop {
            let mut tasks = std::mem::take(&mut *lock(&self.flight.tasks));
            if tasks.is_empty() {
                return;
            }
            while let Some(ended) = tasks.join_next().await {
                report(ended);
            }
        }
    }

    /// Claims nothing more and waits for what is under way.
    pub async fn drain(&self) {
        self.flight.closed.store(true, Ordering::Release);
        self.settled().await;
    }

    fn reap(&self) {
        while let Some(ended) = lock(&self.flight.tasks).try_join_next() {
            report(ended);
        }
    }

    fn start(self: &Arc<Self>, seen: Credential, terms: Arc<Terms>, settings: &Settings) {
        if self.flight.is_closed() || !self.flight.board(seen.id) {
            return;
        }
        let room = Arc::clone(&settings.room);
        let lane = settings.lanes.get(&lane(&terms)).map(Arc::clone);
        let this = Arc::clone(self);
        lock(&self.flight.tasks).spawn(async move {
            let id = seen.id;
            let name = seen.name.clone();
            // Semaphores are never closed, so waiting for one ends with a permit.
            let _lane = match &lane {
                Some(lane) => lane.acquire().await.ok(),
                None => None,
            };
            let _room = room.acquire().await.ok();
            let result = this.refresh(seen, &terms).await;
            lock(&this.flight.aboard).remove(&id);
            match result {
                // Somebody changed the row first: the next pass sees it as it is now.
                Ok(()) | Err(store::Error::Changed(_)) => {}
                Err(error) => error!(
                    credential.name = name,
                    error = crate::telemetry::chain(&error),
                    "the exchange was not begun"
                ),
            }
        });
    }

    /// One credential, from the look at its channels to the settled answer.
    async fn refresh(&self, seen: Credential, terms: &Arc<Terms>) -> Result<(), store::Error> {
        match self.links.preflight(seen.id).await {
            Ok(()) => {}
            Err(Obstacle::NotYet) => return Ok(()),
            Err(Obstacle::Gateway(reason)) => return self.postpone(seen, reason).await,
        }
        if self.flight.is_closed() {
            return Ok(());
        }
        let client = &terms.client;
        let claim = self
            .store
            .claim(
                &self.owner,
                seen,
                client.digest_text(),
                client.preset,
                &self.clock,
            )
            .await?;
        let claimed = claim.credential.clone();
        let (sent, slot) = self.send(claim, terms).await;
        let slot = self.secure(slot).await;
        let outcome = judge(&sent, client, self.clock.now());
        self.conclude(claimed, outcome, Arc::clone(terms)).await;
        self.forget(&slot);
        Ok(())
    }

    /// The one POST of a claim; nothing is sent for a claim that grew old.
    async fn send(&self, mut claim: Claim, terms: &Terms) -> (Sent, Slot) {
        let client = &terms.client;
        let request = client.request(&claim.refresh_token);
        let sent = if claim.is_stale() {
            Sent::Never("the machine was suspended before the token was sent".to_owned())
        } else {
            self.door
                .send(
                    request,
                    client.proxy.as_ref(),
                    client.timeout,
                    &mut claim.slot,
                )
                .await
        };
        (sent, claim.slot)
    }

    /// Makes the answer durable before anything else happens with it: in its slot, or, while that
    /// cannot be written, in a file beside it; until then nobody claims.
    async fn secure(&self, mut slot: Slot) -> Slot {
        let places: Vec<PathBuf> = [Some(self.store.dir().to_owned()), self.runtime_dir.clone()]
            .into_iter()
            .flatten()
            .collect();
        let mut complained = false;
        loop {
            let places = places.clone();
            let attempt = tokio::task::spawn_blocking(move || {
                let kept = slot.sync().or_else(|error| {
                    let elsewhere = places.iter().any(|dir| slot.keep_elsewhere(dir).is_ok());
                    if elsewhere { Ok(()) } else { Err(error) }
                });
                (slot, kept)
            });
            let kept = match attempt.await {
                Ok((back, kept)) => {
                    slot = back;
                    kept
                }
                Err(panic) => std::panic::resume_unwind(panic.into_panic()),
            };
            let Err(error) = kept else { return slot };
            self.store.distrust();
            if !complained {
                error!(
                    error = crate::telemetry::chain(&error),
                    "an answer cannot be stored: it is held in memory until the disk takes it"
                );
                complained = true;
            }
            self.clock.pause(AGAIN).await;
        }
    }

    /// Settles an exchange, trying again for as long as this process lives: the slot has the answer.
    async fn conclude(&self, claimed: Credential, outcome: Outcome, terms: Arc<Terms>) {
        let outcome = Arc::new(outcome);
        let mut complained = false;
        loop {
            let now = self.clock.now();
            match self.settle(&claimed, &outcome, &terms, now).await {
                Ok(row) => {
                    log(&row, &outcome, &self.store);
                    break;
                }
                // The commit that seemed to fail had happened.
                Err(store::Error::Changed(_)) => break,
                Err(error) if !complained => {
                    complained = true;
                    error!(
                        credential.name = claimed.name,
                        error = crate::telemetry::chain(&error),
                        "an answer in its slot cannot be settled yet"
                    );
                }
                Err(_) if self.flight.is_closed() => break,
                Err(_) => {}
            }
            self.clock.pause(AGAIN).await;
        }
        self.wakers.wake_all();
    }

    async fn settle(
        &self,
        claimed: &Credential,
        outcome: &Arc<Outcome>,
        terms: &Arc<Terms>,
        now: Timestamp,
    ) -> Result<Credential, store::Error> {
        let tokens = Tokens {
            access: match &outcome.verdict {
                Verdict::Granted { access_token, .. } => Some(access_token.clone()),
                _ => None,
            },
            refresh: outcome.refresh_token.clone(),
        };
        let (outcome, terms) = (Arc::clone(outcome), Arc::clone(terms));
        let rule = move |row: &mut Credential| {
            row.settle(
                &outcome.verdict,
                outcome.refresh_token.is_some(),
                &terms,
                now,
            )
        };
        self.store.settle(claimed.clone(), tokens, rule, now).await
    }

    /// Settles the claims that an earlier process left, by what their slots hold.
    async fn recover(&self) -> Result<(), store::Error> {
        let settings = self.settings.borrow().clone();
        for interrupted in self.store.interrupted(&self.owner).await? {
            let claimed = interrupted.credential;
            // Without terms it waits, parked, for its return to the configuration.
            let Some(terms) = settings.terms.get(&claimed.name) else {
                continue;
            };
            if !self.flight.board(claimed.id) {
                continue;
            }
            let mut terms = Terms::clone(terms);
            if let Some(asked) = provider::preset(&interrupted.preset) {
                terms.client.rejections = asked.rejections;
            }
            let sent = match self.kept(&interrupted.slot) {
                Ok(Some(received)) => replay(&received).await,
                Ok(None) => Sent::Silence("interrupted before an answer was stored".to_owned()),
                Err(error) => {
                    error!(
                        credential.name = claimed.name,
                        error = crate::telemetry::chain(&error),
                        "a slot cannot be read: its credential waits"
                    );
                    continue;
                }
            };
            let id = claimed.id;
            let outcome = judge(&sent, &terms.client, self.clock.now());
            self.conclude(claimed, outcome, Arc::new(terms)).await;
            self.forget(&interrupted.slot);
            lock(&self.flight.aboard).remove(&id);
        }
        Ok(())
    }

    fn kept(&self, slot: &Slot) -> Result<Option<zeroize::Zeroizing<Vec<u8>>>, std::io::Error> {
        let elsewhere = [Some(self.store.dir()), self.runtime_dir.as_deref()];
        for dir in elsewhere.into_iter().flatten() {
            if let Some(received) = slot.read_elsewhere(dir)? {
                return Ok(Some(received));
            }
        }
        slot.read()
    }

    fn forget(&self, slot: &Slot) {
        let elsewhere = [Some(self.store.dir()), self.runtime_dir.as_deref()];
        for dir in elsewhere.into_iter().flatten() {
            if let Err(error) = slot.forget_elsewhere(dir) {
                warn!(
                    error = crate::telemetry::chain(&error),
                    "a settled answer's spare copy could not be removed"
                );
            }
        }
    }

    async fn postpone(&self, seen: Credential, reason: String) -> Result<(), store::Error> {
        let now = self.clock.now();
        let name = seen.name.clone();
        warn!(credential.name = name, reason, "refresh postponed");
        self.store
            .write(move |db| store::credential::postpone(db, &seen, &reason, now))
            .await?;
        self.wakers.notices.send_replace(());
        Ok(())
    }
}

fn judge(sent: &Sent, client: &provider::Client, now: Timestamp) -> Outcome {
    match sent {
        Sent::Never(reason) => provider::never_sent(reason),
        Sent::Silence(reason) => provider::silence(reason),
        Sent::Answered(answer) => client.outcome(answer, now),
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        error!(%error, "an exchange ended in a panic: its credential waits for the next start");
    }
}

/// One line for each exchange that was settled.
fn log(row: &Credential, outcome: &Outcome, store: &Store) {
    let name = row.name.as_str();
    let reason = row.last_error.as_deref().unwrap_or_default();
    match (&outcome.verdict, row.phase) {
        (Verdict::Granted { access_token, .. }, _) => info!(
            credential.name = name,
            generation = row.generation,
            token.fingerprint = %store.key().fingerprint(access_token.expose_secret()),
            expires_at = row.expires_at.map(|moment| moment.to_rfc3339()),
            due_at = row.due_at.to_rfc3339(),
            "refreshed"
        ),
        (_, Phase::Dead) => error!(credential.name = name, reason, "the refresh token is dead"),
        (_, Phase::Unconfirmed { resend_at }) => warn!(
            credential.name = name,
            reason,
            resend_at = resend_at.to_rfc3339(),
            "whether the refresh token was spent is not known"
        ),
        _ => warn!(
            credential.name = name,
            reason,
            due_at = row.due_at.to_rfc3339(),
            failures = row.failures,
            "the exchange failed and will be tried again"
        ),
    }
}
