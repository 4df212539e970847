//! A loopback PushPlus: takes messages as the real service does, and remembers them instead of sending.
//!
//! Used by `keyfresh demo` and by tests, for which its memory is the judge of what was told. It knows no
//! limits and checks no token; [`Sink::refuse`] makes it answer with one of the service's codes.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use url::Url;

const PATH: &str = "/send";

/// The running service; it stops when dropped.
pub struct Sink {
    url: Url,
    books: Arc<Mutex<Books>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Books {
    refusals: VecDeque<i64>,
    received: Vec<Value>,
}

impl Sink {
    /// Listens on a free loopback port, on the runtime this is called in.
    ///
    /// # Errors
    /// When no port can be opened.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let url = format!("http://{}{PATH}", listener.local_addr()?);
        let url = Url::parse(&url).map_err(io::Error::other)?;
        let books = Arc::<Mutex<Books>>::default();
        let router = Router::new()
            .route(PATH, post(take))
            .with_state(Arc::clone(&books));
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::debug!(%error, "the demo's sink cannot accept");
            }
        });
        Ok(Self { url, books, task })
    }

    /// Where messages are posted to.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The JSON of every request so far, refused ones among them.
    #[must_use]
    pub fn received(&self) -> Vec<Value> {
        lock(&self.books).received.clone()
    }

    /// Answers the next `times` requests with `code` instead of 200.
    pub fn refuse(&self, code: i64, times: usize) {
        lock(&self.books)
            .refusals
            .extend(std::iter::repeat_n(code, times));
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn take(State(books): State<Arc<Mutex<Books>>>, Json(message): Json<Value>) -> Json<Value> {
    let mut books = lock(&books);
    books.received.push(message);
    Json(match books.refusals.pop_front() {
        None => {
            json!({"code": 200, "msg": "请求成功", "data": format!("demo{}", books.received.len())})
        }
        Some(code) => json!({"code": code, "msg": "演示拒绝", "data": null}),
    })
}

fn lock(books: &Mutex<Books>) -> MutexGuard<'_, Books> {
    books.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::http::Http;
    use crate::notify::pushplus::{PushPlus, Settings};
    use crate::notify::{Delivery, Format, Message, Notifier as _};

    #[tokio::test]
    async fn it_takes_what_the_notifier_sends_and_refuses_when_told() {
        let sink = Sink::start().await.unwrap();
        let notifier = PushPlus::new(Settings {
            url: sink.url().clone(),
            token: "0123456789abcdef0123456789abcdef".into(),
            template: Format::Text,
            topic: None,
            channel: None,
            to: None,
            option: None,
            get: false,
        });
        let message = Message {
            title: "标题".into(),
            body: "正文".into(),
        };
        let http = Http::new().unwrap();
        sink.refuse(903, 1);
        let mut verdicts = Vec::new();
        for _ in 0..2 {
            let request = notifier.request(&message, Timestamp::UNIX_EPOCH);
            verdicts.push(notifier.accepted(&http.send(request).await.unwrap()));
        }
        assert!(matches!(verdicts[0], Delivery::StopUntilChanged { .. }));
        let serial = Some("demo2".to_owned());
        assert_eq!(verdicts[1], Delivery::Accepted { serial });
        assert_eq!(sink.received().len(), 2);
        assert_eq!(sink.received()[1]["content"], "正文");
    }
}
