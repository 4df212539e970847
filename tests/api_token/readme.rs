//! The README's calls, made as it writes them.

use std::fs;
use std::path::Path;

use crate::client::Api;

#[test]
fn every_call_of_the_readme_succeeds() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let calls: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("curl "))
        .collect();
    assert_eq!(calls.len(), 9);
    let api = Api::new("new-api-2026-02.db");
    let bearer = api.world.done(&["user", "token", "alice"]);
    let alice = api.user(bearer.trim());
    for call in calls {
        let after = |mark: &str, end: char| {
            let (_, rest) = call.split_once(mark)?;
            Some(rest.split(end).next().unwrap_or(rest))
        };
        let path = format!("/api/token{}", after("\"$API", '"').unwrap());
        let body = after("-d '", '\'');
        let otherwise = if body.is_some() { "POST" } else { "GET" };
        let method = after("-X ", ' ').unwrap_or(otherwise);
        let answer = alice.call(method, &path, body.unwrap_or_default());
        assert_eq!(answer.json()["success"], true, "{call}\n{answer:?}");
    }
}
