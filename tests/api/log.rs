//! The access log: what is told of a call, and what never is.

use serde_json::{Value, json};

use crate::support::daemon::Daemon;
use crate::{answer, get, with_api};

const CANARY: &str = "CANARY0123456789012345678901234567890123456789";

/// The lines about calls, with what differs from run to run taken out.
fn calls(daemon: &Daemon) -> Vec<Value> {
    let log = daemon.log();
    let lines = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let calls = lines.filter(|line| line["message"] == "answered");
    calls
        .map(|mut line| {
            let fields = line.as_object_mut().unwrap();
            assert!(fields["http.request_id"].is_string());
            assert!(fields["http.milliseconds"].is_u64());
            for varying in ["timestamp", "http.request_id", "http.milliseconds"] {
                fields.remove(varying);
            }
            line
        })
        .collect()
}

fn call(level: &str, method: &str, path: &str, status: u16, peer: &str) -> Value {
    json!({
        "level": level, "target": "keyfresh::api::manners", "message": "answered",
        "http.method": method, "http.path": path, "http.status": status, "http.peer": peer,
    })
}

#[test]
fn calls_are_told_without_what_is_secret() {
    let world = with_api("trusted_proxies = [\"127.0.0.1\"]\n");
    world.edit("level = \"info\"", "level = \"debug\"\nformat = \"json\"");
    let daemon = world.serve();
    let secrets = format!("authorization: Bearer {CANARY}\r\ncookie: {CANARY}\r\n");
    let forwarded = format!("{secrets}x-forwarded-for: 198.51.100.7\r\nx-request-id: {CANARY}\r\n");
    let post = format!(
        "POST /healthz?q={CANARY} HTTP/1.1\r\nhost: {CANARY}\r\nconnection: close\r\n{secrets}\
         content-length: {}\r\n\r\n{CANARY}",
        CANARY.len()
    );
    let invented = format!("{CANARY} / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    answer(&daemon, &get(&format!("/healthz?token={CANARY}"), &secrets));
    answer(&daemon, &get(&format!("/nowhere/{CANARY}/1"), &forwarded));
    answer(&daemon, post.as_bytes());
    answer(&daemon, invented.as_bytes());
    let told = calls(&daemon);
    assert_eq!(
        told,
        [
            call("DEBUG", "GET", "/healthz", 200, "127.0.0.1"),
            call("INFO", "GET", "/…/…/…", 404, "198.51.100.7"),
            call("INFO", "POST", "/healthz", 405, "127.0.0.1"),
            call("INFO", "other", "/", 404, "127.0.0.1"),
        ]
    );
    let ran = daemon.stop();
    assert!(!ran.stderr.contains("CANARY"), "{}", ran.stderr);
}

#[test]
fn reads_are_told_only_to_who_looks_closer() {
    let world = with_api("");
    let daemon = world.serve();
    assert_eq!(daemon.page("/healthz").0, 200);
    assert_eq!(daemon.page("/nowhere").0, 404);
    daemon.logs("http.path=\"/nowhere\"");
    let log = daemon.log();
    assert!(!log.contains("/healthz"), "{log}");
    assert_eq!(daemon.stop().code, Some(0));
}
