//! Telling the gateway of a write, so that it reads the channel again.

use tracing::warn;

use super::{Error, Links, ROUND, decide};
use crate::gateway::{Gateway, telling};
use crate::store;
use crate::store::link::{Link, State};
use crate::telemetry::chain;

impl Links {
    /// Tells the gateway of every write among `seen` and `acted` that it was not told of yet. A failure
    /// is noted with the link; then it is left alone for a round.
    pub(super) async fn tell(
        &self,
        gateway: &Gateway,
        seen: Vec<Link>,
        acted: Vec<Link>,
    ) -> Result<(), Error> {
        let mut silence = self.silence.lock().await;
        if silence.is_some_and(|since| since.elapsed() < ROUND) {
            return Ok(());
        }
        *silence = None;
        let earlier = seen
            .into_iter()
            .filter(|link| acted.iter().all(|acted| acted.id != link.id));
        // Of an estranged link there is nothing to tell, and its state is not this one's to change.
        let untold: Vec<Link> = earlier
            .chain(acted.iter().cloned())
            .filter(|link| link.untold && matches!(link.state, State::Current | State::Pending))
            .collect();
        let mut told = Vec::new();
        for mut link in untold {
            let refused = match self.tell_of(gateway, link.channel).await {
                None => continue,
                Some(answer) => answer.err(),
            };
            if let Some(reason) = &refused {
                warn!(
                    channel = link.channel,
                    reason, "the gateway could not be told"
                );
            }
            link.untold = refused.is_some();
            link.last_error =
                refused.map(|reason| format!("the gateway could not be told: {reason}"));
            decide::settle_state(&mut link, self.learns(gateway));
            let refused = link.untold;
            told.push(link);
            if refused {
                *silence = Some(self.clock.stopwatch());
                break;
            }
        }
        if told.is_empty() {
            return Ok(());
        }
        Ok(self
            .store
            .write(move |db| told.iter().try_for_each(|link| store::link::save(db, link)))
            .await?)
    }

    /// `None` where there is no way to tell it.
    async fn tell_of(&self, gateway: &Gateway, channel: i64) -> Option<Result<(), String>> {
        let request = match gateway.telling_request(channel).await {
            Ok(request) => request?,
            Err(error) => return Some(Err(chain(&error))),
        };
        Some(match self.http.send(request).await {
            Ok(answer) => telling::accepted(&answer),
            Err(error) => Err(chain(&error)),
        })
    }
}
