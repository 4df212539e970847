//! The embedded HTTP module: a router over an own accept loop.
//!
//! `daemon.rs` binds, builds the [`router`] and serves it. Every answer of this module, refusals too,
//! wears the gateways' envelope `{"success":…,"message":…,"data":…}`. A resource is one file in `api/`
//! and one line in [`router`]. Handlers read and change rows; none exchanges, delivers or notifies (I5).

mod health;
mod listener;
mod message;
mod token;

use axum::Json;
use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

pub use health::{Probe, Readiness};
pub use listener::{Error, Listener, bind, serve};

/// Everything that is served; `ready` tells at each call whether the process can do its job.
pub fn router(ready: Probe) -> Router {
    Router::new()
        .merge(health::routes(ready))
        .fallback(async || refusal(StatusCode::NOT_FOUND, "no such path"))
        .method_not_allowed_fallback(async || {
            refusal(StatusCode::METHOD_NOT_ALLOWED, "method not allowed")
        })
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

fn refusal(status: StatusCode, message: &'static str) -> Response {
    refusal_with(status, message, ())
}

fn refusal_with<T: Serialize>(status: StatusCode, message: &'static str, data: T) -> Response {
    let envelope = Envelope {
        success: false,
        message,
        data,
    };
    (status, Json(envelope)).into_response()
}
