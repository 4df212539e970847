//! The configuration: what it means, every problem of it reported at once.
//!
//! [`load`] merges defaults, file, `.env` and environment and reads one table after the other
//! (`config/*.rs`, what was typed: `config/raw.rs`); [`init`] makes the first configuration. Called by
//! the commands and by a reload; nothing else reads files or variables for settings. Absent on
//! purpose: opening databases and state, and any value, secret or not, in an error.

mod address;
mod api;
mod credential;
mod environment;
mod gateway;
mod init;
mod notify;
mod private_file;
mod problem;
mod raw;
mod secret;
mod value;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono_tz::Tz;
use secrecy::{ExposeSecret, SecretString};
use tracing::level_filters::LevelFilter;

pub use api::{ApiSecrets, ApiSettings};
pub use credential::{ChannelRef, CredentialSettings};
pub use environment::Environment;
pub use gateway::OneHubSecrets;
pub use init::{Installation, Piece, init};
pub use notify::{NotifierKind, NotifierSettings};
pub use problem::{Problem, Problems};
pub use secret::Secret;
pub use value::span;

use crate::gateway::Settings as Gateway;
use crate::notify::Locale;
use crate::schedule::Plan;
use crate::telemetry;
use raw::Table;

const STATE_DIR: &str = "/var/lib/keyfresh";
const CRON: &str = "0 5 * * 1";
const TIMEZONE: Tz = Tz::Asia__Shanghai;
const CONCURRENCY: usize = 16;
const PER_ENDPOINT: usize = 4;
const KEEP_DAYS: u16 = 14;

/// Each exchange holds a slot, and `init` makes this many.
const SLOTS: usize = 64;

/// A configuration without a problem.
#[derive(Clone, Debug)]
pub struct Config {
    /// The configuration file, if there is one.
    pub path: Option<PathBuf>,
    /// The language of notices and API messages.
    pub locale: Locale,
    /// The gateway, if its database is named.
    pub gateway: Option<Gateway>,
    /// One-Hub's own secrets.
    pub one_hub: OneHubSecrets,
    /// The directory of our own state.
    pub state_dir: PathBuf,
    /// When and how many at once.
    pub schedule: ScheduleSettings,
    /// The credentials, in the order of names.
    pub credentials: Vec<CredentialSettings>,
    /// The notifiers, in the order of names.
    pub notifiers: Vec<NotifierSettings>,
    /// The API.
    pub api: ApiSettings,
    /// Logging.
    pub log: telemetry::Settings,
}

/// `[schedule]`.
#[derive(Clone, Debug)]
pub struct ScheduleSettings {
    /// The cron pattern in its time zone.
    pub plan: Arc<Plan>,
    /// The time zone, also of the times in notices.
    pub timezone: Tz,
    /// Exchanges at once, 64 at most.
    pub concurrency: usize,
    /// Exchanges at once with one token endpoint.
    pub per_endpoint: usize,
}

/// Reads the configuration that `environment` leads to.
///
/// # Errors
/// Every problem found.
pub fn load(environment: &Environment) -> Result<Config, Problems> {
    let document = environment::read(environment)?;
    let mut root = document.root();
    let locales = [("zh-CN", Locale::Chinese), ("en", Locale::English)];
    let locale = root.choice("locale", &locales).unwrap_or_default();
    let gateway = gateway::read(&mut root);
    let state_dir = state(&mut root);
    let schedule = schedule(&mut root);
    let credentials = credential::read(&mut root, gateway.is_named);
    let notifiers = notify::read(&mut root);
    let api = api::read(&mut root);
    let log = log(&mut root);
    root.finish();
    let path = document.file.clone();
    match (schedule, document.into_problems()) {
        (Some(schedule), problems) if problems.0.is_empty() => Ok(Config {
            path,
            locale,
            gateway: gateway.settings,
            one_hub: gateway.one_hub,
            state_dir,
            schedule,
            credentials,
            notifiers,
            api,
            log,
        }),
        (_, problems) => Err(problems),
    }
}

impl Config {
    /// The API's two secrets, which `serve` and `check` demand.
    ///
    /// # Errors
    /// When one is not set, too short, copied from documentation, or both are the same.
    pub fn api_secrets(&self) -> Result<ApiSecrets, Problems> {
        self.api.secrets(self.path.as_ref())
    }

