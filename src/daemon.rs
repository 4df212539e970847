//! Assembly: the parts put together from a configuration, and the two ways to run them.
//!
//! [`Parts::assemble`] opens the state, takes the lock and brings the rows in line with the
//! configuration; [`serve`] runs the loops until a signal, [`once`](Parts::once) makes one pass. The
//! loops know nothing of each other; they meet in the rows. systemd is spoken to here alone.

pub mod one_hub;
mod reload;
pub mod secrets;
mod serve;
mod token_api;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, bail};
use tokio::sync::watch;

use crate::clock::Clock;
use crate::config::{Config, CredentialSettings, NotifierSettings};
use crate::credential::Terms;
use crate::exchange::Door;
use crate::gateway::OnDemand;
use crate::http::Http;
use crate::link::Links;
use crate::notify::{Courier, Outcome, Subscriber};
use crate::refresh::{Flight, Pick, Refresher, Settings, Wakers};
use crate::store::adopt::Wanted;
use crate::store::{self, Store};

pub use serve::serve;

/// Everything that refreshes, delivers and tells, ready to run.
pub struct Parts {
    /// Our own state.
    pub store: Store,
    /// The job.
    pub refresher: Arc<Refresher>,
    /// The channels.
    pub links: Arc<Links>,
    /// The notifiers.
    pub couriers: Vec<Arc<Courier>>,
    /// The clock of them all.
    pub clock: Clock,
    wakers: Arc<Wakers>,
    settings: watch::Sender<Arc<Settings>>,
    /// The gateway that the links lead to, if one is configured.
    linked: Option<Arc<OnDemand>>,
}

impl Parts {
    /// Opens the state, takes the lock, adopts the configuration.
    ///
    /// # Errors
    /// When a piece of the state is missing or held by another process, or a seed belongs to another
    /// credential.
    pub async fn assemble(
        config: &Config,
        runtime_dir: Option<PathBuf>,
        clock: Clock,
    ) -> Result<Self> {
        let store = Store::open(&config.state_dir)?;
        let owner = store.own()?;
        let http = Http::new()?;
        let wakers = Arc::new(Wakers::default());
        // Before anything happens, so that none of it is missed.
        let couriers = couriers(config, &store, &http, &clock).await?;
        adopt(config, &store, &clock).await?;
        let linked = config.gateway.clone();
        let linked = linked.map(|settings| Arc::new(OnDemand::new(settings, clock.clone())));
        let links = Arc::new(Links::new(
            store.clone(),
            linked.clone(),
            http,
            clock.clone(),
            Arc::clone(&wakers),
        ));
        let (settings, in_force) = watch::channel(Arc::new(job(config)));
        let refresher = Arc::new(Refresher {
            store: store.clone(),
            owner,
            door: Door::new(),
            links: Arc::clone(&links),
            clock: clock.clone(),
            settings: in_force,
            wakers: Arc::clone(&wakers),
            runtime_dir,
            flight: Flight::default(),
        });
        Ok(Self {
            store,
            refresher,
            links,
            couriers,
            clock,
            wakers,
            settings,
            linked,
        })
    }

    /// The gateway of the API: the one that the links lead to, so that both share its connections, else
    /// the embedded one.
    ///
    /// # Errors
    /// Those of [`gateway`].
    pub fn gateway(&self, config: &Config) -> Result<Arc<OnDemand>, store::Error> {
        match &self.linked {
            Some(linked) => Ok(Arc::clone(linked)),
            None => gateway_at(config, &self.clock).map(Arc::new),
        }
    }

    /// Takes the credentials, channels and schedule of `config` into force; exchanges under way settle as
    /// they began.
    ///
    /// # Errors
    /// When a seed belongs to another credential, or the state cannot be written; then nothing changes.
    pub async fn adopt(&self, config: &Config) -> Result<(), store::Error> {
        adopt(config, &self.store, &self.clock).await?;
        self.settings.send_replace(Arc::new(job(config)));
        self.wakers.wake_all();
        Ok(())
    }

    /// One pass: links brought up to date, what is due refreshed and delivered, notices sent. Returns
    /// whether a gateway may still serve an old key: the watch is left to the next run or the daemon.
    ///
    /// # Errors
    /// When the state cannot be read or written.
    pub async fn once(&self, pick: &Pick) -> Result<bool> {
        // A gateway that cannot be reached is told of by the refresher, which then claims nothing.
        let mut round = self.links.pass().await.unwrap_or_default();
        let due = Pick {
            force: false,
            ..pick.clone()
        };
        loop {
            self.refresher.pass(pick).await?;
            self.refresher.settled().await;
            // A token whose answer was lost is sent again at once where the provider allows it.
            self.refresher.pass(&due).await?;
            self.refresher.settled().await;
            let Some(settles_at) = round.settles_at() else {
                break;
            };
            tracing::info!(
                until = settles_at.to_rfc3339(),
                "waiting for the gateway to let go of a key"
            );
            self.clock.sleep_until(settles_at).await;
            round = self.links.pass().await?;
        }
        let delivered = self.links.pass().await;
        for courier in &self.couriers {
            courier.flush().await?;
        }
        Ok(delivered?.is_watching())
    }
}

