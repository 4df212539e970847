//! What a reload may change while the daemon runs: credentials, schedule, notifiers, log level, and the
//! listener's certificate.
//!
//! All or nothing: a configuration with a problem changes nothing, and what needs a restart is named.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tokio::sync::watch;
use tokio::task::JoinSet;
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
    couriers: JoinSet<()>,
    stop: watch::Sender<bool>,
    identity: Option<watch::Sender<Identity>>,
}

impl Reloader {
    pub(super) fn new(config: Config, parts: &Parts, telemetry: Telemetry) -> Self {
        let mut this = Self {
            identity: config.api.tls.clone().map(watch::Sender::new),
            config,
            telemetry,
            couriers: JoinSet::new(),
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
        self.halt().await;
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

    fn start(&mut self, couriers: Vec<Arc<Courier>>, parts: &Parts) {
        self.stop = watch::Sender::new(false);
        for courier in couriers {
            let news = parts.wakers.notices.subscribe();
            self.couriers
                .spawn(courier.run(news, self.stop.subscribe()));
        }
    }

    async fn halt(&mut self) {
        self.stop.send_replace(true);
        while let Some(ended) = self.couriers.join_next().await {
            if let Err(error) = ended {
                error!(error = chain(&error), "a notifier's loop ended in a panic");
            }
        }
    }
}
