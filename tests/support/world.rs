//! The whole job in this process, with real parts around it and a clock that a test sets: a provider and
//! a PushPlus on loopback, a copy of a real gateway's database, a state of its own.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::TimeDelta;
use keyfresh::clock::{Clock, Timestamp};
use keyfresh::config::{self, ChannelRef, Config, CredentialSettings, Environment};
use keyfresh::credential::Credential;
use keyfresh::daemon::Parts;
use keyfresh::demo::authority::{Authority, Settings};
use keyfresh::demo::sink::Sink;
use keyfresh::gateway;
use keyfresh::refresh::Pick;
use keyfresh::secret::SecretString;
use keyfresh::store::{self, Store};
use rusqlite::Connection;
use tempfile::TempDir;

use super::database;
use super::gate::Gate;

/// When every story begins: a Saturday morning in Shanghai, two days before the weekly refresh.
const BEGIN: &str = "2026-11-21T02:00:00Z";

/// The parts of one story.
pub(crate) struct World {
    folder: TempDir,
    /// The gateway's database.
    pub(crate) gateway: PathBuf,
    /// The provider.
    pub(crate) authority: Authority,
    /// The notifier's service.
    pub(crate) sink: Sink,
    /// What time it is for all of them.
    pub(crate) clock: Clock,
    /// The configuration; a change takes effect with the next [`restart`](World::restart) or reload.
    pub(crate) config: Config,
    /// Who logged in, in the provider's order.
    pub(super) logins: Vec<String>,
    pub(super) running: Option<Parts>,
}

impl World {
    /// One credential, `main`, that feeds channel 1 of a copy of `fixture`; access tokens live an hour.
    pub(crate) async fn new(fixture: &str) -> Self {
        Self::with(fixture, Settings::default()).await
    }

    /// The same with a provider that behaves as `habits` say.
    pub(crate) async fn with(fixture: &str, habits: Settings) -> Self {
        let (folder, gateway) = database::copy(fixture);
        let clock = Clock::manual(begin());
        let authority = Authority::start(habits, clock.clone()).await.unwrap();
        let sink = Sink::start().await.unwrap();
        store::create(&folder.path().join("state")).unwrap();
        let config = configuration(folder.path(), &gateway, &authority, &sink);
        let mut world = Self {
            folder,
            gateway,
            authority,
            sink,
            clock,
            config,
            logins: Vec::new(),
            running: None,
        };
        world.config.credentials[0].seed = Some(world.login("main"));
        world
    }

    /// A person logs in: a refresh token that the story knows as `name`'s.
    pub(crate) fn login(&mut self, name: &str) -> SecretString {
        self.logins.push(name.to_owned());
        self.authority.seed().unwrap()
    }

    /// Configures another credential, with a login of its own.
    pub(crate) fn credential(&mut self, name: &str, channels: &[i64]) {
        let settings = CredentialSettings {
            name: name.to_owned(),
            seed: Some(self.login(name)),
            ..self.config.credentials[0].clone()
        };
        self.config.credentials.push(settings);
        self.settings(name).channels = whole(channels);
    }

    /// Who logged in, in the provider's order.
    pub(crate) fn logins(&self) -> impl Iterator<Item = &String> {
        self.logins.iter()
    }

    /// What the configuration says of a credential.
    pub(crate) fn settings(&mut self, name: &str) -> &mut CredentialSettings {
        let mut all = self.config.credentials.iter_mut();
        all.find(|settings| settings.name == name).unwrap()
    }

    /// What the configuration says of the gateway.
    pub(crate) fn gateway_settings(&mut self) -> &mut gateway::Settings {
        self.config.gateway.as_mut().unwrap()
    }

    /// The job, assembled if it is not.
    pub(crate) async fn parts(&mut self) -> &Parts {
        if self.running.is_none() {
            let parts = Parts::assemble(&self.config, None, self.clock.clone()).await;
            self.running = Some(parts.unwrap());
        }
        self.running.as_ref().unwrap()
    }

    /// One pass, as `keyfresh once` makes it.
    pub(crate) async fn once(&mut self) {
        self.try_once().await.unwrap();
    }

    /// One pass that may fail; whether a gateway may still serve an old key.
    pub(crate) async fn try_once(&mut self) -> anyhow::Result<bool> {
        self.parts().await.once(&Pick::default()).await
    }

    /// A pass begins: what is due is claimed and sent, and may still be under way.
    pub(crate) async fn begin_pass(&mut self) {
        self.check_channels().await;
        let refresher = &self.parts().await.refresher;
        refresher.pass(&Pick::default()).await.unwrap();
    }

    /// The pass that [`begin_pass`](Self::begin_pass) began ends.
    pub(crate) async fn end_pass(&mut self) {
        self.parts().await.refresher.settled().await;
        self.once().await;
    }

    /// Puts a gate before the provider, for every credential configured so far.
    pub(crate) async fn gate(&mut self) -> Gate {
        let gate = Gate::start(self.authority.url()).await;
        for settings in &mut self.config.credentials {
            settings.client.token_url = gate.url().clone();
        }
        gate
    }

    /// One pass over the channels alone, as the daemon makes them in between.
    pub(crate) async fn check_channels(&mut self) {
        self.parts().await.links.pass().await.unwrap();
    }

    /// Lets time pass, and nothing else happen.
    pub(crate) fn wait(&self, span: Duration) {
        self.clock.set(self.clock.now() + span);
    }

    /// Somebody sets the wall clock, the network's time for one; no time passes.
    pub(crate) fn jump(&self, by: TimeDelta) {
        self.clock.jump(by);
    }

