//! The door for everything over HTTP that may be sent twice: notices, and telling the gateway.
//!
//! `notify.rs` and `link.rs` call [`Http::send`] with what a plug-in wrote. Nothing is redirected or
//! resent here, no connection is reused and no proxy is read from the environment; who retries, and
//! when, is the caller's business. Token endpoints have a door of their own (`exchange.rs`).

use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::retry;
use zeroize::Zeroizing;

use crate::tls;
use crate::wire::{Answer, Request};

/// The most that an answer may be of, in bytes.
pub const LIMIT: usize = 1024 * 1024;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(30);

/// Why there is no answer. Neither the texts nor their sources hold the URL.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The machine trusts nobody.
    #[error("no root certificates: install ca-certificates or set SSL_CERT_FILE")]
    Roots(#[source] rustls::Error),
    /// The client cannot be made.
    #[error("the HTTP client cannot be made")]
    Setup(#[source] reqwest::Error),
    /// Not a byte of the request left.
    #[error("the request was not sent")]
    NeverSent(#[source] reqwest::Error),
    /// The request may have left; the whole answer did not come in time.
    #[error("no whole answer in time")]
    TimeOut(#[source] reqwest::Error),
    /// The request may have left; the answer broke off or is not HTTP.
    #[error("the answer is broken")]
    Broken(#[source] reqwest::Error),
    /// The answer is larger than [`LIMIT`].
    #[error("the answer is larger than {} KiB", LIMIT / 1024)]
    TooLarge,
}

/// The one client, shared by all callers.
#[derive(Clone, Debug)]
pub struct Http(reqwest::Client);

impl Http {
    /// The client: ten seconds to connect, thirty for everything.
    ///
    /// # Errors
    /// When the machine has no root certificates.
    pub fn new() -> Result<Self, Error> {
        Self::within(CONNECT_TIMEOUT, TIMEOUT)
    }

    #[expect(clippy::disallowed_methods, reason = "this is the door")]
    fn within(connect_timeout: Duration, timeout: Duration) -> Result<Self, Error> {
        reqwest::Client::builder()
            .tls_backend_preconfigured(tls::client().map_err(Error::Roots)?)
            .user_agent(concat!("keyfresh/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            .retry(retry::never())
            // A request that meets a dying reused connection is sent again by the pool itself.
            .pool_max_idle_per_host(0)
            .no_proxy()
            .connect_timeout(connect_timeout)
            .timeout(timeout)
            .build()
            .map(Self)
            .map_err(Error::Setup)
    }

    /// Sends `request` once and reads the whole answer, whatever its status.
    ///
    /// # Errors
    /// See [`Error`]: only [`Error::NeverSent`] proves that nothing arrived.
    pub async fn send(&self, request: Request) -> Result<Answer, Error> {
        let mut builder = self
            .0
            .request(request.method, request.url)
            .body(request.body.to_vec());
        for (name, value) in request.headers {
            builder = builder.header(name, value);
        }
        let mut response = builder.send().await.map_err(failed)?;
        let mut body = Zeroizing::new(Vec::new());
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > LIMIT {
                return Err(Error::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer {
            status: response.status().as_u16(),
            headers: std::mem::take(response.headers_mut()),
            body,
            cut: None,
        })
    }
}

/// `is_connect` proves that nothing was sent: `tests/exchange/never_sent.rs` has the experiment.
fn failed(error: reqwest::Error) -> Error {
    let error = error.without_url();
    if error.is_connect() || error.is_builder() {
        Error::NeverSent(error)
    } else if error.is_timeout() {
        Error::TimeOut(error)
    } else {
        Error::Broken(error)
    }
}

#[cfg(test)]
mod tests {
    use http::Method;
    use http::header::{ACCEPT, HeaderValue};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// Sends to a peer that reads a request and answers `text`; the peer's request with the result.
    async fn exchange(text: &str, closes: bool) -> (String, Result<Answer, Error>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let request = Request {
            method: Method::POST,
            url: format!(
                "http://{}/send?token=secret",
                listener.local_addr().unwrap()
            )
            .parse()
            .unwrap(),
            headers: vec![(ACCEPT, HeaderValue::from_static("text/plain"))],
            body: b"notice".to_vec().into(),
        };
        let http = Http::within(Duration::from_secs(20), Duration::from_secs(2)).unwrap();
        let peer = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut heard = Vec::new();
            while !heard.ends_with(b"notice") {
                stream.read_buf(&mut heard).await.unwrap();
            }
            // The client leaves in the middle of an answer that is too large for it.
            stream.write_all(text.as_bytes()).await.unwrap_or(());
            (
                String::from_utf8(heard).unwrap(),
                (!closes).then_some(stream),
            )
        };
        let (result, (heard, _open)) = tokio::join!(http.send(request), peer);
        if let Err(error) = &result {
            assert!(
                !format!("{error:?} {error}").contains("secret"),
                "{error:?}"
            );
        }
        (heard, result)
    }

    #[tokio::test]
    async fn a_request_is_sent_as_written_and_any_status_is_an_answer() {
        let text = "HTTP/1.1 307 Away\r\nlocation: /x\r\nx: 1\r\ncontent-length: 2\r\n\r\nno";
        let (heard, answer) = exchange(text, true).await;
        assert!(heard.starts_with("POST /send?token=secret HTTP/1.1\r\naccept: text/plain\r\n"));
        assert!(heard.contains("user-agent: keyfresh/") && !heard.contains("accept-encoding"));
        let answer = answer.unwrap();
        assert_eq!((answer.status, &**answer.body), (307, &b"no"[..]));
        assert_eq!(answer.header("x"), Some("1"));
    }

    #[tokio::test]
    async fn failures_say_how_far_it_came() {
        let http = Http::new().unwrap();
        let never = http.send(Request {
            method: Method::GET,
            url: "http://nowhere.invalid/?token=secret".parse().unwrap(),
            headers: Vec::new(),
            body: Vec::new().into(),
        });
        let error = never.await.unwrap_err();
        assert!(matches!(error, Error::NeverSent(_)) && !format!("{error:?}").contains("secret"));

        let short = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nno";
        assert!(matches!(
            exchange(short, true).await.1,
            Err(Error::Broken(_))
        ));
        assert!(matches!(
            exchange(short, false).await.1,
            Err(Error::TimeOut(_))
        ));
        assert!(matches!(exchange("", true).await.1, Err(Error::Broken(_))));
        assert!(matches!(
            exchange("", false).await.1,
            Err(Error::TimeOut(_))
        ));

        let size = |bytes: usize| format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(bytes));
        assert_eq!(
            exchange(&size(LIMIT), true).await.1.unwrap().body.len(),
            LIMIT
        );
        assert!(matches!(
            exchange(&size(LIMIT + 1), true).await.1,
            Err(Error::TooLarge)
        ));
    }
}
