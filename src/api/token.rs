//! `/api/token/…`: New API's token management on the gateway's own rows.
//!
//! A call is three steps: what the headers claim (`auth.rs`), what the body wishes (`token/input.rs`,
//! `token/rules.rs`), and one job in which the caller is looked up and the rows are read or written.
//! Answers are in `token/answer.rs`. Keys are minted here, for callers who are known; nothing is cached.

mod answer;
mod caller;
mod id;
mod input;
mod page;
mod rules;

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::Path;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use axum::routing::{get, post};
use secrecy::SecretString;
use tracing::error;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::envelope::{Refusal, done, success};
use super::message::{Expected, Message};
use super::openapi::{self, Refusals};
use super::{ErrorStatus, PublicIds, SearchShape, Throttle};
use crate::clock::Clock;
use crate::database::Halt;
use crate::gateway::{self, Key, Kind, NewToken, OnDemand, Token};
use crate::mint::{Mint, OneHubMint};
use crate::notify::Locale;
use crate::store::Store;
use crate::telemetry::chain;
use caller::Caller;
use input::{Given, Member, Value};
use page::{Page, Query};
use rules::{Limits, Wish};

/// The most tokens that one call creates.
const AT_ONCE: usize = 100;

/// What the resource works with.
pub struct TokenApi {
    /// Whose tokens.
    pub gateway: Arc<OnDemand>,
    /// Our own state, for the generations of bearers.
    pub store: Store,
    /// Makes keys and public ids, reads bearers.
    pub mint: Mint,
    /// Makes One-Hub's keys, if its secret is configured.
    pub one_hub: Option<OneHubMint>,
    /// Counts failed logins.
    pub throttle: Throttle,
    /// The time.
    pub clock: Clock,
    /// How answers look.
    pub style: Style,
}

/// How answers look, and what names are too long.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// `locale`: the language of callers who ask for none.
    pub locale: Locale,
    /// `api.name_limit`, in characters.
    pub name_limit: usize,
    /// `api.search_shape`.
    pub search_shape: SearchShape,
    /// `api.public_ids`.
    pub public_ids: PublicIds,
    /// `api.error_status`.
    pub error_status: ErrorStatus,
}

type Shared = Arc<TokenApi>;
type Answer = Result<Response, Refusal>;

/// The routes, each with and without its last slash, and the page that describes them.
pub(super) fn routes(api: Shared) -> Router {
    let style = api.style;
    let (described, page) = OpenApiRouter::new()
        .routes(routes!(list, create, update))
        .routes(routes!(search))
        .routes(routes!(delete_many))
        .routes(routes!(one, delete_one))
        .split_for_parts();
    described
        .route("/api/token", get(list).post(create).put(update))
        .route("/api/token/search/", get(search))
        .route("/api/token/batch/", post(delete_many))
        .route("/api/token/{id}/", get(one).delete(delete_one))
        .with_state(api)
        .merge(openapi::routes(page, style))
}

/// Own tokens, newest first.
#[utoipa::path(
    get,
    path = "/api/token/",
    params(
        ("p" = Option<String>, Query, description = "The page, from 1; what is no such number counts as 1."),
        ("page_size" = Option<String>, Query, description = "1 to 100 rows, 20 if not said; more counts as 100."),
        ("ps" = Option<String>, Query, description = "The same, where page_size is not given."),
        ("size" = Option<String>, Query, description = "The same, where neither is given."),
    ),
    responses((status = 200, description = "A page.", body = ref("#/components/schemas/PageAnswer")), Refusals),
)]
async fn list(caller: Caller, uri: Uri) -> Answer {
    let page = Page::of(&Query::of(&uri));
    let (user, found) = caller
        .view(move |tables, user| {
            let found = tables.page(user.id, page.offset(), page.size)?;
            Ok((user.id, found))
        })
        .await?;
    let found = match found {
        Some(found) => found,
        None => caller.page(user, page).await?,
    };
    Ok(success(caller.paged(page, found.total, &found.tokens)))
}

