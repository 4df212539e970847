//! What the configuration and `Accept-Language` change of answers.

use serde_json::json;

use crate::client::Api;
use crate::{ALICE, ids};

#[test]
fn messages_are_chinese_or_english() {
    let api = Api::new("new-api-2026-02.db");
    let ask = |language: &str, path: &str| {
        let headers = format!("Authorization: {ALICE}\r\nAccept-Language: {language}\r\n");
        let json = api.caller(&headers).get(path).json();
        json["message"].as_str().unwrap().to_owned()
    };
    for (language, message, nowhere) in [
        ("zh-CN", "Token不存在", "无效的请求路径"),
        ("fr,en;q=0.9", "Token不存在", "无效的请求路径"),
        ("en-US,en;q=0.9", "Token not found", "no such path"),
    ] {
        assert_eq!(ask(language, "/api/token/9999"), message);
        assert_eq!(ask(language, "/api/tokens/"), nowhere);
    }
    let english = Api::of(crate::support::installation::Installation::new(
        "new-api-2026-02.db",
    ));
    let nobody = english.caller("").get("/api/token/");
    assert_eq!(
        nobody.refused(401),
        "Unauthorized, not logged in and no access token provided"
    );
}

#[test]
fn refusals_may_have_statuses_of_their_own() {
    let api = Api::with("new-api-2026-02.db", "error_status = \"http\"\n");
    let alice = api.user(ALICE);
    assert_eq!(alice.get("/api/token/9999").refused(404), "Token不存在");
    let wish = json!({ "name": 5 });
    assert_eq!(
        alice.post("/api/token/", &wish).refused(400),
        "参数错误：name 应为字符串"
    );
    let wish = json!({ "id": 5, "status": 1 });
    assert_eq!(alice.put("/api/token/", &wish).status, 409);
}

#[test]
fn ids_may_be_hidden() {
    let api = Api::with(
        "new-api-2026-02.db",
        "public_ids = \"hashed\"\nsearch_shape = \"page\"\n",
    );
    let alice = api.user(ALICE);
    let page = alice
        .get("/api/token/search?keyword=bulk&p=2&size=3")
        .data();
    assert_eq!((&page["page"], &page["total"]), (&json!(2), &json!(8)));
    let row = &page["items"][0];
    let (id, user) = (
        row["id"].as_str().unwrap(),
        row["user_id"].as_str().unwrap(),
    );
    assert!(id.starts_with('t') && id.len() >= 8, "{id}");
    assert_eq!(alice.get(&format!("/api/token/{id}")).data(), *row);
    assert_eq!(alice.get("/api/token/37").data(), *row);
    let wish = json!({ "id": id, "name": "x" });
    assert_eq!(alice.put("/api/token/", &wish).data()["name"], "x");
    let headers = format!("Authorization: {ALICE}\r\nNew-Api-User: {user}\r\n");
    let batch = json!({ "ids": [id, 38] });
    assert_eq!(
        api.caller(&headers).post("/api/token/batch", &batch).data(),
        2
    );
    assert_eq!(
        alice.get(&format!("/api/token/{user}")).refusal(),
        "Token不存在"
    );
    assert_eq!(alice.get("/api/token/37").refusal(), "Token不存在");
}

#[test]
fn a_page_of_a_search_ends_where_it_ends() {
    let api = Api::with(
        "new-api-2026-02.db",
        "search_shape = \"page\"\nname_limit = 3\n",
    );
    let alice = api.user(ALICE);
    for (query, found) in [
        ("p=1&size=5", &[40, 39, 38, 37, 36][..]),
        ("p=2&size=5", &[35, 34, 33]),
        ("p=3&size=5", &[]),
    ] {
        let page = alice
            .get(&format!("/api/token/search?keyword=bulk&{query}"))
            .data();
        assert_eq!(ids(&page["items"]), found, "{query}");
    }
    assert_eq!(
        alice
            .post("/api/token/", &json!({ "name": "abcd" }))
            .refusal(),
        "令牌名称过长"
    );
}
