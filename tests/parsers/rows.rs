//! Rows of our own state with a cell that nobody wrote: an error that says so or a credential that
//! waits, never a panic, never a token that may be spent.

use std::sync::atomic::{AtomicUsize, Ordering};

use keyfresh::credential::Credential;
use keyfresh::daemon::Parts;
use keyfresh::demo::authority::{Fault, Ruling};
use keyfresh::exchange::{Door, Sent};
use keyfresh::refresh::Pick;
use keyfresh::store;
use proptest::prelude::*;
use rusqlite::Connection;

use crate::cases;
use crate::support::world::World;

/// How many threads and tasks panicked in this process.
static PANICS: AtomicUsize = AtomicUsize::new(0);

/// Where `main` stands when its row is spoilt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Due.
    Due,
    /// Its token was spent, the answer was lost.
    Unconfirmed,
    /// Rejected.
    Dead,
    /// Claimed by a process that is gone, with nothing in its slot.
    Interrupted,
    /// The same with the answer in its slot.
    Answered,
}

const STAGES: [Stage; 5] = [
    Stage::Due,
    Stage::Unconfirmed,
    Stage::Dead,
    Stage::Interrupted,
    Stage::Answered,
];

impl Stage {
    async fn reach(self, world: &mut World) {
        world.once().await;
        let fault = match self {
            Self::Unconfirmed => Some(Fault::Cut { handled: true }),
            Self::Dead => Some(Fault::Error(400, "invalid_grant")),
            Self::Due | Self::Interrupted | Self::Answered => None,
        };
        world.wait_until_due().await;
        if let Some(fault) = fault {
            world.authority.fault(&fault, 1);
            world.once().await;
        }
        if matches!(self, Self::Interrupted | Self::Answered) {
            claim(world, self == Self::Answered).await;
        }
        world.stop();
    }
}

/// A claim is made, and its token sent if it is to be `answered`; nobody settles it.
async fn claim(world: &mut World, answered: bool) {
    let row = world.row("main").await;
    world.stop();
    let client = world.settings("main").client.clone();
    let store = world.store();
    let owner = store.own().unwrap();
    let text = client.digest_text();
    let claim = store.claim(&owner, row, text, client.preset, &world.clock);
    let mut claim = claim.await.unwrap();
    if answered {
        let request = client.request(&claim.refresh_token);
        let door = Door::new();
        let sent = door.send(request, None, client.timeout, &mut claim.slot);
        assert!(matches!(sent.await, Sent::Answered(_)));
    }
}

fn state(world: &World) -> Connection {
    Connection::open(world.path("state/state.db")).unwrap()
}

/// A statement that spoils one cell of a table that decides what is sent and written.
fn spoiling() -> impl Strategy<Value = String> {
    let blob = "x'([0-9a-f]{2}){0,80}'";
    let moment = prop::sample::select(vec![
        "-9223372036854775808",
        "9223372036854775807",
        "253402300800000",
    ]);
    let number = prop::sample::select(vec!["-1", "-9223372036854775808"]);
    let text = prop_oneof![
        "'\\PC{0,20}'".prop_filter("quotes end the text", |text| !text[1..text.len() - 1]
            .contains('\'')),
        Just("'[]'".to_owned()),
        Just("'{\"error\":7}'".to_owned()),
    ];
    let columns = |table: &'static str, names: &[&'static str]| {
        let names = names.to_vec();
        prop::sample::select(names).prop_map(move |name| (table, name))
    };
    let cell = |(table, column): (&str, &str), value: &str| {
        format!("UPDATE {table} SET {column} = {value}")
    };
    let moments = [
        "since",
        "due_at",
        "not_before",
        "resend_at",
        "obtained_at",
        "expires_at",
    ];
    let sealed = [
        "refresh",
        "previous",
        "candidate",
        "access",
        "request_digest",
        "seed",
    ];
    prop_oneof![
        3 => (columns("credential", &moments), moment.clone()).prop_map(move |(at, value)| cell(at, value)),
        3 => (columns("credential", &sealed), blob).prop_map(move |(at, value)| cell(at, &value)),
        2 => (columns("credential", &["attempt", "failures", "generation", "slot"]), number.clone())
            .prop_map(move |(at, value)| cell(at, value)),
        1 => columns("credential", &["resend_at", "slot", "preset", "refresh", "access", "obtained_at", "expires_at"])
            .prop_map(move |at| cell(at, "NULL")),
        1 => Just("UPDATE credential SET refresh = previous, previous = refresh".to_owned()),
        1 => Just("UPDATE credential SET slot = 300".to_owned()),
        2 => (columns("link", &["watch_until", "settle_at"]), moment.clone()).prop_map(move |(at, value)| cell(at, value)),
        2 => (columns("link", &["credential", "channel", "line", "created_time", "type", "generation", "status", "enables"]), number)
            .prop_map(move |(at, value)| cell(at, value)),
        1 => blob.prop_map(move |value| cell(("link", "stripped"), &value)),
        1 => (columns("notifier", &["cursor", "not_before"]), moment.clone()).prop_map(move |(at, value)| cell(at, value)),
        1 => (columns("event", &["at"]), moment).prop_map(move |(at, value)| cell(at, value)),
        2 => (prop_oneof![Just(("notifier", "detail")), Just(("event", "kind")), Just(("event", "detail"))], text)
            .prop_map(move |(at, value)| cell(at, &value)),
        1 => Just("DELETE FROM ledger".to_owned()),
        1 => Just("UPDATE ledger SET credential = -1".to_owned()),
    ]
}

