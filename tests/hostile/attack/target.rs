//! Odd methods, paths, queries and ids, from a caller who may call.

use super::{ALICE, Attack, CANARY, Knowledge, Outcome, request, with_headers};
use crate::dice::Dice;

/// Ids that are nobody's, and texts that are no ids.
const NOBODYS: &[&str] = &[
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "-9223372036854775809",
    "18446744073709551616",
    "0",
    "-0",
    "+0",
    "-1",
    "-2",
    "00",
    "2.0",
    "2e0",
    "0x2",
    "2;",
    "2,5",
    "2%00",
    "2%0a",
    "%202",
    "2%20",
    "2%20OR%201%3D1",
    "2%27",
    "2%27--",
    "2)%20OR%20(1=1",
    "*",
    "%25",
    "_",
    "%2a",
    "null",
    "true",
    "NaN",
    "%ff",
    "%c0%b2",
    "%ef%bc%92",
    "%u0032",
    "%2532",
    "t",
    "t0",
    "tAAAAAAA",
    "tAAAAAAAAAAAAAA",
    "tZZZZZZZZZZZZZZZZZZZZZZZZZZZZ",
    "T2",
    "undefined",
    "2abc",
    "--2",
    "1_0",
    "%E2%81%A02",
    "%F0%9F%92%A9",
    "search%2f",
    "batch%00",
];

/// What searchers and others write who hope for SQL, shells, templates or wildcards.
const INJECTIONS: &[&str] = &[
    "'",
    "\"",
    "`",
    "\\",
    "%",
    "_",
    "%%%%",
    "' OR '1'='1",
    "' OR 1=1 --",
    "'; DROP TABLE tokens; --",
    "%' UNION SELECT access_token FROM users --",
    "') OR (user_id=3",
    "\\' OR 1=1 --",
    "*",
    "**",
    "?",
    ":1",
    "[a-z]",
    "x' AND randomblob(1000000000)--",
    "x' AND 1=load_extension('x')--",
    "${7*7}",
    "{{7*7}}",
    "$(id)",
    "|id",
    "../../etc/passwd",
    "<script>alert(1)</script>",
    "a\0b",
    "\0",
    "\r\nSet-Cookie: a=b",
    "\u{202e}",
    "\u{ffff}",
    "sk-",
    "sk-sk-",
    "sk-%",
    "İ",
    "ß",
    "K",
    "\u{0301}",
];

/// What is no path of ours, and what some servers would take for one.
const PATHS: &[&[u8]] = &[
    b"/api/token/../token/2",
    b"/api/token/%2e%2e/token/",
    b"/api/token/%2e%2e%2ftoken%2f",
    b"/api/token/..%5c..",
    b"/api/%74oken/",
    b"/api/token%2f",
    b"/api/token//",
    b"//api/token/",
    b"/api/token/;a=b",
    b"/api/token/%00",
    b"/api/token/%",
    b"/api/token/%z",
    b"/api/token/%2",
    b"/api/token/\xff\xfe",
    b"/api/token/\xe4\xbb\xa4",
    b"/api/token/\x7f",
    b"/api/token/\x01",
    b"/api/token/ 2",
    b"/api/token/2 3",
    b"/api/token/\t",
    b"/api/token/#/2",
    b"/api/token/?#?",
    b"api/token/",
    b"",
    b"*",
    b"?",
    b"#",
    b"http://x/api/token/",
    b"http:///api/token/",
    b"https://user:pass@x:99999/api/token/",
    b"http://[::1/api/token/",
    b"file:///etc/passwd",
    b"x:443",
    b"/etc/passwd",
    b"/../../../../etc/passwd",
    b"/%2e%2e/%2e%2e/etc/passwd",
    b"/api/openapi.json/",
    b"/api/token/search/2",
    b"/api/token/2/key",
    b"/api/token/batch/2",
    b"/metrics",
    b"/debug/pprof/",
    b"/.git/config",
    b"/api/user/",
    b"/api/channel/",
    b"/healthz/../api/token/",
    b"/readyz%00",
    b"/\\x\\y",
    b"/api/token/{id}",
    b"/api/token/:id",
    b"/api/token/%7Bid%7D",
    b"/\xc2\x9b2J",
    b"/a\"b<c>d^e`f|g",
];

pub(super) fn path(dice: &mut Dice, _: &Knowledge) -> Attack {
    let odd = dice.pick(PATHS);
    let mut target = odd.to_vec();
    if dice.once_in(4) {
        let count = dice.within(1, 15_000);
        target.extend(b"/".iter().chain(&vec![b'a'; count]));
    }
    if dice.once_in(4) {
        target.extend_from_slice(b"/");
        target.extend_from_slice(CANARY.as_bytes());
    }
    let method = dice.pick(&["GET", "POST", "PUT"]);
    let headers = format!("authorization: {ALICE}\r\n");
    // Most bytes are no part of a path; where they are, what is asked for is read at most.
    Attack::new(
        with_headers(method, &target, headers.as_bytes(), b""),
        Outcome::Any,
    )
    .halved()
}

