//! A gateway's management API, as far as it is told of written channels: it writes down what it hears.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, Uri};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use url::Url;

use super::world::World;

/// The running API; it stops when dropped.
pub(crate) struct Console {
    books: Arc<Mutex<Books>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Books {
    heard: String,
    refusals: usize,
}

impl Console {
    /// Listens on a free port and has `world` call it with `access_token`.
    pub(crate) async fn start(world: &mut World, access_token: &str) -> Self {
        let (console, url) = Self::listen().await;
        let settings = world.gateway_settings();
        settings.url = Some(url);
        settings.access_token = Some(access_token.into());
        console
    }

    /// Listens on a free port: where it is reached.
    pub(crate) async fn listen() -> (Self, Url) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let books = Arc::<Mutex<Books>>::default();
        let router = Router::new().fallback(hear).with_state(Arc::clone(&books));
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (Self { books, task }, url.parse().unwrap())
    }

    /// Each request: its line, the headers that matter, its body.
    pub(crate) fn heard(&self) -> String {
        self.books.lock().unwrap().heard.clone()
    }

    /// Refuses the next `times` requests as the gateways do, with 200.
    pub(crate) fn refuse(&self, times: usize) {
        self.books.lock().unwrap().refusals = times;
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn hear(
    State(books): State<Arc<Mutex<Books>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> String {
    let header = |name: &str| {
        headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    };
    let mut books = books.lock().unwrap();
    let line = format!(
        "{method} {uri}, {}, user {}, {}\n",
        header("authorization"),
        header("new-api-user"),
        String::from_utf8_lossy(&body)
    );
    books.heard.push_str(&line);
    let refused = books.refusals > 0;
    books.refusals = books.refusals.saturating_sub(1);
    let message = if refused { "not now" } else { "" };
    json!({"success": !refused, "message": message}).to_string()
}
