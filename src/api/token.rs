//! `/api/token/…`: New API's token management on the gateway's own rows.
//!
//! A call is three steps: what the headers claim (`auth.rs`), what the body wishes (`token/input.rs`,
//! `token/rules.rs`), and one job in which the caller is looked up and the rows are read or written.
//! Answers are in `token/answer.rs`. Keys are minted here, for callers who are known; nothing is cached.

mod answer;
mod caller;
mod create;
mod id;
mod input;
mod page;
mod rules;
mod update;

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::Path;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use axum::routing::{get, post};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::envelope::{Refusal, done, success};
use super::message::{Expected, Message};
use super::openapi::{self, Refusals};
use super::{ErrorStatus, PublicIds, SearchShape, Throttle};
use crate::clock::Clock;
use crate::database::Halt;
use crate::gateway::{self, OnDemand};
use crate::mint::{Mint, OneHubMint};
use crate::notify::Locale;
use crate::store::Store;
use caller::Caller;
use input::Value;
use page::{Page, Query};

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
        .routes(routes!(list, create::create, update::update))
        .routes(routes!(search))
        .routes(routes!(delete_many))
        .routes(routes!(one, delete_one))
        .split_for_parts();
    described
        .route(
            "/api/token",
            get(list).post(create::create).put(update::update),
        )
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
    params(("id" = String, Path, description = "The token's number or public id.", pattern = r"^(?:[+-]?0*[1-9][0-9]*|t[0-9A-Za-z]{7,14})$")),
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

/// Deletes one own token.
#[utoipa::path(
    delete,
    path = "/api/token/{id}",
    params(("id" = String, Path, description = "The token's number or public id.", pattern = r"^(?:[+-]?0*[1-9][0-9]*|t[0-9A-Za-z]{7,14})$")),
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

/// A body that is none of those that are understood.
const NO_OBJECT: Message = Message::Wrong("body", Expected::Objects);

fn whole(body: Result<Bytes, BytesRejection>) -> Result<Bytes, Message> {
    body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Message::TooLarge,
        _ => Message::BodyNotJson,
    })
}
