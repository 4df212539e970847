//! Secrets: how they are shown, recognised and sealed.
//!
//! [`mask`] for people, [`Fingerprint`] for logs and the ledger, [`StateKey`] for our own files. The
//! type that carries a secret is secrecy's [`SecretString`], which has no readable `Debug`.

use std::fmt;

use chacha20poly1305::aead::{Aead, AeadInOut as _, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
pub use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

/// A secret that cannot be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes")]
    Random,
    /// The sealed bytes are not ours, not whole, or stand in another place than they were sealed for.
    #[error(
        "sealed bytes do not open with this state.key: restore the key that belongs to this state"
    )]
    Sealed,
}

/// A token as people may see it: its first and last four characters at most, never more than a
/// quarter of it, nothing at all of one shorter than eight.
#[must_use]
pub fn mask(secret: &str) -> String {
    let characters: Vec<char> = secret.chars().collect();
    let shown = (characters.len() / 8).min(4);
    let head: String = characters[..shown].iter().collect();
    let tail: String = characters[characters.len() - shown..].iter().collect();
    format!("{head}…{tail}")
}

/// `length` random bytes in base64url without padding.
///
/// # Errors
/// When the operating system has no randomness to give.
pub fn random_text(length: usize) -> Result<SecretString, Error> {
    use base64::Engine as _;
    let mut bytes = Zeroizing::new(vec![0; length]);
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| Error::Random)?;
    Ok(base64::engine::general_purpose::URL_SAFE_NO_PAD
        .encode(&*bytes)
        .into())
}

/// A keyed hash of a token: equal for equal tokens, says nothing about them without the state's key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint([u8; 16]);

impl Fingerprint {
    /// The sixteen bytes as stored.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// A stored fingerprint.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

/// Eight hexadecimal digits: enough to follow one token through the logs.
impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..4]
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// Where a sealed value stands; bytes moved to another place do not open there.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The table, or `slot`.
    pub table: &'a str,
    /// The row's id.
    pub row: i64,
    /// The column, or the attempt.
    pub column: &'a str,
}

impl Place<'_> {
    fn associated_data(self) -> Vec<u8> {
        format!("{}\n{}\n{}", self.table, self.row, self.column).into_bytes()
    }
}

const KEY: usize = 32;
const KEY_ID: usize = 4;
const NONCE: usize = 24;

/// A number used once per key; random ones of this length do not repeat.
pub type Nonce = [u8; NONCE];

/// A fresh nonce.
///
/// # Errors
/// When the operating system has no randomness to give.
pub fn nonce() -> Result<Nonce, Error> {
    let mut nonce = [0; NONCE];
    SystemRandom::new()
        .fill(&mut nonce)
        .map_err(|_| Error::Random)?;
    Ok(nonce)
}

const TAG: usize = 16;
const VERSION: u8 = 1;

/// What [`StateKey::seal`] adds to the sealed bytes.
pub const OVERHEAD: usize = 1 + KEY_ID + NONCE + TAG;

/// The key of our own state: seals what the state holds and keys the fingerprints.
pub struct StateKey {
    cipher: XChaCha20Poly1305,
    fingerprints: hmac::Key,
    id: [u8; KEY_ID],
}

