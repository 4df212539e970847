//! Bearers: signed JWTs (RFC 7519) that say who calls, until when, and of which generation they are.
//!
//! What is read must be what is written here to the letter of its header, so that no header chooses
//! another algorithm or key. The library's own clock is not asked.

use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use super::{Error, hs256};
use crate::clock::Timestamp;
use crate::secret::{ExposeSecret as _, SecretString};

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
    pub(super) fn new(secret: &SecretString) -> Self {
        let key = secret.expose_secret().as_bytes();
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

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use ring::hmac;

    use super::super::tests::{NEW_YEAR, SECRET, at, mint};
    use super::*;

    /// A token that whoever knows the secret could make; `None` leaves the signature away.
    fn forged(header: &str, claims: &str, algorithm: Option<hmac::Algorithm>) -> String {
        let encode = |part: &[u8]| URL_SAFE_NO_PAD.encode(part);
        let message = format!(
            "{}.{}",
            encode(header.as_bytes()),
            encode(claims.as_bytes())
        );
        let signature = algorithm.map(|algorithm| {
            let key = hmac::Key::new(algorithm, SECRET.as_bytes());
            encode(hmac::sign(&key, message.as_bytes()).as_ref())
        });
        format!("{message}.{}", signature.unwrap_or_default())
    }

    #[test]
    fn no_header_chooses_how_it_is_read() {
        const CLAIMS: &str = r#"{"sub":"t4alZIco","iat":1767225600,"exp":1769817600,"gen":3}"#;
        let check = |header: &str, algorithm: Option<hmac::Algorithm>, accepted: bool| {
            let token = forged(header, CLAIMS, algorithm);
            let read = mint().read_bearer(&token, at(NEW_YEAR));
            assert_eq!(read.is_ok(), accepted, "{header}");
        };
        let (hs256, hs512) = (Some(hmac::HMAC_SHA256), Some(hmac::HMAC_SHA512));
        check(r#"{"typ":"JWT","alg":"HS256"}"#, hs256, true);
        check(r#"{"typ":"JWT","alg":"HS256"}"#, hs512, false);
        check(r#"{"typ":"JWT","alg":"HS256"}"#, None, false);
        check(r#"{"typ":"JWT","alg":"HS512"}"#, hs512, false);
        check(r#"{"typ":"JWT","alg":"HS512"}"#, hs256, false);
        check(r#"{"typ":"JWT","alg":"none"}"#, None, false);
        check(r#"{"typ":"JWT","alg":"none"}"#, hs256, false);
        check(r#"{"typ":"JWT","alg":"RS256"}"#, hs256, false);
        check(r#"{"typ":"JWT","alg":"HS256","kid":"1"}"#, hs256, false);
        check(
            r#"{"typ":"JWT","alg":"HS256","crit":["exp"]}"#,
            hs256,
            false,
        );
        check(
            r#"{"typ":"JWT","alg":"HS256","jwk":{"kty":"oct","k":""}}"#,
            hs256,
            false,
        );
        check(r#"{"typ":"JWT","alg":"HS256","alg":"none"}"#, hs256, false);
        check(r#"{"alg":"HS256"}"#, hs256, false);
    }

    #[test]
    fn claims_are_all_there_of_their_kind_and_no_more() {
        let check = |claims: &str, expected: Result<i64, BearerError>| {
            let header = r#"{"typ":"JWT","alg":"HS256"}"#;
            let token = forged(header, claims, Some(hmac::HMAC_SHA256));
            let read = mint().read_bearer(&token, at(NEW_YEAR));
            assert_eq!(read.map(|bearer| bearer.user), expected, "{claims}");
        };
        let foreign = Err(BearerError::Foreign);
        check(
            r#"{"sub":"t4alZIco","iat":1,"exp":1769817600,"gen":3}"#,
            Ok(7),
        );
        check(
            r#"{"sub":"t4alZIco","iat":1,"exp":1,"gen":3}"#,
            Err(BearerError::Expired),
        );
        check(r#"{"sub":"t4alZIco","iat":1,"gen":3}"#, foreign);
        check(r#"{"sub":"t4alZIco","iat":1,"exp":null,"gen":3}"#, foreign);
        check(r#"{"sub":"t4alZIco","exp":1769817600,"gen":3}"#, foreign);
        check(r#"{"sub":"t4alZIco","iat":1,"exp":1769817600}"#, foreign);
        check(r#"{"iat":1,"exp":1769817600,"gen":3}"#, foreign);
        check(
            r#"{"sub":"t4alZIco","iat":1,"exp":"1769817600","gen":3}"#,
            foreign,
        );
        check(
            r#"{"sub":"t4alZIco","iat":1,"exp":1769817600.5,"gen":3}"#,
            foreign,
        );
        check(r#"{"sub":"t4alZIco","iat":1,"exp":1e30,"gen":3}"#, foreign);
        check(
            r#"{"sub":"t4alZIco","iat":1,"exp":9223372036854775807,"gen":3}"#,
            foreign,
        );
        check(
            r#"{"sub":"t4alZIco","iat":1,"exp":1769817600,"gen":3,"nbf":1}"#,
            foreign,
        );
        check(
            r#"{"sub":"t4alZIco","iat":1,"exp":1,"exp":1769817600,"gen":3}"#,
            foreign,
        );
        check(r#"{"sub":7,"iat":1,"exp":1769817600,"gen":3}"#, foreign);
        check(r#"{"sub":"7","iat":1,"exp":1769817600,"gen":3}"#, foreign);
        // The public id of a token.
        check(
            r#"{"sub":"tEoJxDXH","iat":1,"exp":1769817600,"gen":3}"#,
            foreign,
        );
        check("[]", foreign);
        check("", foreign);
    }
}
