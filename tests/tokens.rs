//! A gateway's tokens read, made, changed and deleted as the gateway itself would.
//!
//! Copies of databases that real gateways filled, compared cell by cell with SQLite's types; `lists.rs`
//! pages and searches them, `users.rs` holds the users and the embedded database.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::fmt::Write as _;
use std::fs;

use chrono::DateTime;
use keyfresh::database::{Error, Halt};
use keyfresh::gateway::{self, Gateway, Key, Kind, NewToken, Page, Token, TokenChange, Unfit};
use secrecy::{ExposeSecret as _, SecretString};
use support::database::FIXTURES;
use support::gateway::World;

const ALICE: i64 = 2;
const BOB: i64 = 3;

/// Why a test's job decided against its change.
#[derive(Debug, PartialEq)]
enum Refused {
    Unfit(Unfit),
    Key(&'static str),
}

impl From<Unfit> for Refused {
    fn from(unfit: Unfit) -> Self {
        Self::Unfit(unfit)
    }
}

fn show(token: &Token) -> String {
    let text = format!("{token:?}");
    let key = token.key.expose_secret();
    text.replace("SecretBox<str>([REDACTED])", &format!("{key:?}"))
}

async fn page(gateway: &Gateway, owner: i64) -> Page {
    gateway.page(owner, 0, 100).await.unwrap()
}

async fn insert(gateway: &Gateway, owner: i64, new: NewToken) -> Result<Token, Refused> {
    let key = SecretString::from("k".repeat(48));
    let insert = gateway.alter(move |tables| tables.insert(owner, &new, Key::Made(&key)));
    insert.await.unwrap()
}

async fn update(gateway: &Gateway, id: i64, change: TokenChange) -> Result<Token, Refused> {
    let update = gateway.alter(move |tables| {
        let stored = tables.token(ALICE, id)?.unwrap();
        tables.update(&stored, &change)
    });
    update.await.unwrap()
}

/// How many were deleted, one second after the epoch and a bit.
async fn delete(gateway: &Gateway, owner: i64, ids: Vec<i64>) -> usize {
    let now = DateTime::from_timestamp(1, 120_000_000).unwrap();
    let delete = gateway.alter(move |tables| {
        let deleted = tables.delete(owner, &ids, now)?;
        Ok::<_, Halt<Refused>>(deleted)
    });
    delete.await.unwrap().unwrap()
}

fn plain() -> NewToken {
    NewToken {
        name: "fresh".to_owned(),
        now: 1_760_000_001,
        ..NewToken::default()
    }
}

/// All that any gateway can hold, but for a group and retries across groups.
fn limited() -> NewToken {
    NewToken {
        name: "令牌 'quoted\"".to_owned(),
        expired_time: 4_102_444_800,
        remain_quota: 2_000_000,
        unlimited_quota: true,
        model_limits_enabled: true,
        model_limits: "gpt-4o,gpt-4o-mini".to_owned(),
        allow_ips: "192.168.1.1\n10.0.0.0/8\n::1".to_owned(),
        ..plain()
    }
}

#[tokio::test]
async fn every_token_is_read_as_it_is_stored() {
    let mut story = String::new();
    let mut shared = Vec::new();
    for fixture in FIXTURES {
        let world = World::new(fixture);
        let gateway = world.open().await;
        let mut shown = Vec::new();
        for owner in 1..=7 {
            let Page { tokens, total } = page(&gateway, owner).await;
            assert_eq!(i64::try_from(tokens.len()).unwrap(), total);
            assert!(tokens.is_sorted_by(|one, other| one.id > other.id));
            assert!(tokens.iter().all(|token| token.user_id == owner));
            shown.extend(tokens.iter().map(show));
        }
        assert_eq!(world.changes(), "");
        // The rows of New API's generations are the same, but for the newer columns.
        let alike: Vec<&str> = shown
            .iter()
            .map(|text| text.split(", more").next().unwrap())
            .collect();
        if fixture.starts_with("new-api") && !shared.is_empty() {
            assert_eq!(alike, shared, "{fixture}");
            writeln!(story, "{fixture}\n{}", shown[0]).unwrap();
        } else {
            writeln!(story, "{fixture}\n{}", shown.join("\n")).unwrap();
        }
        if fixture.starts_with("new-api") {
            shared = alike.into_iter().map(str::to_owned).collect();
        }
    }
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn a_new_row_is_the_gateways_own() {
    let mut story = String::new();
    for fixture in FIXTURES {
        for new in [plain(), limited()] {
            let world = World::new(fixture);
            let gateway = world.open().await;
            let token = insert(&gateway, ALICE, new).await.unwrap();
            assert_eq!(show(&page(&gateway, ALICE).await.tokens[0]), show(&token));
            writeln!(story, "{fixture} {}\n{}", show(&token), world.changes()).unwrap();
        }
    }
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn a_key_made_of_the_rows_id_is_written_with_it() {
    let world = World::new("one-hub.db");
    let gateway = world.open().await;
    let insert = async |refusal: Option<&'static str>| {
        let insert = gateway.alter(move |tables| {
            let key = |id: i64| match refusal {
                None => Ok(SecretString::from(format!("signed {id}"))),
                Some(reason) => Err(Refused::Key(reason)),
            };
            tables.insert(BOB, &plain(), Key::OfId(&key))
        });
        insert.await.unwrap()
    };
    let refused = insert(Some("holds a #")).await;
    assert_eq!(refused.err(), Some(Refused::Key("holds a #")));
    assert_eq!(world.changes(), "");
    let token = insert(None).await.unwrap();
    assert_eq!((token.id, token.user_id), (18, BOB));
    assert_eq!(token.key.expose_secret(), "signed 18");
    assert!(
        world
            .changes()
            .contains("tokens[18].key: absent → text 'signed 18'")
    );
}

#[tokio::test]
async fn a_key_that_is_taken_or_not_kept_makes_no_row() {
    let insert = async |world: &World, key: SecretString| {
        let gateway = world.open().await;
        let insert =
            gateway.alter(move |tables| tables.insert::<Refused>(ALICE, &plain(), Key::Made(&key)));
        match insert.await.err().unwrap() {
            gateway::Error::Database(error) => error,
            other => panic!("{other}"),
        }
    };
    let world = World::new("new-api-2026-08.db");
    let taken = page(&world.open().await, BOB).await.tokens.remove(0).key;
    let error = insert(&world, taken).await;
    assert!(matches!(error, Error::Constraint { .. }), "{error}");
    assert_eq!(world.changes(), "");
    let world = World::new("new-api-2026-08.db");
    world.sql("CREATE TRIGGER cut AFTER INSERT ON tokens BEGIN UPDATE tokens SET key = substr(key, 1, 3) WHERE id = new.id; END");
    let error = insert(&world, "k".repeat(48).into()).await;
    assert!(matches!(error, Error::NotKept(_)), "{error}");
    assert!(!world.changes().contains("tokens["));
}

#[tokio::test]
async fn a_change_writes_the_columns_that_change_and_no_other() {
    let some = |text: &str| Some(text.to_owned());
    let changes = [
        TokenChange::default(),
        TokenChange {
            name: some("renamed"),
            ..TokenChange::default()
        },
        TokenChange {
            status: Some(2),
            expired_time: Some(-1),
            remain_quota: Some(-5),
            unlimited_quota: Some(true),
            ..TokenChange::default()
        },
        TokenChange {
            model_limits_enabled: Some(true),
            model_limits: some("a,b"),
            allow_ips: some("10.0.0.1\n::1"),
            ..TokenChange::default()
        },
        TokenChange {
            model_limits_enabled: Some(false),
            model_limits: some(""),
            allow_ips: some(""),
            ..TokenChange::default()
        },
        TokenChange {
            model_limits_enabled: Some(false),
            ..TokenChange::default()
        },
    ];
    let cases = [(0, 2), (1, 2), (2, 2), (3, 2), (4, 9), (4, 10), (5, 9)];
    let mut story = String::new();
    for fixture in FIXTURES {
        for (number, id) in cases {
            let world = World::new(fixture);
            let gateway = world.open().await;
            let change = &changes[number];
            let token = update(&gateway, id, change.clone()).await.unwrap();
            writeln!(
                story,
                "{fixture} change {number} of {id}\n{}",
                world.changes()
            )
            .unwrap();
            let bytes = fs::read(&world.path).unwrap();
            let again = update(&gateway, id, change.clone()).await.unwrap();
            assert_eq!(show(&again), show(&token));
            assert_eq!(fs::read(&world.path).unwrap(), bytes);
        }
    }
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn what_is_as_it_was_is_no_change() {
    for fixture in FIXTURES {
        let world = World::new(fixture);
        // A statement that ran would show, whatever it set.
        world.sql("CREATE TABLE touched (id); CREATE TRIGGER touch AFTER UPDATE ON tokens BEGIN INSERT INTO touched VALUES (new.id); END");
        let gateway = world.open().await;
        for token in page(&gateway, ALICE).await.tokens {
            let same = TokenChange {
                name: Some(token.name),
                status: Some(token.status),
                expired_time: Some(token.expired_time),
                remain_quota: Some(token.remain_quota),
                unlimited_quota: Some(token.unlimited_quota),
                model_limits_enabled: Some(token.model_limits_enabled),
                model_limits: Some(token.model_limits),
                allow_ips: token.allow_ips,
                group: Some(token.group),
                cross_group_retry: Some(false),
            };
            update(&gateway, token.id, same).await.unwrap();
        }
        assert!(!world.changes().contains("touched["), "{fixture}");
    }
}

#[tokio::test]
async fn what_a_gateway_cannot_hold_is_refused_by_name() {
    let retry = NewToken {
        cross_group_retry: Some(true),
        ..plain()
    };
    let group = NewToken {
        group: "vip".to_owned(),
        ..plain()
    };
    let empty_list = NewToken {
        model_limits_enabled: true,
        ..plain()
    };
    let list_aside = NewToken {
        model_limits: "gpt-4o".to_owned(),
        ..plain()
    };
    let address = NewToken {
        allow_ips: "here".to_owned(),
        ..plain()
    };
    let check = async |new: &NewToken, refused: [Option<&str>; 5]| {
        for (fixture, field) in FIXTURES.into_iter().zip(refused) {
            let world = World::new(fixture);
            let gateway = world.open().await;
            let made = insert(&gateway, ALICE, new.clone()).await.err();
            let told = made.map(|refused| match refused {
                Refused::Unfit(unfit) => {
                    assert_eq!(unfit.gateway, gateway.kind());
                    unfit.field
                }
                Refused::Key(_) => "key",
            });
            assert_eq!(told, field, "{fixture} {new:?}");
            assert_eq!(world.changes().is_empty(), field.is_some());
        }
    };
    let retries = Some("cross_group_retry");
    check(&retry, [retries, retries, retries, None, None]).await;
    check(&group, [Some("group"), None, None, None, None]).await;
    check(&empty_list, [Some("model_limits"), None, None, None, None]).await;
    check(&list_aside, [Some("model_limits"), None, None, None, None]).await;
    check(&address, [Some("allow_ips"), None, None, None, None]).await;
}

#[tokio::test]
async fn a_list_that_is_switched_off_is_held_or_refused() {
    let limits = |enabled, list: Option<&str>| TokenChange {
        model_limits_enabled: Some(enabled),
        model_limits: list.map(str::to_owned),
        ..TokenChange::default()
    };
    for fixture in FIXTURES {
        let world = World::new(fixture);
        let gateway = world.open().await;
        let with = limits(true, Some("a,b"));
        update(&gateway, 2, with).await.unwrap();
        for list in ["a,b", "a"] {
            let off = update(&gateway, 2, limits(false, Some(list))).await;
            if fixture == "one-api.db" {
                let unfit = Unfit {
                    field: "model_limits",
                    gateway: Kind::OneApi,
                    partner: Some("model_limits_enabled"),
                };
                assert_eq!(off.err(), Some(Refused::Unfit(unfit)));
            } else {
                assert_eq!(off.unwrap().model_limits, list, "{fixture}");
            }
        }
        let off = update(&gateway, 2, limits(false, None)).await.unwrap();
        assert!(!off.model_limits_enabled);
        assert_eq!(off.model_limits.is_empty(), fixture == "one-api.db");
    }
}

#[tokio::test]
async fn only_own_living_tokens_are_deleted() {
    let mut story = String::new();
    for fixture in FIXTURES {
        let world = World::new(fixture);
        let gateway = world.open().await;
        let bobs: Vec<i64> = page(&gateway, BOB)
            .await
            .tokens
            .iter()
            .map(|token| token.id)
            .collect();
        let mut ids = vec![2, 2, 9, 2, 999, -1];
        ids.extend(&bobs);
        ids.extend(10_000..11_000);
        assert_eq!(delete(&gateway, ALICE, ids.clone()).await, 2, "{fixture}");
        writeln!(story, "{fixture}\n{}", world.changes()).unwrap();
        assert_eq!(delete(&gateway, ALICE, ids).await, 0, "{fixture}");
        assert_eq!(delete(&gateway, ALICE, Vec::new()).await, 0, "{fixture}");
    }
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn what_values_a_token_may_have_is_the_generations_affair() {
    let check = async |fixture: &str, kind: Kind, quota: i64, ranges: bool| {
        let world = World::new(fixture);
        let gateway = world.open().await;
        let holds = gateway.view(|tables| Ok::<_, Halt<Refused>>(tables.holds()));
        let holds = holds.await.unwrap().unwrap();
        assert_eq!(gateway.kind(), kind);
        assert_eq!((holds.quota, holds.ranges), (quota, ranges), "{fixture}");
    };
    check(FIXTURES[0], Kind::OneApi, 500_000_000_000_000, true).await;
    check(FIXTURES[1], Kind::OneHub, 500_000_000_000_000, true).await;
    check(FIXTURES[2], Kind::NewApi, 500_000_000_000_000, false).await;
    check(FIXTURES[3], Kind::NewApi, 500_000_000_000_000, true).await;
    check(FIXTURES[4], Kind::NewApi, 2_147_483_647, true).await;
}
