//! One-Hub's keys: 59 characters that One-Hub itself would have made for the same row.
//!
//! ```text
//! sqids([token id, user id]), at least 15, default block list
//! _
//! HMAC-SHA256(USER_TOKEN_SECRET, the sqids text) in base64url without padding, 43
//! ```
//!
//! `HASHIDS_SALT` is no salt there but the alphabet. As One-Hub 387f8bf1 (2026-02-20) does it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use zeroize::Zeroizing;

use super::ids::Ids;
use super::{Error, same};
use crate::secret::{ExposeSecret as _, SecretString};

/// One-Hub's alphabet where `HASHIDS_SALT` is unset or empty.
const ALPHABET: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

const PAYLOAD: u8 = 15;

/// One-Hub's relay refuses every other length but 48, that of its older keys.
const LENGTH: usize = 59;

/// Why One-Hub's relay would refuse the key that One-Hub itself makes for such ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// No ids of rows: below 1.
    #[error("One-Hub makes no keys for ids below 1")]
    Ids,
    /// The relay takes the first `_` for the separator.
    #[error("One-Hub would refuse this key: its HASHIDS_SALT holds `_`, and so does the key")]
    Separator,
    /// The relay takes what follows a `#` for the number of a channel.
    #[error("One-Hub would refuse this key: its HASHIDS_SALT holds `#`, and so does the key")]
    Channel,
    /// The alphabet is too short for the ids.
    #[error(
        "One-Hub would refuse this key: it has {0} characters, not 59; its HASHIDS_SALT is too short"
    )]
    Length(usize),
    /// Every text of these ids holds a word of the block list.
    #[error("One-Hub makes no key for these ids: each text would hold a blocked word")]
    Blocked,
}

/// Makes and recognises One-Hub's keys.
pub struct OneHubMint {
    signing: hmac::Key,
    ids: Ids,
}

