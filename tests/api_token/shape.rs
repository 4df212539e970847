//! What is served is what `/api/openapi.json` says: paths, methods, members.

use serde_json::{Value, json};

use crate::ALICE;
use crate::client::Api;

fn names(object: &Value) -> Vec<&str> {
    object
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

#[test]
fn the_page_describes_what_is_served() {
    let api = Api::new("new-api-2026-02.db");
    let page = api.caller("").get("/api/openapi.json").json();
    assert_eq!(page["openapi"], "3.1.0");
    let operations: Vec<(&str, Vec<&str>)> = page["paths"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(path, methods)| (path.as_str(), names(methods)))
        .collect();
    let mut expected = vec![
        ("/api/token/", vec!["get", "post", "put"]),
        ("/api/token/search", vec!["get"]),
        ("/api/token/batch", vec!["post"]),
        ("/api/token/{id}", vec!["get", "delete"]),
    ];
    expected.sort();
    let mut found = operations;
    found.sort();
    for (_, methods) in found.iter_mut().chain(&mut expected) {
        methods.sort_unstable();
    }
    assert_eq!(found, expected);
    for operation in page["paths"]
        .as_object()
        .unwrap()
        .values()
        .flat_map(|item| item.as_object().unwrap().values())
    {
        let mut statuses = names(&operation["responses"]);
        statuses.sort_unstable();
        assert_eq!(
            statuses,
            [
                "200", "400", "401", "404", "408", "409", "413", "429", "500", "503"
            ]
        );
    }
    let mut references = Vec::new();
    references_of(&page, &mut references);
    for reference in references {
        let place = reference.strip_prefix('#').unwrap();
        assert!(page.pointer(place).is_some(), "{reference}");
    }
    let row = api.user(ALICE).get("/api/token/2").data();
    let schemas = &page["components"]["schemas"];
    assert_eq!(names(&schemas["Token"]["properties"]), names(&row));
    let wish = names(&schemas["NewToken"]["properties"]);
    for name in wish {
        let refused = api
            .user(ALICE)
            .post("/api/token/", &json!({ name: {} }))
            .refusal();
        assert!(refused.contains(name), "{refused}");
    }
}

fn references_of<'v>(value: &'v Value, found: &mut Vec<&'v str>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get("$ref").and_then(Value::as_str));
            members
                .values()
                .for_each(|value| references_of(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| references_of(value, found)),
        _ => {}
    }
}

#[test]
fn paths_and_methods_that_are_not_served_are_refused_in_the_envelope() {
    let api = Api::new("new-api-2026-02.db");
    let alice = api.user(ALICE);
    for (method, path, status, allow) in [
        (
            "DELETE",
            "/api/token/",
            405,
            Some(["GET", "POST", "PUT"].as_slice()),
        ),
        ("PATCH", "/api/token", 405, Some(&["GET", "POST", "PUT"])),
        ("OPTIONS", "/api/token/2", 405, Some(&["GET", "DELETE"])),
        ("POST", "/api/token/2", 405, Some(&["GET", "DELETE"])),
        ("GET", "/api/token/batch", 405, Some(&["POST"])),
        ("PUT", "/api/token/search", 405, Some(&["GET"])),
        ("GET", "/api/token/2/3", 404, None),
        ("GET", "/api/token//2", 404, None),
        ("GET", "/api//token/", 404, None),
        ("GET", "/API/TOKEN/", 404, None),
        ("GET", "/api/token/../token/2", 404, None),
        ("POST", "/api/token/2/key", 404, None),
    ] {
        let answer = alice.call(method, path, "");
        answer.refused(status);
        let told = answer.header("allow");
        match allow {
            None => assert_eq!(told, None, "{method} {path}"),
            Some(methods) => {
                let told: Vec<&str> = told.unwrap().split(',').map(str::trim).collect();
                assert!(
                    methods.iter().all(|method| told.contains(method)),
                    "{method} {path}: {told:?}"
                );
            }
        }
    }
    let head = alice.call("HEAD", "/api/token/2", "");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    for (path, message) in [
        ("/api/token/0", "id 或 userId 为空！"),
        ("/api/token/-1", "Token不存在"),
        ("/api/token/abc", "Token不存在"),
        ("/api/token/1.5", "Token不存在"),
        ("/api/token/%20", "Token不存在"),
        ("/api/token/%ff", "Token不存在"),
        ("/api/token/9223372036854775808", "Token不存在"),
        ("/api/token/2%20OR%201%3D1", "Token不存在"),
    ] {
        assert_eq!(alice.get(path).refusal(), message, "{path}");
    }
    assert_eq!(alice.get("/api/token/%2B2?id=3").data()["id"], 2);
}

#[test]
fn a_body_beyond_the_limit_is_refused() {
    let api = Api::new("new-api-2026-02.db");
    let wish = json!({ "name": "a".repeat(65 * 1024) });
    assert_eq!(
        api.user(ALICE).post("/api/token/", &wish).refused(413),
        "请求体过大"
    );
}
