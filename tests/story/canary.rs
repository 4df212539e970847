//! Tokens where they do not belong: a run in which everything happens, its log at the finest level, every
//! notice in both languages, what `Debug` and errors say, and the bytes of our own files.

use std::fmt::Debug;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use crate::support::world::{World, hours, minutes, whole};
use keyfresh::daemon::Parts;
use keyfresh::demo::authority::{Fault, Settings};
use keyfresh::exchange::Door;
use keyfresh::gateway::Gateway;
use keyfresh::notify::Locale;
use keyfresh::secret::{ExposeSecret as _, mask};
use keyfresh::store;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;

/// Where everything is written that somebody may read.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<u8>>>);

impl io::Write for Seen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seen {
    fn debug(&self, value: &impl Debug) {
        let mut seen = self.0.lock().unwrap();
        seen.extend_from_slice(format!("{value:?}\n{value:#?}\n").as_bytes());
    }

    fn files(&self, folder: &Path) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                self.files(&path);
            } else {
                self.0.lock().unwrap().extend(fs::read(path).unwrap());
            }
        }
    }

    /// All of it; what is no UTF-8 is no token either.
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

/// Our own lines at the finest level and what else the program would ever print.
fn listen(seen: &Seen) {
    let writer = seen.clone();
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_writer(move || writer.clone());
    let targets = Targets::new()
        .with_target("keyfresh", LevelFilter::TRACE)
        .with_default(LevelFilter::WARN);
    let subscriber = tracing_subscriber::registry().with(targets).with(lines);
    tracing::subscriber::set_global_default(subscriber).unwrap();
}

fn faults() -> [Fault; 11] {
    [
        Fault::Error(400, "slow_down"),
        Fault::ErrorObject(500, "server_error"),
        Fault::Status {
            status: 502,
            retry_after: None,
            handled: false,
        },
        Fault::Html,
        Fault::Omit("access_token"),
        Fault::CutBody { missing: 1 },
        Fault::CutBody { missing: 10 },
        Fault::Cut { handled: false },
        Fault::Trickle,
        Fault::Huge,
        Fault::Redirect,
    ]
}

/// One fault after the other, each with a login of its own.
async fn suffer(world: &mut World, seen: &Seen) {
    for fault in faults() {
        let login = world.login("main");
        world.replace("main", login).await;
        world.authority.fault(&fault, 1);
        for _ in 0..3 {
            world.after(minutes(15)).await;
            seen.debug(&world.row("main").await);
        }
    }
}

/// What our own code shows of what it holds while it works.
async fn look(world: &mut World, seen: &Seen) {
    let client = world.settings("main").client.clone();
    let row = world.row("main").await;
    seen.files(&world.path("state"));
    world.stop();
    let store = world.store();
    let owner = store.own().unwrap();
    let text = client.digest_text();
    let claim = store.claim(&owner, row, text, client.preset, &world.clock);
    let mut claim = claim.await.unwrap();
    seen.debug(&claim);
    let request = client.request(&claim.refresh_token);
    seen.debug(&request);
    let sent = Door::new()
        .send(request, None, client.timeout, &mut claim.slot)
        .await;
    seen.debug(&sent);
    if let keyfresh::exchange::Sent::Answered(answer) = &sent {
        seen.debug(&client.outcome(answer, world.clock.now()));
    }
    seen.debug(&(&world.config, &client, &owner, &claim));
    let gateway = Gateway::open(world.gateway_settings()).await.unwrap();
    seen.debug(&gateway.channels(&[1, 3]).await.unwrap());
    seen.debug(&store.read(store::link::all).await.unwrap());
}

/// Errors that have to do with tokens.
async fn be_refused(world: &mut World, seen: &Seen) {
    let taken = world.settings("main").seed.clone();
    world.credential("other", &[]);
    world.settings("other").seed = taken;
    world.stop();
    let refusal = Parts::assemble(&world.config, None, world.clock.clone()).await;
    seen.debug(&refusal.err().unwrap());
    world.config.credentials.pop();
}

#[tokio::test]
async fn no_token_is_where_it_does_not_belong() {
    let all = Seen::default();
    listen(&all);
    let habits = Settings {
        jwt: true,
        ..Settings::default()
    };
    let mut world = World::with("new-api-2026-08.db", habits).await;
    world.settings("main").channels = whole(&[1, 4]);
    world.settings("main").client.grace = hours(1);
    for locale in [Locale::English, Locale::Chinese] {
        world.config.locale = locale;
        world.restart().await;
        world.once().await;
        suffer(&mut world, &all).await;
        world.sql("UPDATE channels SET key = 'a stranger' WHERE id = 4");
        world.after(minutes(1)).await;
        world.parts().await.links.take_over("main").await.unwrap();
        world.after(minutes(1)).await;
        look(&mut world, &all).await;
        world.once().await;
        be_refused(&mut world, &all).await;
        world
            .authority
            .fault(&Fault::Error(400, "invalid_grant"), 1);
        world.when_due().await;
        let login = world.login("again");
        world.replace("main", login).await;
        world.after(hours(1)).await;
    }
    all.debug(&world.sink.received());
    all.files(&world.path("state"));

    let text = all.text();
    for control in [
        "main refreshed",
        "main 已失效",
        "CREATE TABLE credential",
        "REDACTED",
    ] {
        assert!(text.contains(control), "{control} is not there");
    }
    let issued = world.authority.issued();
    assert!(issued.len() > 40, "only {} tokens", issued.len());
    for token in issued {
        let token = token.expose_secret();
        assert!(!text.contains(token), "{}", mask(token));
    }
}
