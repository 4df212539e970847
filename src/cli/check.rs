//! `keyfresh check`: everything that `serve` will need, looked at; nothing is exchanged or changed.

use std::collections::HashSet;

use anyhow::Result;

use super::status::Rows;
use super::{TELL, runtime};
use crate::config::{self, Config, Environment, Problems};
use crate::daemon;
use crate::daemon::one_hub::Signing;
use crate::gateway::{Gateway, Telling};
use crate::store::link::State;
use crate::store::{Lock, Slots, Store};
use crate::telemetry::chain;

/// Whether everything is as it must be, so far.
#[derive(Default)]
struct Findings {
    failed: bool,
}

impl Findings {
    fn bad(&mut self, text: &str) {
        self.failed = true;
        println!("FAIL  {text}");
    }

    /// What could not be looked at, for a lock or a damaged table, keeps nothing else from being told.
    fn failure(&mut self, looked: Result<()>) {
        if let Err(error) = looked {
            self.bad(&format!("{error:#}"));
        }
    }
}

fn good(text: &str) {
    println!("ok    {text}");
}

/// It works, but somebody should know.
fn note(text: &str) {
    println!("note  {text}");
}

/// Prints what was found; `Ok(false)` if something would keep the daemon from its job.
pub(super) fn run(environment: &Environment) -> Result<bool> {
    let config = config::load(environment)?;
    let mut findings = Findings::default();
    match &config.path {
        Some(path) => good(&format!("configuration {}", path.display())),
        None => note("no configuration file: defaults, .env and environment alone"),
    }
    runtime()?.block_on(async {
        let store = state(&config, &mut findings);
        let known = secrets(&config, store.as_ref(), &mut findings).await;
        findings.failure(known);
        if config.gateway.is_none() && store.is_some() {
            embedded(&config, &mut findings).await;
        }
        if let Some(gateway) = gateway(&config, &mut findings).await {
            let signed = signing(&config, &gateway, &mut findings).await;
            findings.failure(signed);
            let found = channels(&config, &gateway, store.as_ref(), &mut findings).await;
            findings.failure(found);
        }
        if let Some(store) = &store {
            let adopted = credentials(&config, store, &mut findings).await;
            findings.failure(adopted);
        }
    });
    if config.notifiers.is_empty() {
        note("no notifier: nobody is told of a dead login; add [notify.wechat]");
    }
    for notifier in &config.notifiers {
        good(&format!(
            "notifier {0}; `keyfresh notify test {0}` sends a message",
            notifier.name
        ));
    }
    Ok(!findings.failed)
}

fn state(config: &Config, findings: &mut Findings) -> Option<Store> {
    let opened = Store::open(&config.state_dir).and_then(|store| {
        Slots::open(&config.state_dir, store.key())?;
        Ok((store, Lock::holder(&config.state_dir)?))
    });
    match opened {
        Ok((store, holder)) => {
            let held = holder.map_or_else(
                || "nobody refreshes with it now".to_owned(),
                |holder| format!("held by {holder}"),
            );
            good(&format!("state {}, {held}", config.state_dir.display()));
            Some(store)
        }
        Err(error) => {
            findings.bad(&chain(&error));
            None
        }
    }
}

async fn secrets(config: &Config, store: Option<&Store>, findings: &mut Findings) -> Result<()> {
    let problems = match (config.api_secrets(), store) {
        (Err(problems), _) => problems,
        (Ok(_), None) => Problems(Vec::new()),
        (Ok(_), Some(store)) => daemon::secrets::strangers(config, store).await?,
    };
    if problems.0.is_empty() {
        good("TOKEN_SECRET and HASHIDS_SALT");
    } else {
        findings.bad(&problems.to_string());
    }
    Ok(())
}

async fn gateway(config: &Config, findings: &mut Findings) -> Option<Gateway> {
    let settings = config.gateway.as_ref()?;
    let opened = async {
        let gateway = Gateway::open(settings).await?;
        gateway.probe().await?;
        Ok::<_, crate::gateway::Error>(gateway)
    };
    match opened.await {
        Ok(gateway) => {
            good(&format!(
                "gateway {}: {}, can be written",
                settings.database.display(),
                gateway.kind().name()
            ));
            if gateway.is_wal().await.unwrap_or(false) {
                note(
                    "the gateway's database is in WAL mode: under load the gateway then loses bookings that it would not lose in its own mode (DELETE)",
                );
            }
            if gateway.telling() == Some(Telling::Needed) && !settings.can_tell() {
                note(&format!(
                    "{} never looks for a changed key: {TELL}",
                    gateway.kind().name()
                ));
            }
            Some(gateway)
        }
        Err(error) => {
            findings.bad(&chain(&error));
            None
        }
    }
}

