//! What holds for every call, whatever it asks for: [`Manners`] stands between a connection and the router.
//!
//! Each call gets an id, is read whole within a time and a size, outlives a panic of its handler, is
//! refused in the envelope, and leaves one line in the log. How long a handler takes is its own affair: a
//! write may wait for a locked gateway, and cutting it off would leave the caller guessing. Neither query,
//! headers nor body reach the log, and of the path nothing as long as a key.

use std::any::Any;
use std::collections::hash_map::RandomState;
use std::convert::Infallible;
use std::fmt;
use std::hash::BuildHasher as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody as _};
use axum::http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use tokio::sync::Semaphore;
use tower_http::catch_panic::CatchPanic;
use tower_service::Service as _;

use super::envelope::{JSON, Refusal};
use super::message::{self, Message};
use super::peer::{Peer, Proxies};
use crate::clock::Clock;
use crate::notify::Locale;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const NO_SNIFFING: HeaderValue = HeaderValue::from_static("nosniff");

/// Room for a request's body; more is answered with 413.
const BODY_BYTES: usize = 64 * 1024;

/// How much of a body that is too large is still read: a caller who is hung up on while sending sees a
/// reset, not the answer.
const DISCARDED_BYTES: usize = 16 * BODY_BYTES;

/// What of a path is logged: so many parts, and whole ones only of a path that is not longer. No path of
/// ours is, but every path with a key or an access token, whose own slashes cut it into short parts.
const SHOWN_PARTS: usize = 8;
const SHOWN_LETTERS: usize = 32;

/// What is shown of a longer path.
const OUR_PARTS: [&str; 5] = ["", "api", "token", "search", "batch"];

/// Stands in the answer's `X-Request-Id` and in the log; an id that the caller sent is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId(u64);

impl RequestId {
    fn header(self) -> Option<HeaderValue> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 16];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0.to_be_bytes()) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        HeaderValue::from_bytes(&text).ok()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Numbers in a row, shuffled (splitmix64 is a bijection): unique in a process, and nobody can count the
/// calls of others.
struct Ids(AtomicU64);

impl Ids {
    fn new() -> Self {
        Self(AtomicU64::new(RandomState::new().hash_one(())))
    }

    fn next(&self) -> RequestId {
        let step = 0x9e37_79b9_7f4a_7c15;
        let mut mixed = self.0.fetch_add(step, Ordering::Relaxed);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        RequestId(mixed ^ (mixed >> 31))
    }
}

type Panicked = fn(Box<dyn Any + Send>) -> Response;

/// A router and what is put around it.
pub(super) struct Manners {
    router: CatchPanic<Router, Panicked>,
    proxies: Proxies,
    locale: Locale,
    request_time: Duration,
    places: Arc<Semaphore>,
    ids: Ids,
    clock: Clock,
}

impl Manners {
    /// `request_time`: how long a caller may take for a body. `places`: those of the connections.
    pub(super) fn new(
        router: Router,
        proxies: Proxies,
        locale: Locale,
        request_time: Duration,
        places: Arc<Semaphore>,
    ) -> Self {
        Self {
            router: CatchPanic::custom(router, panicked),
            proxies,
            locale,
            request_time,
            places,
            ids: Ids::new(),
            clock: Clock::system(),
        }
    }

    /// Answers one request of the connection from `direct`; none is a Unix socket.
    pub(super) async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        direct: Option<IpAddr>,
    ) -> Result<Response, Infallible> {
        let watch = self.clock.stopwatch();
        let peer = self.proxies.peer(direct, request.headers());
        let id = self.ids.next();
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let locale = message::language(request.headers(), self.locale);
        let mut answer = match self.whole(request).await {
            Ok(mut request) => {
                request.extensions_mut().insert(peer);
                request.extensions_mut().insert(id);
                let Ok(answer) = self.router.clone().call(request).await;
                enveloped(answer.map(Body::new), locale)
            }
            Err(refused) => {
                // Whatever else the caller has sent, it is not the next request.
                let close = [(header::CONNECTION, HeaderValue::from_static("close"))];
                (close, Refusal::of_protocol(refused, locale)).into_response()
            }
        };
        let headers = answer.headers_mut();
        // Answers hold keys, and words that their callers chose.
        headers.insert(header::CACHE_CONTROL, NO_STORE);
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, NO_SNIFFING);
        if let Some(value) = id.header() {
            headers.insert(REQUEST_ID, value);
        }
        if self.places.available_permits() == 0 {
            // Others wait for a place: this caller queues again behind them.
            let close = HeaderValue::from_static("close");
            answer.headers_mut().insert(header::CONNECTION, close);
        }
        log(&method, &uri, answer.status(), watch.elapsed(), peer, id);
        Ok(answer)
    }

    /// The request with its body read.
    async fn whole(&self, request: Request<Incoming>) -> Result<Request<Body>, Message> {
        if request.body().is_end_stream() {
            return Ok(request.map(|_| Body::empty()));
        }
        let (head, body) = request.into_parts();
        let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        // A caller who asks first (RFC 9110 section 10.1.1) has sent nothing yet.
        let asks = head.headers.contains_key(header::EXPECT);
        if announced > DISCARDED_BYTES || (asks && announced > BODY_BYTES) {
            return Err(Message::TooLarge);
        }
        let bytes = tokio::time::timeout(self.request_time, read(body))
            .await
            .unwrap_or(Err(Message::TooSlow))?;
        Ok(Request::from_parts(head, Body::from(bytes)))
    }
}

