//! The gateways' databases: recognised, and written in the named cells alone.
//!
//! Copies of databases that real gateways filled; `database.rs` holds the stories of locks and files.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::fmt::Write as _;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use keyfresh::database;
use keyfresh::gateway::json_key::JsonKey;
use keyfresh::gateway::{
    Error, Gateway, Kind, OnDemand, Settings, Status, Telling, Write, Written,
};
use rusqlite::Connection;
use secrecy::ExposeSecret as _;
use support::database::{FIXTURES, difference, dump};
use support::gateway::{World, channel, renewal, told};

#[tokio::test]
async fn every_layout_is_recognised_and_left_alone() {
    let check = async |fixture: &str, kind: Kind, minutes: u64, telling: Option<Telling>| {
        let world = World::new(fixture);
        let gateway = world.open().await;
        assert_eq!(gateway.kind(), kind, "{fixture}");
        assert_eq!(gateway.sync_interval(), Duration::from_mins(minutes));
        assert_eq!(gateway.telling(), telling);
        gateway.probe().await.unwrap();
        assert!(!gateway.is_wal().await.unwrap());
        let ids: Vec<i64> = (-100..250).collect();
        let channels = gateway.channels(&ids).await.unwrap();
        assert!(channels.len() >= 13 && channels.is_sorted_by_key(|channel| channel.id));
        assert_eq!(world.changes(), "");
    };
    check(FIXTURES[0], Kind::OneApi, 10, None).await;
    check(FIXTURES[1], Kind::OneHub, 10, Some(Telling::Needed)).await;
    for fixture in &FIXTURES[2..] {
        check(fixture, Kind::NewApi, 1, Some(Telling::Useful)).await;
    }
}

