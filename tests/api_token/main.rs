//! The token API of the real program, on copies of the databases that real gateways filled.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod caller;
mod client;
mod layout;
mod readme;
mod shape;
mod style;

use client::Api;
use serde_json::{Value, json};

/// Alice of New API's databases, whose tokens most are.
const ALICE: &str = "fixture-access-token-alice-00002";
const BOB: &str = "fixture/access+token/bob+000003=";

fn ids(rows: &Value) -> Vec<i64> {
    let rows = rows.as_array().unwrap();
    rows.iter().map(|row| row["id"].as_i64().unwrap()).collect()
}

#[test]
fn a_token_is_made_found_changed_and_deleted() {
    let api = Api::new("new-api-2026-02.db");
    let alice = api.user(ALICE);
    let wish = json!({
        "name": "CI 令牌", "remain_quota": 1000, "expired_time": 4_102_444_800_i64,
        "model_limits_enabled": true, "model_limits": ["gpt-4o", "o1"],
        "allow_ips": "192.0.2.1, 2001:db8::/32", "group": "vip",
    });
    let made = alice.post("/api/token/", &wish).data();
    assert_eq!(made["id"], 41);
    assert_eq!(made["key"].as_str().unwrap().len(), 48);
    assert_eq!(made["model_limits"], "gpt-4o,o1");
    assert_eq!(made["allow_ips"], "192.0.2.1\n2001:db8::/32");

    let page = alice.get("/api/token/?size=1").data();
    assert_eq!(
        page,
        json!({ "page": 1, "page_size": 1, "total": 35, "items": [made] })
    );
    let key = made["key"].as_str().unwrap();
    for query in [
        "keyword=CI",
        &format!("token=sk-{key}"),
        &format!("keyword=%E4%BB%A4&token={}", &key[9..20]),
    ] {
        let found = alice.get(&format!("/api/token/search?{query}")).data();
        assert_eq!(found, json!([made]), "{query}");
    }

    let renamed = alice
        .put("/api/token/", &json!({ "id": 41, "name": "renamed" }))
        .data();
    let mut expected = made.clone();
    expected["name"] = json!("renamed");
    assert_eq!(renamed, expected);
    let disabled = json!({ "id": 41, "status": 2, "name": "not written" });
    expected["status"] = json!(2);
    assert_eq!(
        alice.put("/api/token/?status_only=true", &disabled).data(),
        expected
    );
    assert_eq!(alice.get("/api/token/41/").data(), expected);

    assert_eq!(
        alice.delete("/api/token/41").json(),
        json!({ "message": "", "success": true })
    );
    assert_eq!(alice.get("/api/token/41").refusal(), "Token不存在");
    assert_eq!(alice.delete("/api/token/41").refusal(), "Token不存在");
}

#[test]
fn an_array_is_made_whole_or_not_at_all() {
    let api = Api::new("new-api-2026-02.db");
    let alice = api.user(ALICE);
    let made = alice
        .post("/api/token", &json!([{ "name": "a" }, { "name": "b" }]))
        .data();
    assert_eq!(ids(&made), [41, 42]);
    let rows = api.rows();
    for (wish, message) in [
        (
            json!([{ "name": "c" }, { "remain_quota": "5" }]),
            "第 2 项：参数错误：remain_quota 应为整数",
        ),
        (
            json!([{ "name": "c" }, { "name": "a".repeat(31) }]),
            "第 2 项：令牌名称过长",
        ),
        (json!([{}, 5]), "第 2 项：参数错误：body 应为对象或对象数组"),
        (json!([]), "参数错误"),
        (
            json!(vec![json!({}); 101]),
            "参数错误：一次最多创建 100 个令牌",
        ),
        (json!(null), "参数错误：body 应为对象或对象数组"),
    ] {
        assert_eq!(alice.post("/api/token/", &wish).refusal(), message);
    }
    assert_eq!(api.rows(), rows);
}

