//! The job: what is due is claimed, exchanged and settled; what was interrupted is settled first.
//!
//! [`Refresher::run`] is the daemon's loop, [`Refresher::pass`] one round of it, which is all that
//! `once` does. Exchange and settling of a claim run in a task of their own that nobody cancels (I2);
//! one that fails parks its credential and slot, nobody else's. Links and notices are other loops.

mod answer;
mod flight;

use std::future::poll_fn;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use tokio::sync::{Notify, watch};
use tracing::{error, warn};

use crate::clock::{Clock, Reading, SLICE, Timestamp};
use crate::credential::{Credential, Terms};
use crate::exchange::{Door, Keep, Sent};
use crate::link::{Links, Obstacle};
use crate::store::claim::{Claim, Owner};
use crate::store::{self, Slot, Store};
use crate::telemetry::chain;
use answer::judge;
use flight::{lane, lock};

pub use flight::{Flight, Settings};

/// How long to wait before a write that failed is tried again.
const AGAIN: Duration = Duration::from_secs(1);

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

impl Keep for Slot {
    fn make_room(&mut self, most: usize) {
        Slot::make_room(self, most);
    }

    fn keep(&mut self, received: &[u8]) {
        self.write(received);
    }
}

impl Refresher {
    /// Refreshes whatever becomes due, until `stop`; then lets the exchanges under way settle.
    pub async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let all = Pick::default();
        loop {
            // A pass that waits for the disk, to settle what was interrupted, may be cut off.
            let pass = tokio::select! {
                pass = self.pass(&all) => pass,
                _ = stop.wait_for(|stop| *stop) => break,
            };
            let next = match pass {
                Ok(next) => next,
                Err(error) => {
                    error!(error = chain(&error), "cannot look for due credentials");
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

    /// Settles what was interrupted, starts what is due; returns when the next one is, if that is soon.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub async fn pass(self: &Arc<Self>, pick: &Pick) -> Result<Option<Timestamp>, store::Error> {
        self.reap();
        self.recover().await?;
        if !self.store.is_trusted() {
            return Err(store::Error::Untrusted);
        }
        let settings = self.settings.borrow().clone();
        let now = self.clock.read();
        // Nobody sleeps longer than a slice before looking again.
        let horizon = if pick.force {
            Reading {
                wall: Timestamp::MAX_UTC,
                uptime: None,
            }
        } else {
            now + TimeDelta::from_std(SLICE).unwrap_or_default()
        };
        let rows = self
            .store
            .read(move |db| store::credential::ready_by(db, horizon))
            .await?;
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

    /// Waits until nothing is under way; to stop waiting stops nothing else.
    pub async fn settled(&self) {
        while let Some(ended) = poll_fn(|cx| lock(&self.flight.tasks).poll_join_next(cx)).await {
            flight::report(ended);
        }
    }

    /// Claims nothing more and waits for what is under way.
    pub async fn drain(&self) {
        self.flight.close();
        self.settled().await;
    }

    fn reap(&self) {
        while let Some(ended) = lock(&self.flight.tasks).try_join_next() {
            flight::report(ended);
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
            // In a box of its own from here on: a thousand may wait above, and an exchange is large.
            let result = Box::pin(this.refresh(seen, &terms)).await;
            lock(&this.flight.aboard).remove(&id);
            match result {
                // Somebody changed the row first: the next pass sees it as it is now.
                Ok(()) | Err(store::Error::Changed(_)) => {}
                Err(error) => error!(
                    credential.name = name,
                    error = chain(&error),
                    "the exchange was not begun"
                ),
            }
        });
    }

    /// One credential, from the look at its channels to the settled answer.
    async fn refresh(&self, seen: Credential, terms: &Arc<Terms>) -> Result<(), store::Error> {
        if self.waits(&seen, terms).await? {
            return Ok(());
        }
        match self.links.preflight(seen.id).await {
            Ok(()) => {}
            Err(Obstacle::NotYet) => return Ok(()),
            Err(Obstacle::Gateway(reason)) => return self.postpone(seen, reason).await,
        }
        if self.flight.is_closed() {
            return Ok(());
        }
        // The preflight may have taken until after a grace window.
        if self.waits(&seen, terms).await? {
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
        self.conclude(claimed, outcome, &slot, Arc::clone(terms))
            .await;
        Ok(())
    }

    /// Whether the exchange would come too late or too early; then its row says until when it waits.
    async fn waits(&self, seen: &Credential, terms: &Terms) -> Result<bool, store::Error> {
        let (seen, mut waiting) = (seen.clone(), seen.clone());
        let now = self.clock.read();
        let Some(told) = waiting.wait_out(terms, now) else {
            return Ok(false);
        };
        let change = move |db: &_| {
            store::credential::change(db, &seen, &waiting)?;
            let record = |(kind, detail): &_| {
                store::notice::record(db, now.wall, Some(&seen.name), *kind, detail)
            };
            told.iter().try_for_each(record)
        };
        self.store.write(change).await?;
        self.wakers.notices.send_replace(());
        Ok(true)
    }

    /// The one POST of a claim; nothing is sent for a claim that grew old.
    async fn send(&self, mut claim: Claim, terms: &Terms) -> (Sent, Slot) {
        let client = &terms.client;
        let request = client.request(&claim.refresh_token);
        let sent = if claim.is_stale(self.clock.read()) {
            let reason = "too long after the claim: the machine was suspended, or the disk is slow";
            Sent::Never(reason.to_owned())
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

    async fn postpone(&self, seen: Credential, reason: String) -> Result<(), store::Error> {
        let now = self.clock.read();
        let name = seen.name.clone();
        if seen.last_error.as_ref() != Some(&reason) {
            warn!(credential.name = name, reason, "refresh postponed");
        }
        self.store
            .write(move |db| store::credential::postpone(db, &seen, &reason, now))
            .await?;
        self.wakers.notices.send_replace(());
        Ok(())
    }
}
