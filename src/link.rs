//! Links: each channel is brought to its credential's current generation and kept there.
//!
//! A reconciler: [`Links::pass`] reads rows and channels, `decide` says what is
//! missing, the gateway's compare-and-set does it. Retry, stale-cache watch and restored backup are
//! this one path, so a pass may be repeated or cut off anywhere (I4). [`Links::run`] is the daemon's
//! loop, [`Links::preflight`] is asked by `refresh.rs` before a claim. Nothing is exchanged here.

mod act;
mod decide;
mod save;
mod survey;
mod tell;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use secrecy::SecretString;
use tokio::sync::{Mutex, watch};
use tracing::{info, warn};

use crate::clock::{Clock, Stopwatch, Timestamp};
use crate::credential::{Credential, CredentialId};
use crate::gateway::{self, Channel, Gateway, OnDemand, Telling};
use crate::http::Http;
use crate::refresh::Wakers;
use crate::store::link::{Link, State};
use crate::store::{self, Store};
use crate::telemetry::chain;
use decide::{Learns, Step};

pub use decide::foreign;
pub use survey::misfit;

/// Every channel is read this often, or known to be as it was because nobody wrote to its database.
const ROUND: Duration = Duration::from_mins(1);

/// How often a change in the gateway's database is looked for while a watch lasts.
const WATCH: Duration = Duration::from_secs(1);

/// Links decided and written before their rows are saved: what a kill can leave to be found out again.
const CHUNK: usize = 64;

/// How long a look at the gateway serves the claims that follow it.
const FRESH: Duration = Duration::from_secs(2);

/// What can go wrong while bringing keys to channels.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Our own state.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The gateway's database.
    #[error(transparent)]
    Gateway(#[from] gateway::Error),
    /// Links lead nowhere.
    #[error("no gateway is configured: set gateway.database")]
    NoGateway,
}

/// Why no claim may be made now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The links themselves will say when: a conflict, a first contact, a key just stripped.
    NotYet,
    /// The gateway cannot be written.
    Gateway(String),
}

/// The links of this state and the gateway they lead to.
pub struct Links {
    store: Store,
    gateway: Option<Arc<OnDemand>>,
    http: Http,
    clock: Clock,
    wakers: Arc<Wakers>,
    turn: Mutex<()>,
    survey: Mutex<Option<Survey>>,
    /// Since when the gateway could not be told of a write.
    silence: Mutex<Option<Stopwatch>>,
    ailing: AtomicBool,
}

/// What a look at all channels found, for the claims of the next moments.
struct Survey {
    made: Stopwatch,
    linked: HashSet<CredentialId>,
    ready: Result<HashSet<CredentialId>, String>,
}

/// What one pass did.
#[derive(Debug, Default)]
pub struct Round {
    /// Channels written.
    pub written: usize,
    /// Until when some link wants to be looked at every second.
    watch_until: Option<Timestamp>,
    /// When some link wants to be looked at again.
    next: Option<Timestamp>,
    /// Whether a channel changed between the look and the write.
    again: bool,
    /// Whether a link stands otherwise than before, as far as claims depend on it.
    news: bool,
    /// The version of the gateway's database before it was looked at.
    version: Option<i64>,
    /// Whether every link is current and told, and nothing was written.
    is_at_rest: bool,
}

/// A link with what a pass found out and decided about it.
struct Plan {
    link: Link,
    credential: Credential,
    access: Option<SecretString>,
    channel: Option<Channel>,
    step: Step,
    enable: bool,
}

impl Plan {
    /// The link as it is stored, which was `row` before: what a write may still change is not yet.
    fn saved<'a>(&'a self, row: &'a Link) -> &'a Link {
        match self.step {
            Step::Write | Step::Enable => row,
            Step::Strip | Step::AdoptAndStrip | Step::PutBack | Step::Rest => &self.link,
        }
    }
}

