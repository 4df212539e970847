//! The door to token endpoints against real sockets: what came back, that every byte was kept as it
//! came, and (`never_sent.rs`) which failures prove that a request never left.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod never_sent;
mod peer;

use std::net::SocketAddr;
use std::pin::Pin;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method};
use keyfresh::exchange::{Door, Keep, LIMIT, Sent, replay};
use keyfresh::wire::{Answer, Request};
use secrecy::SecretString;
use tokio::io::AsyncWriteExt;
use tokio::sync::watch;

use peer::{Certificate, Peer};

/// Long enough for anything that happens, short enough for what never does.
const PATIENCE: Duration = Duration::from_secs(20);
/// For what ends alike, however slow the machine is.
const IMPATIENCE: Duration = Duration::from_millis(300);
/// Enough to hear whatever is said before the silence.
const PATIENCE_LOST: Duration = Duration::from_secs(2);

const OK: &str = "HTTP/1.1 200 OK\r\n";
const BODY: &str = r#"{"access_token":"at-secret"}"#;

fn request(url: &str) -> Request {
    Request {
        method: Method::POST,
        url: url.parse().unwrap(),
        headers: vec![(CONTENT_TYPE, HeaderValue::from_static("text/plain"))],
        body: b"rt-secret".to_vec().into(),
    }
}

/// Remembers each state it was given and announces how much there is.
struct Kept {
    states: Vec<Vec<u8>>,
    length: watch::Sender<usize>,
}

impl Kept {
    fn new() -> Self {
        Self {
            states: Vec::new(),
            length: watch::Sender::new(0),
        }
    }

    fn bytes(&self) -> &[u8] {
        self.states.last().map_or(&[], Vec::as_slice)
    }
}

impl Keep for Kept {
    fn keep(&mut self, received: &[u8]) {
        self.states.push(received.to_vec());
        self.length.send_replace(received.len());
    }
}

async fn exchange(url: &str, proxy: Option<&str>, timeout: Duration) -> (Sent, Kept) {
    let mut kept = Kept::new();
    let proxy = proxy.map(SecretString::from);
    let door = Door::new();
    // Boxed to hold it to what the daemon needs: an exchange runs in a task of its own.
    let sending: Pin<Box<dyn Future<Output = Sent> + Send + '_>> =
        Box::pin(door.send(request(url), proxy.as_ref(), timeout, &mut kept));
    let sent = sending.await;
    if let Sent::Never(reason) | Sent::Silence(reason) = &sent {
        assert!(!reason.is_empty() && !reason.contains("secret"), "{reason}");
    }
    (sent, kept)
}

