//! `keyfresh serve`: the loops, the listener, systemd and the signals, until one of them says stop.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use chrono::TimeDelta;
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{debug, error, info, warn};

use super::reload::Reloader;
use super::{Parts, one_hub, secrets, token_api};
use crate::api::{self, Readiness, Terms, TokenApi};
use crate::clock::{Clock, Timestamp};
use crate::config::{self, Config, Environment};
use crate::gateway::OnDemand;
use crate::notify::EventKind;
use crate::refresh::Wakers;
use crate::schedule;
use crate::store::{Store, notice};
use crate::telemetry::{self, Telemetry, chain};

/// How often another process's change of the state is looked for.
const POLL: Duration = Duration::from_secs(1);

/// How often a gateway that cannot be used is looked at.
const LOOK: Duration = Duration::from_secs(5);

/// How often old events are forgotten.
const PRUNE: TimeDelta = TimeDelta::days(1);

/// How long the last notices may take after everything else has stopped.
const FAREWELL: Duration = Duration::from_secs(5);

/// Runs the daemon until SIGTERM or SIGINT; exchanges under way settle first.
///
/// # Errors
/// When it cannot start, or a loop ended by itself.
pub async fn serve(environment: &Environment) -> Result<()> {
    let config = config::load(environment)?;
    // Demanded at start, so that nobody finds out by the first call to the API.
    config.api_secrets()?;
    let telemetry = telemetry::start(&config.log, environment.journal)?;
    let clock = Clock::system();
    let parts = Parts::assemble(&config, environment.runtime_dir.clone(), clock).await?;
    // Opened by whoever needs it first: the gateway may be down while we start.
    let gateway = parts.gateway(&config)?;
    let (mint, has_heir) = secrets::settle(&config, &parts.store).await?;
    if has_heir {
        info!("token_secret has changed: the previous one verifies what was signed before");
    }
    let tokens = token_api::assemble(&config, &parts, gateway, mint)?;
    let may_be_exposed = config.api.tls.is_some() || config.api.allow_plaintext;
    let listener = api::bind(&config.api.listen, may_be_exposed).await?;
    run(environment, config, parts, tokens, listener, telemetry).await
}

async fn run(
    environment: &Environment,
    config: Config,
    parts: Parts,
    tokens: Arc<TokenApi>,
    listener: api::Listener,
    telemetry: Telemetry,
) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let ticker = schedule::ticker(Arc::clone(&parts.wakers.refresh)).await?;
    let (trusted_proxies, locale) = (config.api.trusted_proxies.clone(), config.locale);
    let one_hub = secrets::one_hub_mint(&config)?;
    let mut reloader = Reloader::new(config, &parts, telemetry);
    reloader.tell(&parts, EventKind::Starting).await?;
    let (stop, stopped) = watch::channel(false);
    // From here to the drain nothing may return: that would cut off the exchanges under way.
    let mut loops = JoinSet::new();
    loops.spawn(Arc::clone(&parts.refresher).run(stopped.clone()));
    loops.spawn(Arc::clone(&parts.links).run(stopped.clone()));
    loops.spawn(poll(
        parts.store.clone(),
        Arc::clone(&parts.wakers),
        parts.clock.clone(),
        stopped.clone(),
    ));
    loops.spawn(one_hub::warn_once(
        Arc::clone(&tokens.gateway),
        one_hub,
        parts.clock.clone(),
        stopped.clone(),
    ));
    let gateway = Arc::clone(&tokens.gateway);
    loops.spawn(look_again(
        Arc::clone(&gateway),
        parts.clock.clone(),
        stopped.clone(),
    ));
    let terms = Terms {
        tls: reloader.identity(),
        trusted_proxies,
        locale,
    };
    info!(listen = %listener, tls = terms.tls.is_some(), "listening");
    let router = api::router(readiness(&parts, gateway), Some(tokens));
    loops.spawn(api::serve(listener, router, terms, until(stopped.clone())));
    tell_systemd(&[NotifyState::Ready, NotifyState::Status("refreshing")]);
    info!("ready");

    let watchdog = Watchdog::new();
    let outcome = loop {
        tokio::select! {
            _ = terminate.recv() => break Ok(()),
            _ = interrupt.recv() => break Ok(()),
            _ = hangup.recv() => {
                tell_systemd(&reloading());
                reloader.reload(environment, &parts).await;
                tell_systemd(&[NotifyState::Ready]);
            }
            () = watchdog.due(&parts.clock) => watchdog.pat(&parts.store).await,
            ended = loops.join_next() => break Err(ended),
        }
    };
    tell_systemd(&[NotifyState::Stopping]);
    info!("stopping: exchanges under way settle first");
    stop.send_replace(true);
    while loops.join_next().await.is_some() {}
    parts.refresher.drain().await;
    ticker.stop().await?;
    reloader.tell(&parts, EventKind::Stopping).await?;
    reloader.farewell(FAREWELL).await;
    match outcome {
        Ok(()) => Ok(()),
        Err(Some(Err(panic))) => Err(panic).context("a loop ended in a panic"),
        Err(_) => bail!("a loop ended by itself"),
    }
}

