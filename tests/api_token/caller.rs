//! Who may call, and what everybody else is told.

use serde_json::json;

use crate::client::Api;
use crate::support::until;
use crate::{ALICE, BOB};

const NONE: &str = "无权进行此操作，未登录且未提供 access token";
const UNKNOWN: &str = "无权进行此操作，access token 无效";

#[test]
fn callers_are_told_apart_in_the_gateways_words() {
    let api = Api::new("new-api-2026-02.db");
    api.world
        .change("UPDATE users SET access_token = '' WHERE id = 7");
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    let also = |more: &str| format!("Authorization: {ALICE}\r\n{more}\r\n");
    for (headers, refusal) in [
        (format!("Authorization: {ALICE}\r\n"), None),
        (format!("authorization: bEARER  {ALICE}\r\n"), None),
        (bearer(ALICE), None),
        (bearer(BOB), None),
        (also("New-Api-User: 2"), None),
        (also("new-api-user: 02"), None),
        (also("New-Api-User:"), None),
        (String::new(), Some(NONE)),
        ("Authorization:\r\n".to_owned(), Some(NONE)),
        (
            format!("Cookie: session={ALICE}\r\nx-api-key: {ALICE}\r\n"),
            Some(NONE),
        ),
        ("Authorization: Bearer\r\n".to_owned(), Some(UNKNOWN)),
        ("Authorization: Bearer \r\n".to_owned(), Some(UNKNOWN)),
        (bearer("nosuchtoken"), Some(UNKNOWN)),
        (bearer("null"), Some(UNKNOWN)),
        (bearer(&ALICE.to_uppercase()), Some(UNKNOWN)),
        (bearer(&ALICE[..31]), Some(UNKNOWN)),
        (bearer(&format!("Bearer {ALICE}")), Some(UNKNOWN)),
        (bearer("%"), Some(UNKNOWN)),
        (bearer("' OR '1'='1"), Some(UNKNOWN)),
        (
            bearer("sk-fxAlice0001FakeKeyNotASecretFakeKeyNotASecretFaX"),
            Some(UNKNOWN),
        ),
        (
            bearer("fxAlice0001FakeKeyNotASecretFakeKeyNotASecretFaX"),
            Some(UNKNOWN),
        ),
        (bearer("a.b.c"), Some(UNKNOWN)),
        (bearer("fixture-access-token-dave-000005"), Some(UNKNOWN)),
        (
            bearer("fixture-access-token-carol-00004"),
            Some("用户已被封禁"),
        ),
        (
            bearer("fixture-access-token-eve-0000006"),
            Some("无权进行此操作，权限不足"),
        ),
        (
            also("New-Api-User: 3"),
            Some("无权进行此操作，New-Api-User 与登录用户不匹配"),
        ),
        (
            also("New-Api-User: -2"),
            Some("无权进行此操作，New-Api-User 与登录用户不匹配"),
        ),
        (
            also("New-Api-User: 2.0"),
            Some("无权进行此操作，New-Api-User 格式错误"),
        ),
    ] {
        let answer = api.caller(&headers).get("/api/token/?size=1");
        match refusal {
            None => assert_eq!(answer.data()["page"], 1, "{headers}"),
            Some(message) => {
                assert_eq!(answer.refused(401), message, "{headers}");
                assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
            }
        }
    }
}

