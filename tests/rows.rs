//! Rows of tokens as nobody expects them: values stored otherwise than their columns say, keys of others
//! that have to be looked for.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use keyfresh::database::Halt;
use keyfresh::gateway::{Gateway, Token};
use secrecy::ExposeSecret as _;
use support::gateway::World;

async fn token(gateway: &Gateway, id: i64) -> Token {
    let token = gateway.view(move |tables| Ok::<_, Halt<()>>(tables.token(2, id)?));
    token.await.unwrap().unwrap().unwrap()
}

#[tokio::test]
async fn numbers_stored_otherwise_are_read_as_what_they_mean() {
    let world = World::new("new-api-2026-02.db");
    let gateway = world.open().await;
    let quota = async |sql: &str, expected: i64| {
        world.sql(&format!(
            "UPDATE tokens SET remain_quota = {sql} WHERE id = 15"
        ));
        assert_eq!(token(&gateway, 15).await.remain_quota, expected, "{sql}");
    };
    quota("9223372036854775807 + 1", i64::MAX).await;
    quota("-1e300", i64::MIN).await;
    quota("'1e400'", i64::MAX).await;
    quota("2.5", 2).await;
    quota("CAST('12' AS BLOB)", 12).await;
    quota("'-7'", -7).await;
    for nothing in ["NULL", "'abc'", "''", "x'ff'", "'true'"] {
        quota(nothing, 0).await;
    }
    let flag = async |sql: &str, expected: bool| {
        world.sql(&format!(
            "UPDATE tokens SET unlimited_quota = {sql}, model_limits_enabled = {sql} WHERE id = 15"
        ));
        let token = token(&gateway, 15).await;
        let flags = (token.unlimited_quota, token.model_limits_enabled);
        assert_eq!(flags, (expected, expected), "{sql}");
    };
    for set in [
        "1",
        "'1'",
        "'true'",
        "'T'",
        "'TRUE'",
        "CAST('t' AS BLOB)",
        "1.0",
    ] {
        flag(set, true).await;
    }
    for unset in ["0", "'0'", "'false'", "'F'", "NULL", "'yes'", "0.0"] {
        flag(unset, false).await;
    }
}

#[tokio::test]
async fn the_newest_signed_key_is_looked_for_among_the_newest_ids() {
    let world = World::new("one-hub.db");
    let gateway = world.open().await;
    let signed = async || {
        let newest = gateway.view(|tables| Ok::<_, Halt<()>>(tables.newest_signed_key()?));
        let newest = newest.await.unwrap().unwrap();
        newest.map(|(id, key)| (id, key.expose_secret().to_owned()))
    };
    let key = "s".repeat(59);
    world.sql("UPDATE tokens SET key = 'plain' || id");
    assert_eq!(signed().await, None);
    world.sql(&format!(
        "INSERT INTO tokens (id, user_id, key) VALUES (1000, 7, '{key}')"
    ));
    world.sql("INSERT INTO tokens (id, user_id, key) VALUES (1999, 7, 'newer')");
    assert_eq!(signed().await, Some((1000, key)));
    // Among deleted rows there is nothing to be found either, however many.
    world.sql(
        "UPDATE tokens SET id = 2000, deleted_at = '2026-01-01 00:00:00+00:00' WHERE id = 1999",
    );
    assert_eq!(signed().await, None);
    world.sql("DELETE FROM tokens");
    assert_eq!(signed().await, None);
}
