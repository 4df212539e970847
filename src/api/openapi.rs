//! `/api/openapi.json`: what is served, said by the code that serves it (`OpenAPI` 3.1).
//!
//! Paths, parameters and answers stand at the handlers; what all calls share, and the shapes of bodies
//! (`openapi/schema.rs`), is added here. The page is made once, for this configuration, and is open to
//! everybody: it holds no secret. Health pages are absent, they are no API.

mod schema;

use std::collections::BTreeMap;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use serde_json::{Value, json};
use utoipa::IntoResponses;
use utoipa::openapi::{Content, InfoBuilder, OpenApi, Ref, RefOr, ResponseBuilder};

use super::token::Style;

/// What any call may be refused with.
pub(super) struct Refusals;

impl IntoResponses for Refusals {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        let refusals = [
            (
                "400",
                "The request cannot be read; with api.error_status = \"http\" also: it may not be done so.",
            ),
            (
                "401",
                "No access token, an unknown, expired or revoked one, or one of a user who may not call.",
            ),
            (
                "404",
                "There is no such path; with api.error_status = \"http\" also: no such token.",
            ),
            ("408", "The request did not arrive in time."),
            (
                "409",
                "With api.error_status = \"http\": the token's state does not allow it.",
            ),
            ("413", "The body is larger than 64 KiB."),
            (
                "429",
                "Too many failed logins from this address within a minute; Retry-After says how long to wait.",
            ),
            ("500", "The gateway's database or our own failed."),
            (
                "503",
                "The gateway's database is locked by others; Retry-After says how long to wait.",
            ),
        ];
        let response = |description: &str| {
            let refusal = Content::new(Some(Ref::from_schema_name("Refusal")));
            let response = ResponseBuilder::new().description(description);
            RefOr::T(response.content("application/json", refusal).build())
        };
        let refusals = refusals.into_iter();
        refusals
            .map(|(status, description)| (status.to_owned(), response(description)))
            .collect()
    }
}

/// The page about `paths`, as it is served.
pub(super) fn routes(mut paths: OpenApi, style: Style) -> Router {
    paths.info = InfoBuilder::new()
        .title("keyfresh: token management")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "New API's token management on the gateway's own rows. Refusals of the business are HTTP 200 \
             with success = false, unless api.error_status = \"http\". Messages are Chinese or English, by \
             Accept-Language.",
        ))
        .build();
    let page = Bytes::from(document(&paths, style).to_string());
    let show = async move || -> Response {
        let json = HeaderValue::from_static("application/json; charset=utf-8");
        ([(header::CONTENT_TYPE, json)], page.clone()).into_response()
    };
    Router::new().route("/api/openapi.json", get(show))
}

fn document(paths: &OpenApi, style: Style) -> Value {
    let mut page = json!(paths);
    page["components"] = json!({
        "schemas": schema::all(style),
        "securitySchemes": {
            "accessToken": {
                "type": "http",
                "scheme": "bearer",
                "description":
                    "A gateway user's access token, or a bearer of `keyfresh user token`; `Bearer` may be left off. \
                     New-Api-User may name the user, and must be right if it does.",
            },
        },
    });
    page["security"] = json!([{ "accessToken": [] }]);
    let operations = page["paths"].as_object_mut().into_iter().flatten();
    for operation in operations.flat_map(|(_, item)| item.as_object_mut().into_iter().flatten()) {
        // An empty body is refused wherever there may be one.
        if let Some(body) = operation.1.get_mut("requestBody") {
            body["required"] = json!(true);
        }
    }
    page["servers"] = json!([{ "url": "/" }]);
    page
}
