//! A loopback PushPlus: takes messages as the real service does, and remembers them instead of sending.
//!
//! Used by `keyfresh demo` and by the tests, for which its memory is the judge of what was told. It knows
//! no limits and checks no token; [`Sink::behave`] makes it refuse, fail or withhold its answers.

use std::io;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::any;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use url::{Url, form_urlencoded};

const PATH: &str = "/send";

/// How it answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manner {
    /// With 200: it has the message.
    #[default]
    Accept,
    /// With one of the service's codes in an answer of status 200.
    Refuse(i64),
    /// With a status and no code.
    Fail(u16),
    /// With a page for people, of status 200.
    Page,
    /// Not before its manner is another.
    Withhold,
}

/// The running service; it stops when dropped.
pub struct Sink {
    url: Url,
    books: watch::Sender<Books>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Books {
    manner: Manner,
    /// The message of every request, and whether it was accepted.
    received: Vec<(Value, bool)>,
}

impl Sink {
    /// Listens on a free loopback port, on the runtime this is called in.
    ///
    /// # Errors
    /// When no port can be opened.
    pub async fn start() -> io::Result<Self> {
        Self::on(TcpListener::bind(("127.0.0.1", 0)).await?)
    }

    /// The same on a port that is open already.
    ///
    /// # Errors
    /// When the port cannot be found out.
    pub fn on(listener: TcpListener) -> io::Result<Self> {
        let url = format!("http://{}{PATH}", listener.local_addr()?);
        let url = Url::parse(&url).map_err(io::Error::other)?;
        let books = watch::Sender::<Books>::default();
        let router = Router::new()
            .route(PATH, any(take))
            .with_state(books.clone());
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::debug!(%error, "the demo's sink cannot accept");
            }
        });
        Ok(Self { url, books, task })
    }

    /// Where messages are sent to.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Answers so from now on, also what was withheld so far.
    pub fn behave(&self, manner: Manner) {
        self.books.send_modify(|books| books.manner = manner);
    }

    /// The parameters of every request so far, refused ones among them.
    #[must_use]
    pub fn received(&self) -> Vec<Value> {
        let books = self.books.borrow();
        books.received.iter().map(|(it, _)| it.clone()).collect()
    }

    /// Title and content of every message so far, refused ones among them.
    #[must_use]
    pub fn messages(&self) -> Vec<String> {
        self.texts(|_| true)
    }

    /// Title and content of every message that was accepted.
    #[must_use]
    pub fn accepted(&self) -> Vec<String> {
        self.texts(|accepted| accepted)
    }

    /// The titles of [`messages`](Self::messages).
    #[must_use]
    pub fn titles(&self) -> Vec<String> {
        let first = |text: String| text.lines().next().unwrap_or_default().to_owned();
        self.messages().into_iter().map(first).collect()
    }

    /// Returns once so many requests have arrived.
    pub async fn arrival(&self, count: usize) {
        let mut books = self.books.subscribe();
        // The sender lives in `self`, so waiting cannot end by its loss.
        let _arrived = books.wait_for(|books| books.received.len() >= count).await;
    }

    fn texts(&self, wanted: impl Fn(bool) -> bool) -> Vec<String> {
        let text = |message: &Value| {
            let part = |name| {
                message
                    .get(name)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
            };
            format!("{}\n{}", part("title"), part("content"))
        };
        let books = self.books.borrow();
        let told = books.received.iter().filter(|(_, taken)| wanted(*taken));
        told.map(|(message, _)| text(message)).collect()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One request, with its parameters in the query or as JSON.
async fn take(State(books): State<watch::Sender<Books>>, uri: Uri, body: String) -> Response {
    let message = match uri.query() {
        Some(query) => Ok(form_urlencoded::parse(query.as_bytes()).collect()),
        None => serde_json::from_str(&body),
    };
    let Ok(message) = message else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let mut number = 0;
    books.send_modify(|books| {
        books.received.push((message, false));
        number = books.received.len();
    });
    let mut orders = books.subscribe();
    let ready = orders.wait_for(|books| books.manner != Manner::Withhold);
    let manner = ready.await.map_or(Manner::Withhold, |books| books.manner);
    let answer = |code, words, data| json!({"code": code, "msg": words, "data": data}).to_string();
    match manner {
        Manner::Accept => {
            books.send_modify(|books| {
                if let Some((_, accepted)) = books.received.get_mut(number - 1) {
                    *accepted = true;
                }
            });
            answer(200, "请求成功", Value::from(format!("demo{number}"))).into_response()
        }
        Manner::Refuse(code) => answer(code, "演示拒绝", Value::Null).into_response(),
        Manner::Fail(status) => StatusCode::from_u16(status)
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
            .into_response(),
        Manner::Page => Html("<!doctype html><title>系统维护中</title>").into_response(),
        Manner::Withhold => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
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
        let mut verdicts = Vec::new();
        let manners = [Manner::Refuse(903), Manner::Fail(500), Manner::Page];
        for manner in manners.into_iter().chain([Manner::Accept]) {
            sink.behave(manner);
            let request = notifier.request(&message, Timestamp::UNIX_EPOCH);
            verdicts.push(notifier.accepted(&http.send(request).await.unwrap()));
        }
        assert!(matches!(verdicts[0], Delivery::StopUntilChanged { .. }));
        assert!(matches!(verdicts[1], Delivery::Later { .. }));
        assert!(matches!(verdicts[2], Delivery::Later { .. }));
        let serial = Some("demo4".to_owned());
        assert_eq!(verdicts[3], Delivery::Accepted { serial });
        assert_eq!(sink.messages(), ["标题\n正文"; 4]);
        assert_eq!(sink.accepted(), ["标题\n正文"]);
    }
}