/// What came back from a peer that hears the request and then acts by `script`.
async fn answered<F>(script: impl Fn(peer::Line) -> F + Send + Sync + 'static) -> (Sent, Kept)
where
    F: Future<Output = ()> + Send,
{
    let script = Arc::new(script);
    let peer = Peer::start(move |mut line| {
        let script = Arc::clone(&script);
        async move {
            line.request().await;
            script(line).await;
        }
    })
    .await;
    let result = exchange(&peer.url("http"), None, PATIENCE).await;
    assert_eq!(peer.connections(), 1);
    assert_eq!(peer.requests().len(), 1);
    result
}

async fn written(text: impl Into<String>) -> (Sent, Kept) {
    let text = text.into();
    answered(move |mut line| {
        let text = text.clone();
        async move { line.say(&text).await }
    })
    .await
}

fn answer(sent: Sent) -> Answer {
    match sent {
        Sent::Answered(answer) => answer,
        other => panic!("not answered: {other:?}"),
    }
}

fn parts(answer: &Answer) -> (u16, &HeaderMap, &[u8], Option<&str>) {
    (
        answer.status,
        &answer.headers,
        &answer.body,
        answer.cut.as_deref(),
    )
}

#[tokio::test]
async fn the_request_is_plain_and_comes_once() {
    let peer = Peer::start(|mut line| async move {
        line.request().await;
        line.say(&format!("{OK}content-length: 28\r\n\r\n{BODY}"))
            .await;
        line.linger().await;
    })
    .await;
    let (sent, kept) = exchange(&peer.url("http"), None, PATIENCE).await;
    let answer = answer(sent);
    assert_eq!(
        (answer.status, &*answer.body, &answer.cut),
        (200, &BODY.as_bytes().to_vec(), &None)
    );
    assert_eq!(
        kept.bytes(),
        format!("{OK}content-length: 28\r\n\r\n{BODY}").as_bytes()
    );
    assert_eq!(peer.connections(), 1);
    assert_eq!(
        peer.requests(),
        [format!(
            "POST /t?q=secret HTTP/1.1\r\nhost: {}\r\nuser-agent: keyfresh/{}\r\nconnection: close\r\n\
             content-type: text/plain\r\ncontent-length: 9\r\n\r\nrt-secret",
            peer.address,
            env!("CARGO_PKG_VERSION")
        )]
    );
}

#[tokio::test]
async fn answers_of_all_framings_are_read() {
    let check = |text: &'static str, status: u16, body: &'static str| async move {
        let answer = answer(written(text).await.0);
        assert_eq!(
            (answer.status, &*answer.body, &answer.cut),
            (status, &body.as_bytes().to_vec(), &None)
        );
    };
    check("HTTP/1.1 200 OK\r\n\r\nto the end", 200, "to the end").await;
    check("HTTP/1.0 200 OK\r\n\r\nto the end", 200, "to the end").await;
    check(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nto\r\n4\r\n end\r\n0\r\n\r\n",
        200,
        "to end",
    )
    .await;
    check(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 429 Slow\r\ncontent-length: 1\r\n\r\nx",
        429,
        "x",
    )
    .await;
    check(
        "HTTP/1.1 307 Away\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n",
        307,
        "",
    )
    .await;
    check("HTTP/1.1 204 None\r\n\r\n", 204, "").await;
    check(
        "HTTP/1.1 101 Switch\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        101,
        "",
    )
    .await;
}

#[tokio::test]
async fn a_cut_answer_says_so_and_keeps_what_came() {
    let short = format!("{OK}content-length: 100\r\n\r\n{BODY}");
    let (sent, kept) = written(short.clone()).await;
    let cut = answer(sent);
    assert_eq!(&*cut.body, BODY.as_bytes());
    assert!(cut.cut.is_some());
    assert_eq!(kept.bytes(), short.as_bytes());

    let chunked = format!("{OK}transfer-encoding: chunked\r\n\r\n1c\r\n{BODY}\r\n");
    assert!(answer(written(chunked).await.0).cut.is_some());

    let held = Peer::start(move |mut line| async move {
        line.request().await;
        line.say(&format!("{OK}content-length: 100\r\n\r\n{BODY}"))
            .await;
        line.linger().await;
    })
    .await;
    let late = answer(exchange(&held.url("http"), None, PATIENCE_LOST).await.0);
    assert_eq!(
        (&*late.body, late.cut.is_some()),
        (&BODY.as_bytes().to_vec(), true)
    );
}

#[tokio::test]
async fn a_huge_answer_is_bounded() {
    let (sent, kept) = answered(|mut line| async move {
        line.say(&format!("{OK}content-length: 50000000\r\n\r\n"))
            .await;
        let megabyte = vec![b'x'; 1_000_000];
        let mut whole = true;
        for _ in 0..50 {
            whole = whole && line.stream.write_all(&megabyte).await.is_ok();
        }
        assert!(!whole, "the peer could send everything");
    })
    .await;
    let answer = answer(sent);
    assert_eq!(kept.bytes().len(), LIMIT);
    assert!(answer.body.len() < LIMIT && answer.cut.unwrap().contains("larger"));

    let endless_head = format!("{OK}x: {}", "x".repeat(LIMIT));
    assert!(matches!(written(endless_head).await.0, Sent::Silence(_)));
}

#[tokio::test]
async fn every_read_is_kept_before_the_next() {
    let answer_text = format!("{OK}transfer-encoding: chunked\r\n\r\n1c\r\n{BODY}\r\n0\r\n\r\n");
    let mut kept = Kept::new();
    let seen = kept.length.subscribe();
    let text = answer_text.clone();
    let peer = Peer::start(move |mut line| {
        let (text, mut seen) = (text.clone(), seen.clone());
        async move {
            line.request().await;
            for end in 0..text.len() {
                line.say(&text[end..=end]).await;
                // The next byte leaves only when this one was kept.
                seen.wait_for(|length| *length == end + 1).await.unwrap();
            }
        }
    })
    .await;
    let sent = Door::new()
        .send(request(&peer.url("http")), None, PATIENCE, &mut kept)
        .await;
    let live = answer(sent);
    assert_eq!(&*live.body, BODY.as_bytes());
    for (read, state) in kept.states.iter().enumerate() {
        assert_eq!(state, &answer_text.as_bytes()[..=read]);
    }
    assert_eq!(kept.bytes(), answer_text.as_bytes());
}

#[tokio::test]
async fn a_replay_reads_what_the_network_gave() {
    for text in [
        format!("{OK}content-length: 28\r\nx: 1\r\n\r\n{BODY}"),
        format!("{OK}transfer-encoding: chunked\r\n\r\n1c\r\n{BODY}\r\n0\r\n\r\n"),
        format!("HTTP/1.1 100 Continue\r\n\r\n{OK}content-length: 28\r\n\r\n{BODY}"),
        format!("{OK}content-length: 90\r\n\r\n{BODY}"),
    ] {
        let (live, kept) = written(text).await;
        let (live, again) = (answer(live), answer(replay(kept.bytes()).await));
        assert_eq!(parts(&live), parts(&again));
        for end in 0..kept.bytes().len() {
            match replay(&kept.bytes()[..end]).await {
                Sent::Answered(part) => {
                    assert!(part.cut.is_some(), "{end}");
                    assert!(live.body.starts_with(&part.body));
                }
                Sent::Silence(_) => {}
                Sent::Never(reason) => panic!("{end}: {reason}"),
            }
        }
    }
    let huge = format!("{OK}\r\n{}", "x".repeat(LIMIT));
    assert!(answer(replay(huge.as_bytes()).await).cut.is_some());
}

#[tokio::test]
async fn a_proxy_carries_the_request_and_takes_the_login() {
    let target = Peer::start(|mut line| async move {
        line.request().await;
        line.say(&format!("{OK}content-length: 28\r\n\r\n{BODY}"))
            .await;
    })
    .await;
    let address = target.address;
    let http = Peer::start(move |mut line| async move {
        let head = String::from_utf8(line.some().await).unwrap();
        assert!(head.starts_with(&format!("CONNECT {address} HTTP/1.1\r\n")));
        // "u:p@ss" in base64
        assert!(
            head.contains("Proxy-Authorization: Basic dTpwQHNz\r\n"),
            "{head}"
        );
        line.say("HTTP/1.1 200 Connected\r\n\r\n").await;
        line.join(address).await;
    })
    .await;
    let socks = Peer::start(move |mut line| async move {
        let SocketAddr::V4(v4) = address else {
            unreachable!()
        };
        assert_eq!(line.some().await, [5, 1, 2]);
        line.stream.write_all(&[5, 2]).await.unwrap();
        assert_eq!(line.some().await, b"\x01\x01u\x04p@ss");
        line.stream.write_all(&[1, 0]).await.unwrap();
        let mut wanted = vec![5, 1, 0, 1];
        wanted.extend(v4.ip().octets());
        wanted.extend(v4.port().to_be_bytes());
        assert_eq!(line.some().await, wanted);
        line.stream
            .write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0])
            .await
            .unwrap();
        line.join(address).await;
    })
    .await;
    for (scheme, proxy) in [("http", &http), ("socks5", &socks), ("socks5h", &socks)] {
        let proxy = format!("{scheme}://u:p%40ss@{}", proxy.address);
        let answer = answer(
            exchange(&target.url("http"), Some(&proxy), PATIENCE)
                .await
                .0,
        );
        assert_eq!((answer.status, answer.cut), (200, None), "{scheme}");
    }
    assert_eq!(target.requests().len(), 3);
}

