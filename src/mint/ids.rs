//! Ids that hide numbers: sqids over an alphabet that the salt shuffles, and public ids made of them.
//!
//! sqids hides, it does not protect: whoever collects many ids can work the alphabet out. What must
//! not be forged is signed besides.

use ring::hmac;
use sqids::Sqids;

use super::base62::DIGITS;
use super::{Error, IdKind};

/// The 62 alphanumerics in an order that `key` decides, the same for ever: a Fisher–Yates shuffle from
/// the last place down, its dice the bytes of HMAC-SHA256(key, 0), HMAC-SHA256(key, 1), … with the
/// counter as eight bytes, most significant first. A byte that would favour some place is skipped.
pub(super) fn shuffled(key: &[u8; 32]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let mut dice = (0_u64..).flat_map(|block| {
        let bytes = hmac::sign(&key, &block.to_be_bytes());
        bytes.as_ref().to_vec()
    });
    let mut letters = *DIGITS;
    for last in (1..letters.len()).rev() {
        let places = last + 1;
        let fair = 256 - 256 % places;
        let place = dice.by_ref().map(usize::from).find(|it| *it < fair);
        letters.swap(last, place.unwrap_or(last) % places);
    }
    letters.iter().copied().map(char::from).collect()
}

/// Numbers as text of at least some length, and back.
pub(super) struct Ids(Sqids);

impl Ids {
    /// Over this alphabet, without a block list. The list that sqids brings would not lengthen an id (a
    /// blocked one is written again from another letter, with as many digits), but it may change with
    /// the library, and then ids already given away would no longer be canonical.
    pub(super) fn new(alphabet: &str, least: u8) -> Result<Self, Error> {
        let builder = Sqids::builder().blocklist(std::collections::HashSet::new());
        Self::build(builder, alphabet, least)
    }

    /// The same with the block list that sqids brings, as One-Hub has it.
    pub(super) fn with_block_list(alphabet: &str, least: u8) -> Result<Self, Error> {
        Self::build(Sqids::builder(), alphabet, least)
    }

    fn build(builder: sqids::SqidsBuilder, alphabet: &str, least: u8) -> Result<Self, Error> {
        let builder = builder
            .alphabet(alphabet.chars().collect())
            .min_length(least);
        builder.build().map(Self).map_err(Error::Alphabet)
    }

    /// The text of `numbers`; `None` if the block list leaves none, which without it cannot be.
    pub(super) fn encode(&self, numbers: &[u64]) -> Option<String> {
        self.0.encode(numbers).ok()
    }

    /// The numbers of a text as [`encode`](Self::encode) writes it: many more texts can be decoded.
    /// The time grows with the square of the length, which callers bound.
    pub(super) fn decode<const N: usize>(&self, text: &str) -> Option<[u64; N]> {
        let numbers: [u64; N] = self.0.decode(text).try_into().ok()?;
        (self.encode(&numbers)? == text).then_some(numbers)
    }
}

/// What a public id begins with: sqids alone may be all digits, and pass for a number.
const MARK: char = 't';

/// The fewest characters after the mark, and the most: a first letter, the kind, a separator, and 11
/// digits to the base of 61 for 64 bits.
const LEAST: u8 = 7;
const MOST: usize = 14;

/// Ids of rows as outsiders see them.
pub(super) struct PublicIds(Ids);

impl PublicIds {
    pub(super) fn new(alphabet: &str) -> Result<Self, Error> {
        Ids::new(alphabet, LEAST).map(Self)
    }

    pub(super) fn of(&self, kind: IdKind, id: i64) -> String {
        let mut text = MARK.to_string();
        // Always something: there is no block list.
        text.extend(self.0.encode(&[number(kind), id.cast_unsigned()]));
        text
    }

    pub(super) fn read(&self, kind: IdKind, text: &str) -> Option<i64> {
        let text = text.strip_prefix(MARK).filter(|text| text.len() <= MOST)?;
        let [stored, id] = self.0.decode(text)?;
        (stored == number(kind)).then_some(id.cast_signed())
    }
}

/// Fixed for ever: it is part of ids that were given away.
fn number(kind: IdKind) -> u64 {
    match kind {
        IdKind::User => 1,
        IdKind::Token => 2,
    }
}
