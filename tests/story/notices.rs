//! A notifier's service that is away, slow or cross: refreshes and channels do not notice, and what
//! happened meanwhile is told once when it is back.

use std::fmt::Write as _;
use std::sync::Arc;

use insta::assert_snapshot;
use keyfresh::clock::Timestamp;
use keyfresh::config::NotifierKind;
use keyfresh::demo::authority::{Authority, Fault, Settings};
use keyfresh::demo::sink::{Manner, Sink};
use keyfresh::notify::{Locale, Outcome};
use keyfresh::secret::{ExposeSecret as _, mask};
use keyfresh::store::notice;
use tokio::net::TcpSocket;

use crate::support::comes;
use crate::support::world::{World, hours, minutes};

/// What became of everybody else: when the providers were asked, and what the channel then held.
type Course = Vec<(Timestamp, usize, String)>;

/// A world in which one login dies after thirty hours and one fails from the tenth to about the
/// twentieth, while `main` is refreshed every hour.
struct Trouble {
    world: World,
    /// The provider of the other two.
    other: Authority,
    course: Course,
}

impl Trouble {
    async fn new() -> Self {
        let mut world = World::new("one-api.db").await;
        let other = Authority::start(Settings::default(), world.clock.clone());
        let other = other.await.unwrap();
        let flaky = other.seed().unwrap();
        world.credential("flaky", &[4]);
        let settings = world.settings("flaky");
        settings.client.token_url = other.url().clone();
        settings.seed = Some(flaky);
        Self {
            world,
            other,
            course: Course::new(),
        }
    }

    /// `count` passes, one an hour, each with a look at what it came to.
    async fn hours(&mut self, count: usize) {
        for _ in 0..count {
            let world = &mut self.world;
            world.after(hours(1)).await;
            self.course.push((
                world.clock.now(),
                world.authority.requests().len() + self.other.requests().len(),
                world.text(&world.key(1)),
            ));
        }
    }

    /// Eighty hours.
    async fn happens(&mut self) {
        self.hours(10).await;
        let busy = Fault::Error(503, "temporarily_unavailable");
        self.other.fault(&busy, 10);
        self.hours(20).await;
        let world = &mut self.world;
        world.credential("doomed", &[5]);
        world.settings("doomed").seed = Some("a-login-that-nobody-knows".into());
        world.reload().await;
        self.hours(50).await;
    }
}

/// What happens while the service accepts everything.
async fn undisturbed() -> Course {
    let mut trouble = Trouble::new().await;
    trouble.happens().await;
    assert!(trouble.world.sink.accepted().len() > 40);
    trouble.course
}

async fn untold(world: &mut World) -> usize {
    let store = &world.parts().await.store;
    let read = |db: &rusqlite::Connection| {
        let row = notice::row(db, "wechat")?.unwrap();
        notice::untold(db, &row)
    };
    store.read(read).await.unwrap()
}

/// What the first message says when the service is back after eighty hours: the same whatever it did.
#[tokio::test]
async fn a_service_that_is_away_for_three_days_delays_nothing_and_is_told_all_at_once() {
    let undisturbed = undisturbed().await;
    let mut told = Vec::new();
    for manner in [
        None,
        Some(Manner::Fail(500)),
        Some(Manner::Page),
        Some(Manner::Refuse(500)),
    ] {
        let mut trouble = Trouble::new().await;
        let refused = match manner {
            Some(manner) => {
                trouble.world.sink.behave(manner);
                None
            }
            None => Some(nobody_there(&mut trouble.world)),
        };
        trouble.happens().await;
        assert_eq!(trouble.course, undisturbed, "{manner:?}");
        let world = &mut trouble.world;
        let tries = world.sink.received().len();
        assert!(tries <= 100, "{tries} requests in 80 hours");
        if let Some(port) = refused {
            world.sink = Sink::on(port.listen(16).unwrap()).unwrap();
        }
        world.sink.behave(Manner::Accept);
        // At the latest an hour after the last try.
        world.wait(hours(1));
        world.once().await;
        let accepted = world.sink.accepted();
        assert_eq!(accepted.len(), 1, "{accepted:?}");
        let mut text = world.steady(&world.text(&accepted[0]));
        for token in trouble.other.issued() {
            text = text.replace(&mask(token.expose_secret()), "masked");
        }
        told.push(text);
        assert_eq!(untold(world).await, 0);
        world.once().await;
        assert_eq!(world.sink.accepted().len(), 1);
    }
    told.dedup();
    assert_eq!(told.len(), 1, "{told:#?}");
    assert_snapshot!(told[0]);
}

