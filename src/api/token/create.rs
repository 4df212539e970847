//! `POST /api/token/`: one new token, or several in one transaction.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use secrecy::SecretString;
use tracing::{error, warn};

use super::caller::Caller;
use super::input::{self, Value};
use super::rules::{Limits, Wish};
use super::{Answer, NO_OBJECT, TokenApi, whole};
use crate::api::envelope::success;
use crate::api::message::Message;
use crate::api::openapi::Refusals;
use crate::database::Halt;
use crate::gateway::{Key, Kind, NewToken, Tables, Token};
use crate::secret::ExposeSecret as _;
use crate::telemetry::chain;

/// The most tokens that one call creates.
const AT_ONCE: usize = 100;

/// Creates a token; an array creates all of them or none. The answer has the keys.
#[utoipa::path(
    post,
    path = "/api/token/",
    request_body(content = ref("#/components/schemas/NewTokens"), content_type = "application/json"),
    responses((status = 200, description = "The row, or the rows of an array.", body = ref("#/components/schemas/CreatedAnswer")), Refusals),
)]
pub(super) async fn create(caller: Caller, body: Result<Bytes, BytesRejection>) -> Answer {
    let asked = caller.asks(Wanted::read(body)).await?;
    let user = asked.user;
    let now = caller.api.clock.now().timestamp();
    let news = asked.wish.creations(asked.limits, now);
    let news = news.map_err(|message| caller.refuse(message))?;
    let is_array = matches!(asked.wish, Wanted::Many(_));
    let keys = caller.api.keys(caller.gateway().await?.kind(), user, &news);
    let keys = keys.map_err(|message| caller.refuse(message))?;
    let api = Arc::clone(&caller.api);
    let created = caller
        .alter(move |tables, caller| {
            if caller.id != user {
                return Err(Halt::Refused(Message::UnknownAccessToken));
            }
            api.check_signature(tables)?;
            let pairs = news.iter().zip(&keys);
            let rows = pairs.enumerate().map(|(place, (new, key))| {
                let of_id = |id| api.one_hub_key(id, user);
                let key = match key {
                    Some(made) => Key::Made(made),
                    None => Key::OfId(&of_id),
                };
                tables.insert(user, new, key).map_err(|halt| match halt {
                    Halt::Refused(message) if is_array => Halt::Refused(message.of_item(place)),
                    halt => halt,
                })
            });
            rows.collect::<Result<Vec<Token>, _>>()
        })
        .await
        .inspect_err(|refusal| tell_unusable(&refusal.message))?;
    match created.as_slice() {
        [row] if !is_array => Ok(success(caller.api.row(row))),
        _ => Ok(success(caller.api.rows(&created))),
    }
}

/// The caller cannot mend One-Hub's alphabet: whoever runs this has to.
fn tell_unusable(message: &Message) {
    match message {
        Message::InArray(_, inner) => tell_unusable(inner),
        Message::KeyUnusable(reason) => {
            warn!(reason = chain(reason), "no usable key can be made");
        }
        _ => {}
    }
}

/// What a creation asks for.
enum Wanted {
    One(Wish),
    Many(Vec<Wish>),
}

impl Wanted {
    fn read(body: Result<Bytes, BytesRejection>) -> Result<Self, Message> {
        match input::read(&whole(body)?)? {
            Value::Object(given) => Wish::of(&given).map(Self::One),
            Value::List(items) if items.is_empty() => Err(Message::BadParameters),
            Value::List(items) if items.len() > AT_ONCE => Err(Message::TooMany(AT_ONCE)),
            Value::List(items) => {
                let wishes = items.iter().enumerate().map(|(place, item)| {
                    let wish = match item {
                        Value::Object(given) => Wish::of(given),
                        _ => Err(NO_OBJECT),
                    };
                    wish.map_err(|message| message.of_item(place))
                });
                wishes.collect::<Result<_, _>>().map(Self::Many)
            }
            _ => Err(NO_OBJECT),
        }
    }

    fn creations(&self, limits: Limits, now: i64) -> Result<Vec<NewToken>, Message> {
        match self {
            Self::One(wish) => Ok(vec![wish.creation(limits, now)?]),
            Self::Many(wishes) => {
                let news = wishes.iter().enumerate().map(|(place, wish)| {
                    let new = wish.creation(limits, now);
                    new.map_err(|message| message.of_item(place))
                });
                news.collect()
            }
        }
    }
}

impl TokenApi {
    /// The keys of new rows of `user`; none where the row's id comes first (One-Hub).
    fn keys(
        &self,
        kind: Kind,
        user: i64,
        news: &[NewToken],
    ) -> Result<Vec<Option<SecretString>>, Message> {
        match kind {
            Kind::OneHub if self.one_hub.is_none() => Err(Message::KeySecretMissing),
            Kind::OneHub => Ok(vec![None; news.len()]),
            Kind::NewApi | Kind::OneApi | Kind::Embedded => {
                let now = self.clock.now();
                let keys = news.iter().map(|_| self.mint.key(user, now).map(Some));
                keys.collect::<Result<_, _>>().map_err(|error| {
                    error!(error = chain(&error), "no key can be made");
                    Message::KeyNotMade
                })
            }
        }
    }

    /// One-Hub refuses keys that it did not sign: its newest must be one of our mint's.
    fn check_signature(&self, tables: &Tables<'_>) -> Result<(), Halt<Message>> {
        let Some(mint) = self
            .one_hub
            .as_ref()
            .filter(|_| tables.kind() == Kind::OneHub)
        else {
            return Ok(());
        };
        match tables.newest_signed_key()? {
            Some((token, key)) if !mint.made(key.expose_secret(), token) => {
                Err(Halt::Refused(Message::KeySecretForeign))
            }
            _ => Ok(()),
        }
    }

    fn one_hub_key(&self, token: i64, user: i64) -> Result<SecretString, Message> {
        let mint = self.one_hub.as_ref().ok_or(Message::KeySecretMissing)?;
        mint.key(token, user).map_err(Message::KeyUnusable)
    }
}