    /// What `new` changes that a running daemon cannot take over.
    #[must_use]
    pub fn needs_restart(&self, new: &Self) -> Vec<&'static str> {
        let secret = |pick: fn(&Self) -> Option<&Secret>| {
            let text = |config| pick(config).map(|secret| secret_text(&secret.value));
            text(self) != text(new)
        };
        let changed = [
            (
                "gateway.user_token_secret",
                secret(|config| config.one_hub.user_token_secret.as_ref()),
            ),
            (
                "gateway.hashids_salt",
                secret(|config| config.one_hub.hashids_salt.as_ref()),
            ),
            ("state.dir", self.state_dir != new.state_dir),
            (
                "gateway",
                !is_same(self.gateway.as_ref(), new.gateway.as_ref()),
            ),
            ("log.dir", self.log.dir != new.log.dir),
        ];
        let keys = changed.into_iter().filter(|(_, changed)| *changed);
        let others = keys.map(|(key, _)| key);
        self.api.needs_restart(&new.api).chain(others).collect()
    }
}

fn is_same(one: Option<&Gateway>, other: Option<&Gateway>) -> bool {
    let fields = |gateway: &Gateway| {
        let token = gateway.access_token.as_ref().map(secret_text);
        (
            gateway.database.clone(),
            gateway.kind,
            gateway.sync_interval,
            gateway.busy_timeout,
            gateway.url.clone(),
            token,
        )
    };
    one.map(fields) == other.map(fields)
}

fn secret_text(secret: &SecretString) -> zeroize::Zeroizing<String> {
    secret.expose_secret().to_owned().into()
}

fn state(root: &mut Table<'_>) -> PathBuf {
    let mut table = root.table("state");
    let dir = path(&mut table, "dir").unwrap_or_else(|| STATE_DIR.into());
    table.finish();
    dir
}

/// A path, beside the configuration if it is relative.
fn path(table: &mut Table<'_>, key: &str) -> Option<PathBuf> {
    let text = table.text(key)?;
    let joined = table.document.places.base.join(Path::new(&text));
    // By components, so that `./state` beside `/a` is `/a/state`.
    Some(joined.components().collect())
}

fn schedule(root: &mut Table<'_>) -> Option<ScheduleSettings> {
    let mut table = root.table("schedule");
    let expected = "a time zone of the IANA database";
    let timezone = table
        .parsed("timezone", expected, "\"Asia/Shanghai\"", |value| {
            value.as_str()?.parse().ok()
        })
        .unwrap_or(TIMEZONE);
    let cron = table.text("cron").unwrap_or_else(|| CRON.to_owned());
    let plan = Plan::parse(&cron, timezone);
    if let Err(reason) = &plan {
        let fault = if is_cron_like(&cron) {
            reason
        } else {
            "expected five fields: minute hour day-of-month month day-of-week"
        };
        table.report(
            "cron",
            fault,
            format!("write for example cron = \"{CRON}\""),
        );
    }
    let concurrency = table.number("concurrency", 1..=SLOTS);
    let per_endpoint = table.number("per_endpoint", 1..=SLOTS);
    table.finish();
    Some(ScheduleSettings {
        plan: Arc::new(plan.ok()?),
        timezone,
        concurrency: concurrency.unwrap_or(CONCURRENCY),
        per_endpoint: per_endpoint.unwrap_or(PER_ENDPOINT),
    })
}

/// The plan's reason repeats the pattern: it is shown only of what looks like one, not of a secret
/// typed in its place.
fn is_cron_like(text: &str) -> bool {
    let fields: Vec<&str> = text.split_whitespace().collect();
    let is_field = |field: &&str| {
        let words = field.split(|c: char| !c.is_ascii_alphabetic());
        field.len() <= 12
            && field
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "*,-/#?".contains(c))
            && words.into_iter().all(|word| word.len() <= 3)
    };
    (4..=7).contains(&fields.len()) && fields.iter().all(is_field)
}

fn log(root: &mut Table<'_>) -> telemetry::Settings {
    let mut table = root.table("log");
    let levels = [
        ("info", LevelFilter::INFO),
        ("error", LevelFilter::ERROR),
        ("warn", LevelFilter::WARN),
        ("debug", LevelFilter::DEBUG),
        ("trace", LevelFilter::TRACE),
    ];
    let formats = [
        ("text", telemetry::Format::Text),
        ("json", telemetry::Format::Json),
    ];
    let keep_days = table
        .number("keep_days", 1..=usize::from(u16::MAX))
        .and_then(|days| u16::try_from(days).ok());
    let settings = telemetry::Settings {
        level: table.choice("level", &levels).unwrap_or(LevelFilter::INFO),
        format: table.choice("format", &formats).unwrap_or_default(),
        dir: path(&mut table, "dir"),
        keep_days: keep_days.unwrap_or(KEEP_DAYS),
    };
    table.finish();
    settings
}
