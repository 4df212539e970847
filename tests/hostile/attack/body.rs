//! Bodies that no call may accept, from a caller who may call.

use super::{Attack, CANARY, Knowledge, Outcome, request};
use crate::dice::Dice;

/// The calls that read a body.
const CALLS: [(&str, &str); 5] = [
    ("POST", "/api/token/"),
    ("POST", "/api/token"),
    ("PUT", "/api/token/"),
    ("PUT", "/api/token/?status_only=true"),
    ("POST", "/api/token/batch"),
];

/// A whole creation; no part of it that ends early is JSON.
const WISH: &str = r#"{"name":"CI 令牌","expired_time":-1,"remain_quota":500,"unlimited_quota":false,"model_limits":["gpt-4o","o1"],"allow_ips":"192.0.2.1","group":"vip","id":2,"ids":[2,5],"status":2}"#;

fn refused(dice: &mut Dice, body: &[u8]) -> Attack {
    let (method, target) = CALLS[dice.below(CALLS.len())];
    Attack::new(request(method, target, body), Outcome::Refused)
}

/// A creation with a member that cannot be.
fn creation(member: &str, value: &str) -> Attack {
    let body = format!(r#"{{"unknown":"{CANARY}","{member}":{value}}}"#);
    Attack::new(
        request("POST", "/api/token/", body.as_bytes()),
        Outcome::Refused,
    )
}

pub(super) fn torn(dice: &mut Dice, _: &Knowledge) -> Attack {
    let end = dice.below(WISH.len());
    refused(dice, &WISH.as_bytes()[..end])
}

pub(super) fn mangled(dice: &mut Dice, _: &Knowledge) -> Attack {
    let broken = dice.pick(&[
        "{,}",
        "{\"name\"}",
        "{\"name\":}",
        "{name:\"x\"}",
        "{'name':'x'}",
        "{\"name\":\"x\",}",
        "[{},]",
        "[{}",
        "}",
        "]",
        "nul",
        "tru",
        "undefined",
        "NaN",
        "-Infinity",
        "\u{feff}{}",
        "/* */ {}",
        "// x\n{}",
        "{\"name\":\"\\x41\"}",
        "{\"name\":\"\\ud800\"}",
        "{\"name\":\"\\udc00\\ud800\"}",
        "{\"name\":\"\\u12\"}",
        "{\"name\":\"\t\n\"}",
        "{\"name\" \"x\"}",
        "{\"name\"=\"x\"}",
        "{\"a\":1 \"b\":2}",
        "{1:2}",
        "{null:1}",
        "{\"remain_quota\":01}",
        "{\"remain_quota\":1.}",
        "{\"remain_quota\":.5}",
        "{\"remain_quota\":+1}",
        "{\"remain_quota\":0x10}",
        "{\"remain_quota\":1e}",
        "<token/>",
        "name=x&id=2",
        "--boundary\r\n",
        "\u{0}{}",
    ]);
    refused(dice, broken.as_bytes())
}

/// Nested as deep as the size allows and deeper, closed or not, also where nobody looks.
pub(super) fn deep(dice: &mut Dice, _: &Knowledge) -> Attack {
    let levels = [10, 127, 128, 129, 1000, 10_000, 30_000, 100_000][dice.below(8)];
    let (open, close) = [
        ("[", "]"),
        ("{\"name\":", "}"),
        ("{\"x\":", "}"),
        ("[{\"name\":", "}]"),
    ][dice.below(4)];
    let levels = if dice.once_in(2) {
        levels.min(65_000 / (open.len() + close.len()))
    } else {
        levels
    };
    let core = if open == "[" { "" } else { "[5]" };
    let end = if dice.once_in(3) { 0 } else { levels };
    let nest = format!("{}{core}{}", open.repeat(levels), close.repeat(end));
    let body = match dice.below(3) {
        0 if !open.contains('x') => nest,
        1 => format!(r#"{{"model_limits":[5,{nest}]}}"#),
        _ => format!(r#"{{"name":5,"unknown":{nest}}}"#),
    };
    refused(dice, body.as_bytes())
}

pub(super) fn number(dice: &mut Dice, _: &Knowledge) -> Attack {
    let member = dice.pick(&["remain_quota", "expired_time", "status"]);
    let digits = dice.within(20, 400);
    let long = dice.word(b"123456789", digits);
    let value = dice
        .pick(&[
            long.as_str(),
            &format!("-{long}"),
            &format!("0.{long}"),
            &format!("1e{long}"),
            "1e400",
            "-1e400",
            "1e-400",
            "-0",
            "1.0",
            "1E+2",
            "1e2",
            "9223372036854775808",
            "-9223372036854775809",
            "18446744073709551615",
            "18446744073709551616",
            "0.1",
            "5e-324",
            "1.7976931348623157e308",
            "\"1\"",
            "\"-1\"",
            "\"0x1\"",
            "\"\u{ff11}\"",
        ])
        .to_owned();
    if dice.once_in(3) {
        let value = dice.pick(&["-9223372036854775808", "9223372036854775807", "-2", "-3"]);
        return creation(["expired_time", "remain_quota"][dice.below(2)], value);
    }
    creation(member, &value)
}

pub(super) fn wrong_type(dice: &mut Dice, _: &Knowledge) -> Attack {
    let (members, values): (&[&str], &[&str]) = match dice.below(4) {
        0 => (
            &["name", "group"],
            &[
                "5",
                "true",
                "[]",
                "{}",
                "[\"x\"]",
                "{\"name\":\"x\"}",
                "-1.5",
            ],
        ),
        1 => (
            &["remain_quota", "expired_time", "status"],
            &[
                "\"5\"",
                "true",
                "[]",
                "{}",
                "[5]",
                "5.5",
                "\"\"",
                "{\"$gt\":0}",
            ],
        ),
        2 => (
            &[
                "unlimited_quota",
                "model_limits_enabled",
                "cross_group_retry",
            ],
            &["1", "0", "\"true\"", "\"\"", "[]", "{}", "[true]"],
        ),
        _ => (
            &["model_limits", "allow_ips"],
            &[
                "5",
                "true",
                "{}",
                "[5]",
                "[null]",
                "[[\"x\"]]",
                "[{}]",
                "{\"0\":\"x\"}",
            ],
        ),
    };
    let member = dice.pick(members);
    // Names match in any case.
    let member = if dice.once_in(2) {
        member.to_uppercase()
    } else {
        member.to_owned()
    };
    creation(&member, dice.pick(values))
}

pub(super) fn broken_text(dice: &mut Dice, _: &Knowledge) -> Attack {
    let broken: &[u8] = dice.pick(&[
        &b"\xff"[..],
        b"\xc0\xaf",
        b"\xed\xa0\x80",
        b"\xf5\x80\x80\x80",
        b"\x80",
        b"\xe4\xbb",
        b"\\u0000",
        b"a\\u0000b",
        b"\x00",
        b"\x1f",
        b"\n",
    ]);
    let member = dice.pick(&["name", "group", "model_limits", "allow_ips"]);
    let mut body = format!("{{\"{member}\":\"x").into_bytes();
    body.extend_from_slice(broken);
    body.extend_from_slice(b"\"}");
    Attack::new(request("POST", "/api/token/", &body), Outcome::Refused)
}

pub(super) fn address(dice: &mut Dice, _: &Knowledge) -> Attack {
    let odd = dice.pick(&[
        "0.0.0.0/33",
        "::/129",
        "1.2.3",
        "1.2.3.4.5",
        "01.2.3.4",
        "256.1.1.1",
        "1.2.3.4/",
        "/8",
        "1.2.3.4/-1",
        "1.2.3.4/+8",
        "1.2.3.4:80",
        "[::1]",
        "fe80::1%eth0",
        "localhost",
        "*",
        "0",
        "0x7f000001",
        "2130706433",
        "1.2.3.4/255.0.0.0",
        "::ffff:1.2.3.256",
        ":::",
        "1.2.3.4;",
        "10.0.0.1 OR 1=1",
        "'; DROP TABLE tokens; --",
        "1.2.3.4\u{200b}",
        "\u{ff11}.2.3.4",
    ]);
    let text = serde_json::json!(odd).to_string();
    let entry = serde_json::json!([format!("192.0.2.1,{odd}")]).to_string();
    creation("allow_ips", if dice.once_in(2) { &text } else { &entry })
}

/// Ids of nobody or of others, by the thousand, and what is no list of ids.
pub(super) fn ids(dice: &mut Dice, _: &Knowledge) -> Attack {
    let count = dice.within(1, 300) * if dice.once_in(20) { 20 } else { 1 };
    let nobody = [
        "3",
        "13",
        "14",
        "0",
        "-1",
        "null",
        "9223372036854775807",
        "-9223372036854775808",
    ];
    let listed = (0..count)
        .map(|_| dice.pick(&nobody))
        .collect::<Vec<_>>()
        .join(",");
    if dice.once_in(2) {
        let body = format!(r#"{{"ids":[{listed}]}}"#);
        let request = request("POST", "/api/token/batch", body.as_bytes());
        return Attack::new(request, Outcome::Any);
    }
    let odd = dice.pick(&[
        "\"2 OR 1=1\"",
        "\"2\"",
        "2.0",
        "2e0",
        "{}",
        "[[2]]",
        "true",
        "9223372036854775808",
        "\"\"",
        "\"t\"",
        "\"%\"",
        "\"2,5\"",
    ]);
    let body = match dice.below(4) {
        0 => format!(r#"{{"ids":{odd}}}"#),
        1 => format!(r"[{listed},2,5]"),
        2 => r#"{"ids":null}"#.to_owned(),
        _ => format!(r#"{{"ids":[2,{odd},{listed}]}}"#),
    };
    Attack::new(
        request("POST", "/api/token/batch", body.as_bytes()),
        Outcome::Refused,
    )
}

pub(super) fn noise(dice: &mut Dice, _: &Knowledge) -> Attack {
    let count = if dice.once_in(30) {
        70_000
    } else {
        dice.below(3000)
    };
    let mut body = dice.bytes(count);
    // No JSON begins so, however it goes on.
    body.insert(0, 0x80 | dice.bytes(1)[0]);
    body.extend_from_slice(CANARY.as_bytes());
    refused(dice, &body)
}
