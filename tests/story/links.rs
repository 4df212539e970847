//! Channels: strangers, disabled ones, caches, backups, JSON keys, lines, gateways that must be told.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::HeaderMap;
use axum::routing::put;
use chrono::TimeDelta;
use insta::assert_snapshot;
use keyfresh::demo::authority::{Fault, Settings};
use secrecy::ExposeSecret as _;

use crate::world::World;

async fn new_api(channels: &str) -> World {
    World::with("new-api-2026-02.db", channels, Settings::default()).await
}

#[tokio::test]
async fn a_strangers_key_is_left_alone_and_told_once() {
    let mut world = World::new().await;
    world.pass().await;
    world.tell().await;
    world.sql("UPDATE channels SET key = 'sk-strange' WHERE id = 1");
    world.wait(TimeDelta::days(7));
    world.pass().await;
    assert_snapshot!("conflict", world.tell().await);
    world.pass().await;
    assert_snapshot!("conflict_stays", world.tell().await);

    let links = Arc::clone(&world.start().await.links);
    assert_eq!(links.take_over("main").await.unwrap(), [1]);
    world.wait(TimeDelta::minutes(1));
    world.pass().await;
    assert_snapshot!("taken_over", world.tell().await);
}

#[tokio::test]
async fn a_channel_recreated_under_its_id_is_another_one() {
    let mut world = World::new().await;
    world.pass().await;
    world.tell().await;
    world.sql("UPDATE channels SET created_time = created_time + 1 WHERE id = 1");
    world.pass().await;
    assert_snapshot!(world.tell().await);
}

#[tokio::test]
async fn a_channel_that_goes_may_come_back() {
    let mut world = new_api("channels = [1, 2]").await;
    world.pass().await;
    world.tell().await;
    world.sql("CREATE TABLE away AS SELECT * FROM channels WHERE id = 2; DELETE FROM channels WHERE id = 2");
    world.wait(TimeDelta::days(2));
    world.pass().await;
    assert_snapshot!("gone", world.tell().await);
    world.sql("INSERT INTO channels SELECT * FROM away; DROP TABLE away");
    world.pass().await;
    assert_snapshot!("back", world.tell().await);
}

#[tokio::test]
async fn what_the_gateway_disabled_is_enabled_what_a_person_disabled_is_not() {
    let mut world = new_api("channels = [7, 8]").await;
    let off = "SELECT group_concat(channel_id) FROM (SELECT DISTINCT channel_id FROM abilities WHERE NOT enabled AND channel_id IN (7, 8) ORDER BY channel_id)";
    assert_eq!(world.ask(off), "7,8");
    world.pass().await;
    assert_snapshot!(world.tell().await);
    assert_eq!(world.ask(off), "7");
}

#[tokio::test]
async fn a_stale_cache_is_repaired_while_the_watch_lasts_then_three_times() {
    let mut world = World::new().await;
    world.pass().await;
    world.tell().await;
    let stale = "UPDATE channels SET status = 3 WHERE id = 1; UPDATE abilities SET enabled = 0 WHERE channel_id = 1";
    let status = "SELECT 'status ' || status FROM channels WHERE id = 1";
    for _ in 0..10 {
        world.sql(stale);
        world.pass().await;
        assert_eq!(world.ask(status), "status 1");
        world.wait(TimeDelta::seconds(10));
    }
    world.wait(TimeDelta::minutes(2));
    for repaired in [true, true, true, false] {
        world.sql(stale);
        world.pass().await;
        assert_eq!(world.ask(status) == "status 1", repaired);
    }
    assert_snapshot!(world.tell().await);
}

#[tokio::test]
async fn a_restored_backup_gets_its_current_key_without_an_exchange() {
    let mut world = World::new().await;
    world.pass().await;
    let old = world.ask("SELECT key FROM channels WHERE id = 1");
    world.wait(TimeDelta::days(2));
    world.pass().await;
    world.tell().await;
    world.sql(&format!(
        "UPDATE channels SET key = '{old}', status = 3 WHERE id = 1"
    ));
    world.pass().await;
    assert_snapshot!(world.tell().await);
}

const JSON: &str = "SELECT key FROM channels WHERE id = 3";

/// The JSON key with its tokens blotted out.
fn blotted(json: &str) -> String {
    let mut key: serde_json::Value = serde_json::from_str(json).unwrap();
    for token in ["access_token", "refresh_token"] {
        if let Some(text) = key.get_mut(token) {
            *text = "…".into();
        }
    }
    serde_json::to_string_pretty(&key).unwrap()
}

#[tokio::test]
async fn a_json_key_is_taken_from_the_gateways_own_refresher() {
    let mut world = new_api("channels = [3]").await;
    world.pass().await;
    assert_snapshot!("json_taken", world.tell().await);
    assert_snapshot!("json_key", blotted(&world.ask(JSON)));
}

