//! Bearers: signed JWTs (RFC 7519) that say who calls, until when, and of which generation they are.
//!
//! What is read must be what is written here to the letter of its header, so that no header chooses
//! another algorithm or key. The library's own clock is not asked.

use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use super::{Error, hs256};
use crate::clock::Timestamp;
use crate::secret::SecretString;

/// `{"typ":"JWT","alg":"HS256"}`: the one header that is written and read, with its dot.
const HEADER: &str = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.";

/// Longer than any bearer, of which the longest has less than 300 characters.
const LONGEST: usize = 512;

/// A bearer's holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bearer {
    /// The user who calls.
    pub user: i64,
    /// Counts as long as it is the user's current one.
    pub generation: i64,
    /// The second from which on it is over.
    pub expires: Timestamp,
}

/// Why a bearer is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BearerError {
    /// Not made by this installation, altered, or made with other secrets.
    #[error("this bearer was not issued here")]
    Foreign,
    /// Ours, and over.
    #[error("this bearer has expired: ask for a new one")]
    Expired,
}

/// What a bearer carries, every claim required and no other taken.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Claims {
    pub(super) sub: String,
    iat: i64,
    exp: i64,
    r#gen: i64,
}

impl Claims {
    pub(super) fn judge(&self, user: Option<i64>, now: Timestamp) -> Result<Bearer, BearerError> {
        let bearer = user
            .zip(Timestamp::from_timestamp(self.exp, 0))
            .map(|(user, expires)| Bearer {
                user,
                generation: self.r#gen,
                expires,
            })
            .ok_or(BearerError::Foreign)?;
        // RFC 7519 §4.1.4: not accepted on or after that time.
        if now >= bearer.expires {
            return Err(BearerError::Expired);
        }
        Ok(bearer)
    }
}

/// The bearers of one secret.
pub(super) struct Bearers {
    signing: EncodingKey,
    verifying: DecodingKey,
    validation: Validation,
}

impl Bearers {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        hs256::install();
        let mut validation = Validation::new(Algorithm::HS256);
        // `Claims` demands them all, and `judge` compares with our clock.
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        Self {
            signing: EncodingKey::from_secret(key),
            verifying: DecodingKey::from_secret(key),
            validation,
        }
    }

    pub(super) fn sign(
        &self,
        subject: String,
        generation: i64,
        now: Timestamp,
        ttl: Duration,
    ) -> Result<SecretString, Error> {
        let expires = chrono::TimeDelta::from_std(ttl)
            .ok()
            .and_then(|ttl| now.checked_add_signed(ttl))
            .map(|expires| expires.timestamp());
        let iat = now.timestamp();
        let claims = Claims {
            sub: subject,
            iat,
            exp: expires
                .filter(|exp| *exp > iat)
                .ok_or(Error::Lifetime(ttl))?,
            r#gen: generation,
        };
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.signing);
        token.map(SecretString::from).map_err(Error::Unsigned)
    }

    /// The claims of a token that this secret signed; its end is not looked at.
    pub(super) fn claims(&self, token: &str) -> Option<Claims> {
        if token.len() > LONGEST || !token.starts_with(HEADER) {
            return None;
        }
        let read = jsonwebtoken::decode::<Claims>(token, &self.verifying, &self.validation);
        read.ok().map(|read| read.claims)
    }
}
