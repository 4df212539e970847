//! The tour's world: a folder of its own with configuration, state and gateway file, and the three
//! players on loopback. All of it is gone when the [`Stage`] is dropped.
//!
//! The job itself is put together by [`Parts::assemble`] from a configuration that [`config::load`]
//! read, as in `serve` and `once`; only the clock is a manual one, so that a week passes at once.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rusqlite::Connection;
use secrecy::ExposeSecret as _;
use tempfile::TempDir;

use super::authority::{self, Authority};
use super::sink::Sink;
use crate::clock::{Clock, Timestamp};
use crate::config::{self, Config, Environment};
use crate::daemon::Parts;
use crate::gateway::{Gateway, Kind};
use crate::http::Http;
use crate::notify::{Courier, EventKind, Locale, Subscriber};
use crate::store;

/// How long the provider takes, so that a reader can follow.
const LATENCY: Duration = Duration::from_millis(400);

/// How long the provider honours a used refresh token; `config()` tells keyfresh the same.
const GRACE: Duration = Duration::from_mins(10);

/// An access token's life, as with the script's provider.
const LIFETIME: Duration = Duration::from_hours(10 * 24);

/// When the tour begins: a Saturday morning in Shanghai.
const BEGIN: &str = "2026-11-21T02:00:00Z";

/// The second notifier, which tells in English what the first tells in Chinese.
const ENGLISH: &str = "english";

pub(super) struct Stage {
    dir: TempDir,
    pub(super) config: Config,
    pub(super) clock: Clock,
    pub(super) authority: Authority,
    pub(super) sink: Sink,
    pub(super) gateway: Gateway,
}

/// The job, put together once; a kill ends it and another one takes over.
pub(super) struct Crew {
    pub(super) parts: Parts,
    english: Courier,
}

impl Stage {
    /// Everything made on the spot, and a person logged in.
    pub(super) async fn set() -> Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("keyfresh-demo-")
            .tempdir()?;
        let clock = Clock::manual(BEGIN.parse()?);
        let habits = authority::Settings {
            lifetime: LIFETIME,
            grace: GRACE,
            latency: LATENCY,
            ..authority::Settings::default()
        };
        let authority = Authority::start(habits, clock.clone()).await?;
        let sink = Sink::start().await?;
        Connection::open(dir.path().join("new-api.db"))?
            .execute_batch(include_str!("gateway.sql"))?;
        let seed = authority.seed()?;
        private(&dir.path().join("chatgpt.token"), seed.expose_secret())?;
        private(
            &dir.path().join("pushplus.token"),
            "a-token-for-the-demo-alone-00001",
        )?;
        private(
            &dir.path().join("config.toml"),
            &config(dir.path(), &authority, &sink),
        )?;
        store::create(&dir.path().join("state"))?;
        let config = load(dir.path())?;
        let settings = config.gateway.as_ref().context("the demo has a gateway")?;
        let gateway = Gateway::open(settings).await?;
        ensure!(
            gateway.kind() == Kind::NewApi,
            "the gateway is not recognised"
        );
        Ok(Self {
            dir,
            config,
            clock,
            authority,
            sink,
            gateway,
        })
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(super) fn database(&self) -> PathBuf {
        self.path().join("new-api.db")
    }

    /// The job in this process, with a notifier in English besides the configured one.
    pub(super) async fn crew(&self) -> Result<Crew> {
        let parts = Parts::assemble(&self.config, None, self.clock.clone()).await?;
        let configured = self
            .config
            .notifiers
            .first()
            .context("the demo has a notifier")?;
        let names = [configured.name.clone(), ENGLISH.to_owned()];
        parts
            .store
            .write(move |db| store::notice::enrol(db, &names))
            .await?;
        let subscriber = Subscriber {
            name: ENGLISH.to_owned(),
            notifier: configured.notifier(),
            events: EventKind::WORST_FIRST.to_vec(),
            locale: Locale::English,
            timezone: self.config.schedule.timezone,
        };
        let english = Courier::new(
            subscriber,
            parts.store.clone(),
            Http::new()?,
            self.clock.clone(),
        );
        Ok(Crew { parts, english })
    }

    /// `at` as people near the gateway say it.
    pub(super) fn local(&self, at: Timestamp) -> String {
        let local = at.with_timezone(&self.config.schedule.timezone);
        local.format("%a %Y-%m-%d %H:%M:%S").to_string()
    }

    /// Removes everything.
    pub(super) fn strike(self) -> io::Result<()> {
        self.dir.close()
    }
}

impl Crew {
    /// Tells in English what was just told in Chinese.
    pub(super) async fn translate(&self) -> Result<()> {
        self.english.flush().await?;
        Ok(())
    }
}

/// The job in a process of its own, at the moment that `dir` says: one pass, as `keyfresh once`.
pub(super) async fn understudy(dir: &Path) -> Result<()> {
    let config = load(dir)?;
    let now = fs::read_to_string(dir.join("clock"))?.parse()?;
    let parts = Parts::assemble(&config, None, Clock::manual(now)).await?;
    parts.once(&crate::refresh::Pick::default()).await?;
    Ok(())
}

fn load(dir: &Path) -> Result<Config> {
    Ok(config::load(&Environment {
        config: Some(dir.join("config.toml")),
        variables: Vec::new(),
        credentials_directory: None,
        working_directory: dir.to_owned(),
        system_directory: dir.to_owned(),
        runtime_dir: None,
        journal: false,
    })?)
}

fn config(dir: &Path, authority: &Authority, sink: &Sink) -> String {
    let (dir, grace) = (dir.display(), GRACE.as_secs());
    let (token_url, sink) = (authority.url(), sink.url());
    format!(
        r#"[gateway]
database = "sqlite:{dir}/new-api.db"
[state]
dir = "{dir}/state"
[schedule]
cron = "0 5 * * 1"
timezone = "Asia/Shanghai"
[credentials.chatgpt]
provider = "generic"
token_url = "{token_url}"
client_id = "demo"
rotation = "rotates"
grace = "{grace}s"
refresh_token_file = "chatgpt.token"
channels = [1]
[notify.wechat]
type = "pushplus"
url = "{sink}"
token_file = "pushplus.token"
template = "txt"
"#
    )
}

fn private(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())
}