/// What becomes of `main` after the next two starts, if its row can be read then.
async fn check(stage: Stage, spoiling: &str) -> Option<Credential> {
    let mut world = World::new("one-api.db").await;
    stage.reach(&mut world).await;
    let asked = world.authority.requests().len();
    let key = world.key(1);
    state(&world).execute_batch(spoiling).unwrap();
    for _ in 0..2 {
        let parts = Parts::assemble(&world.config, None, world.clock.clone()).await;
        // Either may refuse, in words.
        let told = match parts {
            Ok(parts) => parts.once(&Pick::default()).await.err(),
            Err(error) => Some(error),
        };
        assert!(told.is_none_or(|error| !format!("{error:#}").is_empty()));
    }
    let requests = world.authority.requests();
    let sent = &requests[asked..];
    let honest = sent.iter().all(|seen| seen.ruling == Ruling::Granted);
    let most = usize::from(stage == Stage::Due);
    assert!(
        honest && sent.len() <= most,
        "{stage:?}, {spoiling}: {sent:?}"
    );
    let is_news = !sent.is_empty() || stage == Stage::Answered;
    assert!(world.key(1) == key || is_news, "{stage:?}, {spoiling}");
    assert_eq!(PANICS.load(Ordering::Relaxed), 0, "{stage:?}, {spoiling}");
    store::credential::by_name(&state(&world), "main").ok()
}

#[test]
fn a_spoilt_row_sends_no_token_that_may_be_spent() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        usual(panic);
    }));
    let mut runner = proptest::test_runner::TestRunner::new(proptest::test_runner::Config {
        max_shrink_iters: 0,
        ..cases(16)
    });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let cases = (prop::sample::select(STAGES.to_vec()), spoiling());
    runner
        .run(&cases, |(stage, spoiling)| {
            runtime.block_on(check(stage, &spoiling));
            Ok(())
        })
        .unwrap();
}

/// A moment that nobody can read is not the beginning of time, at which everything is due.
#[tokio::test]
async fn a_doubtful_token_without_its_moment_is_not_sent() {
    for value in ["NULL", "9223372036854775807", "-9223372036854775808"] {
        let spoiling = format!("UPDATE credential SET resend_at = {value}");
        assert_eq!(check(Stage::Unconfirmed, &spoiling).await, None);
    }
}

#[tokio::test]
async fn an_answer_is_settled_whatever_its_successors_do_not_need() {
    for column in [
        "refresh",
        "previous",
        "candidate",
        "access",
        "request_digest",
        "preset",
    ] {
        let value = if column == "preset" { "NULL" } else { "x'00'" };
        let spoiling = format!("UPDATE credential SET {column} = {value}");
        let row = check(Stage::Answered, &spoiling).await.unwrap();
        assert_eq!((row.generation, row.failures), (2, 0), "{column}");
    }
}