#[test]
fn a_stranger_learns_and_changes_nothing() {
    let api = Api::new("new-api-2026-02.db");
    let rows = api.rows();
    for (method, path, body) in [
        ("GET", "/api/token/", ""),
        ("GET", "/api/token/search?keyword=x", ""),
        ("GET", "/api/token/2", ""),
        ("POST", "/api/token/", r#"{"name":"x"}"#),
        ("POST", "/api/token/", "{"),
        ("PUT", "/api/token/", r#"{"id":2,"name":"x"}"#),
        ("DELETE", "/api/token/2", ""),
        ("DELETE", "/api/token/x", ""),
        ("POST", "/api/token/batch", r#"{"ids":[1,2]}"#),
    ] {
        let who = |token: &str| api.user(token).call(method, path, body).refused(401);
        assert_eq!(
            who("fixture-access-token-carol-00004"),
            "用户已被封禁",
            "{method} {path}"
        );
        assert_eq!(who("nosuchtoken"), UNKNOWN, "{method} {path}");
        let nobody = api.caller("").call(method, path, body);
        assert_eq!(nobody.refused(401), NONE, "{method} {path}");
    }
    assert_eq!(api.rows(), rows);
}

#[test]
fn a_user_who_is_disabled_or_deleted_is_refused_from_then_on() {
    let api = Api::new("new-api-2026-02.db");
    let alice = api.user(ALICE);
    assert_eq!(alice.get("/api/token/2").status, 200);
    api.world.change("UPDATE users SET status = 2 WHERE id = 2");
    assert_eq!(alice.get("/api/token/2").refused(401), "用户已被封禁");
    api.world
        .change("UPDATE users SET status = 1, deleted_at = '2026-01-01' WHERE id = 2");
    assert_eq!(alice.get("/api/token/2").refused(401), UNKNOWN);
}

#[test]
fn what_anybody_commits_is_in_the_next_answer() {
    let api = Api::new("new-api-2026-02.db");
    let alice = api.user(ALICE);
    let shown = || {
        let page = alice.get("/api/token/?size=100").data();
        let row = alice.get("/api/token/2").data();
        let listed = page["items"].as_array().unwrap();
        assert!(listed.contains(&row), "{row} is not in {page}");
        (
            row["used_quota"].clone(),
            row["name"].clone(),
            page["total"].clone(),
        )
    };
    let (_, _, mut total) = shown();
    for spent in 1..=10 {
        api.world.change(&format!(
            "UPDATE tokens SET used_quota = {spent} WHERE id = 2"
        ));
        let name = json!(format!("name {spent}"));
        assert_eq!(shown().0, json!(spent));
        alice.put("/api/token/", &json!({ "id": 2, "name": name }));
        assert_eq!(shown(), (json!(spent), name, total.clone()));
        alice.post("/api/token/", &json!({ "name": "one more" }));
        total = json!(total.as_i64().unwrap() + 1);
        assert_eq!(shown().2, total);
    }
    api.world
        .change("UPDATE users SET access_token = 'another' WHERE id = 2");
    assert_eq!(alice.get("/api/token/2").refused(401), UNKNOWN);
}

#[test]
fn a_bearer_opens_until_it_is_revoked() {
    let api = Api::new("new-api-2026-02.db");
    let bearer = |arguments: &[&str]| {
        let printed = api.world.done(arguments);
        printed.trim().to_owned()
    };
    let first = bearer(&["user", "token", "alice"]);
    assert_eq!(
        api.user(&first).get("/api/token/2").data()["name"],
        "API Token"
    );
    let made = api
        .user(&first)
        .post("/api/token/", &json!({ "name": "x" }))
        .data();
    assert_eq!(made["user_id"], 2);
    let tampered = first.replacen('.', ".e", 1);
    assert_eq!(
        api.user(&tampered).get("/api/token/2").refused(401),
        UNKNOWN
    );
    api.world.done(&["user", "token", "--revoke-all", "alice"]);
    let revoked = "无权进行此操作，access token 已被撤销";
    assert_eq!(api.user(&first).get("/api/token/2").refused(401), revoked);
    assert_eq!(api.user(ALICE).get("/api/token/2").status, 200);
    let second = bearer(&["user", "token", "alice"]);
    assert_eq!(api.user(&second).get("/api/token/2").status, 200);
    api.world.change("UPDATE users SET status = 2 WHERE id = 2");
    assert_eq!(
        api.user(&second).get("/api/token/2").refused(401),
        "用户已被封禁"
    );
}

#[test]
fn a_bearer_ends_with_the_user_it_was_issued_to() {
    let api = Api::new("new-api-2026-02.db");
    let issue = |who: &str| api.world.done(&["user", "token", who]).trim().to_owned();
    let of_alice = issue("alice");
    assert_eq!(api.user(&of_alice).get("/api/token/2").status, 200);
    // Another person under the same id, as SQLite gives it out again.
    api.world
        .change("UPDATE users SET username = 'mallory' WHERE id = 2");
    let revoked = "无权进行此操作，access token 已被撤销";
    let refused = |bearer: &str| api.user(bearer).get("/api/token/2").refused(401);
    assert_eq!(refused(&of_alice), revoked);
    let of_mallory = issue("mallory");
    assert_eq!(api.user(&of_mallory).get("/api/token/2").status, 200);
    assert_eq!(refused(&of_alice), revoked);
    // Not even if the old name comes back.
    api.world
        .change("UPDATE users SET username = 'alice' WHERE id = 2");
    assert_eq!(refused(&of_alice), revoked);
    assert_eq!(refused(&of_mallory), revoked);
    let again = issue("alice");
    assert_eq!(refused(&of_alice), revoked);
    assert_eq!(api.user(&again).get("/api/token/2").status, 200);

    // Whoever is gone for good is revoked by the id.
    api.world.change("DELETE FROM users WHERE id = 2");
    let by_id = api.world.run(&["user", "token", "2", "--revoke-all"]);
    by_id.says(0, &["id 2, who is no user now", "is revoked"]);
    assert_eq!(refused(&again), revoked);
}

#[test]
fn a_bearer_that_is_revoked_meanwhile_writes_nothing() {
    let api = Api::new("new-api-2026-02.db");
    let bearer = api.world.done(&["user", "token", "alice"]);
    let alice = api.user(bearer.trim());
    assert_eq!(alice.get("/api/token/2").status, 200);
    let rows = api.rows();
    let holder = api.world.other();
    until("the gateway is locked", || {
        holder.execute_batch("BEGIN EXCLUSIVE").ok()
    });
    let call = alice.begin("POST", "/api/token/", "{}");
    api.waits_to_read();
    let raise = "UPDATE bearer SET generation = generation + 1 WHERE user = 2";
    until("it is revoked", || {
        api.world.state().execute(raise, []).ok()
    });
    holder.execute_batch("COMMIT").unwrap();
    let revoked = "无权进行此操作，access token 已被撤销";
    assert_eq!(call.join().unwrap().refused(401), revoked);
    assert_eq!(api.rows(), rows);
}

#[test]
fn keys_and_tokens_stay_out_of_the_log() {
    let api = Api::new("new-api-2026-02.db");
    let made = api
        .user(ALICE)
        .post("/api/token/", &json!({ "name": "x" }))
        .data();
    let key = made["key"].as_str().unwrap();
    api.user("nosuchtoken")
        .get(&format!("/api/token/search?token={key}"));
    let log = api.log();
    for secret in [ALICE, "nosuchtoken", key] {
        assert!(!log.contains(secret), "{log}");
    }
    let verified = api.world.run_with(key, &["token", "verify"]);
    assert_eq!(verified.code, Some(0), "{verified:?}");
}

#[test]
fn who_fails_too_often_waits() {
    let api = Api::with("new-api-2026-02.db", "auth_failures = 3\n");
    for _ in 0..3 {
        assert_eq!(api.user("nosuchtoken").get("/api/token/").status, 401);
    }
    let answer = api.user(ALICE).get("/api/token/");
    assert_eq!(answer.refused(429), "认证失败次数过多，请稍后重试");
    assert!(answer.header("retry-after").is_some(), "{answer:?}");
}
