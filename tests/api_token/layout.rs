//! The same calls on every gateway's tables: what differs is what the gateway can hold.

use keyfresh::mint::OneHubMint;
use serde_json::{Value, json};

use crate::client::{Api, User};
use crate::support::installation::Installation;
use crate::{ALICE, ids};

const OTHERS_ALICE: &str = "fixtureaccesstokenalice000000001";
const OTHERS_ROOT: &str = "fixtureaccesstokenroot0000000001";

/// One-Hub's own of the fixture.
const SIGNING: &str = "fixture-user-token-secret-000001";

const SHARED: [&str; 15] = [
    "id",
    "user_id",
    "key",
    "status",
    "name",
    "created_time",
    "accessed_time",
    "expired_time",
    "remain_quota",
    "unlimited_quota",
    "model_limits_enabled",
    "model_limits",
    "allow_ips",
    "used_quota",
    "group",
];

fn one_hub(secret: Option<&str>) -> Api {
    let world = Installation::new("one-hub.db");
    world.edit("locale = \"en\"", "locale = \"zh-CN\"");
    if let Some(secret) = secret {
        world.edit(
            "[gateway]\n",
            &format!("[gateway]\nuser_token_secret = \"{secret}\"\n"),
        );
    }
    Api::of(world)
}

/// A token's life; the columns of a row besides those that all gateways have.
fn life(user: &User<'_>, wish: &Value) -> Vec<String> {
    let made = user.post("/api/token/", wish).data();
    for (field, wished) in wish.as_object().unwrap() {
        assert_eq!(made[field], *wished, "{field}");
    }
    let id = made["id"].as_i64().unwrap();
    assert_eq!(user.get(&format!("/api/token/{id}")).data(), made);
    let page = user.get("/api/token/?size=2").data();
    assert_eq!(page["items"][0], made);
    let key = made["key"].as_str().unwrap();
    let found = user
        .get(&format!("/api/token/search?token=sk-{key}"))
        .data();
    assert_eq!(found, json!([made]));

    let mut expected = made.clone();
    for (field, value) in [
        ("name", json!("")),
        ("remain_quota", json!(7)),
        ("status", json!(2)),
        ("status", json!(1)),
    ] {
        let changed = user
            .put("/api/token/", &json!({ "id": id, field: value }))
            .data();
        expected[field] = value;
        assert_eq!(changed, expected, "{field}");
    }
    assert_eq!(user.put("/api/token/", &expected).data(), expected);
    let second = user.post("/api/token/", &json!({})).data();
    let batch = json!({ "ids": [id, second["id"], id, 9999] });
    assert_eq!(user.post("/api/token/batch", &batch).data(), 2);
    assert_eq!(
        user.get(&format!("/api/token/{id}")).refusal(),
        "Token不存在"
    );

    let row = made.as_object().unwrap().keys();
    let names: Vec<String> = row.cloned().collect();
    assert_eq!(names[..SHARED.len()], SHARED);
    names[SHARED.len()..].to_vec()
}

#[test]
fn new_api_of_every_generation() {
    for (fixture, own) in [
        ("new-api-v0.9.5.db", &["DeletedAt"][..]),
        ("new-api-2026-02.db", &["cross_group_retry", "DeletedAt"]),
        (
            "new-api-2026-08.db",
            &["cross_group_retry", "DeletedAt", "auto_groups"],
        ),
    ] {
        let api = Api::new(fixture);
        let wish = json!({
            "name": "x", "remain_quota": 1000, "expired_time": 4_102_444_800_i64, "model_limits_enabled": true,
            "model_limits": "gpt-4o,o1", "allow_ips": "192.0.2.1\n::1", "group": "vip",
        });
        let (alice, rows) = (api.user(ALICE), api.rows().len());
        assert_eq!(life(&alice, &wish), own, "{fixture}");
        assert_eq!(
            api.rows().len(),
            rows + 2,
            "{fixture}: deleted rows stay, marked"
        );
    }
}