#[tokio::test]
async fn a_write_changes_the_named_cells_and_no_other() {
    let ids: [&[(i64, Option<usize>)]; 5] = [
        &[
            (1, None),
            (2, None),
            (3, None),
            (4, None),
            (9, None),
            (10, None),
            (14, None),
        ],
        &[
            (1, None),
            (2, None),
            (3, None),
            (9, None),
            (12, None),
            (15, None),
        ],
        &[
            (1, None),
            (2, None),
            (4, None),
            (5, Some(1)),
            (6, Some(0)),
            (7, None),
            (8, None),
            (13, None),
        ],
        &[
            (1, None),
            (2, None),
            (3, None),
            (5, Some(1)),
            (6, Some(0)),
            (7, None),
            (8, None),
            (13, None),
        ],
        &[
            (1, None),
            (5, Some(0)),
            (6, Some(1)),
            (7, None),
            (8, None),
            (13, None),
        ],
    ];
    let mut story = String::new();
    for (fixture, ids) in FIXTURES.into_iter().zip(ids) {
        for &(id, line) in ids {
            let world = World::new(fixture);
            let gateway = world.open().await;
            let before = channel(&gateway, id).await;
            let new = match JsonKey::parse(before.key.expose_secret()) {
                Some(key) if before.json => key
                    .with_access_token("fresh", None, chrono::DateTime::UNIX_EPOCH)
                    .expose_secret()
                    .to_owned(),
                _ => "fresh 'quoted\" \\ 令牌".to_owned(),
            };
            let write = renewal(&gateway, id, line, &new).await;
            assert_eq!(gateway.write(write.clone()).await.unwrap(), Written::Done);
            assert_eq!(gateway.write(write).await.unwrap(), Written::Changed);
            let held = channel(&gateway, id).await.access_token(line).unwrap();
            assert!(held.expose_secret().starts_with("fresh"));
            writeln!(story, "{fixture} channel {id}\n{}", world.changes()).unwrap();
        }
    }
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn what_was_disabled_by_hand_stays_so() {
    let world = World::new("new-api-2026-02.db");
    world.sql(
        "UPDATE channels SET channel_info = CAST(json_set(CAST(channel_info AS TEXT), '$.multi_key_status_list.1', 2) AS BLOB) WHERE id IN (5, 6)",
    );
    let before = dump(&world.path);
    let gateway = world.open().await;
    for (id, line) in [(5, Some(1)), (6, Some(1)), (7, None)] {
        let status = channel(&gateway, id).await.status_of(line);
        assert_eq!(status, Status::ManuallyDisabled);
        let mut write = renewal(&gateway, id, line, "fresh").await;
        write.new_key = None;
        assert_eq!(gateway.write(write).await.unwrap(), Written::Done);
    }
    assert_eq!(difference(&before, &dump(&world.path)), "");
}

#[tokio::test]
async fn an_enabled_channel_whose_abilities_are_off_is_enabled_whole() {
    let world = World::new("one-api.db");
    world.sql("UPDATE abilities SET enabled = 0 WHERE channel_id = 1");
    let gateway = world.open().await;
    assert_eq!(
        channel(&gateway, 1).await.status_of(None),
        Status::AutoDisabled
    );
    let mut write = renewal(&gateway, 1, None, "").await;
    write.new_key = None;
    assert_eq!(gateway.write(write).await.unwrap(), Written::Done);
    assert_eq!(world.changes(), "");
}

#[tokio::test]
async fn a_row_that_is_not_the_one_read_is_left_alone() {
    for fixture in FIXTURES {
        let world = World::new(fixture);
        let gateway = world.open().await;
        let write = renewal(&gateway, 1, None, "fresh").await;
        let check = async |outcome: Written, change: &dyn Fn(&mut Write)| {
            let mut write = write.clone();
            change(&mut write);
            assert_eq!(gateway.write(write).await.unwrap(), outcome, "{fixture}");
        };
        check(Written::Changed, &|write| write.expected = "stale".into()).await;
        check(Written::Changed, &|write| write.created_time += 1).await;
        check(Written::Changed, &|write| write.kind += 1).await;
        check(Written::Gone, &|write| write.channel = 999).await;
        if fixture == "one-hub.db" {
            check(Written::Gone, &|write| write.channel = 16).await;
            assert!(gateway.channels(&[16, 999]).await.unwrap().is_empty());
        }
        assert_eq!(world.changes(), "");
    }
}

#[tokio::test]
async fn a_key_that_cannot_stand_there_is_refused() {
    let world = World::new("new-api-2026-02.db");
    let gateway = world.open().await;
    let mut story = String::new();
    for (id, line, new) in [
        (1, None, ""),
        (1, None, "two\nlines"),
        (1, Some(0), "fresh"),
        (3, None, "no JSON"),
        (5, None, "fresh"),
        (5, Some(1), "two\nlines"),
        (5, Some(3), "fresh"),
    ] {
        let write = renewal(&gateway, id, line, new).await;
        let error = gateway.write(write).await.unwrap_err();
        writeln!(story, "{error}").unwrap();
    }
    assert_eq!(world.changes(), "");
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn a_key_stored_as_bytes_is_a_key() {
    let world = World::new("one-api.db");
    world.sql("UPDATE channels SET key = CAST('bytes' AS BLOB), created_time = NULL WHERE id = 1");
    let gateway = world.open().await;
    let write = renewal(&gateway, 1, None, "fresh").await;
    assert_eq!(write.expected.expose_secret(), "bytes");
    assert_eq!(gateway.write(write).await.unwrap(), Written::Done);
    assert_eq!(dump(&world.path)["channels[1].key"], "text 'fresh'");
}

#[tokio::test]
async fn a_value_that_is_not_kept_undoes_the_whole_write() {
    let world = World::new("one-api.db");
    world.sql("CREATE TRIGGER cut AFTER UPDATE OF key ON channels BEGIN UPDATE channels SET key = substr(key, 1, 3) WHERE id = new.id; END");
    let before = dump(&world.path);
    let gateway = world.open().await;
    let write = renewal(&gateway, 3, None, "fresh").await;
    let error = gateway.write(write).await.unwrap_err();
    assert!(matches!(
        error,
        Error::Database(database::Error::NotKept(_))
    ));
    assert_eq!(difference(&before, &dump(&world.path)), "");
}

#[tokio::test]
async fn a_gateway_is_told_in_the_name_of_the_tokens_user() {
    let request = async |fixture: &str, token: Option<&str>| {
        let world = World::new(fixture);
        let settings = Settings {
            url: Some("http://127.0.0.1:3000".parse().unwrap()),
            access_token: token.map(Into::into),
            ..world.settings()
        };
        let gateway = Gateway::open(&settings).await.unwrap();
        gateway.telling_request(12).await
    };
    let root = Some("fixture-access-token-root-000001");
    let told = request("new-api-2026-08.db", root).await.unwrap().unwrap();
    assert_eq!(told.url.as_str(), "http://127.0.0.1:3000/api/channel/");
    assert_eq!(told.headers[2].1, "1");
    assert!(request("one-hub.db", None).await.unwrap().is_none());
    assert!(request("one-api.db", root).await.unwrap().is_none());
    assert!(matches!(
        request("one-hub.db", root).await,
        Err(Error::NoOwner)
    ));
}

#[tokio::test]
async fn a_file_that_is_no_gateways_is_refused_by_name() {
    let world = World::new("one-api.db");
    let beside = |name: &str| world.folder.path().join(name);
    fs::write(beside("empty"), "").unwrap();
    fs::write(beside("text"), "no database ".repeat(100)).unwrap();
    let stranger = Connection::open(beside("stranger")).unwrap();
    stranger
        .execute_batch("CREATE TABLE channels (id, type, key, other_info); CREATE TABLE notes (t)")
        .unwrap();
    let mut story = String::new();
    for (path, kind) in [
        (beside("missing"), None),
        (world.folder.path().to_owned(), None),
        (beside("empty"), None),
        (beside("text"), None),
        (beside("stranger"), None),
        (world.path.clone(), Some(Kind::NewApi)),
    ] {
        let settings = Settings {
            database: path,
            kind,
            ..world.settings()
        };
        let error = Gateway::open(&settings).await.err().unwrap();
        writeln!(story, "{}", told(&error, &world)).unwrap();
    }
    assert!(!beside("missing").exists());
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn who_waits_for_a_gateway_shares_what_opening_it_came_to() {
    let world = World::new("one-api.db");
    let holder = Connection::open(&world.path).unwrap();
    holder.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let gateway = OnDemand::new(Settings {
        busy_timeout: Duration::from_millis(20),
        ..world.settings()
    });
    let (one, two) = tokio::join!(gateway.gateway(), gateway.gateway());
    match (one.err().unwrap(), two.err().unwrap()) {
        (Error::Shared(one), Error::Shared(two)) => assert!(Arc::ptr_eq(&one, &two), "{two}"),
        other => panic!("{other:?}"),
    }
    let third = gateway.gateway().await;
    assert!(third.is_err());
    holder.execute_batch("COMMIT").unwrap();
    let gateways = [
        gateway.gateway().await.unwrap(),
        gateway.gateway().await.unwrap(),
    ];
    assert_eq!(
        gateways.map(|gateway| gateway.kind().name()),
        ["one-api"; 2]
    );
}
