//! `keyfresh credential …`: a person changes one row; whoever refreshes acts on it.

use std::sync::Arc;

use anyhow::{Result, bail};

use super::{input, runtime};
use crate::clock::Clock;
use crate::config::Config;
use crate::credential::Phase;
use crate::gateway::OnDemand;
use crate::http::Http;
use crate::link::Links;
use crate::refresh::Wakers;
use crate::store::{self, Lock, Store};

/// Makes `name` due now.
pub(super) fn refresh(config: &Config, name: &str) -> Result<bool> {
    let store = Store::open(&config.state_dir)?;
    let now = Clock::system().read();
    let wanted = name.to_owned();
    let row = runtime()?.block_on(store.write(move |db| {
        let mut row = store::credential::by_name(db, &wanted)?;
        if row.may_be_forced(now) {
            row.due_at = now.wall;
            store::credential::save(db, &row)?;
        }
        Ok(row)
    }))?;
    if row.is_due(now) {
        println!("{name} is due now; {}", who_acts(config)?);
        return Ok(true);
    }
    match (row.phase, row.not_before) {
        _ if row.parked => bail!("{name} is parked: it is not in the configuration"),
        (Phase::Exchanging { .. }, _) => bail!("{name} is being exchanged right now"),
        (Phase::Dead, _) => {
            bail!("{name} is dead: log in again and run `keyfresh credential replace {name}`")
        }
        (Phase::Unconfirmed { resend_at }, _) => bail!(
            "whether {name}'s refresh token was spent is not known: it is sent again at {resend_at}, or log in again and run `keyfresh credential replace {name}`"
        ),
        (Phase::Resting, Some(wait)) => bail!("the provider asked to wait until {wait}"),
        (Phase::Resting, None) => bail!("{name} cannot be due: the clock shows {}", now.wall),
    }
}

/// Installs the refresh token read from standard input.
pub(super) fn replace(config: &Config, name: &str) -> Result<bool> {
    let store = Store::open(&config.state_dir)?;
    let token = input::secret(&format!("{name}'s new refresh token"))?;
    let (key, now) = (store.key(), Clock::system().now());
    let wanted = name.to_owned();
    let phase = runtime()?.block_on(store.write(move |db| {
        let mut row = store::credential::by_name(db, &wanted)?;
        let phase = row.phase;
        store::credential::replace(db, &key, &mut row, &token, now)?;
        Ok(phase)
    }))?;
    if let Phase::Exchanging { .. } = phase {
        println!(
            "{name} is being exchanged right now: the new login is installed when that has settled"
        );
    } else {
        println!("{name} has a new refresh token; {}", who_acts(config)?);
    }
    Ok(true)
}

/// Declares the keys that now stand in `name`'s channels ours to replace.
pub(super) fn take_over(config: &Config, name: &str) -> Result<bool> {
    let store = Store::open(&config.state_dir)?;
    let clock = Clock::system();
    let gateway = config.gateway.clone();
    let links = Arc::new(Links::new(
        store,
        gateway.map(|settings| Arc::new(OnDemand::new(settings, clock.clone()))),
        Http::new()?,
        clock,
        Arc::new(Wakers::default()),
    ));
    let taken = runtime()?.block_on(links.take_over(name))?;
    if taken.is_empty() {
        println!("no channel of {name} is in conflict");
        return Ok(true);
    }
    for channel in taken {
        println!("channel {channel} is ours to write again");
    }
    println!("{}", who_acts(config)?);
    Ok(true)
}

fn who_acts(config: &Config) -> Result<&'static str> {
    Ok(match Lock::holder(&config.state_dir)? {
        Some(_) => "the running daemon acts on it within a second",
        None => "run `keyfresh once` or start the daemon to act on it",
    })
}
