//! Keys of New API and One-API: 48 characters 0-9a-zA-Z that tell their mint for whom they were made.
//!
//! ```text
//! 15  sqids([user id, unix seconds of creation])
//! 11  a random nonce
//! 22  the first 128 bits of HMAC-SHA256 over the 26 before, in base62
//! ```
//!
//! The nonce has 62¹¹ ≈ 5·10¹⁹ values (65 bits), and two keys can be equal only if the same user made
//! both in the same second: among a million of such keys two are equal with odds of 1 to 10⁸.

use ring::hmac;
use zeroize::Zeroizing;

use super::ids::Ids;
use super::{Error, Signer, base62, same};
use crate::clock::Timestamp;
use crate::secret::SecretString;

/// User ids from 1 to below this fit: 61⁷.
pub const USERS: i64 = 61_i64.pow(7);

/// The length of the hidden numbers. They take a first letter, the digits of the user id, a separator
/// and the digits of the seconds, to the base of 61 as the separator is no digit: 1 + 7 + 1 + 6 = 15 at
/// most for user ids below 61⁷ and seconds below 61⁶ (the year 3602); less is padded. Users of fewer
/// digits go on longer; who does not fit is refused.
pub(super) const PAYLOAD: u8 = 15;

const HIDDEN: usize = PAYLOAD as usize;
const NONCE: usize = 11;
const SIGNED: usize = HIDDEN + NONCE;
const LENGTH: usize = SIGNED + base62::CODE;

/// Whose key it is, as the key itself says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The user it was made for.
    pub user: i64,
    /// The second it was made in.
    pub created: Timestamp,
    /// The secret that signed it.
    pub by: Signer,
}

/// The hidden part of keys.
pub(super) struct Keys(Ids);

impl Keys {
    pub(super) fn new(ids: Ids) -> Self {
        Self(ids)
    }

    pub(super) fn make(
        &self,
        signing: &hmac::Key,
        user: i64,
        now: Timestamp,
    ) -> Result<SecretString, Error> {
        let id = u64::try_from(user)
            .ok()
            .filter(|_| (1..USERS).contains(&user));
        let id = id.ok_or(Error::User(user))?;
        let seconds = u64::try_from(now.timestamp()).map_err(|_| Error::Moment(now))?;
        let hidden = self.0.encode(&[id, seconds]);
        let hidden = hidden.filter(|hidden| hidden.len() == HIDDEN);
        let mut key = Zeroizing::new(String::with_capacity(LENGTH));
        key.push_str(&hidden.ok_or(Error::Moment(now))?);
        base62::push_random(&mut key, NONCE)?;
        let code = code(signing, &key);
        key.push_str(&code);
        Ok(SecretString::from(key.as_str()))
    }

    /// What a signed key hides, if the alphabet is still the one it was made with.
    pub(super) fn read(&self, key: &str, by: Signer) -> Option<Verified> {
        let [user, seconds] = self.0.decode(key.get(..HIDDEN)?)?;
        let created = Timestamp::from_timestamp(i64::try_from(seconds).ok()?, 0)?;
        let user = i64::try_from(user).ok()?;
        Some(Verified { user, created, by })
    }
}

/// Whether this secret signed the key, in a time that does not tell how much of it is right.
pub(super) fn is_signed(signing: &hmac::Key, key: &str) -> bool {
    key.len() == LENGTH
        && key
            .split_at_checked(SIGNED)
            .is_some_and(|(signed, found)| same(&code(signing, signed), found))
}

fn code(signing: &hmac::Key, signed: &str) -> Zeroizing<String> {
    let tag = hmac::sign(signing, signed.as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&tag.as_ref()[..16]);
    Zeroizing::new(base62::code(u128::from_be_bytes(bytes)))
}
