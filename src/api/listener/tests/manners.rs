//! What holds for every call: size, time, panics, the envelope, the caller's address.

use axum::Extension;
use axum::extract::{Json, Path};
use axum::http::header::{ALLOW, CONNECTION};
use axum::routing::post;
use tokio::io::AsyncWrite;

use super::*;
use crate::api::Peer;

const TOO_LARGE: &str = r#"{"message":"请求体过大","success":false}"#;

/// Tells how long a body is; panics, and reads numbers.
fn lengths() -> Router {
    Router::new()
        .route("/", post(async |body: String| body.len().to_string()))
        .route("/panic", get(async || -> () { panic!("CANARY") }))
        .route("/json", post(async |_: Json<u8>| "read"))
        .route("/id/{id}", get(async |_: Path<u8>| "read"))
        .route(
            "/peer",
            get(async |Extension(peer): Extension<Peer>| peer.to_string()),
        )
}

/// `body` as it is sent with its length told before, or in pieces.
fn told(body: &str) -> String {
    format!("content-length: {}\r\n\r\n{body}", body.len())
}

fn in_pieces(body: &str) -> String {
    let pieces: Vec<String> = body
        .as_bytes()
        .chunks(10_000)
        .map(|piece| {
            format!(
                "{:x}\r\n{}\r\n",
                piece.len(),
                String::from_utf8_lossy(piece)
            )
        })
        .collect();
    format!(
        "transfer-encoding: chunked\r\n\r\n{}0\r\n\r\n",
        pieces.concat()
    )
}

/// The answer to a POST of `rest`, which begins among the headers.
async fn post_to(world: &World, path: &str, rest_of_it: &str) -> String {
    let request = format!("POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{rest_of_it}");
    exchange(world.connect().await, request.as_bytes()).await
}

/// Sends `request` and reads to the end.
async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &[u8]) -> String {
    stream.write_all(request).await.unwrap();
    rest(&mut stream).await
}

#[tokio::test]
async fn a_body_has_a_limit_however_it_is_sent() {
    let world = World::new(lengths()).await;
    let full = "b".repeat(64 * 1024);
    let over = "b".repeat(64 * 1024 + 1);
    let ten_times = "b".repeat(640 * 1024);
    for (sent, status, body) in [
        (told(""), "HTTP/1.1 200 OK", "0"),
        (told(&full), "HTTP/1.1 200 OK", "65536"),
        (in_pieces(&full), "HTTP/1.1 200 OK", "65536"),
        (told(&over), "HTTP/1.1 413 Payload Too Large", TOO_LARGE),
        (
            in_pieces(&over),
            "HTTP/1.1 413 Payload Too Large",
            TOO_LARGE,
        ),
        (
            told(&ten_times),
            "HTTP/1.1 413 Payload Too Large",
            TOO_LARGE,
        ),
        (
            in_pieces(&ten_times),
            "HTTP/1.1 413 Payload Too Large",
            TOO_LARGE,
        ),
        // Nobody waits for what is announced and refused.
        (
            "content-length: 99999999999\r\n\r\n".to_owned(),
            "HTTP/1.1 413 Payload Too Large",
            TOO_LARGE,
        ),
        (
            "content-length: 65537\r\nexpect: 100-continue\r\n\r\n".to_owned(),
            "HTTP/1.1 413 Payload Too Large",
            TOO_LARGE,
        ),
    ] {
        let answer = post_to(&world, "/", &sent).await;
        assert_eq!(parts(&answer), (status, body), "{sent:.80}");
    }
    world.stop().await;
}

#[tokio::test]
async fn a_body_has_a_time_and_an_end() {
    let limits = Limits {
        body_time: SHORT,
        ..PATIENT
    };
    let world = World::with(lengths(), limits).await;
    let answer = post_to(&world, "/", "content-length: 10\r\n\r\nslow").await;
    assert_eq!(
        parts(&answer),
        (
            "HTTP/1.1 408 Request Timeout",
            r#"{"message":"请求超时","success":false}"#
        )
    );
    let malformed = r#"{"message":"请求格式错误","success":false}"#;
    let nonsense = "transfer-encoding: chunked\r\n\r\nnonsense";
    let answer = post_to(&world, "/", nonsense).await;
    assert_eq!(parts(&answer), ("HTTP/1.1 400 Bad Request", malformed));
    world.stop().await;
}

