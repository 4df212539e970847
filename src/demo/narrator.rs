//! Watches one refresh from outside and tells each step when it has happened.
//!
//! Nothing is hooked into the job: the narrator looks at the rows, the slot's file, the gateway and the
//! players' own books every millisecond, beside the running pass, and fails when a step does not come
//! or is not what it is said to be.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use super::authority::Ruling;
use super::screen::Screen;
use super::stage::Stage;
use crate::clock::Stopwatch;
use crate::credential::{Credential, Phase};
use crate::gateway::{Channel, Status};
use crate::secret::mask;
use crate::store::{self, Store};

/// How often it looks.
const LOOK: Duration = Duration::from_millis(1);

/// How long a step may take.
const PATIENCE: Duration = Duration::from_secs(15);

const NAME: &str = "chatgpt";
const CHANNEL: i64 = 1;

/// A slot's size, in bytes.
const SLOT: usize = 128 * 1024;

pub(super) struct Narrator<'a> {
    pub(super) screen: &'a mut Screen,
    stage: &'a Stage,
    store: Store,
    watch: Stopwatch,
    /// When the last step was found to have happened.
    at: Duration,
    before: Before,
}

/// How things stood when the act began.
struct Before {
    row: Credential,
    token: SecretString,
    channel: Channel,
    slot: Vec<u8>,
    requests: usize,
    notices: usize,
}

impl<'a> Narrator<'a> {
    pub(super) async fn new(
        stage: &'a Stage,
        store: Store,
        screen: &'a mut Screen,
    ) -> Result<Self> {
        let before = Before {
            row: row(&store).await?,
            token: token(&store, "refresh").await?,
            channel: channel(stage).await?,
            slot: slot(stage)?,
            requests: stage.authority.requests().len(),
            notices: stage.sink.received().len(),
        };
        Ok(Self {
            screen,
            stage,
            store,
            watch: stage.clock.stopwatch(),
            at: Duration::ZERO,
            before,
        })
    }

    pub(super) async fn row(&self) -> Result<Credential> {
        row(&self.store).await
    }

    /// The credential may be refreshed, `why`.
    pub(super) fn due(&mut self, why: &str) -> Result<()> {
        let now = self.stage.clock.read();
        ensure!(self.before.row.is_due(now), "{NAME} is not due");
        self.watch = self.stage.clock.stopwatch();
        let token = mask(self.before.token.expose_secret());
        self.tell("due", &format!("{why}; refresh token {token}"))
    }

    pub(super) async fn claim(&mut self) -> Result<()> {
        let store = self.store.clone();
        let attempt = self.before.row.attempt + 1;
        let slot = self
            .until("claim", async || {
                let row = row(&store).await?;
                Ok(match row.phase {
                    Phase::Exchanging { slot, .. } if row.attempt == attempt => Some(slot),
                    _ => None,
                })
            })
            .await?;
        ensure!(slot == 0, "the claim took slot {slot}");
        let text = format!("attempt {attempt}, slot 00: on disk before a byte of the token leaves");
        self.tell("claim", &text)
    }

    /// The provider has ruled; `how` it went on.
    pub(super) async fn exchange(&mut self, expected: Ruling, how: &str) -> Result<()> {
        let (stage, before) = (self.stage, self.before.requests);
        let seen = self
            .until("exchange", async || {
                Ok(stage.authority.requests().get(before).cloned())
            })
            .await?;
        ensure!(
            seen.ruling == expected && seen.family == Some(0),
            "the provider ruled {:?}",
            seen.ruling
        );
        self.tell("exchange", how)
    }

    /// The answer is in its slot, and no secret of it can be read there.
    pub(super) async fn answer(&mut self) -> Result<()> {
        let stage = self.stage;
        let before = std::mem::take(&mut self.before.slot);
        let kept = self
            .until("answer", async || {
                let now = slot(stage)?;
                Ok((now != before).then_some(now))
            })
            .await?;
        for secret in stage.authority.issued() {
            let secret = secret.expose_secret().as_bytes();
            ensure!(
                !kept.windows(secret.len()).any(|window| window == secret),
                "a token stands in the slot in clear text"
            );
        }
        self.tell("answer", "in its slot, sealed: no token can be read there")
    }

    pub(super) async fn settle(&mut self) -> Result<()> {
        let store = self.store.clone();
        let generation = self.before.row.generation + 1;
        self.until("settling", async || {
            let row = row(&store).await?;
            Ok((row.generation == generation && row.phase == Phase::Resting).then_some(()))
        })
        .await?;
        let new = token(&self.store, "refresh").await?;
        let newest = self.stage.authority.newest(0);
        ensure!(
            newest.is_some_and(|newest| newest.expose_secret() == new.expose_secret()),
            "the refresh token kept is not the provider's newest"
        );
        let (old, new) = (
            mask(self.before.token.expose_secret()),
            mask(new.expose_secret()),
        );
        let text = format!("generation {generation}; refresh token {old} → {new}, one transaction");
        self.tell("settled", &text)
    }

