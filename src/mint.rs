//! The mint: keys, hidden ids and bearers, made of the API's two secrets and recognised by them.
//!
//! `TOKEN_SECRET` signs keys and bearers, `HASHIDS_SALT` shuffles the alphabet that hides ids. No signed
//! text can be taken for another use's: a key's 26 characters have no dot, a bearer's have one, and the
//! labels under which other keys are derived have blanks. The API and `token verify` call [`Mint`];
//! [`OneHubMint`] makes One-Hub's own keys.
//! Absent on purpose: rows, files and the clock. Whether a user still exists is not known here.

mod base62;
mod bearer;
mod hs256;
mod ids;
mod key;
mod one_hub;

use std::time::Duration;

use ring::hmac;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::clock::Timestamp;
use crate::secret::{ExposeSecret as _, Fingerprint, SecretString};

pub use bearer::{Bearer, BearerError};
pub use key::{USERS, Verified};
pub use one_hub::{OneHubMint, Unusable};

use bearer::Bearers;
use ids::{Ids, PublicIds};
use key::Keys;

/// Why a mint, a key or a bearer cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes")]
    Random,
    /// No user id of a gateway, or one that a key has no room for.
    #[error("user id {0} does not fit into a key: it must be from 1 to {max}", max = USERS - 1)]
    User(i64),
    /// A moment before 1970, or so late that it and the user id together do not fit into a key.
    #[error("a key cannot hold the time {0}: set the machine's clock")]
    Moment(Timestamp),
    /// A bearer that would end before it begins, or after the calendar does.
    #[error("a bearer cannot live for {} s: ask for a second at least, and for less than ages", .0.as_secs())]
    Lifetime(Duration),
    /// The library that writes bearers refused.
    #[error("the bearer was not signed")]
    Unsigned(#[source] jsonwebtoken::errors::Error),
    /// One-Hub itself does not start without this secret.
    #[error("gateway.user_token_secret is empty: copy USER_TOKEN_SECRET of One-Hub's environment")]
    NoUserTokenSecret,
    /// An alphabet that sqids, and so One-Hub, refuses.
    #[error(
        "gateway.hashids_salt is no alphabet (at least 3 characters, none twice, each a single byte): \
         copy HASHIDS_SALT of One-Hub's environment, or leave it unset as there"
    )]
    Alphabet(#[source] sqids::Error),
}

/// Which of two secrets signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signer {
    /// `token_secret`.
    Current,
    /// `token_secret_previous`.
    Previous,
}

/// What a public id is the id of; ids of one kind are not ids of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdKind {
    /// A row of `users`.
    User,
    /// A row of `tokens`.
    Token,
}

/// What names the API's secrets without telling them; kept in `meta` to notice a changed one.
pub struct Fingerprints {
    /// Of `token_secret`.
    pub token_secret: Fingerprint,
    /// Of `token_secret_previous`, made as if it were `token_secret`.
    pub token_secret_previous: Option<Fingerprint>,
    /// Of `hashids_salt`.
    pub hashids_salt: Fingerprint,
}

impl Fingerprints {
    /// Which of the configured secrets is the one whose fingerprint is stored; none of them means that
    /// what it signed is lost.
    #[must_use]
    pub fn token_secret_of(&self, stored: Fingerprint) -> Option<Signer> {
        if stored == self.token_secret {
            Some(Signer::Current)
        } else if Some(stored) == self.token_secret_previous {
            Some(Signer::Previous)
        } else {
            None
        }
    }
}

/// Makes and recognises what the API's secrets vouch for.
pub struct Mint {
    current: Signing,
    previous: Option<Signing>,
    keys: Keys,
    public_ids: PublicIds,
    hashids_salt: Fingerprint,
}

/// What is made of one `token_secret`.
struct Signing {
    keys: hmac::Key,
    bearers: Bearers,
    fingerprint: Fingerprint,
}

impl Signing {
    fn new(secret: &SecretString) -> Self {
        Self {
            keys: hmac::Key::new(hmac::HMAC_SHA256, secret.expose_secret().as_bytes()),
            bearers: Bearers::new(secret),
            fingerprint: fingerprint(secret, "token_secret"),
        }
    }
}