#[tokio::test]
async fn a_refresh_by_the_gateway_meanwhile_is_adopted() {
    let mut world = new_api("channels = [3]").await;
    world.start().await;
    let theirs = world.authority.seed().unwrap();
    let gateway = world.gateway.clone();
    let stripped = || {
        let db = rusqlite::Connection::open(&gateway).unwrap();
        let key: String = db.query_row(JSON, [], |row| row.get(0)).unwrap();
        (!key.contains("refresh_token")).then_some((db, key))
    };
    let meanwhile = async {
        let (db, key) = loop {
            match stripped() {
                Some(found) => break found,
                None => tokio::task::yield_now().await,
            }
        };
        let mut key: serde_json::Value = serde_json::from_str(&key).unwrap();
        key["access_token"] = "fixture-by-the-gateway".into();
        key["refresh_token"] = theirs.expose_secret().into();
        let update = "UPDATE channels SET key = ?1 WHERE id = 3";
        db.execute(update, [key.to_string()]).unwrap();
    };
    tokio::join!(world.pass(), meanwhile);
    assert_snapshot!(world.tell().await);
    let seen = world.authority.requests();
    assert_eq!(
        seen.last().unwrap().family,
        Some(1),
        "the gateway's login is the one in use"
    );
}

#[tokio::test]
async fn a_stripped_refresh_token_is_put_back_when_our_exchange_is_rejected() {
    let mut world = new_api("channels = [3]").await;
    let before = world.ask(JSON);
    world
        .authority
        .fault(&Fault::Error(400, "invalid_grant"), 1);
    world.pass().await;
    assert_snapshot!(world.tell().await);
    let after = world.ask(JSON);
    let parse = |json: &str| serde_json::from_str::<serde_json::Value>(json).unwrap();
    assert_eq!(parse(&after), parse(&before));
}

#[tokio::test]
async fn one_line_of_a_multi_key_channel_is_replaced_and_revived() {
    let mut world = new_api("channels = [{ id = 5, line = 1 }, { id = 6, line = 0 }]").await;
    world.pass().await;
    assert_snapshot!("lines", world.tell().await);
    let info = "SELECT CAST(channel_info AS TEXT) || ' ' || typeof(channel_info) FROM channels WHERE id = 5";
    assert_snapshot!("channel_info", world.ask(info));

    let mut world = new_api("channels = [5]").await;
    world.pass().await;
    assert_snapshot!("line_missing", world.tell().await);
}

/// A gateway's management API that notes what it is told.
async fn management() -> (String, Arc<Mutex<Vec<String>>>) {
    let told = Arc::<Mutex<Vec<String>>>::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let notes = Arc::clone(&told);
    let take = async move |headers: HeaderMap, body: String| {
        let header = |name| {
            headers
                .get(name)
                .map(|value| value.to_str().unwrap().to_owned())
        };
        let user = header("new-api-user");
        let known = header("authorization").is_some();
        notes
            .lock()
            .unwrap()
            .push(format!("{body} user {user:?} authorized {known}"));
        r#"{"success":true,"message":""}"#
    };
    let router = Router::new().route("/api/channel/", put(take));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (url, told)
}

async fn told_by(fixture: &str, access_token: &str) -> (String, Vec<String>) {
    let mut world = World::with(fixture, "channels = [1, 3]", Settings::default()).await;
    let (url, told) = management().await;
    world.gateway_keys = format!("url = \"{url}\"\naccess_token = \"{access_token}\"");
    world.pass().await;
    let told = told.lock().unwrap().clone();
    (world.tell().await, told)
}

#[tokio::test]
async fn one_hub_and_new_api_are_told_with_the_id_alone() {
    let (one_hub, told) = told_by("one-hub.db", "fixtureaccesstokenroot0000000001").await;
    assert_snapshot!("one_hub", one_hub);
    assert_snapshot!("one_hub_told", told.join("\n"));
    let (_, told) = told_by("new-api-2026-08.db", "fixture-access-token-root-000001").await;
    assert_snapshot!("new_api_told", told.join("\n"));
    let (one_api, told) = told_by("one-api.db", "fixtureaccesstokenroot0000000001").await;
    assert_snapshot!("one_api", one_api);
    assert!(told.is_empty(), "{told:?}");
}

#[tokio::test]
async fn an_untold_one_hub_is_not_current() {
    let mut world = World::with("one-hub.db", "channels = [1]", Settings::default()).await;
    world.pass().await;
    assert_snapshot!(world.tell().await);
    let notice = world.sink.received().remove(0);
    assert!(
        notice["content"].as_str().unwrap().contains("One-Hub"),
        "{notice}"
    );
}

#[tokio::test]
async fn a_gateway_that_cannot_be_written_costs_no_token() {
    let mut world = World::new().await;
    let hidden = world.path("hidden.db");
    std::fs::rename(&world.gateway, &hidden).unwrap();
    for _ in 0..3 {
        world.pass().await;
        world.wait(TimeDelta::minutes(10));
    }
    assert_eq!(world.requests(), "none");
    assert_eq!(
        world.sink.received().len(),
        1,
        "one notice for the incident"
    );
    std::fs::rename(&hidden, &world.gateway).unwrap();
    world.wait(TimeDelta::hours(2));
    world.pass().await;
    assert_snapshot!(world.tell().await);
}
