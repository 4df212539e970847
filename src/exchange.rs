//! The door to token endpoints: one claim, one connection, one POST, every byte of the answer kept.
//!
//! `refresh.rs` holds the one [`Door`]. This is not `http.rs` on purpose: here nothing is pooled,
//! resent, redirected or decompressed, no task is spawned, and each read from the network is
//! followed, as the very next system call, by the write of what has come so far (see [`Keep`]). The
//! same decoder reads an answer back from a slot ([`replay`]).

mod connect;
mod dialogue;

use std::sync::OnceLock;
use std::time::Duration;

use http::Method;
use http::header::{CONNECTION, HOST, HeaderValue, USER_AGENT};
use http_body_util::Full;
use hyper::body::Bytes;
use secrecy::SecretString;
use tokio_rustls::TlsConnector;
use url::Position;

use self::dialogue::{Dialogue, Recording};

use crate::wire::{Answer, Request};

/// Where an answer is kept while it comes in.
///
/// Called with everything received so far (status line, headers and body as they came over the wire)
/// after each read, on the thread that read it, with no system call in between.
pub trait Keep: Send {
    /// Makes ready for up to `most` bytes. Called before the request is sent and before each read, so
    /// that [`keep`](Self::keep) itself asks the system for no memory.
    fn make_room(&mut self, _most: usize) {}

    /// Keeps `received`; `Err` says why it could not be kept (the exchange goes on).
    fn keep(&mut self, received: &[u8]);
}

/// The most that is received of one answer, head and body as they come over the wire, in bytes. It
/// fits a slot; OAuth answers are of a few KiB. Beyond it nothing is read and the answer is cut.
pub const LIMIT: usize = 60 * 1024;

/// How long resolving, connecting, the proxy and TLS may take together. Nothing is lost by giving up
/// here; the rest of the exchange's time-out is for the answer.
const CONNECT: Duration = Duration::from_secs(10);

/// What came of sending a request.
#[derive(Debug)]
pub enum Sent {
    /// The connection was never made (refused, DNS, TLS, proxy, time-out while connecting): not a
    /// byte of the request left.
    Never(String),
    /// The request may have left; the answer as far as it came.
    Answered(Answer),
    /// The request may have left and nothing readable came back.
    Silence(String),
}

/// Why a request never left.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the request cannot be written")]
    Request(#[from] http::Error),
    #[error("no connection within {0:?}")]
    Slow(Duration),
    #[error(transparent)]
    Connect(#[from] connect::Error),
    #[error(transparent)]
    Http(#[from] hyper::Error),
}

/// The way out: keeps the TLS configuration, so that the machine's certificates are read once.
#[derive(Default)]
pub struct Door {
    tls: OnceLock<TlsConnector>,
}

impl Door {
    /// A door that reads the machine's certificates when the first `https` endpoint is called.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sends `request` once and reads the answer, keeping every byte in `keep`.
    ///
    /// `timeout` covers everything; `proxy` is a URL, its user and password are sent to it. An answer
    /// that ends with the connection is cut if TLS was not closed properly; its body is whole all the
    /// same if its own syntax says so. Reasons name hosts at most.
    pub async fn send(
        &self,
        request: Request,
        proxy: Option<&SecretString>,
        timeout: Duration,
        keep: &mut dyn Keep,
    ) -> Sent {
        let mut dialogue = Dialogue::new(keep);
        let connecting = CONNECT.min(timeout);
        let exchange = async {
            let url = request.url.clone();
            let request = written(request)?;
            let line = tokio::time::timeout(connecting, connect::line(&url, proxy, &self.tls))
                .await
                .map_err(|_| Error::Slow(connecting))??;
            Ok(dialogue.hold(line, request).await?)
        };
        let end = match tokio::time::timeout(timeout, exchange).await {
            Ok(end) => end.map_err(|error: Error| told(&error)),
            Err(_) => Err(format!("no whole answer within {timeout:?}")),
        };
        dialogue.judge(end)
    }
}

/// Reads the bytes that a [`Keep`] received as the answer they are.
///
/// Equal to what [`Door::send`] returned, if it returned. A body that ends with the connection (no
/// `Content-Length`, not chunked) is taken as far as it was kept: its own syntax says if it is whole.
pub async fn replay(received: &[u8]) -> Sent {
    struct Kept;
    impl Keep for Kept {
        fn keep(&mut self, _received: &[u8]) {}
    }
    let mut kept = Kept;
    let mut dialogue = Dialogue::new(&mut kept);
    let mut request = http::Request::new(Full::default());
    *request.method_mut() = Method::POST;
    let end = dialogue
        .hold(Recording::new(received), request)
        .await
        .map_err(|error| told(&error));
    dialogue.judge(end)
}

/// The request as it goes over HTTP/1.1.
fn written(request: Request) -> Result<http::Request<Full<Bytes>>, http::Error> {
    let host = &request.url[Position::BeforeHost..Position::AfterPort];
    let path = &request.url[Position::BeforePath..Position::AfterQuery];
    let mut written = http::Request::builder()
        .method(request.method)
        .uri(path)
        .header(HOST, host)
        .header(USER_AGENT, concat!("keyfresh/", env!("CARGO_PKG_VERSION")))
        .header(CONNECTION, HeaderValue::from_static("close"));
    for (name, value) in request.headers {
        written = written.header(name, value);
    }
    // Handed over as it is, so that the body is still wiped when hyper drops it.
    written.body(Full::new(Bytes::from_owner(request.body)))
}

/// An error and its causes in one line.
fn told(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !line.ends_with(&text) {
            line = format!("{line}: {text}");
        }
        cause = error.source();
    }
    line
}
