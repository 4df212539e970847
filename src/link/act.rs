//! Doing what was decided about one link: the gateway's compare-and-set, and what follows of it.

use secrecy::{ExposeSecret as _, SecretString};
use tracing::info;

use super::decide::{self, Learns, Step};
use super::survey::json;
use super::{Error, Links, Plan};
use crate::clock::Timestamp;
use crate::credential::Credential;
use crate::gateway::{self, Channel, Gateway, Write, Written};
use crate::store;
use crate::store::link::{Link, State};
use crate::telemetry::chain;

impl Links {
    /// Does what was decided; `None` where the channel changed meanwhile and the next pass decides anew.
    pub(super) async fn act(&self, gateway: &Gateway, plan: Plan) -> Result<Option<Link>, Error> {
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
            Err(error) if error.is_of_one_channel() => return Ok(Some(refused(link, &error))),
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
fn refused(mut link: Link, error: &gateway::Error) -> Link {
    link.state = State::Pending;
    link.last_error = Some(chain(error));
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