/// Own tokens whose name and key contain a text, newest first, at most 1,000.
#[utoipa::path(
    get,
    path = "/api/token/search",
    params(
        ("keyword" = Option<String>, Query, description = "A part of the name, literally."),
        ("token" = Option<String>, Query, description = "A part of the key, literally; a leading sk- is left off."),
        ("p" = Option<String>, Query, description = "The page, where api.search_shape = \"page\"."),
        ("page_size" = Option<String>, Query, description = "Its size, as for the list."),
    ),
    responses((status = 200, description = "An array, or a page where api.search_shape = \"page\".", body = ref("#/components/schemas/SearchAnswer")), Refusals),
)]
async fn search(caller: Caller, uri: Uri) -> Answer {
    let query = Query::of(&uri);
    let name = query.text("keyword").unwrap_or_default();
    let key = query.text("token").unwrap_or_default();
    let key = key.strip_prefix("sk-").unwrap_or(&key);
    let user = caller.view(|_, user| Ok(user.id)).await?;
    let gateway = caller.gateway().await?;
    let found = gateway.search(user, &name, key).await;
    let found = found.map_err(|error| caller.failed(&error))?;
    match caller.style().search_shape {
        SearchShape::Array => Ok(success(caller.rows(&found))),
        SearchShape::Page => {
            let page = Page::of(&query);
            let total = i64::try_from(found.len()).unwrap_or(i64::MAX);
            let skipped = usize::try_from(page.offset()).unwrap_or(usize::MAX);
            let rest = found.get(skipped..).unwrap_or_default();
            let shown = rest.get(..page.size).unwrap_or(rest);
            Ok(success(caller.paged(page, total, shown)))
        }
    }
}

/// One own token.
#[utoipa::path(
    get,
    path = "/api/token/{id}",
    params(("id" = String, Path, description = "The token's number or public id.")),
    responses((status = 200, description = "The token.", body = ref("#/components/schemas/TokenAnswer")), Refusals),
)]
async fn one(caller: Caller, id: Result<Path<String>, PathRejection>) -> Answer {
    let id = caller.api.id_of_path(id);
    let found = caller
        .view(move |tables, user| {
            let id = id.clone().map_err(Halt::Refused)?;
            let found = tables.token(user.id, id)?;
            found.ok_or(Halt::Refused(Message::NoToken))
        })
        .await?;
    Ok(success(caller.row(&found)))
}

/// Creates a token; an array creates all of them or none. The answer has the keys.
#[utoipa::path(
    post,
    path = "/api/token/",
    request_body(content = ref("#/components/schemas/NewTokens"), content_type = "application/json"),
    responses((status = 200, description = "The row, or the rows of an array.", body = ref("#/components/schemas/CreatedAnswer")), Refusals),
)]
async fn create(caller: Caller, body: Result<Bytes, BytesRejection>) -> Answer {
    let asked = caller.asks(Wanted::read(body)).await?;
    let user = asked.user;
    let now = caller.api.clock.now().timestamp();
    let news = asked.wish.creations(asked.limits, now);
    let news = news.map_err(|message| caller.refuse(message))?;
    let keys = caller.api.keys(caller.gateway().await?.kind(), user, &news);
    let keys = keys.map_err(|message| caller.refuse(message))?;
    let api = Arc::clone(&caller.api);
    let created = caller
        .alter(move |tables, caller| {
            if caller.id != user {
                return Err(Halt::Refused(Message::UnknownAccessToken));
            }
            let pairs = news.iter().zip(&keys);
            let rows = pairs.map(|(new, key)| {
                let of_id = |id| api.one_hub_key(id, user);
                let key = match key {
                    Some(made) => Key::Made(made),
                    None => Key::OfId(&of_id),
                };
                tables.insert(user, new, key)
            });
            rows.collect::<Result<Vec<Token>, _>>()
        })
        .await?;
    match (&asked.wish, created.as_slice()) {
        (Wanted::One(_), [row]) => Ok(success(caller.row(row))),
        _ => Ok(success(caller.rows(&created))),
    }
}

