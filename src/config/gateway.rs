//! `[gateway]`: the database that holds the channels, and how the gateway is told of a change.

use std::path::PathBuf;
use std::time::Duration;

use super::address;
use super::raw::Table;
use super::secret::Secret;
use crate::gateway::{Kind, Settings};

/// How long a locked gateway file is retried unless `busy_timeout` says otherwise.
const BUSY_TIMEOUT: Duration = Duration::from_secs(90);

/// What the table came to.
pub(super) struct Gateway {
    /// The gateway, if its database is named.
    pub(super) settings: Option<Settings>,
    /// Somebody meant to name one.
    pub(super) is_named: bool,
    /// One-Hub's own secrets.
    pub(super) one_hub: OneHubSecrets,
}

/// What One-Hub makes its users' tokens with.
#[derive(Clone, Debug)]
pub struct OneHubSecrets {
    /// One-Hub's `USER_TOKEN_SECRET`.
    pub user_token_secret: Option<Secret>,
    /// One-Hub's `HASHIDS_SALT`: its sqids alphabet, a-zA-Z0-9 if unset.
    pub hashids_salt: Option<Secret>,
}

pub(super) fn read(root: &mut Table<'_>) -> Gateway {
    let mut table = root.table("gateway");
    let kinds = [
        ("auto", None),
        ("one-api", Some(Kind::OneApi)),
        ("new-api", Some(Kind::NewApi)),
        ("one-hub", Some(Kind::OneHub)),
    ];
    let database = database(&mut table);
    let kind = table.choice("kind", &kinds).flatten();
    let sync_interval = table.duration("sync_interval");
    let busy_timeout = table.duration("busy_timeout").unwrap_or(BUSY_TIMEOUT);
    let url = address::read(&mut table);
    let access_token = table.secret("access_token").map(|secret| secret.value);
    let gateway = Gateway {
        settings: database.map(|database| Settings {
            database,
            kind,
            sync_interval,
            busy_timeout,
            url,
            access_token,
        }),
        is_named: table.has("database"),
        one_hub: OneHubSecrets {
            user_token_secret: table.secret("user_token_secret"),
            hashids_salt: table.secret("hashids_salt"),
        },
    };
    complete(&table);
    table.finish();
    gateway
}

/// `sqlite:PATH` or a path.
fn database(table: &mut Table<'_>) -> Option<PathBuf> {
    let text = table.text("database")?;
    let path = text.strip_prefix("sqlite:").unwrap_or(&text);
    // One-API's own form for MySQL is `user:password@tcp(host)/name`.
    if path.contains("://") || path.contains("@tcp(") || path.contains("@unix(") {
        table.report(
            "database",
            "this version writes into SQLite files only, not into MySQL or PostgreSQL",
            "name the gateway's SQLite file: database = \"sqlite:PATH\"",
        );
        return None;
    }
    if path.is_empty() {
        table.reject(
            "database",
            "sqlite:PATH",
            "\"sqlite:/opt/one-api/one-api.db\"",
        );
        return None;
    }
    // By components, so that `sqlite:///opt` is `/opt`.
    Some(table.document.places.base.join(path).components().collect())
}

/// Keys that are of no use without another.
fn complete(table: &Table<'_>) {
    let has_token = table.has("access_token") || table.has("access_token_file");
    if has_token && !table.has("url") {
        table.report(
            "access_token",
            "an access token is for telling the gateway, and gateway.url is missing",
            "set url = \"http://127.0.0.1:3000\" or remove the token",
        );
    }
    if table.has("url") && !has_token {
        table.report(
            "url",
            "the gateway can be told only with an administrator's access token",
            "set access_token_file or remove url",
        );
    }
    let idle = ["kind", "sync_interval", "busy_timeout", "url"]
        .into_iter()
        .filter(|key| table.has(key) && !table.has("database"));
    for key in idle {
        table.report(
            key,
            "has no effect without gateway.database",
            "set database = \"sqlite:PATH\" or remove it",
        );
    }
}
