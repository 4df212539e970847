//! The accept loop over real sockets: limits, drain, refusals.

use std::os::unix::net::UnixListener as StdUnixListener;
use std::sync::Mutex;

use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

use super::*;
use crate::api::{self, Readiness};

const LONG: Duration = Duration::from_mins(1);

struct World {
    listen: String,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
}

impl World {
    async fn new(router: Router) -> Self {
        Self::with(Server::new(router, 8, LONG, LONG)).await
    }

    async fn with(server: Server) -> Self {
        Self::on(server, bind("127.0.0.1:0").await.unwrap())
    }

    fn on(server: Server, listener: Listener) -> Self {
        let listen = listener.to_string();
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
    let world = World::new(api::router(Arc::new(move || Readiness {
        obstacles: seen.lock().unwrap().clone(),
    })))
    .await;
    let good = r#"{"success":true,"message":"","data":null}"#;
    for (request, status, body) in [
        ("GET /healthz", "HTTP/1.1 200 OK", good),
        ("HEAD /healthz", "HTTP/1.1 200 OK", ""),
        (
            "GET /readyz",
            "HTTP/1.1 503 Service Unavailable",
            r#"{"success":false,"message":"not ready","data":["the state's disk failed"]}"#,
        ),
        (
            "GET /etc/passwd",
            "HTTP/1.1 404 Not Found",
            r#"{"success":false,"message":"no such path","data":null}"#,
        ),
        (
            "POST /healthz",
            "HTTP/1.1 405 Method Not Allowed",
            r#"{"success":false,"message":"method not allowed","data":null}"#,
        ),
    ] {
        assert_eq!(
            parts(&world.ask(request).await),
            (status, body),
            "{request}"
        );
    }
    obstacles.lock().unwrap().clear();
    let answer = world.ask("GET /readyz").await;
    assert_eq!(parts(&answer), ("HTTP/1.1 200 OK", good));
    world.stop().await;
}

#[tokio::test]
async fn a_slow_or_idle_caller_is_hung_up_on() {
    let short = Duration::from_millis(50);
    let router = Router::new().route("/", get(async || "hello"));
    let world = World::with(Server::new(router, 8, short, LONG)).await;
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
    let flood = format!("{:b<HEADER_BYTES$}", "GET / HTTP/1.1\r\nhost: x\r\na: ");
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
    let router = Router::new().route("/", get(async || "hello"));
    let world = World::with(Server::new(router, 1, LONG, LONG)).await;
    let first = world.connect().await;
    let mut second = world.connect().await;
    second
        .write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut byte = [0];
    let waits = Duration::from_millis(50);
    assert!(
        tokio::time::timeout(waits, second.peek(&mut byte))
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
    for (drain, answered) in [(LONG, true), (Duration::from_millis(50), false)] {
        let (router, came, release) = held();
        let world = World::with(Server::new(router, 8, LONG, drain)).await;
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
    let server = || Server::new(Router::new(), 8, LONG, LONG);
    let world = World::on(server(), bind(&listen).await.unwrap());
    assert_eq!(world.listen, listen);
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    assert!(matches!(bind(&listen).await, Err(Error::InUse(_))));

    let mut stream = UnixStream::connect(&path).await.unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
    assert!(rest(&mut stream).await.contains("404"));
    world.stop().await;
    assert!(!path.exists());

    std::fs::write(&path, "a file").unwrap();
    assert!(matches!(bind(&listen).await, Err(Error::Occupied(_))));
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
        let refusal = bind(listen).await.unwrap_err();
        let exposed = matches!(refusal, Error::Exposed(_));
        assert_eq!(
            exposed,
            listen.contains("0:") || listen.contains("::") || listen.contains("192")
        );
        assert!(refusal.to_string().contains(listen), "{refusal}");
    }
    let taken = bind("127.0.0.1:0").await.unwrap();
    let again = bind(&taken.to_string()).await;
    assert!(matches!(again, Err(Error::Bind(..))));
    assert!(bind("localhost:0").await.is_ok());
}
