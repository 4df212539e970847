//! What keyfresh's API is measured beside: servers on the same stack, in processes of their own.
//!
//! They are this benchmark's program run again with [`ARGUMENT`]. One gives the bytes that keyfresh gave
//! and does nothing for them; another does so without keyfresh's manners; a third creates a token for each request in a transaction of its own.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::routing::{MethodFilter, MethodRouter, on, post};
use keyfresh::api;
use rusqlite::{Connection, TransactionBehavior};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::gateway::{self, Layout};
use crate::load::{self, Request};

/// The hidden argument that makes this program one of the servers.
const ARGUMENT: &str = "serve-bare";

/// What tells the servers apart.
const ANSWERS: &str = "answers";
const PLAINLY: &str = "answers-plainly";
const COMMITS: &str = "commits";

/// One of the servers, running.
pub(crate) struct Bare {
    child: Child,
    pub(crate) address: String,
}

/// An answer that is always the same.
#[derive(Clone)]
struct Answer {
    headers: HeaderMap,
    body: Bytes,
}

/// Recorded answers, to be served from a folder.
#[derive(Default)]
pub(crate) struct Record(Vec<String>);

impl Record {
    pub(crate) fn add(&mut self, request: &Request, answer: &[u8]) {
        let path = request.path.split('?').next().unwrap();
        let answer = std::str::from_utf8(answer).unwrap();
        self.0.push(format!("{} {path}\n{answer}", request.method));
    }

    fn write(&self, folder: &Path) {
        fs::create_dir(folder).unwrap();
        for (number, text) in self.0.iter().enumerate() {
            fs::write(folder.join(number.to_string()), text).unwrap();
        }
    }
}

impl Bare {
    /// Serves the answers in `record`, each at its path without the query.
    pub(crate) fn answers(record: &Record, folder: &Path) -> Self {
        record.write(folder);
        Self::start(Command::new(own()), ANSWERS, folder)
    }

    /// Serves what [`answers`](Self::answers) wrote in `folder`, through `axum::serve`: without time-outs,
    /// caps, ids and log.
    pub(crate) fn answers_plainly(folder: &Path) -> Self {
        Self::start(Command::new(own()), PLAINLY, folder)
    }

    /// Creates a token in the file at `path` for every request; `command` runs this program.
    pub(crate) fn commits(command: Command, path: &Path) -> Self {
        Self::start(command, COMMITS, path)
    }

    fn start(mut command: Command, which: &str, path: &Path) -> Self {
        let mut child = command
            .args([ARGUMENT, which])
            .arg(path)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut address = String::new();
        let told = child.stdout.take().unwrap();
        BufReader::new(told).read_line(&mut address).unwrap();
        let address = address.trim().to_owned();
        assert!(!address.is_empty(), "{command:?} does not listen");
        Self { child, address }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let killed = self.child.kill();
        let reaped = self.child.wait();
        drop((killed, reaped));
    }
}

/// This program.
pub(crate) fn own() -> OsString {
    std::env::current_exe().unwrap().into_os_string()
}

/// Whether this process is to be one of the servers, which it then is until it is killed.
pub(crate) fn serve() -> bool {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_none_or(|first| first != ARGUMENT) {
        return false;
    }
    let (which, path) = (arguments.next().unwrap(), arguments.next().unwrap());
    let router = if which == COMMITS {
        committing(Path::new(&path))
    } else {
        answering(Path::new(&path))
    };
    load::thread().block_on(async {
        if which == PLAINLY {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            println!("{}", listener.local_addr().unwrap());
            return axum::serve(listener, router).await.unwrap();
        }
        let listener = api::bind("127.0.0.1:0", false).await.unwrap();
        println!("{listener}");
        api::serve(
            listener,
            router,
            api::Terms::default(),
            std::future::pending(),
        )
        .await;
    });
    true
}

fn answering(folder: &Path) -> Router {
    let mut routes: BTreeMap<String, MethodRouter> = BTreeMap::new();
    for file in fs::read_dir(folder).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        let (request, answer) = text.split_once('\n').unwrap();
        let (method, path) = request.split_once(' ').unwrap();
        let method: Method = method.parse().unwrap();
        let answer = Answer::read(answer);
        let give = async move || (answer.headers.clone(), answer.body.clone());
        let served = on(MethodFilter::try_from(method).unwrap(), give);
        let route = routes.entry(path.to_owned()).or_default();
        *route = std::mem::take(route).merge(served);
    }
    routes
        .into_iter()
        .fold(Router::new(), |router, (path, served)| {
            router.route(&path, served)
        })
}

impl Answer {
    /// The headers that the stack does not set by itself, and the body.
    fn read(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let mut headers = HeaderMap::new();
        for line in head.lines().skip(1) {
            let (name, value) = line.split_once(": ").unwrap();
            if !["date", "content-length", "x-request-id"].contains(&name) {
                let name: HeaderName = name.parse().unwrap();
                headers.insert(name, HeaderValue::from_str(value).unwrap());
            }
        }
        Self {
            headers,
            body: Bytes::copy_from_slice(body.as_bytes()),
        }
    }
}

/// One thread writes; each token waits for the COMMIT of the one before it.
fn committing(path: &Path) -> Router {
    let (jobs, queue) = mpsc::channel::<oneshot::Sender<()>>();
    let mut db = Connection::open(path).unwrap();
    let newest = "SELECT max(id) FROM tokens";
    let newest: i64 = db.query_row(newest, [], |row| row.get(0)).unwrap();
    let first = usize::try_from(newest).unwrap() + gateway::ROWS;
    std::thread::spawn(move || {
        for (number, reply) in (first..).zip(queue) {
            let change = db
                .transaction_with_behavior(TransactionBehavior::Immediate)
                .unwrap();
            gateway::insert(&change, &Layout::NEW_API, gateway::ALICE, number);
            change.commit().unwrap();
            reply.send(()).unwrap();
        }
    });
    let jobs = Arc::new(jobs);
    let create = async move || {
        let (reply, done) = oneshot::channel();
        jobs.send(reply).unwrap();
        done.await.unwrap();
        r#"{"message":"","success":true}"#
    };
    Router::new().route("/api/token/", post(create))
}
