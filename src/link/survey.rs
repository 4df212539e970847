//! Seeing a channel from a link: what its key is to us, and whether a claim may be made.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};
use tracing::warn;

use super::decide::{self, Facts, Held, Step};
use super::save::keep;
use super::{Error, FRESH, Links, Obstacle, Plan, Survey};
use crate::clock::Timestamp;
use crate::credential::{Credential, CredentialId, Told};
use crate::gateway::json_key::JsonKey;
use crate::gateway::{Channel, Gateway, Status};
use crate::secret::StateKey;
use crate::store::link::{Identity, Link, State};
use crate::store::{self, credential, ledger, notice};
use crate::telemetry::chain;

impl Links {
    /// Whether a claim of `id` makes sense: the gateway can be written and some linked channel holds a
    /// key that the ledger knows.
    ///
    /// # Errors
    /// The obstacle, if there is one.
    pub async fn preflight(&self, id: CredentialId) -> Result<(), Obstacle> {
        let mut survey = self.survey.lock().await;
        let stale = |survey: &Survey| survey.made.elapsed() > FRESH;
        if survey.as_ref().is_none_or(stale) {
            *survey = Some(self.survey().await);
        }
        match survey
            .as_ref()
            .map(|survey| (&survey.linked, &survey.ready))
        {
            Some((linked, _)) if !linked.contains(&id) => Ok(()),
            Some((_, Ok(ready))) if ready.contains(&id) => Ok(()),
            Some((_, Err(reason))) => Err(Obstacle::Gateway(reason.clone())),
            Some((_, Ok(_))) | None => Err(Obstacle::NotYet),
        }
    }

    async fn survey(&self) -> Survey {
        let mut linked = HashSet::new();
        let ready = match self.store.read(store::link::all).await {
            Ok(links) => {
                linked.extend(links.iter().map(|link| link.credential));
                self.ready(links).await
            }
            Err(error) => Err(error.into()),
        };
        Survey {
            made: self.clock.stopwatch(),
            linked,
            ready: ready.map_err(|error| chain(&error)),
        }
    }

    /// The credentials of which one link is in order and none is being stripped.
    async fn ready(&self, links: Vec<Link>) -> Result<HashSet<CredentialId>, Error> {
        if links.is_empty() {
            return Ok(HashSet::new());
        }
        let gateway = self.gateway().await?;
        gateway.probe().await?;
        let channels = self.channels(&gateway, &links).await?;
        let key = self.store.key();
        let ready = self
            .store
            .read(move |db| {
                let mut ready: HashMap<CredentialId, (bool, bool)> = HashMap::new();
                for link in &links {
                    let facts = channels
                        .get(&link.channel)
                        .map(|channel| facts(db, &key, link, channel).map(|(facts, _)| facts))
                        .transpose()?;
                    let ours = facts.as_ref().is_some_and(|facts| {
                        link.identity == Some(facts.identity)
                            && facts.misfit.is_none()
                            && facts.held != Held::Foreign
                    });
                    let busy = link.settle_at.is_some()
                        || facts.is_some_and(|facts| facts.refresh_known.is_some());
                    let entry = ready.entry(link.credential).or_default();
                    entry.0 |= ours;
                    entry.1 |= busy && ours;
                }
                Ok(ready)
            })
            .await?;
        let ready = ready.into_iter();
        Ok(ready
            .filter_map(|(id, (ours, busy))| (ours && !busy).then_some(id))
            .collect())
    }

