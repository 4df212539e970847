//! The hostile requests: what is sent, how, and what may come of it. Each is made of a seed alone.

mod body;
mod caller;
mod frame;
mod target;

use crate::dice::Dice;

/// Stands wherever a caller can put a text; as long as a key, and nowhere to be found afterwards.
pub(crate) const CANARY: &str = "CANARYfxCanaryFakeKeyNotASecretFakeKeyNotASecret";

pub(crate) const ALICE: &str = "fixture-access-token-alice-00002";

/// What a caller knows.
pub(crate) struct Knowledge {
    /// A bearer of alice's that is good.
    pub(crate) bearer: String,
    /// The key of a token of alice's.
    pub(crate) key: String,
}

/// How a request is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// At once, and the connection stays open for the answer.
    Whole,
    /// At once, and there is no more to come.
    Halved,
    /// In small pieces, and there is no more to come.
    Torn,
    /// At once, and the caller is gone before the answer.
    Abandoned,
}

/// What may come of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Whatever no rule forbids.
    Any,
    /// No success.
    Refused,
    /// This status.
    Status(u16),
    /// So many answers.
    Answers(usize),
}

#[derive(Clone, Debug)]
pub(crate) struct Attack {
    pub(crate) bytes: Vec<u8>,
    pub(crate) way: Way,
    pub(crate) outcome: Outcome,
}

impl Attack {
    fn new(bytes: Vec<u8>, outcome: Outcome) -> Self {
        Self {
            bytes,
            way: Way::Whole,
            outcome,
        }
    }

    /// Nobody waits for the rest of it.
    fn halved(mut self) -> Self {
        self.way = Way::Halved;
        self
    }
}

type Shape = fn(&mut Dice, &Knowledge) -> Attack;

/// Each is used as often as any other.
const SHAPES: &[(&str, Shape)] = &[
    ("torn JSON", body::torn),
    ("mangled JSON", body::mangled),
    ("depth bomb", body::deep),
    ("odd number", body::number),
    ("wrong type", body::wrong_type),
    ("text that is none", body::broken_text),
    ("odd address", body::address),
    ("many ids", body::ids),
    ("a body of noise", body::noise),
    ("odd path", target::path),
    ("odd query", target::query),
    ("odd id", target::id),
    ("foreign id", target::foreign),
    ("odd method", target::method),
    ("an override", target::overridden),
    ("forged bearer", caller::forged),
    ("bent bearer", caller::bent),
    ("not an access token", caller::access_token),
    ("odd New-Api-User", caller::named),
    ("header flood", frame::flood),
    ("odd header", frame::header),
    ("odd length", frame::length),
    ("smuggled request", frame::smuggled),
    ("odd chunks", frame::chunks),
    ("another protocol", frame::protocol),
    ("pipeline", frame::pipeline),
];

/// The attack with this number, and its name.
pub(crate) fn attack(seed: u64, number: u64, knowledge: &Knowledge) -> (&'static str, Attack) {
    let mut dice = Dice::new(seed, number);
    let place = usize::try_from(number).unwrap() % SHAPES.len();
    let (name, shape) = SHAPES[place];
    let mut attack = shape(&mut dice, knowledge);
    match dice.below(20) {
        0 => attack.way = Way::Torn,
        1 => (attack.way, attack.outcome) = (Way::Abandoned, Outcome::Any),
        _ => {}
    }
    (name, attack)
}

/// A request of alice's with a body, ended by its length.
fn request(method: &str, target: &str, body: &[u8]) -> Vec<u8> {
    let headers = format!("authorization: {ALICE}\r\n");
    with_headers(method, target.as_bytes(), headers.as_bytes(), body)
}

/// A request with these headers, each ended.
fn with_headers(method: &str, target: &[u8], headers: &[u8], body: &[u8]) -> Vec<u8> {
    let length = format!("content-length: {}\r\n", body.len());
    let parts: [&[u8]; 8] = [
        method.as_bytes(),
        b" ",
        target,
        b" HTTP/1.1\r\nhost: x\r\nconnection: close\r\n",
        headers,
        length.as_bytes(),
        b"\r\n",
        body,
    ];
    parts.concat()
}
