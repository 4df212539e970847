//! The courier with a real state, real HTTP and a loopback PushPlus.

use chrono::TimeDelta;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::notify::pushplus::{PushPlus, Settings};
use crate::notify::{Detail, Format};

struct World {
    _dir: tempfile::TempDir,
    listener: TcpListener,
    store: Store,
    clock: Clock,
    courier: Arc<Courier>,
}

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        store::create(&state).unwrap();
        let store = Store::open(&state).unwrap();
        let enrolled = ["wechat".to_owned()];
        store
            .write(move |db| notice::enrol(db, &enrolled))
            .await
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let settings = Settings {
            url: format!("http://{}/send", listener.local_addr().unwrap())
                .parse()
                .unwrap(),
            token: "0123456789abcdef0123456789abcdef".into(),
            template: Format::Html,
            topic: None,
            channel: None,
            to: None,
            option: None,
            get: false,
        };
        let subscriber = Subscriber {
            name: "wechat".into(),
            notifier: Box::new(PushPlus::new(settings)),
            events: EventKind::WORST_FIRST.to_vec(),
            locale: Locale::Chinese,
            timezone: chrono_tz::Asia::Shanghai,
        };
        let clock = Clock::manual("2026-11-20T08:00:00Z".parse().unwrap());
        let http = Http::new().unwrap();
        let courier = Courier::new(subscriber, store.clone(), http, clock.clone());
        Self {
            _dir: dir,
            listener,
            store,
            clock,
            courier: Arc::new(courier),
        }
    }

    async fn dies(&self, name: &'static str) {
        let now = self.clock.now();
        let kind = EventKind::Dead;
        self.store
            .write(move |db| notice::record(db, now, Some(name), kind, &Detail::default()))
            .await
            .unwrap();
    }

    async fn row(&self) -> Row {
        let row = self.store.read(|db| notice::row(db, "wechat")).await;
        row.unwrap().unwrap()
    }

    /// Takes one request and answers it with `answer`, or leaves without a word; the request's JSON.
    async fn serve(&self, answer: impl Into<Option<Value>>) -> Value {
        let (mut stream, _) = self.listener.accept().await.unwrap();
        let mut heard = Vec::new();
        let request = loop {
            stream.read_buf(&mut heard).await.unwrap();
            let text = String::from_utf8_lossy(&heard);
            let body = text.split_once("\r\n\r\n").map(|(_, body)| body);
            if let Some(json) = body.and_then(|body| serde_json::from_str(body).ok()) {
                break json;
            }
        };
        if let Some(answer) = answer.into() {
            let answer = answer.to_string();
            let status = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n",
                answer.len()
            );
            stream
                .write_all((status + &answer).as_bytes())
                .await
                .unwrap();
        }
        request
    }

    async fn flush(&self, answer: impl Into<Option<Value>>) -> (Outcome, Value) {
        let (outcome, heard) = tokio::join!(self.courier.flush(), self.serve(answer));
        (outcome.unwrap(), heard)
    }

    fn pass(&self, span: TimeDelta) {
        self.clock.set(self.clock.now() + span);
    }
}

fn accepted() -> Value {
    json!({"code": 200, "msg": "请求成功", "data": "a1"})
}

fn refused(code: i64) -> Value {
    json!({"code": code, "msg": "为什么"})
}

#[tokio::test]
async fn an_accepted_message_moves_the_cursor() {
    let world = World::new().await;
    assert_eq!(world.courier.flush().await.unwrap(), Outcome::Idle);
    world.dies("chatgpt").await;
    let (outcome, heard) = world.flush(accepted()).await;
    assert_eq!(outcome, Outcome::Sent);
    assert_eq!(heard["title"], "keyfresh：chatgpt 已失效，需要重新登录");
    assert_eq!(world.row().await.cursor, 1);
    assert_eq!(world.courier.flush().await.unwrap(), Outcome::Idle);
}

#[tokio::test]
async fn a_failure_loses_nothing_and_one_that_happened_repeats_the_message() {
    let world = World::new().await;
    world.dies("a").await;
    // Failed: the service did not take it. Failed but happened: it did, and its answer was lost.
    for answer in [Some(refused(500)), None] {
        let (outcome, heard) = world.flush(answer).await;
        assert_eq!(heard["title"], "keyfresh：a 已失效，需要重新登录");
        let Outcome::Waiting { until, reason } = outcome else {
            panic!("{outcome:?}");
        };
        assert!(until > world.clock.now() && reason.is_some());
        let waiting = world.courier.flush().await.unwrap();
        let reason = None;
        assert_eq!(waiting, Outcome::Waiting { until, reason });
        world.clock.set(until);
    }
    world.dies("b").await;
    let (outcome, heard) = world.flush(accepted()).await;
    assert_eq!(
        (outcome, &heard["title"]),
        (Outcome::Sent, &json!("keyfresh：2 项失效"))
    );
    assert_eq!((world.row().await.cursor, world.row().await.tries), (2, 0));
}

#[tokio::test]
async fn an_accepted_test_sets_a_stopped_notifier_going_and_a_ban_is_respected() {
    let world = World::new().await;
    world.dies("a").await;
    let reason = "PushPlus 905: 为什么".to_owned();
    let stopped = Outcome::Stopped { reason };
    assert_eq!(world.flush(refused(905)).await.0, stopped);
    world.pass(TimeDelta::days(1));
    assert_eq!(world.courier.flush().await.unwrap(), stopped);

    let (outcome, heard) = tokio::join!(world.courier.test(), world.serve(accepted()));
    assert_eq!(outcome.unwrap(), Outcome::Sent);
    assert_eq!(heard["title"], "keyfresh：测试通知");
    assert_eq!(world.row().await.cursor, 0);

    let (outcome, _) = world.flush(refused(900)).await;
    assert!(matches!(outcome, Outcome::Waiting { .. }));
    // Nobody serves here: a test that asked the service would fail in another way.
    assert_eq!(world.courier.test().await.unwrap(), outcome);
}

#[tokio::test]
async fn a_stop_tells_the_rest_without_waiting_for_more() {
    let world = World::new().await;
    let (news, stop) = (watch::Sender::new(()), watch::Sender::new(false));
    let courier = Arc::clone(&world.courier);
    let running = tokio::spawn(courier.run(news.subscribe(), stop.subscribe()));
    world.dies("a").await;
    news.send_replace(());
    stop.send_replace(true);
    let heard = world.serve(accepted()).await;
    assert_eq!(heard["title"], "keyfresh：a 已失效，需要重新登录");
    running.await.unwrap();
    assert_eq!(world.row().await.cursor, 1);
}

#[tokio::test]
async fn news_that_come_together_make_one_message() {
    let world = World::new().await;
    let (news, stop) = (watch::Sender::new(()), watch::Sender::new(false));
    let courier = Arc::clone(&world.courier);
    let running = tokio::spawn(courier.run(news.subscribe(), stop.subscribe()));
    for name in ["a", "b", "c"] {
        world.dies(name).await;
        news.send_replace(());
    }
    let heard = world.serve(accepted()).await;
    assert_eq!(heard["title"], "keyfresh：3 项失效");
    drop(stop);
    running.await.unwrap();
    assert_eq!(world.row().await.cursor, 3);
}
