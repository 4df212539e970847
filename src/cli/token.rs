//! `keyfresh token …`: whose a key is, offline, and a person's word on changed secrets.

use anyhow::Result;
use serde::Serialize;

use super::{input, runtime};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::daemon::secrets;
use crate::mint::Signer;
use crate::secret::ExposeSecret as _;
use crate::store::secrets::Name;
use crate::store::{Lock, Store};

/// What `token verify --json` prints; times are RFC 3339 UTC.
#[derive(Default, Serialize)]
struct Report {
    /// Whether a secret of this installation made the key.
    ours: bool,
    /// `keyfresh` or `one-hub`: whose format it has.
    format: Option<&'static str>,
    /// `users.id` of whom it was made for.
    user: Option<i64>,
    /// `tokens.id`, which One-Hub's keys carry.
    token: Option<i64>,
    /// When it was made, which One-Hub's keys do not tell.
    created: Option<Timestamp>,
    /// `token_secret`, `token_secret_previous` or `user_token_secret`.
    secret: Option<&'static str>,
}

/// Tells whether the key on standard input was made with a secret of this installation, and for whom;
/// `Ok(false)` if not.
pub(super) fn verify(config: &Config, json: bool) -> Result<bool> {
    let mint = secrets::mint(config)?;
    let one_hub = secrets::one_hub_mint(config)?;
    let key = input::secret("a key")?;
    let key = key.expose_secret();
    let report = if let Some(found) = mint.verify(key) {
        Report {
            ours: true,
            format: Some("keyfresh"),
            user: Some(found.user),
            created: Some(found.created),
            secret: Some(match found.by {
                Signer::Current => "token_secret",
                Signer::Previous => "token_secret_previous",
            }),
            ..Report::default()
        }
    } else if let Some((token, user)) = one_hub.and_then(|mint| mint.verify(key)) {
        Report {
            ours: true,
            format: Some("one-hub"),
            user: Some(user),
            token: Some(token),
            secret: Some("user_token_secret"),
            ..Report::default()
        }
    } else {
        Report::default()
    };
    if json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        println!("{}", report.told(config));
    }
    Ok(report.ours)
}

impl Report {
    fn told(&self, config: &Config) -> String {
        match (self.user, self.token, self.created) {
            (Some(user), _, Some(created)) => {
                let created = created.with_timezone(&config.schedule.timezone);
                format!(
                    "ours: made for user {user} at {}, signed with {}",
                    created.format("%Y-%m-%d %H:%M:%S %Z"),
                    self.secret.unwrap_or_default()
                )
            }
            (Some(user), Some(token), None) => format!(
                "One-Hub's: token {token} of user {user}, signed with gateway.user_token_secret, by One-Hub or by keyfresh"
            ),
            _ => "not ours: no secret of this installation signed it".to_owned(),
        }
    }
}

/// Takes the API's secrets as they are configured now for those in use.
pub(super) fn accept_secrets(config: &Config) -> Result<bool> {
    let store = Store::open(&config.state_dir)?;
    let changed = runtime()?.block_on(secrets::accept(config, &store))?;
    if changed.is_empty() {
        println!("nothing has changed: these are the secrets in use");
    }
    for name in &changed {
        println!(
            "api.{} is taken for ours: {}",
            name.as_str(),
            match name {
                Name::TokenSecret => "bearers issued with the old one are refused from now on",
                Name::HashidsSalt =>
                    "hashed ids and bearers made with the old one lead nowhere from now on",
            }
        );
    }
    if !changed.is_empty() && Lock::holder(&config.state_dir)?.is_some() {
        println!("restart the running daemon: it still has the old ones");
    }
    Ok(true)
}