impl Links {
    /// The links kept in `store`, leading to `gateway`.
    #[must_use]
    pub fn new(
        store: Store,
        gateway: Option<Arc<OnDemand>>,
        http: Http,
        clock: Clock,
        wakers: Arc<Wakers>,
    ) -> Self {
        Self {
            store,
            gateway,
            http,
            clock,
            wakers,
            turn: Mutex::default(),
            survey: Mutex::default(),
            silence: Mutex::default(),
            ailing: AtomicBool::new(false),
        }
    }

    /// Keeps the channels current until `stop`.
    pub async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        loop {
            let round = match self.pass().await {
                Ok(round) => {
                    if self.ailing.swap(false, Ordering::AcqRel) {
                        info!("channels can be brought up to date again");
                    }
                    round
                }
                Err(error) => {
                    if !self.ailing.swap(true, Ordering::AcqRel) {
                        warn!(
                            error = chain(&error),
                            "channels cannot be brought up to date"
                        );
                    }
                    Round::default()
                }
            };
            tokio::select! {
                () = self.rest(&round) => {}
                () = self.wakers.links.notified() => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    /// Whether the last pass of [`run`](Self::run) failed.
    #[must_use]
    pub fn is_ailing(&self) -> bool {
        self.ailing.load(Ordering::Acquire)
    }

    /// Looks at every link once and does what it needs.
    ///
    /// # Errors
    /// When the state or the gateway's database cannot be read or written; what was done is kept.
    pub async fn pass(&self) -> Result<Round, Error> {
        let _turn = self.turn.lock().await;
        let round = self.look_on().await;
        if let Err(error) = &round {
            self.cut_off(error).await?;
        }
        round
    }

    /// Looks until nothing is left that another look would write.
    async fn look_on(&self) -> Result<Round, Error> {
        let mut round = self.look().await?;
        let (mut written, mut news) = (round.written, round.news);
        // The lines of a channel are one text, so one look writes one of them.
        while round.again && round.written > 0 {
            round = self.look().await?;
            written += round.written;
            news |= round.news;
        }
        if news || written > 0 {
            self.survey.lock().await.take();
            self.wakers.notices.send_replace(());
        }
        if news {
            // A claim that was not to be made yet may be now.
            self.wakers.refresh.notify_one();
        }
        Ok(Round { written, ..round })
    }

    async fn look(&self) -> Result<Round, Error> {
        let mut round = Round::default();
        let began = self.clock.now();
        let links = self.store.read(store::link::all).await?;
        if links.is_empty() {
            return Ok(round);
        }
        let gateway = self.gateway().await?;
        round.version = Some(gateway.version().await?);
        round.is_at_rest = true;
        for chunk in links.chunks(CHUNK) {
            let plans = self.decide(&gateway, chunk).await?;
            let seen: Vec<Link> = plans.iter().map(|plan| plan.link.clone()).collect();
            let saved = plans.iter().zip(chunk);
            let saved: Vec<Link> = saved.map(|(plan, row)| plan.saved(row).clone()).collect();
            round.news |= seen.iter().zip(chunk).any(stands_otherwise);
            let due = plans.into_iter().filter(|plan| plan.step != Step::Rest);
            let (acted, failure) = self.act_on(&gateway, due, &mut round).await;
            for link in seen.iter().chain(&acted) {
                round.note(link, began);
            }
            round.is_at_rest &= acted.is_empty() && seen.iter().all(is_settled);
            if !acted.is_empty() {
                round.news |= self.save(&saved, &acted).await?;
            }
            self.tell(&gateway, seen, acted).await?;
            if let Some(error) = failure {
                if round.news {
                    self.wakers.notices.send_replace(());
                }
                return Err(error);
            }
        }
        Ok(round)
    }

    /// Declares the keys that stand in `name`'s estranged channels ours to replace; returns their ids.
    ///
    /// # Errors
    /// When the state or the gateway's database cannot be read.
    pub async fn take_over(&self, name: &str) -> Result<Vec<i64>, Error> {
        let wanted = name.to_owned();
        let links: Vec<Link> = self
            .store
            .read(move |db| {
                let row = store::credential::by_name(db, &wanted)?;
                let mut links = store::link::all(db)?;
                links.retain(|link| link.credential == row.id && link.is_estranged());
                Ok(links)
            })
            .await?;
        if links.is_empty() {
            return Ok(Vec::new());
        }
        let gateway = self.gateway().await?;
        let channels = self.channels(&gateway, &links).await?;
        let (key, now) = (self.store.key(), self.clock.now());
        let taken = self
            .store
            .write(move |db| {
                let mut taken = Vec::new();
                for mut link in links {
                    if let Some(channel) = channels.get(&link.channel) {
                        survey::take(db, &key, &mut link, channel, now)?;
                        taken.push(link.channel);
                    }
                }
                Ok(taken)
            })
            .await?;
        Ok(taken)
    }

    async fn gateway(&self) -> Result<Gateway, Error> {
        let gateway = self.gateway.as_ref().ok_or(Error::NoGateway)?;
        Ok(gateway.gateway().await?)
    }

    /// How the gateway learns of a write.
    fn learns(&self, gateway: &Gateway) -> Learns {
        let can_tell = self
            .gateway
            .as_ref()
            .is_some_and(|gateway| gateway.can_tell());
        match gateway.telling() {
            Some(Telling::Needed) => Learns::OnlyIfTold,
            Some(Telling::Useful) if can_tell => Learns::SoonerIfTold,
            Some(Telling::Useful) | None => Learns::ByItself,
        }
    }

    /// Waits until there may be something to do. At rest, a round after which nobody wrote to the
    /// gateway's database is like the one before.
    async fn rest(&self, round: &Round) {
        loop {
            let now = self.clock.now();
            let until = now + if round.again { WATCH } else { ROUND };
            let until = round.next.map_or(until, |next| next.min(until));
            let watched = round.watch_until.is_some_and(|until| now < until);
            tokio::select! {
                () = self.clock.sleep_until(until) => {}
                () = self.changed(round.version), if watched => {}
            }
            if !round.is_at_rest || self.version().await != round.version {
                return;
            }
        }
    }

    /// Returns once the gateway's database was written to by somebody after `version`.
    async fn changed(&self, version: Option<i64>) {
        while self.version().await == version {
            self.clock.pause(WATCH).await;
        }
    }

    async fn version(&self) -> Option<i64> {
        self.gateway().await.ok()?.version().await.ok()
    }
}

/// Whether nothing is to be done about the link as long as nobody else acts.
fn is_settled(link: &Link) -> bool {
    link.state == State::Current && !link.untold && link.settle_at.is_none()
}

/// Whether a claim that depends on the link may be judged otherwise than before.
fn stands_otherwise((now, before): (&Link, &Link)) -> bool {
    (now.identity, now.state, now.settle_at) != (before.identity, before.state, before.settle_at)
}

impl Round {
    /// Notes what `link` waits for, as it is after a pass that `began`.
    fn note(&mut self, link: &Link, began: Timestamp) {
        if let Some(until) = link.watch_until.filter(|until| began < *until) {
            self.watch_until = Some(self.watch_until.map_or(until, |known| known.max(until)));
        }
        // An estranged link may keep a moment that passed: nothing is waited for then.
        if let Some(next) = link.settle_at.filter(|next| began < *next) {
            self.next = Some(self.next.map_or(next, |known| known.min(next)));
        }
    }

    /// When a link waits for the gateway to let go of a key, if one does.
    #[must_use]
    pub fn settles_at(&self) -> Option<Timestamp> {
        self.next
    }

    /// Whether the gateway may still serve an old key.
    #[must_use]
    pub fn is_watching(&self) -> bool {
        self.watch_until.is_some()
    }
}