    /// Nobody knows whether the token was spent: it is kept, and so is the key in service.
    pub(super) async fn unconfirmed(&mut self) -> Result<()> {
        let store = self.store.clone();
        let reason = self
            .until("settling", async || {
                let row = row(&store).await?;
                let unconfirmed = match row.phase {
                    Phase::Unconfirmed { .. } => true,
                    Phase::Exchanging { doubt, .. } => doubt.is_some(),
                    Phase::Resting | Phase::Dead => false,
                };
                Ok(unconfirmed.then_some(row.last_error).flatten())
            })
            .await?;
        let kept = token(&self.store, "refresh").await?;
        let key = channel(self.stage).await?.key;
        ensure!(
            kept.expose_secret() == self.before.token.expose_secret()
                && key.expose_secret() == self.before.channel.key.expose_secret(),
            "a failure changed the refresh token or the channel's key"
        );
        self.tell(
            "unconfirmed",
            &format!("{reason}; the key in service stays"),
        )
    }

    /// The pass goes on with another exchange.
    pub(super) fn goes_on(&mut self) {
        self.before.row.attempt += 1;
        self.before.requests += 1;
    }

    pub(super) async fn deliver(&mut self) -> Result<()> {
        let stage = self.stage;
        let old = self.before.channel.clone();
        let new = self
            .until("delivery", async || {
                let now = channel(stage).await?;
                let changed = now.key.expose_secret() != old.key.expose_secret();
                Ok(changed.then_some(now))
            })
            .await?;
        let access = token(&self.store, "access").await?;
        ensure!(
            new.key.expose_secret() == access.expose_secret(),
            "the channel's key is not the newest access token"
        );
        ensure!(
            new.status_of(None) == Status::Enabled,
            "the channel is not enabled"
        );
        let keys = [&old, &new].map(|channel| mask(channel.key.expose_secret()));
        let mut text = format!("{CHANNEL}: key {} → {}", keys[0], keys[1]);
        if old.status != new.status {
            let (old, new) = (old.status.number(), new.status.number());
            text = format!("{text}, status {old} → {new}, abilities on again");
        }
        self.tell("channel", &text)
    }

    /// PushPlus has the message; its title and text.
    pub(super) async fn notice(&mut self) -> Result<(String, String)> {
        let (stage, before) = (self.stage, self.before.notices);
        let message = self
            .until("notice", async || {
                Ok(stage.sink.received().get(before).cloned())
            })
            .await?;
        let told = words(&message)?;
        self.tell("notice", &format!("to WeChat by PushPlus: {}", told.0))?;
        Ok(told)
    }

    /// The message after the last one told: the same in the other language.
    pub(super) fn translation(&self) -> Result<(String, String)> {
        let received = self.stage.sink.received();
        words(
            received
                .get(self.before.notices + 1)
                .context("the English notice did not come")?,
        )
    }

    /// The provider was asked this often since the act began.
    pub(super) fn sent(&self, times: usize) -> Result<()> {
        let sent = self.stage.authority.requests().len() - self.before.requests;
        ensure!(sent == times, "{sent} requests were sent, not {times}");
        Ok(())
    }

    /// Something that the tour itself did just now.
    pub(super) fn intervene(&mut self, word: &str, text: &str) -> Result<()> {
        self.at = self.watch.elapsed();
        self.tell(word, text)
    }

    fn tell(&mut self, word: &str, text: &str) -> Result<()> {
        Ok(self.screen.step(self.at, word, text)?)
    }

    /// What `look` finds, as soon as it finds it.
    async fn until<T>(
        &mut self,
        step: &str,
        mut look: impl AsyncFnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        let waiting = self.stage.clock.stopwatch();
        loop {
            if let Some(found) = look().await? {
                self.at = self.watch.elapsed();
                return Ok(found);
            }
            if waiting.elapsed() > PATIENCE {
                bail!("the {step} did not come within {PATIENCE:?}");
            }
            self.stage.clock.pause(LOOK).await;
        }
    }
}

async fn row(store: &Store) -> Result<Credential> {
    Ok(store
        .read(|db| store::credential::by_name(db, NAME))
        .await?)
}

async fn token(store: &Store, which: &'static str) -> Result<SecretString> {
    let key = store.key();
    let token = store
        .read(move |db| {
            let id = store::credential::by_name(db, NAME)?.id;
            match which {
                "access" => store::credential::access_token(db, &key, id),
                _ => store::credential::refresh_token(db, &key, id),
            }
        })
        .await?;
    token.with_context(|| format!("there is no {which} token"))
}

async fn channel(stage: &Stage) -> Result<Channel> {
    let mut channels = stage.gateway.channels(&[CHANNEL]).await?;
    channels.pop().context("the channel is gone")
}

/// The bytes of slot 00 as they are on disk.
fn slot(stage: &Stage) -> Result<Vec<u8>> {
    let mut bytes = vec![0; SLOT];
    File::open(stage.config.state_dir.join("slots/00"))?.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

fn words(message: &Value) -> Result<(String, String)> {
    let text = |member: &str| Some(message.get(member)?.as_str()?.to_owned());
    text("title")
        .zip(text("content"))
        .context("the notice has no title or no text")
}