/// Changes what is given and keeps what is not.
#[utoipa::path(
    put,
    path = "/api/token/",
    params(("status_only" = Option<String>, Query, description = "Any text but 0 and false: only status is looked at.")),
    request_body(content = ref("#/components/schemas/TokenChange"), content_type = "application/json"),
    responses((status = 200, description = "The row as it is now.", body = ref("#/components/schemas/TokenAnswer")), Refusals),
)]
async fn update(caller: Caller, uri: Uri, body: Result<Bytes, BytesRejection>) -> Answer {
    let only = Query::of(&uri).text("status_only");
    let status_only = only.is_some_and(|only| !["", "0", "false"].contains(&only.as_str()));
    let asked = object(body).and_then(|given| {
        let id = given.id(Member::Id, |text| caller.api.id_of(text))?;
        if id == 0 {
            return Err(Message::NoId);
        }
        let wish = if status_only {
            Wish::of_status(&given)
        } else {
            Wish::of(&given)
        };
        Ok((id, wish?))
    });
    let asked = caller.asks(asked).await?;
    let (id, wish) = asked.wish;
    let now = caller.api.clock.now().timestamp();
    let changed = caller
        .alter(move |tables, user| {
            let stored = tables.token(user.id, id)?;
            let stored = stored.ok_or(Halt::Refused(Message::NoToken))?;
            let change = wish
                .change(&stored, asked.limits, now)
                .map_err(Halt::Refused)?;
            tables.update(&stored, &change)
        })
        .await?;
    Ok(success(caller.row(&changed)))
}

/// Deletes one own token.
#[utoipa::path(
    delete,
    path = "/api/token/{id}",
    params(("id" = String, Path, description = "The token's number or public id.")),
    responses((status = 200, description = "It is gone.", body = ref("#/components/schemas/Done")), Refusals),
)]
async fn delete_one(caller: Caller, id: Result<Path<String>, PathRejection>) -> Answer {
    let asked = caller.asks(caller.api.id_of_path(id)).await?;
    match caller.delete(vec![asked.wish]).await? {
        0 => Err(caller.refuse(Message::NoToken)),
        _ => Ok(done()),
    }
}

/// Deletes those of the ids that are the caller's.
#[utoipa::path(
    post,
    path = "/api/token/batch",
    request_body(content = ref("#/components/schemas/TokenIds"), content_type = "application/json"),
    responses((status = 200, description = "How many were deleted.", body = ref("#/components/schemas/CountAnswer")), Refusals),
)]
async fn delete_many(caller: Caller, body: Result<Bytes, BytesRejection>) -> Answer {
    let asked = whole(body).and_then(|body| {
        let ids = match input::read(&body) {
            Ok(Value::Object(given)) => given.ids(|text| caller.api.id_of(text)),
            _ => None,
        };
        let ids = ids.filter(|ids| !ids.is_empty());
        ids.ok_or(Message::BadParameters)
    });
    let asked = caller.asks(asked).await?;
    Ok(success(caller.delete(asked.wish).await?))
}

impl Caller {
    /// A page that no single read can give.
    async fn page(&self, user: i64, page: Page) -> Result<gateway::Page, Refusal> {
        let gateway = self.gateway().await?;
        let found = gateway.page(user, page.offset(), page.size).await;
        found.map_err(|error| self.failed(&error))
    }

    /// Deletes those of the ids that are the caller's; tells how many.
    async fn delete(&self, ids: Vec<i64>) -> Result<usize, Refusal> {
        let now = self.api.clock.now();
        self.alter(move |tables, user| Ok(tables.delete(user.id, &ids, now)?))
            .await
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
                    wish.map_err(|message| Message::InArray(place, Box::new(message)))
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
                    new.map_err(|message| Message::InArray(place, Box::new(message)))
                });
                news.collect()
            }
        }
    }
}

const NO_OBJECT: Message = Message::Wrong("body", Expected::Objects);

fn whole(body: Result<Bytes, BytesRejection>) -> Result<Bytes, Message> {
    body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Message::TooLarge,
        _ => Message::BodyNotJson,
    })
}

fn object(body: Result<Bytes, BytesRejection>) -> Result<Given, Message> {
    match input::read(&whole(body)?)? {
        Value::Object(given) => Ok(*given),
        _ => Err(NO_OBJECT),
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

    fn one_hub_key(&self, token: i64, user: i64) -> Result<SecretString, Message> {
        let mint = self.one_hub.as_ref().ok_or(Message::KeySecretMissing)?;
        mint.key(token, user).map_err(|_| Message::KeyUnusable)
    }
}