impl OneHubMint {
    /// Of One-Hub's `USER_TOKEN_SECRET` and `HASHIDS_SALT`; the latter unset or empty is a-zA-Z0-9.
    ///
    /// # Errors
    /// When the secret is empty or the alphabet has fewer than three characters, one of them twice, or
    /// one of several bytes: One-Hub does not start with these either.
    pub fn new(secret: &SecretString, alphabet: Option<&str>) -> Result<Self, Error> {
        let secret = secret.expose_secret();
        if secret.is_empty() {
            return Err(Error::NoUserTokenSecret);
        }
        let alphabet = alphabet.filter(|text| !text.is_empty()).unwrap_or(ALPHABET);
        Ok(Self {
            signing: hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()),
            ids: Ids::with_block_list(alphabet, PAYLOAD)?,
        })
    }

    /// The key of the token's row.
    ///
    /// # Errors
    /// When One-Hub's relay would refuse it, and why.
    pub fn key(&self, token: i64, user: i64) -> Result<SecretString, Unusable> {
        let id = |id: i64| u64::try_from(id).ok().filter(|id| *id > 0);
        let ids = id(token).zip(id(user)).ok_or(Unusable::Ids)?;
        let payload = self.ids.encode(&[ids.0, ids.1]).ok_or(Unusable::Blocked)?;
        if payload.contains('_') {
            return Err(Unusable::Separator);
        }
        if payload.contains('#') {
            return Err(Unusable::Channel);
        }
        let key = Zeroizing::new(format!("{payload}_{}", &*self.code(&payload)));
        if key.len() != LENGTH {
            return Err(Unusable::Length(key.len()));
        }
        Ok(SecretString::from(key.as_str()))
    }

    /// The token's and the user's id in a key that was made with these settings, with or without
    /// `sk-`. One-Hub's older keys of 48 characters tell nothing.
    #[must_use]
    pub fn verify(&self, key: &str) -> Option<(i64, i64)> {
        let key = key.strip_prefix("sk-").unwrap_or(key);
        let (payload, code) = key.split_once('_').filter(|_| key.len() == LENGTH)?;
        if payload.contains('#') || !same(&self.code(payload), code) {
            return None;
        }
        let [token, user] = self.ids.decode(payload)?;
        Some((i64::try_from(token).ok()?, i64::try_from(user).ok()?))
    }

    fn code(&self, payload: &str) -> Zeroizing<String> {
        let tag = hmac::sign(&self.signing, payload.as_bytes());
        Zeroizing::new(URL_SAFE_NO_PAD.encode(tag))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// Minted by a running One-Hub, with whether its own relay accepts them.
    const VECTORS: &str = include_str!("../../tests/fixtures/one-hub-keys.json");

    fn mint_of(secret: &str, alphabet: &str) -> OneHubMint {
        OneHubMint::new(&secret.into(), Some(alphabet)).unwrap()
    }

    #[test]
    fn keys_equal_those_of_one_hub() {
        let fixture: Value = serde_json::from_str(VECTORS).unwrap();
        let vectors = fixture["vectors"].as_array().unwrap();
        let mut refused = Vec::new();
        for vector in vectors {
            let text = |name: &str| vector[name].as_str().unwrap();
            let id = |name: &str| vector[name].as_i64().unwrap();
            let mint = mint_of(text("user_token_secret"), text("hashids_salt"));
            let (token, user, key) = (id("token_id"), id("user_id"), text("key"));
            let made = mint.key(token, user);
            let accepted = vector["relay_accepts"].as_bool().unwrap();
            assert_eq!(made.is_ok(), accepted, "{key}");
            match made {
                Ok(made) => assert_eq!(made.expose_secret(), key),
                Err(reason) => refused.push(reason),
            }
            assert_eq!(mint.verify(key), accepted.then_some((token, user)), "{key}");
        }
        assert_eq!(vectors.len(), 31);
        let [channel, length, separator] =
            [Unusable::Channel, Unusable::Length(61), Unusable::Separator];
        let expected = [channel, length, Unusable::Length(65), separator, separator];
        assert_eq!(refused, expected);
    }

    #[test]
    fn only_an_unaltered_key_is_recognised() {
        let mint = mint_of("fixture-user-token-secret-000001", "");
        let key = mint.key(1, 1).unwrap();
        let key = key.expose_secret();
        assert_eq!(mint.verify(&format!("sk-{key}")), Some((1, 1)));
        for place in 0..key.len() {
            for other in ["_", "-", "#", "a", "Z", "0", "é"] {
                if !key[place..].starts_with(other) {
                    let altered = format!("{}{other}{}", &key[..place], &key[place + 1..]);
                    assert_eq!(mint.verify(&altered), None, "{altered}");
                }
            }
        }
        for foreign in ["", "_", "sk-", &key[..58], &"a".repeat(48), &"_".repeat(59)] {
            assert_eq!(mint.verify(foreign), None, "{foreign}");
        }
        assert_eq!(mint_of("another", "").verify(key), None);
    }

    #[test]
    fn ids_of_no_row_make_no_key() {
        let mint = mint_of("x", "");
        for (token, user) in [(0, 1), (1, 0), (-1, 1), (1, i64::MIN)] {
            assert_eq!(mint.key(token, user).err(), Some(Unusable::Ids));
        }
    }

    #[test]
    fn what_one_hub_does_not_start_with_is_refused() {
        let check = |secret: &str, alphabet: Option<&str>, expected: Option<&str>| {
            let told = OneHubMint::new(&secret.into(), alphabet).err();
            let told = told.map(|error| match std::error::Error::source(&error) {
                Some(reason) => reason.to_string(),
                None => error.to_string(),
            });
            let fits = match (&told, expected) {
                (Some(told), Some(expected)) => told.contains(expected),
                (None, None) => true,
                _ => false,
            };
            assert!(fits, "{alphabet:?}: {told:?}");
        };
        check("x", None, None);
        check("x", Some(""), None);
        check("x", Some("abc"), None);
        check(" ", Some("abc_"), None);
        check("", None, Some("gateway.user_token_secret is empty"));
        check("x", Some("ab"), Some("at least 3"));
        check("x", Some("aabbccddeeff"), Some("unique"));
        check("x", Some("abcdé"), Some("multibyte"));
    }
}