    /// Decides what each of `links` needs. What must be durable before it is done is: the first
    /// contact, a refresh token about to be stripped, an event.
    pub(super) async fn decide(
        &self,
        gateway: &Gateway,
        links: &[Link],
    ) -> Result<Vec<Plan>, Error> {
        let channels = self.channels(gateway, links).await?;
        let links = links.to_vec();
        let key = self.store.key();
        let learns = self.learns(gateway);
        let sync_interval = gateway.sync_interval();
        let now = self.clock.now();
        let (plans, news, is_told) = self
            .store
            .write(move |db| {
                let mut news = Vec::new();
                let mut is_told = false;
                let mut decide = |before: Link| {
                    let mut link = before.clone();
                    let channel = channels.get(&link.channel).cloned();
                    let credential = credential::by_id(db, link.credential)?;
                    let seen = channel
                        .as_ref()
                        .map(|channel| facts(db, &key, &link, channel))
                        .transpose()?;
                    let (seen, access) =
                        seen.map_or((None, None), |(facts, access)| (Some(facts), access));
                    let (step, told) = decide::decide(
                        &mut link,
                        &credential,
                        seen.as_ref(),
                        learns,
                        sync_interval,
                        now,
                    );
                    if let Some(channel) = channel.as_ref().filter(|_| before.identity.is_none()) {
                        meet(db, &key, &link, channel, now)?;
                    }
                    if matches!(step, Step::Strip | Step::AdoptAndStrip) {
                        strip(db, &key, &link, step, channel.as_ref(), now)?;
                    }
                    news.extend(told.map(|told| (credential.clone(), told)));
                    if link != before && !matches!(step, Step::Write | Step::Enable) {
                        is_told |= keep(db, &before, &link, &credential, now)?;
                    }
                    let enable = seen.is_some_and(|facts| facts.auto_disabled)
                        && matches!(step, Step::Write | Step::Enable);
                    Ok(Plan {
                        link,
                        credential,
                        access,
                        channel,
                        step,
                        enable,
                    })
                };
                let plans = links
                    .into_iter()
                    .map(&mut decide)
                    .collect::<Result<Vec<_>, store::Error>>()?;
                record(db, &mut news, &plans, now)?;
                is_told |= !news.is_empty();
                Ok((plans, news, is_told))
            })
            .await?;
        log(&news);
        if is_told {
            self.wakers.notices.send_replace(());
        }
        Ok(plans)
    }

    pub(super) async fn channels(
        &self,
        gateway: &Gateway,
        links: &[Link],
    ) -> Result<Arc<HashMap<i64, Channel>>, Error> {
        let mut ids: Vec<i64> = links.iter().map(|link| link.channel).collect();
        ids.sort_unstable();
        ids.dedup();
        let channels = gateway.channels(&ids).await?;
        Ok(Arc::new(
            channels
                .into_iter()
                .map(|channel| (channel.id, channel))
                .collect(),
        ))
    }
}

/// Writes the events of a look. One channel cannot tell that another owner refreshes its credential:
/// that is told only where every channel says so.
fn record(
    db: &rusqlite::Connection,
    news: &mut [(Credential, Told)],
    plans: &[Plan],
    now: Timestamp,
) -> Result<(), store::Error> {
    if news.is_empty() {
        return Ok(());
    }
    let rows = store::link::all(db)?;
    for (credential, (kind, detail)) in news {
        let cause = detail.cause;
        detail.cause = cause.filter(|_| is_estranged(credential.id, &rows, plans));
        notice::record(db, now, Some(&credential.name), *kind, detail)?;
    }
    Ok(())
}

fn log(news: &[(Credential, Told)]) {
    for (credential, (_, detail)) in news {
        warn!(
            credential.name = credential.name,
            channel = detail.channel,
            reason = detail.error,
            remedy = detail.cause.map(|cause| cause.explain(&credential.name)),
            "a channel is left alone"
        );
    }
}

/// Whether no channel of `credential` is in order, by `plans` and, beyond them, by the rows.
fn is_estranged(credential: CredentialId, rows: &[Link], plans: &[Plan]) -> bool {
    let mut own = rows.iter().filter(|row| row.credential == credential);
    own.all(|row| {
        let planned = plans.iter().find(|plan| plan.link.id == row.id);
        planned.map_or(row, |plan| &plan.link).is_estranged()
    })
}

