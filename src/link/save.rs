//! Links as a pass left them, saved together with what is to be told of them.
//!
//! [`Links::pass`] calls this after its writes, and when the gateway cannot be used at all.

use super::{Error, Links, decide};
use crate::clock::Timestamp;
use crate::credential::Credential;
use crate::store::link::Link;
use crate::store::{self, credential, notice};
use crate::telemetry::chain;

impl Links {
    /// Saves what became of `acted`, which were `before`; whether there is something to tell.
    pub(super) async fn save(&self, before: &[Link], acted: &[Link]) -> Result<bool, store::Error> {
        let pairs = acted.iter().filter_map(|link| {
            let before = before.iter().find(|before| before.id == link.id)?;
            Some((before.clone(), link.clone()))
        });
        let pairs: Vec<(Link, Link)> = pairs.collect();
        let now = self.clock.now();
        self.store
            .write(move |db| {
                let mut news = false;
                for (before, link) in &pairs {
                    let credential = credential::by_id(db, link.credential)?;
                    news |= keep(db, before, link, &credential, now)?;
                }
                Ok(news)
            })
            .await
    }

    /// Notes with the links why their gateway cannot be used; a person is told where a key waits for it.
    pub(super) async fn cut_off(&self, error: &Error) -> Result<(), store::Error> {
        let Error::Gateway(error) = error else {
            return Ok(());
        };
        let (reason, now) = (chain(error), self.clock.now());
        let news = self
            .store
            .write(move |db| {
                let mut news = false;
                for before in store::link::all(db)? {
                    let credential = credential::by_id(db, before.credential)?;
                    let mut link = before.clone();
                    decide::cut_off(&mut link, &credential, &reason);
                    if link != before {
                        news |= keep(db, &before, &link, &credential, now)?;
                    }
                }
                Ok(news)
            })
            .await?;
        if news {
            self.wakers.notices.send_replace(());
        }
        Ok(())
    }
}

/// Saves a link with the event that its change is worth; whether there is one.
pub(super) fn keep(
    db: &rusqlite::Connection,
    before: &Link,
    link: &Link,
    credential: &Credential,
    now: Timestamp,
) -> Result<bool, store::Error> {
    store::link::save(db, link)?;
    let Some((kind, detail)) = decide::incident(before, link, credential) else {
        return Ok(false);
    };
    notice::record(db, now, Some(&credential.name), kind, &detail)?;
    Ok(true)
}
