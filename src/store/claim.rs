//! The claim of an exchange and its settling.
//!
//! [`Claim`] is made by [`Store::claim`] alone and is what the exchange consumes, so that no refresh
//! token leaves before its claim is durable (I1); settling is one transaction (I3). `refresh.rs` is
//! the only caller.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, params};
use secrecy::{ExposeSecret as _, SecretString};

use super::adopt::digest;
use super::credential::{by_id, install_candidate, keep, refresh_token, rotate, row, save};
use super::{Error, Lock, Slot, Slots, Store, link, notice};
use crate::clock::{Clock, Reading, Stopwatch, Timestamp};
use crate::credential::{Credential, Phase, Told};
use crate::secret::mask;

/// A claim older than this is not sent any more: the process was suspended meanwhile.
const CLAIM_KEEPS: Duration = Duration::from_secs(5);

/// The right to refresh: the lock and the slots, held for life.
#[derive(Debug)]
pub struct Owner {
    _lock: Lock,
    slots: Slots,
}

/// A durable claim: the permission to send one refresh token once.
#[derive(Debug)]
pub struct Claim {
    /// The credential as claimed.
    pub credential: Credential,
    /// The token to send.
    pub refresh_token: SecretString,
    /// Where its answer goes.
    pub slot: Slot,
    made: Stopwatch,
}

/// A claim that an earlier process left: sent or not, nobody knows but the slot.
#[derive(Debug)]
pub struct Interrupted {
    /// The credential as claimed.
    pub credential: Credential,
    /// The preset that reads the answer.
    pub preset: String,
    /// Where its answer is, if it came.
    pub slot: Slot,
}

/// The tokens that came with an answer.
#[derive(Debug, Default)]
pub struct Tokens {
    /// The access token of a grant.
    pub access: Option<SecretString>,
    /// The refresh token, whatever else was wrong.
    pub refresh: Option<SecretString>,
}

impl Claim {
    /// Whether the claim is too old to be sent at `now`: a stop-watch alone stands still during a suspend.
    #[must_use]
    pub fn is_stale(&self, now: Reading) -> bool {
        let elapsed = now.elapsed_since(self.credential.since);
        let elapsed = elapsed.and_then(|elapsed| elapsed.to_std().ok());
        self.made.elapsed().max(elapsed.unwrap_or_default()) > CLAIM_KEEPS
    }
}

impl Owner {
    /// The slot of a claim left by an earlier process.
    fn slot(&self, credential: &Credential) -> Result<Slot, Error> {
        let Phase::Exchanging { slot, .. } = credential.phase else {
            return Err(Error::Changed(credential.name.clone()));
        };
        Ok(self.slots.slot(slot, credential.id, credential.attempt)?)
    }
}

impl Store {
    /// Takes the lock and opens the slots.
    ///
    /// # Errors
    /// When another process holds the lock or a slot is missing.
    pub fn own(&self) -> Result<Arc<Owner>, Error> {
        let lock = Lock::take(self.dir())?;
        let slots = Slots::open(self.dir(), self.key())?;
        Ok(Arc::new(Owner { _lock: lock, slots }))
    }

    /// Makes the claim of `seen`'s next exchange durable; `client` and `preset` are kept with it.
    ///
    /// # Errors
    /// When the row is no longer as it was seen, no slot is free or the commit failed: then nothing
    /// may be sent.
    pub async fn claim(
        &self,
        owner: &Owner,
        seen: Credential,
        client: String,
        preset: &'static str,
        clock: &Clock,
    ) -> Result<Claim, Error> {
        if !self.is_trusted() {
            return Err(Error::Untrusted);
        }
        let key = self.key();
        let made = clock.stopwatch();
        let now = clock.read();
        let (credential, refresh_token) = self
            .write(move |db| {
                let mut row = by_id(db, seen.id)?;
                if row != seen {
                    return Err(Error::Changed(seen.name));
                }
                let token = refresh_token(db, &key, row.id)?
                    .ok_or_else(|| Error::Changed(row.name.clone()))?;
                row.claim(free_slot(db)?, now);
                save(db, &row)?;
                db.prepare_cached(
                    "UPDATE credential SET preset = ?2, request_digest = ?3 WHERE id = ?1",
                )?
                .execute(params![
                    row.id.0,
                    preset,
                    digest(&key, &client, &token).as_bytes()
                ])?;
                Ok((row, token))
            })
            .await?;
        Ok(Claim {
            slot: owner.slot(&credential)?,
            credential,
            refresh_token,
            made,
        })
    }

    /// Settles an exchange in one transaction: tokens, ledger, events (I3). `rule` moves the row.
    ///
    /// # Errors
    /// When this attempt was settled already or the commit failed; the slot then still holds the answer.
    pub async fn settle(
        &self,
        claimed: Credential,
        tokens: Tokens,
        rule: impl FnOnce(&mut Credential) -> Vec<Told> + Send + 'static,
        now: Timestamp,
    ) -> Result<Credential, Error> {
        let key = self.key();
        self.write(move |db| {
            let mut row = by_id(db, claimed.id)?;
            if row.attempt != claimed.attempt || row.phase != claimed.phase {
                return Err(Error::Changed(row.name));
            }
            let told = rule(&mut row);
            if let Some(refresh) = &tokens.refresh {
                rotate(db, &key, &row, refresh, now)?;
            }
            if let Some(access) = &tokens.access {
                keep(db, &key, &row, "access", access, now)?;
                link::fall_behind(db, row.id)?;
            }
            install_candidate(db, &key, &mut row, now)?;
            save(db, &row)?;
            let token = tokens
                .access
                .as_ref()
                .map(|access| mask(access.expose_secret()));
            for (kind, mut detail) in told {
                detail.token.clone_from(&token);
                notice::record(db, now, Some(&row.name), kind, &detail)?;
            }
            Ok(row)
        })
        .await
    }

    /// The claims that an earlier process left unsettled.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub async fn interrupted(&self, owner: &Owner) -> Result<Vec<Interrupted>, Error> {
        let rows = self
            .read(|db| {
                let mut statement =
                    db.prepare("SELECT * FROM credential WHERE phase = 'exchanging'")?;
                let rows = statement.query_map([], |found| {
                    // Without its name the answer is read by the preset in force.
                    let preset: Option<String> = found.get("preset")?;
                    Ok((row(found)?, preset.unwrap_or_default()))
                })?;
                Ok(rows.collect::<Result<Vec<_>, _>>()?)
            })
            .await?;
        rows.into_iter()
            .map(|(credential, preset)| {
                Ok(Interrupted {
                    slot: owner.slot(&credential)?,
                    credential,
                    preset,
                })
            })
            .collect()
    }
}

fn free_slot(db: &Connection) -> Result<u8, Error> {
    let mut statement =
        db.prepare_cached("SELECT slot FROM credential WHERE phase = 'exchanging'")?;
    let used: Vec<u8> = statement
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    (0..super::slot::SLOTS)
        .find(|slot| !used.contains(slot))
        .ok_or(Error::NoSlot)
}