/// The channel as the link sees it, and the newest access token of the link's credential.
fn facts(
    db: &rusqlite::Connection,
    key: &StateKey,
    link: &Link,
    channel: &Channel,
) -> Result<(Facts, Option<SecretString>), store::Error> {
    let access = credential::access_token(db, key, link.credential)?;
    let known = |token: &str| -> Result<bool, store::Error> {
        Ok(ledger::owner(db, key.fingerprint(token))?.is_some())
    };
    let token = channel.access_token(link.line);
    let held = match (&token, &access) {
        (Some(token), Some(access)) if token.expose_secret() == access.expose_secret() => {
            Held::Current
        }
        (Some(token), _) if link.identity.is_none() || known(token.expose_secret())? => Held::Known,
        _ => Held::Foreign,
    };
    let json = json(channel);
    let refresh_known = match json.as_ref().and_then(|json| json.refresh_token()) {
        // The one that is being taken out: a kill, or a locked file, came between.
        Some(token) if is_stripped(db, key, link, token)? => Some(true),
        Some(token) => Some(known(token)?),
        None => None,
    };
    let facts = Facts {
        identity: identity(channel),
        status: channel.status,
        auto_disabled: channel.status_of(link.line) == Status::AutoDisabled,
        held,
        refresh_known,
        misfit: token.is_none().then(|| misfit(channel, link.line)),
    };
    Ok((facts, access))
}

fn is_stripped(
    db: &rusqlite::Connection,
    key: &StateKey,
    link: &Link,
    token: &str,
) -> Result<bool, store::Error> {
    let stripped = if link.stripped {
        store::link::stripped(db, key, link.id)?
    } else {
        None
    };
    Ok(stripped.is_some_and(|stripped| stripped.expose_secret() == token))
}

/// The key found in the channel becomes ours to replace: at first contact, or by a person's word.
fn meet(
    db: &rusqlite::Connection,
    key: &StateKey,
    link: &Link,
    channel: &Channel,
    now: Timestamp,
) -> Result<(), store::Error> {
    let Some(token) = channel.access_token(link.line) else {
        return Ok(());
    };
    let fingerprint = key.fingerprint(token.expose_secret());
    if ledger::owner(db, fingerprint)?.is_none() {
        ledger::enter(db, fingerprint, link.credential, "key", 0, now)?;
    }
    Ok(())
}

/// A person's word: the channel as it is now is the one, and its key is ours.
pub(super) fn take(
    db: &rusqlite::Connection,
    key: &StateKey,
    link: &mut Link,
    channel: &Channel,
    now: Timestamp,
) -> Result<(), store::Error> {
    link.identity = Some(identity(channel));
    link.state = State::Pending;
    link.last_error = None;
    meet(db, key, link, channel, now)?;
    store::link::save(db, link)
}

/// The channel's key as JSON, where that gateway's type of channel has it so.
pub(super) fn json(channel: &Channel) -> Option<JsonKey> {
    channel
        .json
        .then(|| JsonKey::parse(channel.key.expose_secret()))
        .flatten()
}

/// Why a link does not fit its channel.
#[must_use]
pub fn misfit(channel: &Channel, line: Option<usize>) -> String {
    let id = channel.id;
    match line {
        Some(line) if channel.multi_key => format!("channel {id} has no key line {line}"),
        Some(_) => format!("channel {id} has one key: name no line in `channels`"),
        None if channel.multi_key => format!(
            "channel {id} has several keys: name the line, `channels = [{{ id = {id}, line = 0 }}]`"
        ),
        None => format!("the key of channel {id} is not JSON with an access_token"),
    }
}

fn identity(channel: &Channel) -> Identity {
    Identity {
        created_time: channel.created_time,
        kind: channel.kind,
    }
}

/// Keeps the refresh token that is about to be taken out of the channel's JSON key; one that the
/// gateway obtained meanwhile becomes the credential's.
fn strip(
    db: &rusqlite::Connection,
    key: &StateKey,
    link: &Link,
    step: Step,
    channel: Option<&Channel>,
    now: Timestamp,
) -> Result<(), store::Error> {
    let Some(json) = channel.and_then(json) else {
        return Ok(());
    };
    let Some(token) = json.refresh_token() else {
        return Ok(());
    };
    store::link::keep_stripped(db, key, link.id, Some(token))?;
    if step == Step::AdoptAndStrip {
        let mut row = credential::by_id(db, link.credential)?;
        credential::replace(db, key, &mut row, &token.into(), now)?;
        let access = key.fingerprint(json.access_token());
        ledger::enter(db, access, link.credential, "key", row.generation, now)?;
    }
    Ok(())
}