/// A port at which connections are refused until it is listened on.
fn nobody_there(world: &mut World) -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = socket.local_addr().unwrap().port();
    let NotifierKind::PushPlus(settings) = &mut world.config.notifiers[0].kind;
    settings.url.set_port(Some(port)).unwrap();
    socket
}

#[tokio::test]
async fn a_service_that_does_not_answer_delays_nothing() {
    let mut world = World::new("one-api.db").await;
    world.sink.behave(Manner::Withhold);
    world.begin_pass().await;
    let parts = world.parts().await;
    parts.refresher.settled().await;
    let courier = Arc::clone(&parts.couriers[0]);
    let telling = tokio::spawn(async move { courier.flush().await });
    comes("the notice", world.sink.arrival(1)).await;
    for pass in 1..=24 {
        world.wait(hours(3));
        world.begin_pass().await;
        world.parts().await.refresher.settled().await;
        world.check_channels().await;
        let key = format!("main access {}", pass + 1);
        assert_eq!(world.text(&world.key(1)), key);
        assert_eq!(world.asked_at().len(), pass + 1);
    }
    world.sink.behave(Manner::Accept);
    assert_eq!(telling.await.unwrap().unwrap(), Outcome::Sent);
    world.once().await;
    world.once().await;
    let told = ["keyfresh: main refreshed"; 2];
    assert_eq!(world.sink.titles(), told);
    assert_eq!(untold(&mut world).await, 0);
}

#[tokio::test]
async fn an_account_that_is_limited_is_asked_once_a_day() {
    let mut trouble = Trouble::new().await;
    trouble.world.sink.behave(Manner::Refuse(900));
    trouble.happens().await;
    assert_eq!(trouble.course, undisturbed().await);
    let world = &mut trouble.world;
    // At once, and after each of three midnights in Shanghai.
    assert_eq!(world.sink.received().len(), 4);
    // A person's test would lengthen the ban.
    world.sink.behave(Manner::Accept);
    let outcome = world.parts().await.couriers[0].test().await.unwrap();
    let Outcome::Waiting { until, reason } = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(until, "2026-11-24T16:00:00Z".parse::<Timestamp>().unwrap());
    assert_eq!(reason.as_deref(), Some("PushPlus 900: 演示拒绝"));
    assert_eq!(world.sink.received().len(), 4);
    world.clock.set(until);
    world.once().await;
    assert_eq!(world.sink.accepted().len(), 1);
    assert_eq!(untold(world).await, 0);
}

#[tokio::test]
async fn a_refused_account_is_asked_again_when_a_person_says_so() {
    let mut trouble = Trouble::new().await;
    trouble.world.sink.behave(Manner::Refuse(905));
    trouble.happens().await;
    assert_eq!(trouble.course, undisturbed().await);
    let world = &mut trouble.world;
    assert_eq!(world.sink.received().len(), 1);
    world.sink.behave(Manner::Accept);
    world.once().await;
    assert_eq!(world.sink.accepted().len(), 0);
    let courier = Arc::clone(&world.parts().await.couriers[0]);
    assert_eq!(courier.test().await.unwrap(), Outcome::Sent);
    world.once().await;
    world.once().await;
    assert_eq!(world.sink.accepted().len(), 2, "the test and the news");
    assert_eq!(untold(world).await, 0);
}

#[tokio::test]
async fn fifty_failures_are_one_alert_and_one_recovery() {
    let mut world = World::new("one-api.db").await;
    world.once().await;
    let busy = Fault::Error(503, "temporarily_unavailable");
    world.authority.fault(&busy, 50);
    for _ in 0..51 {
        world.when_due().await;
    }
    assert_eq!(world.row("main").await.generation, 2);
    let told = [
        "keyfresh: main refreshed",
        "keyfresh: main cannot be refreshed at the moment",
        "keyfresh: main recovered",
    ];
    assert_eq!(world.sink.titles(), told);
}

/// What is told of `happens` by a service that was away meanwhile.
async fn afterwards(happens: impl AsyncFnOnce(&mut World)) -> String {
    let mut world = World::new("one-api.db").await;
    world.once().await;
    world.sink.behave(Manner::Fail(502));
    happens(&mut world).await;
    world.wait(hours(2));
    world.sink.behave(Manner::Accept);
    let courier = Arc::clone(&world.parts().await.couriers[0]);
    assert_eq!(courier.flush().await.unwrap(), Outcome::Sent);
    let told = world.sink.accepted();
    assert_eq!(told.len(), 2, "{told:?}");
    world.steady(&world.text(&told[1]))
}

