//! `keyfresh user …`: who may call the token API, and the bearers that let them.
//!
//! Users are rows of the gateway's; only the embedded database's are ours to add. A bearer is printed
//! once, on standard output alone, and kept nowhere.

use std::convert::Infallible;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use serde::Serialize;

use super::runtime;
use crate::clock::Clock;
use crate::config::Config;
use crate::daemon::{self, secrets};
use crate::gateway::User;
use crate::gateway::embedded::NotAdded;
use crate::secret::ExposeSecret as _;
use crate::store::{self, Lock, Store};

/// Why no user is added to a gateway.
const GATEWAYS: &str =
    "users are the gateway's own: make one in its console; `keyfresh user list` shows them";

/// What `user list --json` prints.
#[derive(Serialize)]
struct Report {
    users: Vec<UserReport>,
}

#[derive(Serialize)]
struct UserReport {
    id: i64,
    name: String,
    role: i64,
    status: i64,
    has_access_token: bool,
}

/// Prints the gateway's users.
pub(super) fn list(config: &Config, json: bool) -> Result<bool> {
    let users = runtime()?.block_on(async {
        let gateway = daemon::gateway(config)?.gateway().await?;
        anyhow::Ok(gateway.users().await?)
    })?;
    if json {
        let users = users.iter().map(report).collect();
        println!("{}", serde_json::to_string_pretty(&Report { users })?);
        return Ok(true);
    }
    if users.is_empty() {
        println!("no users: `keyfresh user add NAME` makes one");
    }
    for user in &users {
        println!(
            "{}  {}: {}, {}, {}",
            user.id,
            shown(&user.name),
            role(user),
            if user.is_enabled() {
                "enabled"
            } else {
                "disabled"
            },
            if user.has_access_token {
                "has an access token"
            } else {
                "no access token"
            },
        );
    }
    Ok(true)
}

/// Adds a user to the embedded database.
pub(super) fn add(config: &Config, name: &str) -> Result<bool> {
    if config.gateway.is_some() {
        bail!(
            "users are the gateway's own: make one in its console; `keyfresh user list` shows them"
        );
    }
    let is_id = name.bytes().all(|byte| byte.is_ascii_digit());
    if is_id || name.trim() != name || name.chars().any(char::is_control) {
        bail!(
            "a name has no blanks around it, no control characters, and more than digits, which are taken for an id"
        );
    }
    let wanted = name.to_owned();
    let added = runtime()?.block_on(async {
        let gateway = daemon::gateway(config)?.gateway().await?;
        anyhow::Ok(
            gateway
                .alter(move |tables| tables.add_user(&wanted))
                .await?,
        )
    })?;
    let user = match added {
        Ok(user) => user,
        Err(NotAdded::Taken) => bail!("there is a user {name} already"),
        Err(NotAdded::Gateways) => bail!(GATEWAYS),
    };
    println!(
        "added {} with id {}; `keyfresh user token {1}` prints a bearer",
        shown(&user.name),
        user.id
    );
    Ok(true)
}

/// Prints a bearer for the user called `name`, good for `ttl`.
pub(super) fn token(config: &Config, name: &str, ttl: Duration) -> Result<bool> {
    let store = Store::open(&config.state_dir)?;
    runtime()?.block_on(async {
        let (mint, has_heir) = secrets::settle(config, &store).await?;
        let user = find(config, name).await?;
        if !user.is_enabled() || user.is_guest() {
            bail!(
                "{} may not call the API: enable the user in the gateway first",
                shown(&user.name)
            );
        }
        let id = user.id;
        let generation = store.read(move |db| store::bearer::generation(db, id)).await?;
        let now = Clock::system().now();
        let bearer = mint.bearer(id, generation, now, ttl)?;
        println!("{}", bearer.expose_secret());
        eprintln!(
            "a bearer for {} (id {id}), good until {}; `keyfresh user token {id} --revoke-all` revokes it",
            shown(&user.name),
            (now + ttl)
                .with_timezone(&config.schedule.timezone)
                .format("%Y-%m-%d %H:%M %Z"),
        );
        if has_heir && Lock::holder(&config.state_dir)?.is_some() {
            eprintln!("restart the running daemon: token_secret has changed since it started");
        }
        Ok(true)
    })
}

/// Revokes every bearer of the user called `name`.
pub(super) fn revoke_all(config: &Config, name: &str) -> Result<bool> {
    let store = Store::open(&config.state_dir)?;
    runtime()?.block_on(async {
        let user = find(config, name).await?;
        let id = user.id;
        store.write(move |db| store::bearer::raise(db, id)).await?;
        eprintln!(
            "every bearer of {} (id {id}) issued so far is revoked; an access token of the gateway's is not",
            shown(&user.name)
        );
        Ok(true)
    })
}

/// The user with this id or, if nobody has it, of this name.
async fn find(config: &Config, name: &str) -> Result<User> {
    let gateway = daemon::gateway(config)?.gateway().await?;
    let (wanted, id) = (name.to_owned(), name.parse().ok());
    let Ok(found) = gateway
        .view::<_, Infallible>(move |tables| {
            let by_id = id.map(|id| tables.user(id)).transpose()?.flatten();
            Ok(match by_id {
                Some(user) => Some(user),
                None => tables.user_by_name(&wanted)?,
            })
        })
        .await?;
    found.ok_or_else(|| {
        anyhow!(
            "no user is called {}: `keyfresh user list` shows them",
            shown(name)
        )
    })
}

fn report(user: &User) -> UserReport {
    UserReport {
        id: user.id,
        name: user.name.clone(),
        role: user.role,
        status: user.status,
        has_access_token: user.has_access_token,
    }
}

fn role(user: &User) -> &'static str {
    match user.role {
        i64::MIN..=0 => "guest",
        1..10 => "user",
        10..100 => "administrator",
        100.. => "root",
    }
}

/// A name as a terminal may have it: anybody may have chosen it.
fn shown(name: &str) -> String {
    let plain = |letter: char| !letter.is_control();
    name.chars().filter(|letter| plain(*letter)).collect()
}
