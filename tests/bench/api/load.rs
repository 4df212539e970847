//! Clients that ask as fast as they are answered, each over a connection of its own kept alive.
//!
//! One thread drives them all and reads of an answer only what tells its length and its success, so
//! that what is measured is the server.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use keyfresh::clock::{Clock, Stopwatch};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

/// What every answer to the benchmark's requests ends with.
const SUCCESS: &[u8] = br#""success":true}"#;

/// A call of the API; its requests are told apart by a number.
pub(crate) struct Call {
    /// How the table calls it.
    pub(crate) name: &'static str,
    /// How many requests there are; the numbers begin anew after the last.
    pub(crate) requests: usize,
    /// Makes the request of a number.
    pub(crate) request: Box<dyn Fn(usize) -> Request + Send + Sync>,
    asked: AtomicUsize,
}

/// What is asked.
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) body: String,
}

/// What a crowd measured so far.
#[derive(Default)]
pub(crate) struct Sample {
    span: Duration,
    latencies: Vec<Duration>,
    is_sorted: bool,
}

/// Clients of one server.
pub(crate) struct Crowd(Vec<Client>);

/// One connection.
struct Client {
    stream: TcpStream,
    authorization: &'static str,
    answer: Vec<u8>,
    latencies: Vec<Duration>,
}

impl Call {
    pub(crate) fn new(
        name: &'static str,
        requests: usize,
        request: impl Fn(usize) -> Request + Send + Sync + 'static,
    ) -> Self {
        Self {
            name,
            requests,
            request: Box::new(request),
            asked: AtomicUsize::new(0),
        }
    }

    fn next(&self) -> Request {
        (self.request)(self.asked.fetch_add(1, Ordering::Relaxed) % self.requests)
    }
}

impl Request {
    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self {
            method: "GET",
            path: path.into(),
            body: String::new(),
        }
    }

    fn text(&self, authorization: &str) -> String {
        let Self { method, path, body } = self;
        let content = if body.is_empty() {
            String::new()
        } else {
            let length = body.len();
            format!("Content-Type: application/json\r\nContent-Length: {length}\r\n")
        };
        format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {authorization}\r\n\
             {content}\r\n{body}"
        )
    }
}

impl Sample {
    /// Requests answered in each second.
    #[expect(clippy::cast_precision_loss, reason = "shown with few digits")]
    pub(crate) fn rate(&self) -> f64 {
        self.latencies.len() as f64 / self.span.as_secs_f64()
    }

    /// The time in milliseconds within which `share` of the requests, in percent, were answered.
    pub(crate) fn within(&mut self, share: usize) -> f64 {
        if !self.is_sorted {
            self.latencies.sort_unstable();
            self.is_sorted = true;
        }
        let place = (self.latencies.len() * share / 100).min(self.latencies.len() - 1);
        self.latencies[place].as_secs_f64() * 1000.0
    }

    pub(crate) fn answered(&self) -> usize {
        self.latencies.len()
    }
}

impl Crowd {
    pub(crate) async fn connect(address: &str, size: usize, authorization: &'static str) -> Self {
        let mut clients = Vec::with_capacity(size);
        for _ in 0..size {
            let stream = TcpStream::connect(address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            clients.push(Client {
                stream,
                authorization,
                answer: vec![0; 64 * 1024],
                latencies: Vec::new(),
            });
        }
        Self(clients)
    }

    /// Every client asks again as soon as it is answered, until `span` has passed, and once at least;
    /// what is then under way is waited for and counted.
    pub(crate) async fn drive(&mut self, call: &Arc<Call>, span: Duration, sample: &mut Sample) {
        let watch = Clock::system().stopwatch();
        let mut tasks = JoinSet::new();
        for mut client in self.0.drain(..) {
            let call = Arc::clone(call);
            tasks.spawn(async move {
                loop {
                    client.ask(&call.next(), watch).await;
                    if watch.elapsed() >= span {
                        break client;
                    }
                }
            });
        }
        while let Some(client) = tasks.join_next().await {
            let mut client = client.unwrap();
            sample.latencies.append(&mut client.latencies);
            self.0.push(client);
        }
        sample.is_sorted = false;
        sample.span += watch.elapsed();
    }

    /// The first client's answer to one request, head and all.
    pub(crate) async fn answer(&mut self, request: &Request) -> Vec<u8> {
        let watch = Clock::system().stopwatch();
        let client = &mut self.0[0];
        let length = client.ask(request, watch).await;
        client.latencies.clear();
        client.answer[..length].to_vec()
    }
}

impl Client {
    async fn ask(&mut self, request: &Request, watch: Stopwatch) -> usize {
        let text = request.text(self.authorization);
        let begun = watch.elapsed();
        self.stream.write_all(text.as_bytes()).await.unwrap();
        let mut filled = 0;
        let length = loop {
            let read = self.stream.read(&mut self.answer[filled..]).await.unwrap();
            assert_ne!(read, 0, "hung up after {}", self.shown(filled));
            filled += read;
            match whole(&self.answer[..filled]) {
                Some(end) if end == filled => {
                    let is_success = self.answer[..end].ends_with(SUCCESS);
                    assert!(is_success, "{text}\n\n{}", self.shown(filled));
                    break end;
                }
                Some(end) => assert!(end > filled, "more than an answer"),
                None => {}
            }
        };
        self.latencies.push(watch.elapsed().saturating_sub(begun));
        length
    }

    fn shown(&self, filled: usize) -> String {
        String::from_utf8_lossy(&self.answer[..filled]).into_owned()
    }
}

/// The length of the answer, once its head is there.
fn whole(answer: &[u8]) -> Option<usize> {
    const LENGTH: &[u8] = b"content-length: ";
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let length = answer[..head]
        .split(|byte| *byte == b'\n')
        .find(|line| {
            line.get(..LENGTH.len())
                .is_some_and(|name| name.eq_ignore_ascii_case(LENGTH))
        })
        .unwrap();
    let digits = std::str::from_utf8(&length[LENGTH.len()..]).unwrap();
    let length: usize = digits.trim().parse().unwrap();
    Some(head + length)
}

/// The one thread of the clients.
pub(crate) fn thread() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}