#[tokio::test]
async fn the_end_of_what_happened_meanwhile_is_told() {
    let unknown_then_dead = afterwards(async |world| {
        world.authority.fault(&Fault::Cut { handled: true }, 1);
        world.when_due().await;
        world.when_due().await;
    });
    assert_snapshot!(unknown_then_dead.await);
    let dead_then_alive = afterwards(async |world| {
        let rejected = Fault::Error(400, "invalid_grant");
        world.authority.fault(&rejected, 1);
        world.when_due().await;
        let login = world.login("again");
        world.replace("main", login).await;
        world.once().await;
    });
    assert_snapshot!(dead_then_alive.await);
    let conflict_then_taken_over = afterwards(async |world| {
        world.set_key(1, "a stranger");
        world.after(minutes(2)).await;
        world.parts().await.links.take_over("main").await.unwrap();
        world.after(minutes(1)).await;
    });
    assert_snapshot!(conflict_then_taken_over.await);
    let conflict = afterwards(async |world| {
        world.set_key(1, "a stranger");
        world.after(minutes(2)).await;
    });
    assert_snapshot!(conflict.await);
}

/// A thousand credentials whose first exchange ends in `fault`: what is told, in both languages.
async fn a_thousand(fault: Option<Fault>) -> String {
    let mut world = World::new("one-api.db").await;
    for number in 1..1000 {
        world.credential(&format!("c{number:03}"), &[]);
    }
    if let Some(fault) = fault {
        world.authority.fault(&fault, 1000);
    }
    world.once().await;
    world.stop();
    let state = rusqlite::Connection::open(world.path("state/state.db")).unwrap();
    let again = "UPDATE notifier SET cursor = 0, not_before = NULL, detail = '{}'";
    assert_eq!(state.execute(again, []).unwrap(), 1);
    world.config.locale = Locale::Chinese;
    let courier = Arc::clone(&world.parts().await.couriers[0]);
    assert_eq!(courier.flush().await.unwrap(), Outcome::Sent);

    let told = world.sink.messages();
    assert_eq!(told.len(), 2, "one in each language");
    let mut picture = String::new();
    for text in told {
        assert!(text.chars().count() < 20_000);
        for token in world.authority.issued() {
            assert!(!text.contains(token.expose_secret()));
        }
        let (title, body) = text.split_once('\n').unwrap();
        // Eight are told in full, as they ended; of fifty the name, of the others the number.
        let mut rest = body.lines().skip_while(|line| !line.contains("992"));
        let (besides, line) = (rest.next().unwrap(), rest.next().unwrap());
        let is_named = |name: &&String| line.contains(*name);
        let names: Vec<_> = world.logins().filter(is_named).collect();
        let last = names.iter().map(|name| line.find(name.as_str())).max();
        let more = &line[last.unwrap().unwrap()..];
        let more = more.trim_start_matches(|letter: char| letter.is_ascii_alphanumeric());
        let count = names.len();
        writeln!(picture, "{title} | {besides} | {count} names{more}").unwrap();
    }
    picture
}

#[tokio::test]
async fn a_thousand_deaths_are_one_digest() {
    let rejected = Fault::Error(400, "invalid_grant");
    assert_snapshot!(a_thousand(Some(rejected)).await, @"
    keyfresh: 1000 dead | And 992 dead | 50 names … and 942 more
    keyfresh：1000 项失效 | 另有 992 项失效 | 50 names，以及另外 942 项
    ");
}

#[tokio::test]
async fn a_thousand_unknown_outcomes_are_one_digest() {
    let cut = Fault::Cut { handled: true };
    assert_snapshot!(a_thousand(Some(cut)).await, @"
    keyfresh: 1000 unconfirmed | And 992 unconfirmed | 50 names … and 942 more
    keyfresh：1000 项结果不明 | 另有 992 项结果不明 | 50 names，以及另外 942 项
    ");
}

#[tokio::test]
async fn a_thousand_refreshes_are_one_digest() {
    assert_snapshot!(a_thousand(None).await, @"
    keyfresh: 1000 refreshed | And 992 refreshed | 50 names … and 942 more
    keyfresh：1000 项已刷新 | 另有 992 项已刷新 | 50 names，以及另外 942 项
    ");
}