    /// The machine is started anew, which takes no time, and the job with it.
    pub(crate) async fn reboot(&mut self) {
        self.stop();
        self.clock.reboot();
        self.parts().await;
    }

    /// A pass every minute, for so many.
    pub(crate) async fn minutes(&mut self, count: u32) {
        for _ in 0..count {
            self.after(minutes(1)).await;
        }
    }

    /// The next pass happens this much later.
    pub(crate) async fn after(&mut self, span: Duration) {
        self.wait(span);
        self.once().await;
    }

    /// A pass happens as soon as `main` may be exchanged again.
    pub(crate) async fn when_due(&mut self) {
        self.wait_until_due().await;
        self.once().await;
    }

    /// Lets time pass until `main` may be exchanged again.
    pub(crate) async fn wait_until_due(&mut self) {
        let ready = self.row("main").await.ready_at(self.clock.read()).unwrap();
        self.clock.set(ready);
    }

    /// Ends the job; the rows stay.
    pub(crate) fn stop(&mut self) {
        self.running = None;
    }

    /// Ends the job and assembles another with the configuration as it is now.
    pub(crate) async fn restart(&mut self) {
        self.stop();
        self.parts().await;
    }

    /// Takes the configuration as it is now into force without a restart.
    pub(crate) async fn reload(&mut self) {
        let config = self.config.clone();
        self.parts().await.adopt(&config).await.unwrap();
    }

    /// The state, as commands open it beside the job.
    pub(crate) fn store(&self) -> Store {
        Store::open(&self.path("state")).unwrap()
    }

    /// A credential's row.
    pub(crate) async fn row(&mut self, name: &str) -> Credential {
        let name = name.to_owned();
        let store = &self.parts().await.store;
        store
            .read(move |db| store::credential::by_name(db, &name))
            .await
            .unwrap()
    }

    /// A person enters a new login with `credential replace`.
    pub(crate) async fn replace(&mut self, name: &str, token: SecretString) {
        let (name, now) = (name.to_owned(), self.clock.now());
        let store = self.parts().await.store.clone();
        let key = store.key();
        store
            .write(move |db| {
                let mut row = store::credential::by_name(db, &name)?;
                store::credential::replace(db, &key, &mut row, &token, now)
            })
            .await
            .unwrap();
    }

    /// Somebody else works in the gateway's database.
    pub(crate) fn sql(&self, sql: &str) {
        self.other().execute_batch(sql).unwrap();
    }

    /// Another connection to the gateway's database, which waits for nobody.
    pub(crate) fn other(&self) -> Connection {
        let connection = Connection::open(&self.gateway).unwrap();
        connection.busy_timeout(Duration::ZERO).unwrap();
        connection
    }

    /// The text in a channel's key.
    pub(crate) fn key(&self, channel: i64) -> String {
        let sql = "SELECT key FROM channels WHERE id = ?1";
        self.other()
            .query_row(sql, [channel], |row| row.get(0))
            .unwrap()
    }

    /// Somebody else writes a channel's key.
    pub(crate) fn set_key(&self, channel: i64, key: &str) {
        let sql = "UPDATE channels SET key = ?2 WHERE id = ?1";
        let changed = self.other().execute(sql, (channel, key)).unwrap();
        assert_eq!(changed, 1);
    }

    /// A channel's status.
    pub(crate) fn status(&self, channel: i64) -> i64 {
        let sql = "SELECT status FROM channels WHERE id = ?1";
        self.other()
            .query_row(sql, [channel], |row| row.get(0))
            .unwrap()
    }

    /// A copy of the gateway's database as it is now.
    pub(crate) fn back_up(&self) {
        fs::copy(&self.gateway, self.path("backup.db")).unwrap();
    }

    /// The copy takes the place of the gateway's database, as a person does it: the file is another.
    pub(crate) fn restore(&self) {
        fs::rename(self.path("backup.db"), &self.gateway).unwrap();
    }

    /// A path in the story's folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// Channels with one key each.
pub(crate) fn whole(channels: &[i64]) -> Vec<ChannelRef> {
    let whole = |&id| ChannelRef { id, line: None };
    channels.iter().map(whole).collect()
}

pub(crate) const fn minutes(count: u64) -> Duration {
    Duration::from_mins(count)
}

pub(crate) const fn hours(count: u64) -> Duration {
    Duration::from_hours(count)
}

fn begin() -> Timestamp {
    BEGIN.parse().unwrap()
}

/// The time since the story began, as `+1d 02:03:04`.
pub(super) fn since_begin(at: Timestamp) -> String {
    let seconds = (at - begin()).num_seconds();
    let (sign, seconds) = (if seconds < 0 { '-' } else { '+' }, seconds.abs());
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let time = format!("{:02}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60);
    if days == 0 {
        format!("{sign}{time}")
    } else {
        format!("{sign}{days}d {time}")
    }
}

fn configuration(folder: &Path, gateway: &Path, authority: &Authority, sink: &Sink) -> Config {
    let text = format!(
        r#"locale = "en"
[gateway]
database = "sqlite:{}"
[state]
dir = "state"
[credentials.main]
provider = "generic"
token_url = "{}"
client_id = "test"
channels = [1]
[notify.wechat]
type = "pushplus"
url = "{}"
token = "fixture-pushplus-token-0001"
template = "txt"
"#,
        gateway.display(),
        authority.url(),
        sink.url(),
    );
    let file = folder.join("config.toml");
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&file)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .unwrap();
    config::load(&Environment {
        config: Some(file),
        variables: Vec::new(),
        credentials_directory: None,
        working_directory: folder.to_owned(),
        system_directory: folder.to_owned(),
        runtime_dir: None,
        journal: false,
    })
    .unwrap()
}