#[test]
fn a_dead_token_is_cured_and_enabled_in_one_call() {
    let api = Api::new("new-api-2026-02.db");
    let alice = api.user(ALICE);
    let rows = api.rows();
    let expired = "令牌已过期，无法启用，请先修改令牌过期时间，或者设置为永不过期";
    let exhausted = "令牌可用额度已用尽，无法启用，请先修改令牌剩余额度，或者设置为无限额度";
    for (wish, message) in [
        (json!({ "id": 5, "status": 1 }), expired),
        (json!({ "id": 6, "status": 1 }), exhausted),
        (
            json!({ "id": 2, "status": 3 }),
            "参数错误：status 只能设为 1（启用）或 2（禁用）",
        ),
        (json!({ "status": 1 }), "id 或 userId 为空！"),
        (
            json!({ "id": 2, "allow_ips": "10.0.0.1,x" }),
            "参数错误：allow_ips 中的“x”不是有效的 IP 地址或 CIDR 网段",
        ),
    ] {
        assert_eq!(alice.put("/api/token/", &wish).refusal(), message);
    }
    assert_eq!(
        alice
            .put(
                "/api/token/?status_only=1",
                &json!({ "id": 6, "status": 1 })
            )
            .refusal(),
        exhausted
    );
    assert_eq!(api.rows(), rows);
    let cured = alice
        .put(
            "/api/token/",
            &json!({ "id": 5, "status": 1, "expired_time": -1 }),
        )
        .data();
    assert_eq!(
        (&cured["status"], &cured["expired_time"]),
        (&json!(1), &json!(-1))
    );
    let cured = alice
        .put(
            "/api/token/",
            &json!({ "id": 6, "status": 1, "unlimited_quota": true }),
        )
        .data();
    assert_eq!(
        (&cured["status"], &cured["remain_quota"]),
        (&json!(1), &json!(0))
    );
}

#[test]
fn foreign_tokens_are_as_good_as_missing() {
    let api = Api::new("new-api-2026-02.db");
    let (alice, rows) = (api.user(ALICE), api.rows());
    for id in [3, 13, 14, 9999] {
        let path = format!("/api/token/{id}");
        assert_eq!(alice.get(&path).refusal(), "Token不存在");
        assert_eq!(alice.delete(&path).refusal(), "Token不存在");
        let wish = json!({ "id": id, "name": "mine" });
        assert_eq!(alice.put("/api/token/", &wish).refusal(), "Token不存在");
    }
    let own = "fxBob0003FakeKeyNotASecretFakeKeyNotASecretFakeX";
    assert_eq!(
        alice.get(&format!("/api/token/search?token={own}")).data(),
        json!([])
    );
    let batch = |ids: Value| alice.post("/api/token/batch", &json!({ "ids": ids }));
    assert_eq!(batch(json!([3, 14, 26, 0, -1, null])).data(), 0);
    for ids in [
        json!([]),
        json!(null),
        json!("33"),
        json!([33.0]),
        json!(["x"]),
        json!([[33]]),
    ] {
        assert_eq!(batch(ids).refusal(), "参数错误");
    }
    assert_eq!(api.rows(), rows);
    assert_eq!(batch(json!([33, 33, 34, 3, 9999])).data(), 2);
    assert_eq!(
        ids(&api.user(BOB).get("/api/token/").data()["items"]),
        [14, 3]
    );
}

#[test]
fn a_search_is_literal() {
    let api = Api::new("new-api-2026-02.db");
    let alice = api.user(ALICE);
    for (query, found) in [
        ("keyword=%25", &[16][..]),
        ("keyword=_", &[25, 16]),
        ("keyword=100%25_done", &[16]),
        ("keyword=API+Token", &[19, 2]),
        ("keyword=O%27Brien", &[17]),
        ("keyword=%27+OR+1%3D1+--", &[]),
        ("keyword=%ff%fe", &[]),
        ("keyword=API%00", &[]),
        ("token=sk-skAlice0028", &[28]),
        ("token=X%25", &[]),
    ] {
        let rows = alice.get(&format!("/api/token/search/?{query}")).data();
        assert_eq!(ids(&rows), found, "{query}");
    }
    let all = alice.get("/api/token/search?keyword=&token=").data();
    assert_eq!(ids(&all).len(), 34);
}