#[test]
fn a_generation_refuses_what_it_cannot_hold() {
    let old = Api::new("new-api-v0.9.5.db");
    let create = |api: &Api, wish: Value| {
        let answer = api.user(ALICE).post("/api/token/", &wish).json();
        answer["message"].as_str().unwrap().to_owned()
    };
    let range = json!({ "allow_ips": "10.0.0.0/8" });
    let told = "参数错误：该网关的版本不支持 allow_ips 中的网段“10.0.0.0/8”，请填写单个 IP 地址";
    assert_eq!(create(&old, range.clone()), told);
    let retry = json!({ "cross_group_retry": true });
    assert_eq!(
        create(&old, retry.clone()),
        "参数错误：该网关不支持 cross_group_retry"
    );
    assert_eq!(
        create(
            &old,
            json!({ "cross_group_retry": false, "remain_quota": 500_000_000_000_000_i64 })
        ),
        ""
    );
    let new = Api::new("new-api-2026-08.db");
    assert_eq!(create(&new, range), "");
    assert_eq!(create(&new, json!({ "remain_quota": 2_147_483_647 })), "");
    let told = "额度值超出有效范围，最大值为 2147483647（remain_quota）";
    assert_eq!(
        create(&new, json!({ "remain_quota": 2_147_483_648_i64 })),
        told
    );
}

#[test]
fn one_api_deletes_for_good_and_has_no_groups() {
    let api = Api::new("one-api.db");
    let wish = json!({
        "name": "x", "remain_quota": 1000, "expired_time": -1, "model_limits_enabled": true,
        "model_limits": "gpt-4o", "allow_ips": "10.0.0.0/8",
    });
    let (alice, rows) = (api.user(OTHERS_ALICE), api.rows());
    assert_eq!(life(&alice, &wish), ["models", "subnet"]);
    assert_eq!(api.rows(), rows);
    let grouped = alice
        .post("/api/token/", &json!({ "group": "vip" }))
        .refusal();
    assert_eq!(grouped, "参数错误：该网关不支持 group");
    let made = alice
        .post(
            "/api/token/",
            &json!({ "group": "", "allow_ips": "192.0.2.1" }),
        )
        .data();
    assert_eq!(made["subnet"], "192.0.2.1/32");
    let erin = api
        .user("fixtureaccesstokenerin0000000001")
        .get("/api/token/");
    assert_eq!(erin.refused(401), "无权进行此操作，access token 无效");
    assert_eq!(
        ids(&api.user(OTHERS_ROOT).get("/api/token/").data()["items"]),
        [1]
    );
}

#[test]
fn one_hub_gets_keys_that_it_would_have_signed() {
    let api = one_hub(Some(SIGNING));
    let wish = json!({
        "name": "x", "remain_quota": 1000, "expired_time": -1, "model_limits_enabled": true,
        "model_limits": "gpt-4o", "allow_ips": "10.0.0.0/8", "group": "vip",
    });
    let (alice, rows) = (api.user(OTHERS_ALICE), api.rows().len());
    assert_eq!(life(&alice, &wish), ["backup_group", "setting"]);
    assert_eq!(api.rows().len(), rows + 2);
    let made = alice.post("/api/token/", &json!([{}, {}])).data();
    let mint = OneHubMint::new(&SIGNING.into(), None).unwrap();
    for row in made.as_array().unwrap() {
        let key = row["key"].as_str().unwrap();
        assert_eq!(key.len(), 59);
        assert_eq!(mint.verify(key), Some((row["id"].as_i64().unwrap(), 2)));
    }
}

#[test]
fn one_hub_gets_no_keys_that_it_would_refuse() {
    for (secret, message) in [
        (None, "生成令牌失败：未配置 gateway.user_token_secret"),
        (
            Some("some-other-secret-of-32-letters-"),
            "生成令牌失败：gateway.user_token_secret 与 One-Hub 的不一致",
        ),
    ] {
        let api = one_hub(secret);
        let (alice, rows) = (api.user(OTHERS_ALICE), api.rows());
        assert_eq!(
            alice.post("/api/token/", &json!({ "name": "x" })).refusal(),
            message
        );
        assert_eq!(api.rows(), rows);
        assert_eq!(
            alice
                .put("/api/token/", &json!({ "id": 2, "name": "x" }))
                .data()["name"],
            "x"
        );
    }
}