impl StateKey {
    /// The key made of the content of `state.key`.
    #[must_use]
    pub fn new(bytes: &[u8; KEY]) -> Self {
        let derive =
            |purpose: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, bytes), purpose);
        let mut id = [0; KEY_ID];
        id.copy_from_slice(&derive(b"key id").as_ref()[..KEY_ID]);
        let mut sealing = Zeroizing::new([0; KEY]);
        sealing.copy_from_slice(derive(b"sealing").as_ref());
        Self {
            cipher: XChaCha20Poly1305::new((&*sealing).into()),
            fingerprints: hmac::Key::new(hmac::HMAC_SHA256, derive(b"fingerprints").as_ref()),
            id,
        }
    }

    /// Fresh bytes for a new `state.key`.
    ///
    /// # Errors
    /// When the operating system has no randomness to give.
    pub fn generate() -> Result<Zeroizing<[u8; KEY]>, Error> {
        let mut bytes = Zeroizing::new([0; KEY]);
        SystemRandom::new()
            .fill(&mut *bytes)
            .map_err(|_| Error::Random)?;
        Ok(bytes)
    }

    /// Names the key without telling it; kept in `meta` to recognise a wrong one.
    #[must_use]
    pub fn id(&self) -> [u8; KEY_ID] {
        self.id
    }

    /// The token's fingerprint under this key.
    #[must_use]
    pub fn fingerprint(&self, token: &str) -> Fingerprint {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hmac::sign(&self.fingerprints, token.as_bytes()).as_ref()[..16]);
        Fingerprint(bytes)
    }

    /// Seals `plain` for `place`: version, key id, nonce, ciphertext with tag.
    ///
    /// # Errors
    /// When the operating system has no randomness to give.
    pub fn seal(&self, place: Place<'_>, plain: &[u8]) -> Result<Vec<u8>, Error> {
        let mut sealed = Vec::with_capacity(plain.len() + OVERHEAD);
        self.seal_onto(&mut sealed, place, nonce()?, plain)?;
        Ok(sealed)
    }

    /// Appends what [`seal`](Self::seal) makes to `sealed`, with a nonce drawn before: no system call
    /// where `sealed` has the room.
    ///
    /// # Errors
    /// When `plain` is longer than the cipher takes (256 GiB).
    pub fn seal_onto(
        &self,
        sealed: &mut Vec<u8>,
        place: Place<'_>,
        nonce: Nonce,
        plain: &[u8],
    ) -> Result<(), Error> {
        sealed.push(VERSION);
        sealed.extend_from_slice(&self.id);
        sealed.extend_from_slice(&nonce);
        let begin = sealed.len();
        sealed.extend_from_slice(plain);
        let tag = self
            .cipher
            .encrypt_inout_detached(
                (&nonce).into(),
                &place.associated_data(),
                (&mut sealed[begin..]).into(),
            )
            .map_err(|_| Error::Sealed)?;
        sealed.extend_from_slice(&tag);
        Ok(())
    }

    /// Opens what [`seal`](Self::seal) made for the same place.
    ///
    /// # Errors
    /// When the bytes are torn, stale, of another key or of another place.
    pub fn open(&self, place: Place<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let (version, rest) = sealed.split_first().ok_or(Error::Sealed)?;
        let (id, rest) = rest.split_first_chunk::<KEY_ID>().ok_or(Error::Sealed)?;
        let (nonce, ciphertext) = rest.split_first_chunk::<NONCE>().ok_or(Error::Sealed)?;
        if *version != VERSION || *id != self.id {
            return Err(Error::Sealed);
        }
        let payload = Payload {
            msg: ciphertext,
            aad: &place.associated_data(),
        };
        self.cipher
            .decrypt(nonce.into(), payload)
            .map(Zeroizing::new)
            .map_err(|_| Error::Sealed)
    }
}

impl fmt::Debug for StateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StateKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place<'_> = Place {
        table: "credential",
        row: 7,
        column: "refresh",
    };

    #[test]
    fn a_mask_never_shows_more_than_a_quarter() {
        let check = |token: &str, shown: &str| {
            assert_eq!(mask(token), shown);
            assert!((mask(token).chars().count() - 1) * 4 <= token.chars().count());
        };
        check("", "…");
        check("seven77", "…");
        check("eight888", "e…8");
        check("0123456789abcdef", "01…ef");
        check(&"x".repeat(2000), "xxxx…xxxx");
        check("密钥密钥密钥密钥", "密…钥");
    }

    #[test]
    fn sealed_bytes_open_only_in_their_place_with_their_key() {
        let key = StateKey::new(&[1; 32]);
        let sealed = key.seal(PLACE, b"refresh-token").unwrap();
        assert_eq!(sealed.len(), b"refresh-token".len() + OVERHEAD);
        assert_eq!(&**key.open(PLACE, &sealed).unwrap(), b"refresh-token");

        let elsewhere = Place { row: 8, ..PLACE };
        assert!(key.open(elsewhere, &sealed).is_err());
        assert!(StateKey::new(&[2; 32]).open(PLACE, &sealed).is_err());
        for cut in 0..sealed.len() {
            assert!(key.open(PLACE, &sealed[..cut]).is_err());
        }
    }

    #[test]
    fn fingerprints_differ_by_key_and_token() {
        let key = StateKey::new(&[1; 32]);
        assert_eq!(key.fingerprint("a"), key.fingerprint("a"));
        assert_ne!(key.fingerprint("a"), key.fingerprint("b"));
        assert_ne!(
            key.fingerprint("a"),
            StateKey::new(&[2; 32]).fingerprint("a")
        );
    }
}