pub(super) fn query(dice: &mut Dice, _: &Knowledge) -> Attack {
    let encoded = urlencoding::encode(dice.pick(INJECTIONS)).into_owned();
    let odd = match dice.below(8) {
        0 => "%ff%fe".to_owned(),
        1 => "%".repeat(dice.within(1, 9)),
        2 => "%25".repeat(dice.within(1, 3000)),
        3 => urlencoding::encode(&encoded).into_owned(),
        _ => encoded,
    };
    let number = dice.pick(&[
        "0",
        "-1",
        "1e9",
        "9223372036854775807",
        "9223372036854775808",
        "99999999999999999999",
        "NaN",
        "1;DROP",
        "0x10",
        "%00",
        "",
        "100",
        "1.5",
        "+1",
        "%2B1",
    ]);
    let target = match dice.below(6) {
        0 => format!("/api/token/search?keyword={odd}"),
        1 => format!("/api/token/search?token={odd}"),
        2 => format!("/api/token/search/?keyword={odd}&token={odd}&p={number}&page_size={number}"),
        3 => format!("/api/token/?p={number}&size={number}"),
        4 => format!("/api/token/?p={number}&page_size={number}&ps={odd}&{odd}={CANARY}&p=2"),
        _ => format!("/api/token/?{}", "p=1&".repeat(dice.within(1, 3000))),
    };
    Attack::new(request("GET", &target, b""), Outcome::Any)
}

pub(super) fn id(dice: &mut Dice, _: &Knowledge) -> Attack {
    let method = dice.pick(&["GET", "DELETE"]);
    let made = match dice.below(4) {
        0 => {
            let count = dice.within(5, 18);
            format!(
                "t{}",
                dice.word(
                    b"abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ0123456789",
                    count
                )
            )
        }
        1 => dice.word(b"0123456789", 25),
        _ => dice.pick(NOBODYS).to_owned(),
    };
    Attack::new(
        request(method, &format!("/api/token/{made}"), b""),
        Outcome::Refused,
    )
}

/// Bob's tokens, one that is deleted, and one that never was.
pub(super) fn foreign(dice: &mut Dice, _: &Knowledge) -> Attack {
    let id = dice.pick(&["3", "13", "14", "26", "9999", "-3"]);
    let request = match dice.below(4) {
        0 => request("GET", &format!("/api/token/{id}"), b""),
        1 => request("DELETE", &format!("/api/token/{id}/"), b""),
        2 => {
            let body =
                format!(r#"{{"id":{id},"user_id":2,"status":2,"name":"mine","key":"{CANARY}"}}"#);
            request("PUT", "/api/token/", body.as_bytes())
        }
        _ => {
            let body = format!(r#"{{"ID":{id},"Status":1,"id":{id}}}"#);
            request("PUT", "/api/token/?status_only=1", body.as_bytes())
        }
    };
    Attack::new(request, Outcome::Refused)
}

pub(super) fn method(dice: &mut Dice, _: &Knowledge) -> Attack {
    let long = dice.word(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", 1000);
    let method = dice.pick(&[
        "get", "Get", "delete", "TRACE", "CONNECT", "OPTIONS", "PATCH", "PROPFIND", "PURGE",
        "LINK", "M-SEARCH", "GET!", "G'E'T", "QUERY", "PRI", "BREW", "_", "~", &long, CANARY,
        "GET\t", "G(T", "", " GET", "\u{7f}", "GÉT",
    ]);
    let target = dice.pick(&["/api/token/", "/api/token/2", "/", "*", "x:80", "/healthz"]);
    Attack::new(request(method, target, b""), Outcome::Refused).halved()
}

/// Headers and members with which some servers let one method stand for another, or one path.
pub(super) fn overridden(dice: &mut Dice, _: &Knowledge) -> Attack {
    let header = dice.pick(&[
        "x-http-method-override: DELETE",
        "x-http-method: DELETE",
        "x-method-override: DELETE",
        "x-original-url: /api/token/2",
        "x-rewrite-url: /api/token/2",
        "x-forwarded-for: 127.0.0.1",
        "x-forwarded-user: root",
        "x-real-ip: 127.0.0.1",
        "forwarded: for=127.0.0.1",
        "x-forwarded-host: evil.example",
        "origin: https://evil.example",
        "cookie: session=root",
    ]);
    let target = dice.pick(&[
        "/api/token/2?_method=DELETE",
        "/api/token/3",
        "/api/token/batch/",
    ]);
    let headers = format!("authorization: {ALICE}\r\n{header}\r\n");
    let method = if target == "/api/token/3" {
        "GET"
    } else {
        "POST"
    };
    Attack::new(
        with_headers(
            method,
            target.as_bytes(),
            headers.as_bytes(),
            b"_method=DELETE",
        ),
        Outcome::Refused,
    )
}
