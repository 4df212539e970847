//! A gateway's users found by id, name and access token; the embedded database and its own users.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use keyfresh::database::{Fault, Halt};
use keyfresh::gateway::embedded::{self, NotAdded};
use keyfresh::gateway::{Gateway, Key, Kind, NewToken, Settings, Tables, Unfit, User};
use rusqlite::Connection;
use support::database::{FIXTURES, dump};
use support::gateway::World;

async fn find(
    gateway: &Gateway,
    find: impl Fn(&Tables<'_>) -> Result<Option<User>, Fault> + Send + Sync + 'static,
) -> Option<i64> {
    let found = gateway.view(move |tables| Ok::<_, Halt<()>>(find(tables)?));
    found.await.unwrap().unwrap().map(|user| user.id)
}

async fn by_access_token(gateway: &Gateway, token: &str) -> Option<i64> {
    let token = token.into();
    find(gateway, move |tables| tables.user_by_access_token(&token)).await
}

#[tokio::test]
async fn the_users_are_those_that_the_gateway_counts() {
    let mut story = String::new();
    for fixture in FIXTURES {
        let world = World::new(fixture);
        let gateway = world.open().await;
        for user in gateway.users().await.unwrap() {
            let id = user.id;
            assert_eq!(
                find(&gateway, move |tables| tables.user(id)).await,
                Some(id)
            );
            let name = user.name.clone();
            let named = find(&gateway, move |tables| tables.user_by_name(&name));
            assert_eq!(named.await, Some(id));
            let (enabled, guest) = (user.is_enabled(), user.is_guest());
            writeln!(story, "{fixture} {user:?} enabled {enabled} guest {guest}").unwrap();
        }
        for gone in [
            "erin",
            "deleted_fixture",
            "erin_del_fixtur",
            "ALICE",
            "",
            "nobody",
        ] {
            let named = find(&gateway, move |tables| tables.user_by_name(gone));
            assert_eq!(named.await, None, "{fixture} {gone}");
        }
    }
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn an_access_token_is_a_living_users_byte_for_byte() {
    let check = async |fixture: &str, token: &str, owner: Option<i64>| {
        let world = World::new(fixture);
        let exact = by_access_token(&world.open().await, token).await;
        assert_eq!(exact, owner, "{fixture} {token}");
        // As MariaDB compares.
        let world = World::new(fixture);
        world.sql("DROP INDEX idx_users_access_token; ALTER TABLE users RENAME COLUMN access_token TO exact; ALTER TABLE users ADD COLUMN access_token char(32) COLLATE NOCASE; UPDATE users SET access_token = exact");
        let loose = by_access_token(&world.open().await, token).await;
        assert_eq!(loose, owner, "{fixture} {token}");
    };
    check("one-api.db", "fixtureaccesstokenroot0000000001", Some(1)).await;
    check("one-api.db", "fixtureaccesstokenROOT0000000001", None).await;
    check("one-api.db", "fixtureaccesstokenerin0000000001", None).await;
    check("one-api.db", "", None).await;
    check("one-hub.db", "fixtureaccesstokendave0000000001", Some(5)).await;
    check("one-hub.db", "fixtureaccesstokenerin0000000001", None).await;
    for fixture in &FIXTURES[2..] {
        check(fixture, "fixture/access+token/bob+000003=", Some(3)).await;
        check(fixture, "fixture/access+token/BOB+000003=", None).await;
        check(fixture, "fixture/access+token/bob+000003", None).await;
        check(fixture, "fixture-access-token-dave-000005", None).await;
        check(fixture, "fixture-access-token-%", None).await;
        check(fixture, "", None).await;
    }
}

#[tokio::test]
async fn an_empty_access_token_is_nobodys() {
    let world = World::new("one-api.db");
    world.sql("UPDATE users SET access_token = '' WHERE id = 2");
    let gateway = world.open().await;
    assert_eq!(by_access_token(&gateway, "").await, None);
    assert_eq!(by_access_token(&gateway, " ").await, None);
}

#[tokio::test]
async fn many_users_are_listed_page_by_page() {
    let world = World::new("one-hub.db");
    world.sql("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500) INSERT INTO users (username, password, access_token, aff_code) SELECT 'u' || i, '', 'many' || i, 'm' || i FROM n");
    let users = world.open().await.users().await.unwrap();
    assert_eq!(users.len(), 2505);
    assert!(users.is_sorted_by(|one, other| one.id < other.id));
}

/// A folder with an embedded database, open.
async fn embedded() -> (tempfile::TempDir, Gateway) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.db");
    embedded::create(&path).unwrap();
    let gateway = Gateway::open_embedded(&path, Duration::from_secs(5)).await;
    (folder, gateway.unwrap())
}

async fn add(gateway: &Gateway, name: &'static str) -> Result<User, NotAdded> {
    let added = gateway.alter(move |tables| tables.add_user(name));
    added.await.unwrap()
}

#[tokio::test]
async fn the_embedded_database_holds_users_and_their_tokens() {
    let (folder, gateway) = embedded().await;
    let path = folder.path().join("gateway.db");
    let before = dump(&path);
    assert_eq!(gateway.kind(), Kind::Embedded);
    let user = add(&gateway, "小明").await.unwrap();
    assert_eq!(add(&gateway, "小明").await, Err(NotAdded::Taken));
    assert!(user.is_enabled() && !user.is_guest());
    assert_eq!(add(&gateway, "second").await.map(|user| user.id), Ok(2));
    let new = NewToken {
        name: "fresh".to_owned(),
        group: "vip".to_owned(),
        cross_group_retry: Some(true),
        now: 1_760_000_001,
        ..NewToken::default()
    };
    let key = "k".repeat(48).into();
    let insert =
        gateway.alter(move |tables| tables.insert::<Unfit>(user.id, &new, Key::Made(&key)));
    insert.await.unwrap().unwrap();
    assert_eq!(gateway.page(1, 0, 20).await.unwrap().total, 1);
    assert_eq!(gateway.page(2, 0, 20).await.unwrap().total, 0);
    insta::assert_snapshot!(support::database::difference(&before, &dump(&path)));
    let connection = Connection::open(&path).unwrap();
    let delete = "UPDATE users SET deleted_at = '2026-01-01 00:00:00+00:00' WHERE id = 2";
    connection.execute_batch(delete).unwrap();
    assert_eq!(add(&gateway, "second").await, Err(NotAdded::Taken));
}

#[tokio::test]
async fn a_gateways_users_are_its_own_to_add() {
    let world = World::new("new-api-2026-08.db");
    let gateway = world.open().await;
    assert_eq!(add(&gateway, "new").await, Err(NotAdded::Gateways));
    assert_eq!(world.changes(), "");
}

#[tokio::test]
async fn the_embedded_database_is_private_whole_and_no_gateways() {
    let (folder, _gateway) = embedded().await;
    let path = folder.path().join("gateway.db");
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    let before = fs::read(&path).unwrap();
    embedded::create(&path).unwrap_err();
    assert_eq!(fs::read(&path).unwrap(), before);
    embedded::create(&folder.path().join("missing/gateway.db")).unwrap_err();
    let settings = Settings {
        database: path,
        ..World::new("one-api.db").settings()
    };
    assert!(Gateway::open(&settings).await.is_err());
    let world = World::new("new-api-2026-08.db");
    let opened = Gateway::open_embedded(&world.path, world.busy_timeout).await;
    assert!(opened.is_err());
}

#[tokio::test]
async fn the_embedded_database_is_new_apis_in_every_column_and_index() {
    let (folder, _gateway) = embedded().await;
    let shape = |path: &Path| -> BTreeSet<String> {
        let connection = Connection::open(path).unwrap();
        let mut columns = connection
            .prepare(r#"SELECT t.name || ' ' || c.name || ' ' || c.type || ' ' || c."notnull" || ' ' || COALESCE(REPLACE(c.dflt_value, '"', ''''), 'none') || ' ' || c.pk FROM sqlite_master t, pragma_table_info(t.name) c WHERE t.type = 'table' AND t.name IN ('users', 'tokens') UNION ALL SELECT i.tbl_name || ' index ' || i.name || ' ' || COALESCE(REPLACE(i.sql, '`', '"'), '') FROM sqlite_master i WHERE i.type = 'index' AND i.tbl_name IN ('users', 'tokens')"#)
            .unwrap();
        let rows = columns.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    };
    let ours = shape(&folder.path().join("gateway.db"));
    let world = World::new("new-api-v0.9.5.db");
    let theirs = shape(&world.path);
    let added: Vec<&String> = ours.difference(&theirs).collect();
    assert_eq!(added, ["tokens cross_group_retry numeric 0 none 0"]);
    assert_eq!(theirs.difference(&ours).next(), None);
}
