//! Doing what was decided about one link: the gateway's compare-and-set, and what follows of it.

use futures_util::future::join_all;
use secrecy::{ExposeSecret as _, SecretString};
use tracing::{info, warn};

use super::decide::{self, Learns, Step};
use super::survey::json;
use super::{Error, Links, Plan, Round};
use crate::clock::Timestamp;
use crate::credential::Credential;
use crate::gateway::{self, Channel, Gateway, Write, Written};
use crate::store;
use crate::store::link::Link;
use crate::telemetry::chain;

impl Links {
    /// Does what was decided, together, so that the writes share commits: the links as they are then, and
    /// the first failure, if one kept any from being done.
    pub(super) async fn act_on(
        &self,
        gateway: &Gateway,
        due: impl Iterator<Item = Plan>,
        round: &mut Round,
    ) -> (Vec<Link>, Option<Error>) {
        let mut acted = Vec::new();
        let mut failure = None;
        let outcomes = due.map(async |plan| {
            let (link, step) = (plan.link.clone(), plan.step);
            (link, step, self.act(gateway, plan).await)
        });
        for (mut link, step, outcome) in join_all(outcomes).await {
            match outcome {
                Ok(Some(link)) => {
                    round.written += usize::from(link.last_error.is_none());
                    acted.push(link);
                }
                Ok(None) => round.again = true,
                Err(error) => {
                    if let (Step::Write, Error::Gateway(error)) = (step, &error) {
                        decide::hinder(&mut link, chain(error));
                        acted.push(link);
                    }
                    failure = failure.or(Some(error));
                }
            }
        }
        (acted, failure)
    }

    /// Does what was decided; `None` where the channel changed meanwhile and the next pass decides anew.
    async fn act(&self, gateway: &Gateway, plan: Plan) -> Result<Option<Link>, Error> {
        let Plan {
            mut link,
            credential,
            access,
            channel,
            step,
            enable,
        } = plan;
        let Some(channel) = channel else {
            return Ok(None);
        };
        let now = self.clock.now();
        let new_key = match step {
            Step::Write => access.map(|access| bring(&channel, &access, &credential, now)),
            Step::Strip | Step::AdoptAndStrip => {
                json(&channel).map(|json| json.without_refresh_token())
            }
            Step::PutBack => self.give_back(&channel, &link).await?,
            Step::Enable | Step::Rest => None,
        };
        let write = Write {
            channel: channel.id,
            created_time: channel.created_time,
            kind: channel.kind,
            expected: channel.key,
            new_key,
            line: link.line,
            enable,
        };
        match gateway.write(write).await {
            Ok(Written::Done) => {}
            Ok(Written::Changed | Written::Gone) => return Ok(None),
            Err(error) if error.is_of_one_channel() => {
                return Ok(Some(refused(link, &credential, &error)));
            }
            Err(error) => return Err(error.into()),
        }
        if enable {
            link.status = gateway::Status::Enabled.number();
        }
        info!(
            credential.name = credential.name,
            channel = link.channel,
            step = ?step,
            "channel written"
        );
        let learns = self.learns(gateway);
        match step {
            Step::Write => {
                decide::written(&mut link, &credential, learns, gateway.sync_interval(), now);
            }
            Step::Enable => {
                link.untold = learns != Learns::ByItself;
                decide::settle_state(&mut link, learns);
            }
            Step::PutBack => {
                let (id, key) = (link.id, self.store.key());
                self.store
                    .write(move |db| store::link::keep_stripped(db, &key, id, None))
                    .await?;
            }
            Step::Strip | Step::AdoptAndStrip | Step::Rest => {}
        }
        Ok(Some(link))
    }

    async fn give_back(
        &self,
        channel: &Channel,
        link: &Link,
    ) -> Result<Option<SecretString>, store::Error> {
        let (id, key) = (link.id, self.store.key());
        let token = self
            .store
            .read(move |db| store::link::stripped(db, &key, id))
            .await?;
        Ok(token.and_then(|token| Some(json(channel)?.with_refresh_token(token.expose_secret()))))
    }
}

/// This channel alone cannot take the key.
fn refused(mut link: Link, credential: &Credential, error: &gateway::Error) -> Link {
    let (name, reason) = (&credential.name, chain(error));
    if link.last_error.as_ref() != Some(&reason) {
        warn!(
            credential.name = name,
            channel = link.channel,
            reason,
            "channel not written"
        );
    }
    decide::hinder(&mut link, reason);
    link
}

/// The channel's new key text: the token, or the JSON or the lines it stands in.
fn bring(
    channel: &Channel,
    access: &SecretString,
    credential: &Credential,
    now: Timestamp,
) -> SecretString {
    match json(channel) {
        Some(json) => json.with_access_token(access.expose_secret(), credential.expires_at, now),
        None => access.clone(),
    }
}