/// The gateway whose users and tokens the API and the commands are about: the configured one, else the
/// embedded one. Nothing is opened yet.
///
/// # Errors
/// [`store::Error::NoEmbedded`] when no gateway is configured and `init` made no database for that.
pub fn gateway(config: &Config) -> Result<OnDemand, store::Error> {
    gateway_at(config, &Clock::system())
}

fn gateway_at(config: &Config, clock: &Clock) -> Result<OnDemand, store::Error> {
    Ok(match &config.gateway {
        Some(settings) => OnDemand::new(settings.clone(), clock.clone()),
        None => OnDemand::embedded(store::embedded::find(&config.state_dir)?, clock.clone()),
    })
}

/// Brings the rows in line with `config`, in one transaction.
async fn adopt(config: &Config, store: &Store, clock: &Clock) -> Result<(), store::Error> {
    let wanted = wanted(config);
    let channels: Vec<(String, i64, Option<usize>)> = config
        .credentials
        .iter()
        .flat_map(|credential| {
            credential
                .channels
                .iter()
                .map(|channel| (credential.name.clone(), channel.id, channel.line))
        })
        .collect();
    let (key, now) = (store.key(), clock.now());
    store
        .write(move |db| {
            store::adopt::adopt(db, &key, &wanted, now)?;
            let links = channels
                .iter()
                .map(|(name, channel, line)| {
                    let credential = store::credential::by_name(db, name)?;
                    Ok((credential.id, *channel, *line))
                })
                .collect::<Result<Vec<_>, store::Error>>()?;
            store::link::adopt(db, &links)
        })
        .await
}

/// What `config` wants of each credential's row.
#[must_use]
pub fn wanted(config: &Config) -> Vec<Wanted> {
    let wanted = |settings: &CredentialSettings| Wanted {
        name: settings.name.clone(),
        seed: settings.seed.clone(),
        client: settings.client.digest_text(),
    };
    config.credentials.iter().map(wanted).collect()
}

/// What the refresher needs of `config`.
fn job(config: &Config) -> Settings {
    let terms: HashMap<String, Arc<Terms>> = config
        .credentials
        .iter()
        .map(|settings| {
            let terms = Terms {
                client: settings.client.clone(),
                plan: Arc::clone(&config.schedule.plan),
                refresh_before: settings.refresh_before,
            };
            (settings.name.clone(), Arc::new(terms))
        })
        .collect();
    Settings::new(
        terms,
        config.schedule.concurrency,
        config.schedule.per_endpoint,
    )
}

/// The notifiers of `config`, each with its row, so that nothing from now on is missed.
async fn couriers(
    config: &Config,
    store: &Store,
    http: &Http,
    clock: &Clock,
) -> Result<Vec<Arc<Courier>>, store::Error> {
    let names: Vec<String> = config
        .notifiers
        .iter()
        .map(|notifier| notifier.name.clone())
        .collect();
    store
        .write(move |db| store::notice::enrol(db, &names))
        .await?;
    let courier = |settings: &NotifierSettings| {
        let subscriber = Subscriber {
            name: settings.name.clone(),
            notifier: settings.notifier(),
            events: settings.events.clone(),
            locale: config.locale,
            timezone: config.schedule.timezone,
        };
        Arc::new(Courier::new(
            subscriber,
            store.clone(),
            http.clone(),
            clock.clone(),
        ))
    };
    Ok(config.notifiers.iter().map(courier).collect())
}

/// Sends a test message through the notifiers called `names`, or all.
///
/// # Errors
/// When the state cannot be opened or a name is unknown.
pub async fn test_notifiers(config: &Config, names: &[String]) -> Result<Vec<(String, Outcome)>> {
    let store = Store::open(&config.state_dir)?;
    let couriers = couriers(config, &store, &Http::new()?, &Clock::system()).await?;
    if let Some(unknown) = names
        .iter()
        .find(|name| couriers.iter().all(|courier| courier.name() != *name))
    {
        bail!("no notifier is called {unknown}: see [notify.…] in the configuration");
    }
    let mut outcomes = Vec::new();
    for courier in couriers {
        if names.is_empty() || names.iter().any(|name| name == courier.name()) {
            outcomes.push((courier.name().to_owned(), courier.test().await?));
        }
    }
    Ok(outcomes)
}
