//! What goes over a wire, as plain values: the plug-ins make and read these, the doors carry them.
//!
//! No IO here. Both sides may hold secrets, so neither `Debug` shows a body or a header's value.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use url::Url;
use zeroize::Zeroizing;

/// A request as a plug-in wants it sent.
pub struct Request {
    /// `POST` for nearly everything.
    pub method: Method,
    /// Where to; its query may hold a secret (PushPlus' GET form), so it is never logged whole.
    pub url: Url,
    /// Headers besides those the door adds (`Host`, `Content-Length`, `User-Agent`).
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body, wiped when dropped.
    pub body: Zeroizing<Vec<u8>>,
}

/// What came back, as far as it came.
#[derive(Clone)]
pub struct Answer {
    /// The HTTP status code, 100–999.
    pub status: u16,
    /// The answer's headers.
    pub headers: HeaderMap,
    /// The body without transfer coding, wiped when dropped.
    pub body: Zeroizing<Vec<u8>>,
    /// Why the body ends early, if it does ("connection reset", "larger than 64 KiB").
    pub cut: Option<String>,
}

impl Answer {
    /// Whether the status is 2xx.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// A header's value as text, if it is there and visible ASCII.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("host", &self.url.host_str())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("bytes", &self.body.len())
            .field("cut", &self.cut)
            .finish_non_exhaustive()
    }
}