/// Whether the API can make keys that One-Hub accepts.
async fn signing(config: &Config, gateway: &Gateway, findings: &mut Findings) -> Result<()> {
    let mint = match daemon::secrets::one_hub_mint(config) {
        Ok(mint) => mint,
        Err(problems) => {
            findings.bad(&problems.to_string());
            return Ok(());
        }
    };
    let signing = daemon::one_hub::signing(gateway, mint.as_ref()).await?;
    match (signing, signing.obstacle()) {
        (Signing::Foreign { .. }, Some(obstacle)) => findings.bad(&obstacle),
        (_, Some(obstacle)) => note(&obstacle),
        (Signing::Proved, None) => {
            good("One-Hub's newest key verifies with gateway.user_token_secret");
        }
        (_, None) => {}
    }
    Ok(())
}

/// The API's own database, where no gateway is configured.
async fn embedded(config: &Config, findings: &mut Findings) {
    let opened = async {
        let gateway = daemon::gateway(config)?.gateway().await?;
        gateway.probe().await?;
        anyhow::Ok(())
    };
    match opened.await {
        Ok(()) => good("no gateway: the API keeps users and tokens in gateway.db beside the state"),
        Err(error) => findings.bad(&format!("{error:#}")),
    }
}

async fn channels(
    config: &Config,
    gateway: &Gateway,
    store: Option<&Store>,
    findings: &mut Findings,
) -> Result<()> {
    let rows = match store {
        Some(store) => Some(Rows::read(store).await?),
        None => None,
    };
    for credential in &config.credentials {
        let ids: Vec<i64> = credential
            .channels
            .iter()
            .map(|channel| channel.id)
            .collect();
        let found = gateway.channels(&ids).await?;
        let known: HashSet<i64> = found.iter().map(|channel| channel.id).collect();
        for id in ids.iter().filter(|id| !known.contains(id)) {
            findings.bad(&format!(
                "{}: the gateway has no channel {id}",
                credential.name
            ));
        }
        for channel in &found {
            let line = credential
                .channels
                .iter()
                .find(|wanted| wanted.id == channel.id)
                .and_then(|wanted| wanted.line);
            if channel.access_token(line).is_some() {
                good(&format!(
                    "{}: channel {} “{}”",
                    credential.name, channel.id, channel.name
                ));
            } else {
                let misfit = crate::link::misfit(channel, line);
                findings.bad(&format!("{}: {misfit}", credential.name));
            }
        }
    }
    if let Some(rows) = &rows {
        estranged(rows, findings);
    }
    Ok(())
}

/// Channels in conflict, with what is safe to do about them.
fn estranged(rows: &Rows, findings: &mut Findings) {
    for row in &rows.credentials {
        let links = rows.links_of(row);
        for link in links.filter(|link| link.state == State::Conflict) {
            let name = &row.name;
            let reason = link.last_error.clone().unwrap_or_default();
            let remedy = rows.obstacle(row).unwrap_or_else(|| {
                format!("if it may be replaced, run `keyfresh credential take-over {name}`")
            });
            findings.bad(&format!("{name}: {reason}; {remedy}"));
        }
    }
}

async fn credentials(config: &Config, store: &Store, findings: &mut Findings) -> Result<()> {
    let rows = Rows::read(store).await?;
    for settings in &config.credentials {
        let row = rows
            .credentials
            .iter()
            .find(|row| row.name == settings.name);
        match (row, &settings.seed_source) {
            (Some(row), Some(source)) if row.generation > 0 => note(&format!(
                "{}: adopted; the seed in {source} is no longer needed and may be removed",
                settings.name
            )),
            (None, None) => findings.bad(&format!(
                "{}: no refresh token is known: set refresh_token_file, or start once and run `keyfresh credential replace {0}`",
                settings.name
            )),
            (Some(row), _) if row.generation == 0 && row.last_error.is_some() => note(
                &format!("{}: {}", settings.name, row.last_error.clone().unwrap_or_default()),
            ),
            _ => good(&format!("credential {}", settings.name)),
        }
    }
    if config.credentials.is_empty() {
        note("no credentials: add [credentials.NAME]");
    }
    Ok(())
}
