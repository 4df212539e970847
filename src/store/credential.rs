//! Credentials at rest: rows and sealed tokens, the ledger, the claim and the settling of it.
//!
//! Functions on a connection run inside the store's transactions. [`Claim`] is made by
//! [`Store::claim`] alone and is what the exchange consumes, so that no refresh token leaves before
//! its claim is durable (I1). Rules live in `credential.rs`; here they are only kept.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Row, named_params, params};
use secrecy::{ExposeSecret as _, SecretString};

use super::{Error, Lock, Slot, Slots, Store, notice};
use crate::clock::{Clock, Stopwatch, Timestamp};
use crate::credential::{Credential, CredentialId, Phase, Told};
use crate::secret::{Fingerprint, Place, StateKey, mask};

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

/// What the configuration wants of one credential.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Its name.
    pub name: String,
    /// The seed, if one is configured.
    pub seed: Option<SecretString>,
    /// Endpoint and client as text: a change revives a dead credential.
    pub client: String,
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
    /// Whether the claim is too old to be sent.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.made.elapsed() > CLAIM_KEEPS
    }
}

impl Owner {
    /// The slot of a claim left by an earlier process.
    fn slot(&self, credential: &Credential) -> Result<Slot, Error> {
        let Phase::Exchanging { slot } = credential.phase else {
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
        let now = clock.now();
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
            }
            if let Some(candidate) = sealed(db, &key, row.id, "candidate")? {
                rotate(db, &key, &row, &candidate, now)?;
                db.execute(
                    "UPDATE credential SET candidate = NULL WHERE id = ?1",
                    [row.id.0],
                )?;
                row.renew(now);
            }
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
                let rows = statement.query_map([], |row| {
                    Ok((credential(row)?, row.get::<_, String>("preset")?))
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

/// Every credential, by name.
///
/// # Errors
/// When the state cannot be read.
pub fn all(db: &Connection) -> Result<Vec<Credential>, Error> {
    let mut statement = db.prepare_cached("SELECT * FROM credential ORDER BY name")?;
    let rows = statement.query_map([], credential)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The credential called `name`.
///
/// # Errors
/// When there is none.
pub fn by_name(db: &Connection, name: &str) -> Result<Credential, Error> {
    db.prepare_cached("SELECT * FROM credential WHERE name = ?1")?
        .query_row([name], credential)
        .optional()?
        .ok_or_else(|| Error::Unknown(name.to_owned()))
}

/// The credential of row `id`.
///
/// # Errors
/// When there is none.
pub fn by_id(db: &Connection, id: CredentialId) -> Result<Credential, Error> {
    Ok(db
        .prepare_cached("SELECT * FROM credential WHERE id = ?1")?
        .query_row([id.0], credential)?)
}

/// Writes a row as the rules left it.
///
/// # Errors
/// When the state cannot be written.
pub fn save(db: &Connection, row: &Credential) -> Result<(), Error> {
    let (phase, slot, resend_at) = match row.phase {
        Phase::Resting => ("resting", None, None),
        Phase::Exchanging { slot } => ("exchanging", Some(slot), None),
        Phase::Unconfirmed { resend_at } => ("unconfirmed", None, Some(resend_at)),
        Phase::Dead => ("dead", None, None),
    };
    let millis = |moment: Option<Timestamp>| moment.map(|moment| moment.timestamp_millis());
    db.prepare_cached(
        "UPDATE credential SET parked = :parked, phase = :phase, since = :since, due_at = :due_at,
         not_before = :not_before, resend_at = :resend_at, attempt = :attempt, slot = :slot,
         failures = :failures, generation = :generation, obtained_at = :obtained_at,
         expires_at = :expires_at, last_error = :last_error WHERE id = :id",
    )?
    .execute(named_params! {
        ":id": row.id.0,
        ":parked": row.parked,
        ":phase": phase,
        ":since": row.since.timestamp_millis(),
        ":due_at": row.due_at.timestamp_millis(),
        ":not_before": millis(row.not_before),
        ":resend_at": millis(resend_at),
        ":attempt": row.attempt,
        ":slot": slot,
        ":failures": row.failures,
        ":generation": row.generation,
        ":obtained_at": millis(row.obtained_at),
        ":expires_at": millis(row.expires_at),
        ":last_error": row.last_error,
    })?;
    Ok(())
}

/// An exchange that could not be started; an event is written for the first of an incident.
///
/// # Errors
/// When the row is no longer as it was seen.
pub fn postpone(
    db: &Connection,
    seen: &Credential,
    reason: &str,
    now: Timestamp,
) -> Result<(), Error> {
    let mut row = by_id(db, seen.id)?;
    if row != *seen {
        return Err(Error::Changed(row.name));
    }
    for (kind, detail) in row.postpone(reason, now) {
        notice::record(db, now, Some(&row.name), kind, &detail)?;
    }
    save(db, &row)
}

/// Brings the rows in line with the configuration: new ones, new logins, renamed and parked ones.
///
/// # Errors
/// When a seed belongs to another credential of the configuration; then nothing changes.
pub fn adopt(
    db: &Connection,
    key: &StateKey,
    wanted: &[Wanted],
    now: Timestamp,
) -> Result<(), Error> {
    for mut row in all(db)? {
        if !row.parked && !wanted.iter().any(|wanted| wanted.name == row.name) {
            row.parked = true;
            save(db, &row)?;
        }
    }
    for wanted in wanted {
        let mut row = match by_name(db, &wanted.name) {
            Err(Error::Unknown(_)) => introduce(db, key, wanted, now)?,
            found => found?,
        };
        let before = row.clone();
        row.parked = false;
        if let Some(seed) = &wanted.seed {
            adopt_seed(db, key, &mut row, seed, now)?;
        }
        revive(db, key, &mut row, &wanted.client, now)?;
        if row != before {
            save(db, &row)?;
        }
    }
    Ok(())
}

/// Installs a person's new login, or lets it wait for an exchange in flight.
///
/// # Errors
/// When the token belongs to another credential.
pub fn replace(
    db: &Connection,
    key: &StateKey,
    row: &mut Credential,
    token: &SecretString,
    now: Timestamp,
) -> Result<(), Error> {
    let fingerprint = key.fingerprint(token.expose_secret());
    if let Some(owner) = owner(db, fingerprint)?
        && owner != row.id
    {
        return Err(Error::Foreign(by_id(db, owner)?.name));
    }
    if let Phase::Exchanging { .. } = row.phase {
        return keep(db, key, row, "candidate", token, now);
    }
    rotate(db, key, row, token, now)?;
    row.renew(now);
    save(db, row)
}

/// The refresh token in use.
///
/// # Errors
/// When it does not open.
pub fn refresh_token(
    db: &Connection,
    key: &StateKey,
    id: CredentialId,
) -> Result<Option<SecretString>, Error> {
    sealed(db, key, id, "refresh")
}

/// The newest access token.
///
/// # Errors
/// When it does not open.
pub fn access_token(
    db: &Connection,
    key: &StateKey,
    id: CredentialId,
) -> Result<Option<SecretString>, Error> {
    sealed(db, key, id, "access")
}

/// Whose token or channel key this is, if it was ever held or met.
///
/// # Errors
/// When the state cannot be read.
pub fn owner(db: &Connection, fingerprint: Fingerprint) -> Result<Option<CredentialId>, Error> {
    Ok(db
        .prepare_cached("SELECT credential FROM ledger WHERE fingerprint = ?1")?
        .query_row([fingerprint.as_bytes()], |row| row.get(0).map(CredentialId))
        .optional()?)
}

/// Notes a token or channel key as `id`'s, whoever had it before.
///
/// # Errors
/// When the state cannot be written.
pub fn enter(
    db: &Connection,
    fingerprint: Fingerprint,
    id: CredentialId,
    kind: &str,
    generation: u64,
    now: Timestamp,
) -> Result<(), Error> {
    db.prepare_cached(
        "INSERT INTO ledger (fingerprint, credential, kind, generation, at)
         VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (fingerprint) DO UPDATE SET credential = excluded.credential",
    )?
    .execute(params![
        fingerprint.as_bytes(),
        id.0,
        kind,
        generation,
        now.timestamp_millis()
    ])?;
    Ok(())
}

/// A row for a name that has none: a renamed credential's, or a new one without a token.
fn introduce(
    db: &Connection,
    key: &StateKey,
    wanted: &Wanted,
    now: Timestamp,
) -> Result<Credential, Error> {
    let known = match &wanted.seed {
        Some(seed) => owner(db, key.fingerprint(seed.expose_secret()))?,
        None => None,
    };
    let renamed = known.map(|id| by_id(db, id)).transpose()?;
    if let Some(renamed) = renamed.filter(|row| row.parked) {
        db.execute(
            "UPDATE credential SET name = ?2 WHERE id = ?1",
            params![renamed.id.0, wanted.name],
        )?;
    } else {
        let millis = now.timestamp_millis();
        db.execute(
            "INSERT INTO credential (name, phase, since, due_at, last_error)
             VALUES (?1, 'dead', ?2, ?2, 'no refresh token is known')",
            params![wanted.name, millis],
        )?;
    }
    by_name(db, &wanted.name)
}

/// A seed is adopted if it was never seen; the one that a token of ours came from is old news.
fn adopt_seed(
    db: &Connection,
    key: &StateKey,
    row: &mut Credential,
    seed: &SecretString,
    now: Timestamp,
) -> Result<(), Error> {
    let fingerprint = key.fingerprint(seed.expose_secret());
    let last: Option<[u8; 16]> = db.query_row(
        "SELECT seed FROM credential WHERE id = ?1",
        [row.id.0],
        |row| row.get(0),
    )?;
    if last.map(Fingerprint::from_bytes) == Some(fingerprint) {
        return Ok(());
    }
    if owner(db, fingerprint)? != Some(row.id) {
        replace(db, key, row, seed, now)?;
    }
    db.execute(
        "UPDATE credential SET seed = ?2 WHERE id = ?1",
        params![row.id.0, fingerprint.as_bytes()],
    )?;
    Ok(())
}

/// A dead credential is due again once its token, endpoint or client is another.
fn revive(
    db: &Connection,
    key: &StateKey,
    row: &mut Credential,
    client: &str,
    now: Timestamp,
) -> Result<(), Error> {
    if row.phase != Phase::Dead {
        return Ok(());
    }
    let Some(token) = refresh_token(db, key, row.id)? else {
        return Ok(());
    };
    let sent: Option<[u8; 16]> = db.query_row(
        "SELECT request_digest FROM credential WHERE id = ?1",
        [row.id.0],
        |row| row.get(0),
    )?;
    if sent.map(Fingerprint::from_bytes) != Some(digest(key, client, &token)) {
        row.renew(now);
    }
    Ok(())
}

fn digest(key: &StateKey, client: &str, token: &SecretString) -> Fingerprint {
    key.fingerprint(&format!("{client}\n{}", token.expose_secret()))
}

/// `token` becomes the refresh token in use, its predecessor stays as `previous`.
fn rotate(
    db: &Connection,
    key: &StateKey,
    row: &Credential,
    token: &SecretString,
    now: Timestamp,
) -> Result<(), Error> {
    if let Some(current) = refresh_token(db, key, row.id)? {
        if current.expose_secret() == token.expose_secret() {
            return Ok(());
        }
        keep(db, key, row, "previous", &current, now)?;
    }
    keep(db, key, row, "refresh", token, now)
}

/// Seals `token` into `column` and enters it in the ledger.
fn keep(
    db: &Connection,
    key: &StateKey,
    row: &Credential,
    column: &str,
    token: &SecretString,
    now: Timestamp,
) -> Result<(), Error> {
    let token = token.expose_secret();
    let place = Place {
        table: "credential",
        row: row.id.0,
        column,
    };
    let sealed = key.seal(place, token.as_bytes())?;
    db.prepare_cached(&format!(
        "UPDATE credential SET {column} = ?2 WHERE id = ?1"
    ))?
    .execute(params![row.id.0, sealed])?;
    let kind = if column == "access" {
        "access"
    } else {
        "refresh"
    };
    enter(
        db,
        key.fingerprint(token),
        row.id,
        kind,
        row.generation,
        now,
    )
}

fn sealed(
    db: &Connection,
    key: &StateKey,
    id: CredentialId,
    column: &str,
) -> Result<Option<SecretString>, Error> {
    let bytes: Option<Vec<u8>> = db
        .prepare_cached(&format!("SELECT {column} FROM credential WHERE id = ?1"))?
        .query_row([id.0], |row| row.get(0))?;
    let Some(bytes) = bytes else { return Ok(None) };
    let place = Place {
        table: "credential",
        row: id.0,
        column,
    };
    super::open_text(key, place, &bytes).map(Some)
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

fn credential(row: &Row<'_>) -> Result<Credential, rusqlite::Error> {
    let moment = |column| super::moment(row, column);
    let now = |column| moment(column).map(Option::unwrap_or_default);
    let phase = match row.get::<_, String>("phase")?.as_str() {
        "exchanging" => Phase::Exchanging {
            slot: row.get("slot")?,
        },
        "unconfirmed" => Phase::Unconfirmed {
            resend_at: now("resend_at")?,
        },
        "resting" => Phase::Resting,
        _ => Phase::Dead,
    };
    Ok(Credential {
        id: CredentialId(row.get("id")?),
        name: row.get("name")?,
        parked: row.get("parked")?,
        phase,
        since: now("since")?,
        due_at: now("due_at")?,
        not_before: moment("not_before")?,
        attempt: row.get("attempt")?,
        failures: row.get("failures")?,
        generation: row.get("generation")?,
        obtained_at: moment("obtained_at")?,
        expires_at: moment("expires_at")?,
        last_error: row.get("last_error")?,
    })
}
