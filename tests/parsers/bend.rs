//! Bytes bent at random: changed, cut, repeated, with pieces put in that matter to a parser.

use proptest::prelude::*;
use proptest::sample::Index;

/// What JSON, TOML and HTTP look at.
const PIECES: &[&[u8]] = &[
    b"\"",
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b"{",
    b"}",
    b"[[[[[[[[",
    b"]",
    b",",
    b":",
    b"null",
    b"true",
    b"-1",
    b"1e400",
    b"99999999999999999999999999",
    b"\0",
    b"\r\n",
    b"\r\n\r\n",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\"access_token\":\"bent\",",
    b"\"refresh_token\":null,",
    b"=",
    b"#",
    b"'''",
];

/// One change.
#[derive(Clone, Debug)]
enum Bend {
    /// One byte becomes another.
    Byte(Index, u8),
    /// Everything from here on is gone.
    Cut(Index),
    /// What lies between is gone.
    Without(Index, Index),
    /// What lies between comes twice.
    Twice(Index, Index),
    /// A piece is put in.
    Piece(Index, &'static [u8]),
}

impl Bend {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let end = bytes.len();
        let between = |one: &Index, other: &Index| {
            let (one, other) = (one.index(end + 1), other.index(end + 1));
            one.min(other)..one.max(other)
        };
        match self {
            Self::Byte(place, byte) if end > 0 => bytes[place.index(end)] = *byte,
            Self::Byte(..) => {}
            Self::Cut(place) => bytes.truncate(place.index(end + 1)),
            Self::Without(one, other) => {
                bytes.drain(between(one, other));
            }
            Self::Twice(one, other) => {
                let place = between(one, other);
                let again = bytes[place.clone()].to_vec();
                bytes.splice(place.end..place.end, again);
            }
            Self::Piece(place, piece) => {
                let place = place.index(end + 1);
                bytes.splice(place..place, piece.iter().copied());
            }
        }
    }
}

fn bend() -> impl Strategy<Value = Bend> {
    let place = any::<Index>;
    prop_oneof![
        4 => (place(), any::<u8>()).prop_map(|(place, byte)| Bend::Byte(place, byte)),
        2 => place().prop_map(Bend::Cut),
        1 => (place(), place()).prop_map(|(one, other)| Bend::Without(one, other)),
        1 => (place(), place()).prop_map(|(one, other)| Bend::Twice(one, other)),
        4 => (place(), prop::sample::select(PIECES)).prop_map(|(place, piece)| Bend::Piece(place, piece)),
    ]
}

/// A few of them, or none.
#[derive(Clone, Debug)]
pub(crate) struct Bends(Vec<Bend>);

impl Bends {
    pub(crate) fn of(&self, bytes: &[u8]) -> Vec<u8> {
        let mut bent = bytes.to_vec();
        for bend in &self.0 {
            bend.apply(&mut bent);
        }
        bent
    }
}

pub(crate) fn bends() -> impl Strategy<Value = Bends> {
    prop::collection::vec(bend(), 0..5).prop_map(Bends)
}

/// One of the `seeds`, bent.
pub(crate) fn bent(seeds: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    (prop::sample::select(seeds), bends()).prop_map(|(bytes, bends)| bends.of(&bytes))
}
