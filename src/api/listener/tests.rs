//! The accept loop over real sockets: limits, drain, refusals.

mod manners;
mod tls;

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::sync::{Arc, Mutex};

use axum::routing::get;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

use super::accept::HEAD_BYTES;
use super::*;
use crate::api::{self, Readiness};

const LONG: Duration = Duration::from_mins(1);
const SHORT: Duration = Duration::from_millis(50);

/// Times that no test reaches by itself.
const PATIENT: Limits = Limits {
    connections: 8,
    head_time: LONG,
    body_time: LONG,
    stall_time: LONG,
    drain_time: LONG,
};

struct World {
    listen: String,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
}

impl World {
    async fn new(router: Router) -> Self {
        Self::with(router, PATIENT).await
    }

    async fn with(router: Router, limits: Limits) -> Self {
        Self::on("127.0.0.1:0", router, Terms::default(), limits).await
    }

    async fn on(listen: &str, router: Router, terms: Terms, limits: Limits) -> Self {
        let listener = bind(listen, false).await.unwrap();
        let listen = listener.to_string();
        let server = Server::new(router, terms, limits);
        let (stop, stopped) = oneshot::channel();
        let server = tokio::spawn(server.run(listener.0, async {
            stopped.await.unwrap();
        }));
        Self {
            listen,
            stop,
            server,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(&self.listen).await.unwrap()
    }

    /// The whole answer to a request on a connection of its own.
    async fn ask(&self, request: &str) -> String {
        let mut stream = self.connect().await;
        let request = format!("{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        rest(&mut stream).await
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.server.await.unwrap();
    }
}

fn hello() -> Router {
    Router::new().route("/", get(async || "hello"))
}

/// What still comes, until the other side hangs up.
async fn rest(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut text = Vec::new();
    stream.read_to_end(&mut text).await.unwrap();
    String::from_utf8(text).unwrap()
}

/// Status line and body of `answer`.
fn parts(answer: &str) -> (&str, &str) {
    (
        answer.lines().next().unwrap_or_default(),
        answer.rsplit("\r\n").next().unwrap_or_default(),
    )
}

#[tokio::test]
async fn health_and_readiness_wear_the_envelope() {
    let obstacles = Arc::new(Mutex::new(vec!["the state's disk failed"]));
    let seen = Arc::clone(&obstacles);
    let ready = move || Readiness {
        obstacles: seen.lock().unwrap().clone(),
    };
    let world = World::new(api::router(Arc::new(ready), None)).await;
    let good = r#"{"message":"","success":true}"#;
    for (request, status, body) in [
        ("GET /healthz", "HTTP/1.1 200 OK", good),
        ("HEAD /healthz", "HTTP/1.1 200 OK", ""),
        (
            "GET /readyz",
            "HTTP/1.1 503 Service Unavailable",
            r#"{"data":["the state's disk failed"],"message":"not ready","success":false}"#,
        ),
        (
            "GET /etc/passwd",
            "HTTP/1.1 404 Not Found",
            r#"{"message":"无效的请求路径","success":false}"#,
        ),
        (
            "POST /healthz",
            "HTTP/1.1 405 Method Not Allowed",
            r#"{"message":"不支持的请求方法","success":false}"#,
        ),
    ] {
        assert_eq!(
            parts(&world.ask(request).await),
            (status, body),
            "{request}"
        );
    }
    let refused = world.ask("POST /healthz").await;
    assert!(refused.contains("allow: GET,HEAD"), "{refused}");
    obstacles.lock().unwrap().clear();
    let answer = world.ask("GET /readyz").await;
    assert_eq!(parts(&answer), ("HTTP/1.1 200 OK", good));
    world.stop().await;
}

#[tokio::test]
async fn a_slow_or_idle_caller_is_hung_up_on() {
    let limits = Limits {
        head_time: SHORT,
        ..PATIENT
    };
    let world = World::with(hello(), limits).await;
    let mut slow = world.connect().await;
    slow.write_all(b"GET / HTTP/1.1\r\nhost:").await.unwrap();
    let answer = rest(&mut slow).await;
    assert!(!answer.contains("200 OK"), "{answer}");

    let mut idle = world.connect().await;
    idle.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let answer = rest(&mut idle).await;
    assert!(answer.ends_with("hello"), "{answer}");
    world.stop().await;
}

#[tokio::test]
async fn headers_have_a_limit_and_nonsense_is_refused() {
    let world = World::new(Router::new()).await;
    // Not a byte more than the limit: unread ones would turn the answer into a reset.
    let flood = format!("{:b<HEAD_BYTES$}", "GET / HTTP/1.1\r\nhost: x\r\na: ");
    for (sent, status) in [(flood.as_str(), "431"), ("nonsense\r\n\r\n", "400")] {
        let mut stream = world.connect().await;
        stream.write_all(sent.as_bytes()).await.unwrap();
        let mut start = [0; 12];
        stream.read_exact(&mut start).await.unwrap();
        assert_eq!(start, format!("HTTP/1.1 {status}").as_bytes());
    }
    world.stop().await;
}

#[tokio::test]
async fn callers_beyond_the_cap_wait_for_a_place() {
    let limits = Limits {
        connections: 1,
        ..PATIENT
    };
    let world = World::with(hello(), limits).await;
    let first = world.connect().await;
    let mut second = world.connect().await;
    second
        .write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut byte = [0];
    assert!(
        tokio::time::timeout(SHORT, second.peek(&mut byte))
            .await
            .is_err()
    );
    drop(first);
    assert!(rest(&mut second).await.ends_with("hello"));
    world.stop().await;
}

/// A router whose only request lasts until it is released, and signals that it came.
fn held() -> (Router, Arc<Notify>, Arc<Notify>) {
    let (came, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, wait) = (Arc::clone(&came), Arc::clone(&release));
    let router = Router::new().route(
        "/",
        get(async move || {
            tell.notify_one();
            wait.notified().await;
            "done"
        }),
    );
    (router, came, release)
}

#[tokio::test]
async fn a_request_in_flight_outlives_the_stop_but_not_the_drain() {
    for (drain_time, answered) in [(LONG, true), (SHORT, false)] {
        let (router, came, release) = held();
        let limits = Limits {
            drain_time,
            ..PATIENT
        };
        let world = World::with(router, limits).await;
        let mut idle = world.connect().await;
        let mut busy = world.connect().await;
        busy.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .unwrap();
        came.notified().await;
        world.stop.send(()).unwrap();
        assert_eq!(rest(&mut idle).await, "");
        if answered {
            release.notify_one();
        }
        assert_eq!(rest(&mut busy).await.ends_with("done"), answered);
        world.server.await.unwrap();
        assert!(TcpStream::connect(&world.listen).await.is_err());
    }
}

#[tokio::test]
async fn a_unix_socket_is_private_replaced_when_stale_and_removed_at_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("api.sock");
    let listen = format!("unix:{}", path.display());
    drop(StdUnixListener::bind(&path).unwrap());
    let world = World::on(&listen, Router::new(), Terms::default(), PATIENT).await;
    assert_eq!(world.listen, listen);
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    assert!(matches!(bind(&listen, false).await, Err(Error::InUse(_))));

    let mut stream = UnixStream::connect(&path).await.unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
    assert!(rest(&mut stream).await.contains("404"));
    world.stop().await;
    assert!(!path.exists());

    std::fs::write(&path, "a file").unwrap();
    assert!(matches!(
        bind(&listen, false).await,
        Err(Error::Occupied(_))
    ));
    assert!(path.exists());
}

#[tokio::test]
async fn what_others_could_reach_is_refused() {
    for listen in [
        "0.0.0.0:0",
        "[::]:0",
        "192.0.2.1:80",
        "127.0.0.1",
        "nonsense",
        "unix:/nowhere/x",
    ] {
        let refusal = bind(listen, false).await.unwrap_err();
        let exposed = matches!(refusal, Error::Exposed(_));
        assert_eq!(
            exposed,
            listen.contains("0:") || listen.contains("::") || listen.contains("192")
        );
        assert!(refusal.to_string().contains(listen), "{refusal}");
    }
    let taken = bind("127.0.0.1:0", false).await.unwrap();
    let again = bind(&taken.to_string(), false).await;
    assert!(matches!(again, Err(Error::Bind(..))));
    assert!(bind("localhost:0", false).await.is_ok());
    assert!(bind("0.0.0.0:0", true).await.is_ok());
}