/// Wakes the loops when another process changed a row (`credential …`, `once`), and forgets old events.
async fn poll(store: Store, wakers: Arc<Wakers>, clock: Clock, mut stop: watch::Receiver<bool>) {
    let mut seen = None;
    let mut pruned: Option<Timestamp> = None;
    loop {
        match store.version().await {
            Ok(version) => {
                if seen.replace(version).is_some_and(|seen| seen != version) {
                    wakers.wake_all();
                }
            }
            Err(error) => warn!(error = chain(&error), "our own state cannot be looked at"),
        }
        let now = clock.now();
        if is_past(pruned, now) {
            pruned = Some(now);
            let forget = move |db: &rusqlite::Connection| {
                notice::prune(db, now)?;
                notice::forget(db, notice::MOST)
            };
            if let Err(error) = store.write(forget).await {
                warn!(error = chain(&error), "old events cannot be forgotten");
            }
        }
        tokio::select! {
            () = clock.pause(POLL) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

/// Whether events were last forgotten a day ago; a clock that was set back does not stop that for years.
fn is_past(pruned: Option<Timestamp>, now: Timestamp) -> bool {
    pruned.is_none_or(|pruned| (now - pruned).abs() > PRUNE)
}

/// Looks at the API's gateway as long as it cannot be used: a balancer that believes `/readyz` sends no
/// call that would.
async fn look_again(gateway: Arc<OnDemand>, clock: Clock, mut stop: watch::Receiver<bool>) {
    let looking = async {
        loop {
            clock.pause(LOOK).await;
            if gateway.is_ailing()
                && let Err(error) = gateway.look().await
            {
                debug!(
                    error = chain(&error),
                    "the API's gateway still cannot be used"
                );
            }
        }
    };
    tokio::select! {
        () = looking => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
}

fn readiness(parts: &Parts, gateway: Arc<OnDemand>) -> api::Probe {
    let (store, links) = (parts.store.clone(), Arc::clone(&parts.links));
    Arc::new(move || {
        let mut obstacles = Vec::new();
        if !store.is_trusted() {
            obstacles.push("our own state could not be written: mend the disk and restart");
        }
        if links.is_ailing() || gateway.is_ailing() {
            obstacles.push("the gateway's database cannot be read or written");
        }
        Readiness { obstacles }
    })
}

async fn until(mut stop: watch::Receiver<bool>) {
    // A sender that is gone means the same.
    let _stopped = stop.wait_for(|stop| *stop).await;
}

/// systemd's watchdog, fed only while our own state answers.
struct Watchdog(Option<Duration>);

impl Watchdog {
    fn new() -> Self {
        Self(sd_notify::watchdog_enabled().map(|limit| limit / 3))
    }

    async fn due(&self, clock: &Clock) {
        match self.0 {
            Some(span) => clock.pause(span).await,
            None => std::future::pending().await,
        }
    }

    async fn pat(&self, store: &Store) {
        match store.version().await {
            Ok(_) => tell_systemd(&[NotifyState::Watchdog]),
            Err(error) => error!(error = chain(&error), "our own state does not answer"),
        }
    }
}

fn reloading() -> Vec<NotifyState<'static>> {
    let now = NotifyState::monotonic_usec_now().ok();
    [NotifyState::Reloading].into_iter().chain(now).collect()
}

/// Without systemd this does nothing.
fn tell_systemd(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        warn!(%error, "systemd could not be told");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_events_are_forgotten_daily_also_by_a_clock_that_was_set_back() {
        let now: Timestamp = "2026-11-21T00:00:00Z".parse().unwrap();
        assert!(is_past(None, now));
        for (hours, past) in [
            (1, false),
            (24, false),
            (25, true),
            (-1, false),
            (-87_600, true),
        ] {
            assert_eq!(
                is_past(Some(now), now + TimeDelta::hours(hours)),
                past,
                "{hours}"
            );
        }
    }
}
