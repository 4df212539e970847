//! The embedded HTTP module: a router over an own accept loop.
//!
//! `daemon.rs` binds, builds the [`router`] and serves it. Every answer of this module, refusals too,
//! wears the gateways' envelope `{"success":…,"message":…,"data":…}`. A resource is one file in `api/`
//! and one line in [`router`]; what holds for all of them is in `manners.rs`. Handlers read and change
//! rows; none exchanges, delivers or notifies (I5).

mod health;
mod listener;
mod manners;
mod message;
mod peer;
mod settings;
mod throttle;
mod token;

use axum::Json;
use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

pub use health::{Probe, Readiness};
pub use listener::{Error, Listener, Terms, bind, serve};
pub use manners::RequestId;
pub use peer::{Peer, Proxies};
pub use settings::{ErrorStatus, PublicIds, SearchShape};
pub use throttle::{RetryAfter, Throttle};

/// Everything that is served; `ready` tells at each call whether the process can do its job.
pub fn router(ready: Probe) -> Router {
    Router::new()
        .merge(health::routes(ready))
        .fallback(async || Protocol::NotFound)
        .method_not_allowed_fallback(async || Protocol::MethodNotAllowed)
}

/// Refusals that have nothing to do with tokens; each keeps its HTTP status. One more, 431 for a head
/// beyond its limit, hyper sends by itself, without a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Malformed,
    NotFound,
    MethodNotAllowed,
    Timeout,
    TooLarge,
    TooMany,
    Internal,
}

impl Protocol {
    fn status(self) -> StatusCode {
        match self {
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Timeout => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn message(self) -> &'static str {
        match self {
            Self::Malformed => "malformed request",
            Self::NotFound => "no such path",
            Self::MethodNotAllowed => "method not allowed",
            Self::Timeout => "the request did not arrive in time",
            Self::TooLarge => "the request's body is too large",
            Self::TooMany => "too many failed attempts, try again later",
            Self::Internal => "internal error",
        }
    }
}

impl IntoResponse for Protocol {
    fn into_response(self) -> Response {
        refusal_with(self.status(), self.message(), ())
    }
}

/// What every answer looks like.
#[derive(Debug, Serialize)]
struct Envelope<T> {
    success: bool,
    message: &'static str,
    data: T,
}

fn success<T: Serialize>(data: T) -> Response {
    let envelope = Envelope {
        success: true,
        message: "",
        data,
    };
    Json(envelope).into_response()
}

fn refusal_with<T: Serialize>(status: StatusCode, message: &'static str, data: T) -> Response {
    let envelope = Envelope {
        success: false,
        message,
        data,
    };
    (status, Json(envelope)).into_response()
}
