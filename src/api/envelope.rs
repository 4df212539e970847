//! What every answer looks like: `{"data":…,"message":"…","success":…}`, the gateways' own shape.
//!
//! `data` is absent from refusals and where there is nothing to say, as the gateways have it. A refusal of
//! the business is HTTP 200 unless `api.error_status` asks for real ones; one of the protocol keeps its own.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::message::Message;
use crate::notify::Locale;

/// The content type of every answer.
pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");

#[derive(Serialize)]
struct Envelope<'a, T> {
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<T>,
    message: &'a str,
    success: bool,
}

/// An answer with `data`.
pub(super) fn success<T: Serialize>(data: T) -> Response {
    wear(StatusCode::OK, Some(data), "", true)
}

/// An answer that says no more than that it is done.
pub(super) fn done() -> Response {
    wear(StatusCode::OK, None::<()>, "", true)
}

/// What stands in the way of the whole process, for monitors.
pub(super) fn unready(obstacles: Vec<&'static str>) -> Response {
    let status = StatusCode::SERVICE_UNAVAILABLE;
    wear(status, Some(obstacles), "not ready", false)
}

/// An answer that says no.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) message: Message,
    pub(super) locale: Locale,
    /// Whether a refusal of the business has a status of its own.
    pub(super) telling: bool,
    /// Seconds to wait before the next call.
    pub(super) retry_after: Option<u64>,
}

impl Refusal {
    /// A refusal that has nothing to do with tokens.
    pub(super) fn of_protocol(message: Message, locale: Locale) -> Self {
        Self {
            message,
            locale,
            telling: true,
            retry_after: None,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = if self.telling || self.message.is_of_protocol() {
            self.message.status()
        } else {
            StatusCode::OK
        };
        let text = self.message.text(self.locale);
        let mut answer = wear(status, None::<()>, &text, false);
        if status == StatusCode::UNAUTHORIZED {
            // RFC 9110 section 11.6.1 asks for it; browsers show no dialogue for this scheme.
            let scheme = HeaderValue::from_static("Bearer");
            answer
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, scheme);
        }
        if let Some(seconds) = self.retry_after {
            let headers = answer.headers_mut();
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        answer
    }
}

fn wear<T: Serialize>(
    status: StatusCode,
    data: Option<T>,
    message: &str,
    success: bool,
) -> Response {
    let envelope = Envelope {
        data,
        message,
        success,
    };
    // Only what is no JSON could fail: a map with other keys than text.
    let (status, body) = match serde_json::to_vec(&envelope) {
        Ok(body) => (status, body),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, Vec::new()),
    };
    let mut answer = Response::new(Body::from(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, JSON);
    answer
}
