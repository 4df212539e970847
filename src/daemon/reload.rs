//! What a reload may change while the daemon runs: credentials, schedule, notifiers, log level, and the
//! listener's certificate.
//!
//! All or nothing: a configuration with a problem changes nothing, and what needs a restart is named.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

use super::{Parts, couriers};
use crate::config::{self, Config, Environment};
use crate::http::Http;
use crate::notify::{Courier, Detail, EventKind};
use crate::store::notice;
use crate::telemetry::{Telemetry, chain};
use crate::tls::Identity;

/// The configuration in force, and what can be exchanged for another.
pub(super) struct Reloader {
    config: Config,
    telemetry: Telemetry,
    couriers: HashMap<String, JoinHandle<()>>,
    stop: watch::Sender<bool>,
    identity: Option<watch::Sender<Identity>>,
}

impl Reloader {
    pub(super) fn new(config: Config, parts: &Parts, telemetry: Telemetry) -> Self {
        let mut this = Self {
            identity: config.api.tls.clone().map(watch::Sender::new),
            config,
            telemetry,
            couriers: HashMap::new(),
            stop: watch::Sender::new(false),
        };
        this.start(parts.couriers.clone(), parts);
        this
    }

    /// Who the listener is over TLS, now and after each reload.
    pub(super) fn identity(&self) -> Option<watch::Receiver<Identity>> {
        self.identity.as_ref().map(watch::Sender::subscribe)
    }

    /// Takes a new configuration into force, or says why not.
    pub(super) async fn reload(&mut self, environment: &Environment, parts: &Parts) {
        match config::load(environment) {
            Err(problems) => {
                error!(
                    "the configuration was not reloaded, the old one stays in force: {problems}"
                );
            }
            Ok(config) => {
                let restart = self.config.needs_restart(&config);
                if !restart.is_empty() {
                    warn!(keys = restart.join(", "), "these changes need a restart");
                }
                match self.apply(&config, parts).await {
                    Ok(()) => {
                        info!("configuration reloaded");
                        self.config = config;
                    }
                    Err(error) => error!(
                        "the configuration was not reloaded, the old one stays in force: {error:#}"
                    ),
                }
            }
        }
    }

    async fn apply(&mut self, config: &Config, parts: &Parts) -> Result<()> {
        let http = Http::new()?;
        // It refuses more than the rest: a notifier's row must not be forgotten before that.
        parts.adopt(config).await?;
        let fresh = couriers(config, &parts.store, &http, &parts.clock).await?;
        self.telemetry.set_level(config.log.level)?;
        if let (Some(shown), Some(identity)) = (&self.identity, &config.api.tls) {
            shown.send_replace(identity.clone());
        }
        self.start(fresh, parts);
        Ok(())
    }

    /// Records an event of the daemon itself, if any notifier wants it.
    pub(super) async fn tell(&self, parts: &Parts, kind: EventKind) -> Result<()> {
        let wanted = |settings: &config::NotifierSettings| settings.events.contains(&kind);
        if self.config.notifiers.iter().any(wanted) {
            let now = parts.clock.now();
            parts
                .store
                .write(move |db| notice::record(db, now, None, kind, &Detail::default()))
                .await?;
            parts.wakers.notices.send_replace(());
        }
        Ok(())
    }

    /// Stops the notifiers; each sends what is still to be told, within `limit` altogether.
    pub(super) async fn farewell(&mut self, limit: Duration) {
        if tokio::time::timeout(limit, self.halt()).await.is_err() {
            warn!("a notifier did not finish in time: its notices follow after the next start");
        }
    }

    /// Exchanges the notifiers for others. Each begins when the one of its name has ended, which a slow
    /// service may delay: a reload does not wait for that, and no message is sent by both.
    fn start(&mut self, couriers: Vec<Arc<Courier>>, parts: &Parts) {
        self.stop.send_replace(true);
        self.stop = watch::Sender::new(false);
        let mut before = std::mem::take(&mut self.couriers);
        for courier in couriers {
            let name = courier.name().to_owned();
            let predecessor = before.remove(&name);
            let (news, stop) = (parts.wakers.notices.subscribe(), self.stop.subscribe());
            let succession = async move {
                if let Some(predecessor) = predecessor {
                    ended(predecessor).await;
                }
                courier.run(news, stop).await;
            };
            self.couriers.insert(name, tokio::spawn(succession));
        }
    }

    async fn halt(&mut self) {
        self.stop.send_replace(true);
        for (_, courier) in self.couriers.drain() {
            ended(courier).await;
        }
    }
}

async fn ended(courier: JoinHandle<()>) {
    if let Err(error) = courier.await {
        error!(error = chain(&error), "a notifier's loop ended in a panic");
    }
}