/// The environment of a test process cannot be changed, so the client runs in another one.
#[tokio::test]
async fn certificates_come_from_ssl_cert_file() {
    let certificate = Certificate::new();
    let peer = Peer::tls(&certificate, |mut line| async move {
        let open = line.request().await.contains("open");
        let framing = if open { "" } else { "content-length: 28\r\n" };
        line.say(&format!("{OK}{framing}\r\n{BODY}")).await;
    })
    .await;
    let roots = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(roots.path(), &certificate.pem).unwrap();
    let mut client = Command::new(std::env::current_exe().unwrap());
    client
        .args(["--exact", "two_https_exchanges", "--ignored"])
        .env("SSL_CERT_FILE", roots.path())
        .env("EXCHANGE_URL", peer.url("https"))
        .stdout(Stdio::null());
    let status = tokio::task::spawn_blocking(move || client.status().unwrap());
    let status = status.await.unwrap();
    assert!(status.success());
    assert_eq!(peer.connections(), 2);
    assert_eq!(peer.requests().len(), 2);
}

#[tokio::test]
#[ignore = "run by certificates_come_from_ssl_cert_file in a process of its own"]
#[expect(
    clippy::disallowed_methods,
    reason = "the way to tell the other process where to call"
)]
async fn two_https_exchanges() {
    let url = std::env::var("EXCHANGE_URL").unwrap();
    let framed = answer(exchange(&url, None, PATIENCE).await.0);
    assert_eq!(
        (&*framed.body, framed.cut),
        (&BODY.as_bytes().to_vec(), None)
    );

    // Without a length, only TLS's own close could tell that the end is the end.
    let open = answer(exchange(&format!("{url}&open"), None, PATIENCE).await.0);
    assert_eq!(
        (&*open.body, open.cut.is_some()),
        (&BODY.as_bytes().to_vec(), true)
    );
}
