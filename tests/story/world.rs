//! The world of a story: everything real, in one process, and a clock that only the story turns.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use chrono::TimeDelta;
use keyfresh::clock::{Clock, Timestamp};
use keyfresh::config::{self, Config, Environment};
use keyfresh::credential::{Credential, Phase};
use keyfresh::daemon::Parts;
use keyfresh::demo::authority::{Authority, Seen, Settings};
use keyfresh::demo::sink::Sink;
use keyfresh::refresh::Pick;
use keyfresh::store::{self, Store};
use rusqlite::Connection;
use secrecy::{ExposeSecret as _, SecretString};
use tempfile::TempDir;

use crate::database;

/// Saturday noon in Shanghai; the weekly refresh is two days away.
pub(crate) const START: &str = "2026-11-21T04:00:00Z";

/// What a minute of waiting for a gateway takes in a story.
const LET_GO: Duration = Duration::from_millis(300);

pub(crate) struct World {
    pub(crate) authority: Authority,
    pub(crate) sink: Sink,
    pub(crate) clock: Clock,
    pub(crate) gateway: PathBuf,
    pub(crate) folder: TempDir,
    /// `[credentials]`, besides what every story has.
    pub(crate) credentials: String,
    /// `[gateway]`, besides the database.
    pub(crate) gateway_keys: String,
    parts: Option<Parts>,
    /// The channel keys that were the newest once, by generation.
    keys: Vec<(String, u64)>,
    told: Told,
    /// Why the last pass failed.
    pub(crate) failure: Option<String>,
}

/// How much of the world was told already.
#[derive(Default)]
struct Told {
    requests: usize,
    notices: usize,
}

impl World {
    /// One credential, `main`, that feeds channel 1 of a New API; tokens live ten days and rotate.
    pub(crate) async fn new() -> Self {
        Self::with("new-api-2026-02.db", "channels = [1]", Settings::default()).await
    }

    /// The same with another gateway, other keys of `[credentials.main]`, another provider.
    pub(crate) async fn with(fixture: &str, main: &str, settings: Settings) -> Self {
        let clock = Clock::manual(START.parse().unwrap());
        let settings = Settings {
            lifetime: TimeDelta::days(10).to_std().unwrap(),
            ..settings
        };
        let authority = Authority::start(settings, clock.clone()).await.unwrap();
        let (folder, gateway) = database::copy(fixture);
        store::create(&folder.path().join("state")).unwrap();
        let mut world = Self {
            sink: Sink::start().await.unwrap(),
            clock,
            gateway,
            credentials: String::new(),
            gateway_keys: String::new(),
            parts: None,
            keys: Vec::new(),
            told: Told::default(),
            failure: None,
            folder,
            authority,
        };
        world.seed("main");
        world.credential("main", main);
        world
    }

    /// A person logs in: `name`'s seed file holds a fresh refresh token.
    pub(crate) fn seed(&self, name: &str) -> SecretString {
        let seed = self.authority.seed().unwrap();
        self.private(&format!("{name}.token"), seed.expose_secret());
        seed
    }

