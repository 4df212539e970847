//! A PushPlus that keeps what it is sent, and withholds its answers while it is told to.

use std::sync::{Arc, Mutex};

use axum::http::Uri;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use url::{Url, form_urlencoded};

/// The service; it stops when dropped.
pub(crate) struct Sink {
    url: Url,
    messages: Arc<Mutex<Vec<Value>>>,
    hold: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Sink {
    /// Listens on a free port.
    pub(crate) fn new(runtime: &Runtime) -> Self {
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        let messages = Arc::new(Mutex::new(Vec::new()));
        let hold = watch::Sender::new(false);
        let (kept, orders) = (Arc::clone(&messages), hold.subscribe());
        let route = async move |uri: Uri, body: String| {
            let message = match uri.query() {
                Some(query) => form_urlencoded::parse(query.as_bytes()).collect(),
                None => serde_json::from_str(&body).unwrap(),
            };
            kept.lock().unwrap().push(message);
            let mut orders = orders.clone();
            // A sink that is gone holds nothing.
            drop(orders.wait_for(|hold| !hold).await);
            json!({"code": 200, "msg": "ok", "data": "serial"}).to_string()
        };
        let router = axum::Router::new().route("/send", axum::routing::any(route));
        let task = runtime.spawn(async move {
            axum::serve(listener, router).await.unwrap();
        });
        Self {
            url: Url::parse(&format!("http://127.0.0.1:{port}/send")).unwrap(),
            messages,
            hold,
            task,
        }
    }

    /// Where it takes messages.
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// Withholds its answers, or gives them all.
    pub(crate) fn hold(&self, hold: bool) {
        self.hold.send_replace(hold);
    }

    /// Title and content of every message so far.
    pub(crate) fn messages(&self) -> Vec<String> {
        let messages = self.messages.lock().unwrap();
        let text = |message: &Value| {
            let part = |name: &str| message[name].as_str().unwrap().to_owned();
            format!("{}\n{}", part("title"), part("content"))
        };
        messages.iter().map(text).collect()
    }

    /// The titles alone.
    pub(crate) fn titles(&self) -> Vec<String> {
        let messages = self.messages();
        messages
            .iter()
            .map(|message| message.lines().next().unwrap_or_default().to_owned())
            .collect()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.task.abort();
    }
}
