//! `keyfresh once`: one pass by this process, or, while a daemon holds the lock, by that one.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use tokio::signal::unix::{SignalKind, signal};

use super::runtime;
use super::status::{Rows, phase};
use crate::clock::Clock;
use crate::config::{Config, Environment};
use crate::credential::{Credential, CredentialId, Phase};
use crate::daemon::Parts;
use crate::refresh::Pick;
use crate::store::{self, Lock, Store};
use crate::telemetry;

/// How long the daemon may take: an exchange's default time-out, a locked gateway and some room.
const PATIENCE: Duration = Duration::from_mins(5);

const POLL: Duration = Duration::from_millis(200);

/// Makes the pass; `Ok(false)` if something failed or a person is needed.
pub(super) fn run(
    environment: &Environment,
    config: &Config,
    names: Vec<String>,
    force: bool,
) -> Result<bool> {
    for name in &names {
        if !config.credentials.iter().any(|known| known.name == *name) {
            return Err(store::Error::Unknown(name.clone()).into());
        }
    }
    let _telemetry = telemetry::start(&config.log, environment.journal)?;
    let pick = Pick { names, force };
    runtime()?.block_on(async {
        // Whoever holds the lock may end meanwhile, or take it first.
        loop {
            let pass = match Lock::holder(&config.state_dir)? {
                Some(_) => by_the_daemon(config, &pick).await?,
                None => by_ourselves(environment, config, &pick).await?,
            };
            if let Some(done) = pass {
                return Ok(done);
            }
        }
    })
}

/// `None`: another process took the lock first.
async fn by_ourselves(
    environment: &Environment,
    config: &Config,
    pick: &Pick,
) -> Result<Option<bool>> {
    let runtime_dir = environment.runtime_dir.clone();
    let parts = match Parts::assemble(config, runtime_dir, Clock::system()).await {
        Err(error) if matches!(error.downcast_ref(), Some(store::Error::Held(_))) => {
            return Ok(None);
        }
        parts => parts?,
    };
    let before = generations(&Rows::read(&parts.store).await?);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let watching = tokio::select! {
        watching = parts.once(pick) => watching,
        _ = terminate.recv() => Err(anyhow!("stopped by SIGTERM")),
        _ = interrupt.recv() => Err(anyhow!("stopped by SIGINT")),
    };
    if watching.is_err() {
        tracing::info!("stopping: exchanges under way settle first");
    }
    // A cut exchange would leave open whether its token was spent.
    parts.refresher.drain().await;
    let watching = watching?;
    let done = report(&parts.store, pick, &before).await?;
    if watching {
        println!(
            "the gateway may go on using the old key for a while: the next run, or the daemon, looks again"
        );
    }
    Ok(Some(done))
}

/// Marks the picked credentials due and waits until the daemon, or another `once`, is done with them;
/// `None`: it ended before that.
async fn by_the_daemon(config: &Config, pick: &Pick) -> Result<Option<bool>> {
    let clock = Clock::system();
    let store = Store::open(&config.state_dir)?;
    let rows = Rows::read(&store).await?;
    let before = generations(&rows);
    let (now, chosen) = (clock.read(), pick.clone());
    let mut waiting: HashMap<CredentialId, u64> = store
        .write(move |db| {
            let mut waiting = HashMap::new();
            for mut row in store::credential::all(db)? {
                let forced = chosen.force && row.may_be_forced(now);
                if !picked(&chosen, &row) {
                    continue;
                }
                if let Phase::Exchanging { .. } = row.phase {
                    waiting.insert(row.id, row.attempt - 1);
                } else if forced || row.is_due(now) {
                    row.due_at = row.due_at.min(now.wall);
                    store::credential::save(db, &row)?;
                    waiting.insert(row.id, row.attempt);
                }
            }
            Ok(waiting)
        })
        .await?;
    let watch = clock.stopwatch();
    while !waiting.is_empty() {
        if watch.elapsed() > PATIENCE {
            bail!("the daemon did not finish within {PATIENCE:?}: see its log");
        }
        clock.pause(POLL).await;
        let rows = Rows::read(&store).await?;
        for row in &rows.credentials {
            let settled = !matches!(row.phase, Phase::Exchanging { .. });
            // One that could not be begun was postponed without an attempt.
            let acted = waiting
                .get(&row.id)
                .is_some_and(|attempt| row.attempt > *attempt || !row.is_due(clock.read()));
            if settled && (acted || rows.is_estranged(row)) {
                waiting.remove(&row.id);
            }
        }
        if Lock::holder(&config.state_dir)?.is_none() {
            return Ok(None);
        }
    }
    report(&store, pick, &before).await.map(Some)
}

fn picked(pick: &Pick, row: &Credential) -> bool {
    pick.names.is_empty() || pick.names.contains(&row.name)
}

fn generations(rows: &Rows) -> HashMap<CredentialId, u64> {
    rows.credentials
        .iter()
        .map(|row| (row.id, row.generation))
        .collect()
}

/// One line for each picked credential.
async fn report(store: &Store, pick: &Pick, before: &HashMap<CredentialId, u64>) -> Result<bool> {
    let rows = Rows::read(store)
        .await
        .context("the pass is done, its outcome cannot be read")?;
    let mut well = true;
    for row in rows
        .credentials
        .iter()
        .filter(|row| !row.parked && picked(pick, row))
    {
        well &= row.last_error.is_none() && !rows.needs_a_person(row);
        let said = rows.obstacle(row).or_else(|| row.last_error.clone());
        let news = match (said, before.get(&row.id)) {
            (Some(said), _) => said,
            (None, Some(generation)) if *generation == row.generation => "not due".to_owned(),
            (None, _) => format!("refreshed, generation {}", row.generation),
        };
        println!("{}: {}, {news}", row.name, phase(row));
        for link in rows.links_of(row) {
            println!("  channel {}: {}", link.channel, link.state.name());
            if let Some(error) = &link.last_error {
                println!("    {error}");
            }
        }
    }
    Ok(well)
}