#[tokio::test]
async fn who_has_no_more_to_say_may_listen() {
    let world = World::new(lengths()).await;
    for (sent, status) in [
        (
            "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nab",
            "200",
        ),
        (
            "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nab",
            "400",
        ),
        ("POST / HTTP/1.1\r\nho", ""),
        ("", ""),
    ] {
        let mut stream = world.connect().await;
        stream.write_all(sent.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let answer = rest(&mut stream).await;
        let told = answer.split(' ').nth(1).unwrap_or_default();
        assert_eq!(told, status, "{sent}: {answer}");
    }
    world.stop().await;
}

#[tokio::test]
async fn a_panic_is_answered_and_survived() {
    let world = World::new(lengths()).await;
    // Both on one connection.
    let requests = b"GET /panic HTTP/1.1\r\nhost: x\r\n\r\n\
        GET /peer HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let answers = exchange(world.connect().await, requests).await;
    assert!(answers.starts_with("HTTP/1.1 500"), "{answers}");
    let refusal = r#"{"message":"服务器内部错误","success":false}"#;
    assert!(answers.contains(refusal), "{answers}");
    assert!(!answers.contains("CANARY"), "{answers}");
    assert!(answers.ends_with("127.0.0.1"), "{answers}");
    world.stop().await;
}

#[tokio::test]
async fn every_refusal_wears_the_envelope_and_an_id() {
    let world = World::new(lengths()).await;
    let malformed = r#"{"message":"请求格式错误","success":false}"#;
    for (request, status, body) in [
        (
            "POST /json HTTP/1.1\r\ncontent-length: 2\r\n\r\n{]",
            "415",
            malformed,
        ),
        (
            "POST /json HTTP/1.1\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{]",
            "422",
            malformed,
        ),
        ("GET /id/x HTTP/1.1\r\n\r\n", "400", malformed),
        ("GET /id/%ff HTTP/1.1\r\n\r\n", "400", malformed),
        (
            "DELETE / HTTP/1.1\r\n\r\n",
            "405",
            r#"{"message":"不支持的请求方法","success":false}"#,
        ),
        (
            "CONNECT h:1 HTTP/1.1\r\n\r\n",
            "404",
            r#"{"message":"无效的请求路径","success":false}"#,
        ),
    ] {
        let (line, more) = request.split_once("\r\n").unwrap();
        let sent =
            format!("{line}\r\nhost: x\r\nconnection: close\r\nx-request-id: mine\r\n{more}");
        let answer = exchange(world.connect().await, sent.as_bytes()).await;
        assert_eq!(answer.split(' ').nth(1), Some(status), "{answer}");
        let (head, sent) = answer.split_once("\r\n\r\n").unwrap();
        assert_eq!(sent, body, "{request}");
        assert!(head.contains("content-type: application/json"), "{head}");
        let (_, id) = head.split_once("x-request-id: ").unwrap();
        let id = id.lines().next().unwrap();
        assert!(
            id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "{id}"
        );
        assert_eq!(
            head.contains(&format!("{ALLOW}: POST")),
            status == "405",
            "{head}"
        );
    }
    world.stop().await;
}

#[tokio::test]
async fn whoever_holds_a_place_gives_it_back_while_others_wait() {
    let limits = Limits {
        connections: 1,
        ..PATIENT
    };
    let world = World::with(hello(), limits).await;
    let mut holder = world.connect().await;
    holder
        .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let answer = rest(&mut holder).await;
    assert!(answer.contains(&format!("{CONNECTION}: close")), "{answer}");
    let (status, body) = ("HTTP/1.1 200 OK", "hello");
    assert_eq!(parts(&world.ask("GET /").await), (status, body));
    world.stop().await;
}

#[tokio::test]
async fn whoever_does_not_take_the_answer_is_hung_up_on() {
    let long = Router::new().route("/", get(async || "x".repeat(32 << 20)));
    let limits = Limits {
        connections: 1,
        stall_time: SHORT,
        ..PATIENT
    };
    let world = World::with(long, limits).await;
    let mut deaf = world.connect().await;
    deaf.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    // The only place is free again although `deaf` is still connected.
    assert!(world.ask("GET /").await.len() > 32 << 20);
    drop(deaf);
    world.stop().await;
}

#[tokio::test]
async fn a_trusted_proxy_names_the_caller() {
    let socket = tempfile::tempdir().unwrap();
    let unix = format!("unix:{}", socket.path().join("s").display());
    let trusting = |words: &[&str]| Proxies {
        networks: words.iter().filter_map(|word| word.parse().ok()).collect(),
        unix: words.contains(&"unix"),
    };
    for (listen, trusted, caller) in [
        ("127.0.0.1:0", &[][..], "127.0.0.1"),
        ("127.0.0.1:0", &["127.0.0.0/8"], "198.51.100.7"),
        (&unix, &["127.0.0.0/8"], "unix"),
        (&unix, &["unix"], "198.51.100.7"),
    ] {
        let terms = Terms {
            trusted_proxies: trusting(trusted),
            ..Terms::default()
        };
        let world = World::on(listen, lengths(), terms, PATIENT).await;
        let request = b"GET /peer HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
            x-forwarded-for: 1.1.1.1\r\nx-forwarded-for: 198.51.100.7\r\n\r\n";
        let answer = if let Some(path) = world.listen.strip_prefix("unix:") {
            exchange(UnixStream::connect(path).await.unwrap(), request).await
        } else {
            exchange(world.connect().await, request).await
        };
        assert_eq!(parts(&answer), ("HTTP/1.1 200 OK", caller), "{listen}");
        world.stop().await;
    }
}