impl Mint {
    /// The mint of these secrets: `previous` verifies what it once signed, and signs nothing.
    ///
    /// # Errors
    /// [`Error::Alphabet`] if sqids refuses the shuffled alphabet, which it has no reason to.
    pub fn new(
        token_secret: &SecretString,
        previous: Option<&SecretString>,
        hashids_salt: &SecretString,
    ) -> Result<Self, Error> {
        let alphabet = ids::shuffled(&derive(hashids_salt, "alphabet"));
        Ok(Self {
            current: Signing::new(token_secret),
            previous: previous.map(Signing::new),
            keys: Keys::new(Ids::new(&alphabet, key::PAYLOAD)?),
            public_ids: PublicIds::new(&alphabet)?,
            hashids_salt: fingerprint(hashids_salt, "hashids_salt"),
        })
    }

    /// A new key of 48 characters 0-9a-zA-Z for a user, as New API and One-API take it.
    ///
    /// # Errors
    /// When the user id is not from 1 to 61⁷−1, the time does not fit or there is no randomness.
    pub fn key(&self, user: i64, now: Timestamp) -> Result<SecretString, Error> {
        self.keys.make(&self.current.keys, user, now)
    }

    /// For whom and when this installation made `key`, with or without `sk-`. `None` for what another
    /// made, what was altered, and what was made with another `HASHIDS_SALT`.
    #[must_use]
    pub fn verify(&self, key: &str) -> Option<Verified> {
        let key = key.strip_prefix("sk-").unwrap_or(key);
        self.signers()
            .find(|(_, signing)| key::is_signed(&signing.keys, key))
            .and_then(|(by, _)| self.keys.read(key, by))
    }

    /// The id as outsiders see it: `t` and at least 7 characters 0-9a-zA-Z, never a number.
    #[must_use]
    pub fn public_id(&self, kind: IdKind, id: i64) -> String {
        self.public_ids.of(kind, id)
    }

    /// The id of this kind that `text` hides; only as [`public_id`](Self::public_id) writes it.
    #[must_use]
    pub fn id_of(&self, kind: IdKind, text: &str) -> Option<i64> {
        self.public_ids.read(kind, text)
    }

    /// A JWT (RFC 7519, HS256) that says who calls: `sub` the user's public id, `iat`, `exp` in unix
    /// seconds, `gen` the generation that `user token --revoke-all` raises. It has two dots, which no
    /// gateway's access token has.
    ///
    /// # Errors
    /// When `ttl` is below a second or beyond the calendar, or the library refuses.
    pub fn bearer(
        &self,
        user: i64,
        generation: i64,
        now: Timestamp,
        ttl: Duration,
    ) -> Result<SecretString, Error> {
        let subject = self.public_id(IdKind::User, user);
        self.current.bearers.sign(subject, generation, now, ttl)
    }

    /// What a bearer says, if one of our secrets signed it and it is not over. Whether its generation
    /// still counts, and its user exists, is the caller's to look up.
    ///
    /// # Errors
    /// [`BearerError::Foreign`] for whatever [`bearer`](Self::bearer) would not have written,
    /// [`BearerError::Expired`] from the second of `exp` on.
    pub fn read_bearer(&self, token: &str, now: Timestamp) -> Result<Bearer, BearerError> {
        let claims = self
            .signers()
            .find_map(|(_, signing)| signing.bearers.claims(token))
            .ok_or(BearerError::Foreign)?;
        let user = self.id_of(IdKind::User, &claims.sub);
        claims.judge(user, now)
    }

    /// What names the secrets without telling them.
    #[must_use]
    pub fn fingerprints(&self) -> Fingerprints {
        Fingerprints {
            token_secret: self.current.fingerprint,
            token_secret_previous: self.previous.as_ref().map(|signing| signing.fingerprint),
            hashids_salt: self.hashids_salt,
        }
    }

    fn signers(&self) -> impl Iterator<Item = (Signer, &Signing)> {
        let previous = self.previous.as_ref();
        [(Signer::Current, &self.current)]
            .into_iter()
            .chain(previous.map(|signing| (Signer::Previous, signing)))
    }
}

/// The key of one use of a secret: what it does tells nothing about the secret or another use.
fn derive(secret: &SecretString, label: &str) -> Zeroizing<[u8; 32]> {
    let mut derived = Zeroizing::new([0; 32]);
    derived.copy_from_slice(labelled(secret, "derive", label).as_ref());
    derived
}

fn fingerprint(secret: &SecretString, label: &str) -> Fingerprint {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&labelled(secret, "fingerprint", label).as_ref()[..16]);
    Fingerprint::from_bytes(bytes)
}

fn labelled(secret: &SecretString, purpose: &str, label: &str) -> hmac::Tag {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose_secret().as_bytes());
    hmac::sign(&key, format!("keyfresh {purpose} {label}").as_bytes())
}

/// Whether two texts are equal, in a time that tells only their lengths.
fn same(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

#[cfg(test)]
mod tests;