/// All of `body`, or why not; then it is read a good deal further.
async fn read(mut body: Incoming) -> Result<Bytes, Message> {
    match Limited::new(&mut body, BODY_BYTES).collect().await {
        Ok(whole) => return Ok(whole.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {}
        Err(_) => return Err(Message::Malformed),
    }
    let mut discarded = 0;
    while discarded < DISCARDED_BYTES
        && let Some(Ok(frame)) = body.frame().await
    {
        discarded += frame.data_ref().map_or(0, Bytes::len);
    }
    Err(Message::TooLarge)
}

/// The panic's own message is on standard error already; whoever called learns nothing of it.
fn panicked(_message: Box<dyn Any + Send>) -> Response {
    tracing::error!("answering a call ended in a panic: this is a fault in keyfresh, report it");
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}

/// Replaces the body of a refusal that is not ours: axum explains in plain text what it cannot read, or
/// says nothing.
fn enveloped(answer: Response, locale: Locale) -> Response {
    let status = answer.status();
    let is_error = status.is_client_error() || status.is_server_error();
    if !is_error || answer.headers().get(header::CONTENT_TYPE) == Some(&JSON) {
        return answer;
    }
    let mut ours = Refusal::of_protocol(Message::of_status(status), locale).into_response();
    *ours.status_mut() = status;
    for name in [header::ALLOW, header::RETRY_AFTER] {
        if let Some(value) = answer.headers().get(&name) {
            ours.headers_mut().insert(name, value.clone());
        }
    }
    ours
}

/// One line per call: writes and refusals for whoever runs this, reads for whoever looks into it.
fn log(method: &Method, uri: &Uri, status: StatusCode, took: Duration, peer: Peer, id: RequestId) {
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                http.method = shown_method(method),
                http.path = shown_path(uri.path()),
                http.status = status.as_u16(),
                http.milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
                http.peer = %peer,
                http.request_id = %id,
                "answered"
            )
        };
    }
    if status.as_u16() >= 400 || !method.is_safe() {
        line!(info);
    } else {
        line!(debug);
    }
}

/// A method of the caller's own invention may be anything, a key as well.
fn shown_method(method: &Method) -> &str {
    match *method {
        Method::GET
        | Method::HEAD
        | Method::POST
        | Method::PUT
        | Method::PATCH
        | Method::DELETE
        | Method::OPTIONS => method.as_str(),
        _ => "other",
    }
}

fn shown_path(path: &str) -> String {
    let is_short = path.len() <= SHOWN_LETTERS;
    let parts: Vec<&str> = path
        .split('/')
        .take(SHOWN_PARTS)
        .map(|part| {
            // Whoever reads the log's JSON may have a terminal that obeys control characters.
            let is_plain = part.bytes().all(|byte| byte.is_ascii_graphic());
            if OUR_PARTS.contains(&part) || (is_short && is_plain) {
                part
            } else {
                "…"
            }
        })
        .collect();
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_and_look_alike() {
        let ids = Ids::new();
        let [one, other] = [ids.next(), ids.next()];
        assert_ne!(one, other);
        for id in [one, other, RequestId(0), RequestId(0x0123_4567_89ab_cdef)] {
            let header = id.header().unwrap();
            assert_eq!(header.to_str().unwrap(), id.to_string());
            assert_eq!(header.len(), 16);
        }
    }

    #[test]
    fn what_is_shown_of_a_path() {
        let check = |path: &str, shown: &str| assert_eq!(shown_path(path), shown, "{path}");
        check("/api/token/", "/api/token/");
        check(
            "/api/token/12345678901234567890",
            "/api/token/12345678901234567890",
        );
        check("/api/token/sk-0123456789012345678901234567", "/api/token/…");
        check("*", "*");
        check("", "");
        check("/abc/def+ghi/jkl", "/abc/def+ghi/jkl");
        check("/api/token/abc/def+ghi/jkl=01234567", "/api/token/…/…/…");
        check(&"/a".repeat(100), "/…/…/…/…/…/…/…");
        check("/caf\u{e9}/\u{9b}2J/x\u{7f}/y", "/…/…/…/y");
    }
}