    /// Adds a credential with its seed file to the configuration.
    pub(crate) fn credential(&mut self, name: &str, keys: &str) {
        let url = self.authority.url();
        let table = format!(
            "[credentials.{name}]\nprovider = \"generic\"\ntoken_url = \"{url}\"\nclient_id = \"story\"\nrefresh_token_file = \"{name}.token\"\n{keys}\n"
        );
        self.credentials.push_str(&table);
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn private(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    pub(crate) fn config(&self) -> Config {
        let text = format!(
            "[state]\ndir = \"state\"\n[gateway]\ndatabase = \"{}\"\nbusy_timeout = \"1s\"\n{}\n[notify.wechat]\ntype = \"pushplus\"\ntoken = \"story-token\"\nurl = \"{}\"\n{}",
            self.gateway.display(),
            self.gateway_keys,
            self.sink.url(),
            self.credentials,
        );
        self.private("config.toml", &text);
        let environment = Environment {
            config: Some(self.path("config.toml")),
            variables: Vec::new(),
            credentials_directory: None,
            working_directory: self.folder.path().to_owned(),
            system_directory: self.folder.path().to_owned(),
            runtime_dir: None,
            journal: false,
        };
        config::load(&environment).unwrap()
    }

    /// Starts with the configuration as it is now, if it does not run.
    pub(crate) async fn start(&mut self) -> &Parts {
        if self.parts.is_none() {
            let config = self.config();
            let parts = Parts::assemble(&config, None, self.clock.clone()).await;
            self.parts = Some(parts.unwrap());
        }
        self.parts.as_ref().unwrap()
    }

    pub(crate) fn parts(&self) -> &Parts {
        self.parts.as_ref().unwrap()
    }

    pub(crate) fn stop(&mut self) {
        self.parts = None;
    }

    /// One pass over everything.
    pub(crate) async fn pass(&mut self) {
        self.pass_with(Pick::default()).await;
    }

    pub(crate) async fn force(&mut self) {
        self.pass_with(Pick {
            names: Vec::new(),
            force: true,
        })
        .await;
    }

    async fn pass_with(&mut self, pick: Pick) {
        // The minutes that a pass waits for a gateway to let go of a key go by at once.
        let clock = self.clock.clone();
        let real = Clock::system();
        let failure;
        {
            let mut once = pin!(self.start().await.once(&pick));
            loop {
                tokio::select! {
                    biased;
                    done = &mut once => break failure = done.err().map(|error| error.to_string()),
                    () = real.pause(LET_GO) => clock.set(clock.now() + TimeDelta::minutes(1)),
                }
            }
        }
        self.failure = failure;
        self.note_key().await;
    }

    /// A restart, then a pass.
    pub(crate) async fn again(&mut self) {
        self.stop();
        self.pass().await;
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn wait(&self, span: TimeDelta) {
        self.clock.set(self.now() + span);
    }

    pub(crate) async fn store(&mut self) -> Store {
        self.start().await.store.clone()
    }

    pub(crate) async fn row(&mut self, name: &'static str) -> Credential {
        let store = self.store().await;
        let row = store.read(move |db| store::credential::by_name(db, name));
        row.await.unwrap()
    }

    async fn note_key(&mut self) {
        let store = self.store().await;
        let key = store.key();
        let found = store
            .read(move |db| {
                let mut keys = Vec::new();
                for row in store::credential::all(db)? {
                    if let Some(key) = store::credential::access_token(db, &key, row.id)? {
                        keys.push((key.expose_secret().to_owned(), row.generation));
                    }
                }
                Ok(keys)
            })
            .await
            .unwrap();
        self.keys.extend(found);
    }

    /// Runs SQL on the gateway's file, as a stranger would.
    pub(crate) fn sql(&self, sql: &str) {
        Connection::open(&self.gateway)
            .unwrap()
            .execute_batch(sql)
            .unwrap();
    }

    pub(crate) fn ask(&self, sql: &str) -> String {
        let value: rusqlite::types::Value = Connection::open(&self.gateway)
            .unwrap()
            .query_row(sql, [], |row| row.get(0))
            .unwrap();
        match value {
            rusqlite::types::Value::Text(text) => text,
            other => format!("{other:?}"),
        }
    }

    /// The requests since the last telling, as the provider ruled.
    pub(crate) fn requests(&mut self) -> String {
        let seen: Vec<Seen> = self.authority.requests();
        let news: Vec<String> = seen[self.told.requests..]
            .iter()
            .map(|seen| {
                let token = seen
                    .generation
                    .map_or("?".to_owned(), |number| number.to_string());
                format!("token {token} {:?}", seen.ruling).to_lowercase()
            })
            .collect();
        self.told.requests = seen.len();
        if news.is_empty() {
            "none".to_owned()
        } else {
            news.join(", ")
        }
    }

    /// What changed for anybody who looks: credentials, channels, requests, notices.
    pub(crate) async fn tell(&mut self) -> String {
        let mut text = String::new();
        let store = self.store().await;
        let (rows, links) = store
            .read(|db| Ok((store::credential::all(db)?, store::link::all(db)?)))
            .await
            .unwrap();
        for row in &rows {
            self.tell_credential(&mut text, row);
            for link in links.iter().filter(|link| link.credential == row.id) {
                let line = link
                    .line
                    .map(|line| format!(" line {line}"))
                    .unwrap_or_default();
                let key = self.shown_key(link.channel, link.line);
                let error = link.last_error.as_deref().map(|error| format!("; {error}"));
                let status = self.ask(&format!(
                    "SELECT 'status ' || COALESCE((SELECT status FROM channels WHERE id = {}), 'none')",
                    link.channel
                ));
                writeln!(
                    text,
                    "  channel {}{line}: {}, {status}, {key}{}",
                    link.channel,
                    link.state.name(),
                    error.unwrap_or_default()
                )
                .unwrap();
            }
        }
        if let Some(failure) = &self.failure {
            writeln!(text, "the pass failed: {failure}").unwrap();
        }
        writeln!(text, "requests: {}", self.requests()).unwrap();
        let received = self.sink.received();
        for notice in &received[self.told.notices..] {
            writeln!(text, "notice: {}", notice["title"].as_str().unwrap()).unwrap();
        }
        self.told.notices = received.len();
        text
    }

    fn tell_credential(&self, text: &mut String, row: &Credential) {
        let phase = match row.phase {
            _ if row.parked => "parked".to_owned(),
            Phase::Resting => "resting".to_owned(),
            Phase::Exchanging { .. } => "exchanging".to_owned(),
            Phase::Unconfirmed { resend_at } => {
                format!("unconfirmed, again in {}", span(resend_at - self.now()))
            }
            Phase::Dead => "dead".to_owned(),
        };
        let next = row.ready_at(self.now()).map_or("never".to_owned(), |next| {
            format!("in {}", span(next - self.now()))
        });
        let error = row.last_error.as_deref().map(|error| {
            format!(
                "; {}",
                error.replace(&self.folder.path().display().to_string(), "…")
            )
        });
        writeln!(
            text,
            "{}: {phase}, generation {}, {} failures, next {next}{}",
            row.name,
            row.generation,
            row.failures,
            error.unwrap_or_default()
        )
        .unwrap();
    }

    fn shown_key(&self, channel: i64, line: Option<usize>) -> String {
        let Ok(key) = Connection::open(&self.gateway).unwrap().query_row(
            "SELECT key FROM channels WHERE id = ?1",
            [channel],
            |row| row.get::<_, String>(0),
        ) else {
            return "no key".to_owned();
        };
        let json: Option<serde_json::Value> = serde_json::from_str(&key).ok();
        let token = match (&json, line) {
            (Some(json), _) => json["access_token"].as_str().unwrap_or_default().to_owned(),
            (None, Some(line)) => key.lines().nth(line).unwrap_or_default().to_owned(),
            (None, None) => key,
        };
        let refresh = json.is_some_and(|json| json.get("refresh_token").is_some());
        let kept = if refresh {
            " with its refresh token"
        } else {
            ""
        };
        let known = self.keys.iter().rev().find(|(key, _)| *key == token);
        match known {
            Some((_, generation)) => format!("key of generation {generation}{kept}"),
            None if token.starts_with("fixture") => format!("its original key{kept}"),
            None => format!("a stranger's key{kept}"),
        }
    }
}

/// `1d 23h`, `40m`, `30s`: the two coarsest units.
fn span(span: TimeDelta) -> String {
    if span < TimeDelta::zero() {
        return "the past".to_owned();
    }
    let units = [
        (span.num_days(), "d"),
        (span.num_hours() % 24, "h"),
        (span.num_minutes() % 60, "m"),
        (span.num_seconds() % 60, "s"),
    ];
    let shown: Vec<String> = units
        .iter()
        .filter(|(count, _)| *count > 0)
        .take(2)
        .map(|(count, unit)| format!("{count}{unit}"))
        .collect();
    if shown.is_empty() {
        "0s".to_owned()
    } else {
        shown.join(" ")
    }
}
