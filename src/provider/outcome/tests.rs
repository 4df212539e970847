use base64::Engine as _;
use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;

use super::*;
use crate::provider::{Overrides, preset};

const DAY: u64 = 24 * 3600;

fn now() -> Timestamp {
    Timestamp::from_timestamp(1_800_000_000, 0).unwrap()
}

fn codex() -> Client {
    preset("openai-codex")
        .unwrap()
        .client(Overrides::default())
        .unwrap()
}

fn answer(status: u16, body: &[u8]) -> Answer {
    Answer {
        status,
        headers: HeaderMap::new(),
        body: body.to_vec().into(),
        cut: None,
    }
}

/// The outcome in one line.
fn read(answer: &Answer) -> String {
    let outcome = codex().outcome(answer, now());
    let verdict = match outcome.verdict {
        Verdict::Granted {
            access_token,
            lifetime,
        } => {
            format!(
                "granted {} {}s",
                access_token.expose_secret(),
                lifetime.as_secs()
            )
        }
        Verdict::Rejected { code } => format!("rejected {code}"),
        Verdict::Retry {
            reason,
            retry_after,
        } => match retry_after {
            Some(wait) => format!("retry in {}s: {reason}", wait.as_secs()),
            None => format!("retry: {reason}"),
        },
        Verdict::Unconfirmed { reason } => format!("unconfirmed: {reason}"),
    };
    match outcome.refresh_token {
        Some(token) => format!("{verdict} + {}", token.expose_secret()),
        None => verdict,
    }
}

#[track_caller]
fn check(status: u16, body: &str, wanted: &str) {
    assert_eq!(
        read(&answer(status, body.as_bytes())),
        wanted,
        "{status} {body}"
    );
}

#[test]
fn an_access_token_is_granted() {
    check(
        200,
        r#"{"access_token":"a","refresh_token":"r","expires_in":3600}"#,
        "granted a 3600s + r",
    );
    check(
        200,
        r#"{"access_token":"a","expires_in":3600}"#,
        "granted a 3600s",
    );
    check(
        201,
        r#"{"access_token":"a\/b","refresh_token":"r s","expires_in":3600}"#,
        "granted a/b 3600s + r s",
    );
    check(
        200,
        r#"{"access_token":"a","error":null,"expires_in":60}"#,
        "granted a 60s",
    );
    check(
        200,
        r#"{"access_token":"a","error":"","expires_in":60}"#,
        "granted a 60s",
    );
    check(
        200,
        r#"{"access_token":"a","refresh_token":null,"expires_in":60}"#,
        "granted a 60s",
    );
    check(
        200,
        "\u{feff} {\"access_token\":\"a\",\"expires_in\":60}\n<!-- proxy -->",
        "granted a 60s",
    );
    check(
        200,
        r#"{"access_token":"a","refresh_token":"r","refresh_token":"","expires_in":60}"#,
        "granted a 60s + r",
    );
}

#[test]
fn a_lifetime_is_found_and_clamped() {
    let lifetime = |expires_in: &str, seconds: u64| {
        check(
            200,
            &format!(r#"{{"access_token":"a","expires_in":{expires_in}}}"#),
            &format!("granted a {seconds}s"),
        );
    };
    lifetime("\"3600\"", 3600);
    lifetime("\" 3600.9 \"", 3600);
    lifetime("3600.9", 3600);
    lifetime("1", 60);
    lifetime("1e300", 400 * DAY);
    lifetime("99999999999999999999", 400 * DAY);
    for absent in [
        "0", "-1", "\"-1\"", "\"soon\"", "\"NaN\"", "\"inf\"", "null", "[]", "{}", "true",
    ] {
        lifetime(absent, 7 * DAY);
    }
}

#[test]
fn a_jwt_tells_its_expiry() {
    let jwt = |claims: &str| {
        let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(claims);
        format!("e30.{claims}.c2ln")
    };
    let lifetime = |token: &str, members: &str, seconds: u64| {
        let body = format!(r#"{{"access_token":"{token}"{members}}}"#);
        check(200, &body, &format!("granted {token} {seconds}s"));
    };
    lifetime(&jwt(r#"{"exp":1800000900}"#), "", 900);
    lifetime(&jwt(r#"{"exp":1800000900.5}"#), "", 900);
    lifetime(&jwt(r#"{"exp":1800000900}"#), r#","expires_in":3600"#, 3600);
    lifetime(&jwt(r#"{"exp":1800000900}"#), r#","expires_in":-1"#, 900);
    lifetime(&jwt(r#"{"exp":1700000000}"#), "", 7 * DAY);
    lifetime(&jwt(r#"{"exp":"x"}"#), "", 7 * DAY);
    lifetime(&jwt("not json"), "", 7 * DAY);
    lifetime("a.%.c", "", 7 * DAY);
}

#[test]
fn a_final_refusal_is_rejected() {
    for code in REJECTIONS.iter().chain(codex().rejections) {
        for body in [
            format!(r#"{{"error":"{code}","error_description":"…"}}"#),
            format!(
                r#"{{"error":{{"message":"…","type":"invalid_request_error","code":"{code}"}}}}"#
            ),
        ] {
            for status in [200, 400, 401, 403] {
                check(status, &body, &format!("rejected {code}"));
            }
        }
    }
    check(
        400,
        r#"{"code":"invalid_refresh_token","message":"…"}"#,
        "rejected invalid_refresh_token",
    );
    check(
        400,
        r#"{"error":"invalid_grant","error_descr"#,
        "rejected invalid_grant",
    );
}

#[test]
fn what_is_proved_unspent_is_retried() {
    check(429, "", "retry: the provider limits the rate (429)");
    check(
        429,
        r#"{"error":"invalid_request"}"#,
        "retry: the provider limits the rate (429)",
    );
    check(
        400,
        r#"{"error":"slow_down"}"#,
        "retry: the provider says slow_down (400)",
    );
    check(
        500,
        r#"{"error":"server_error"}"#,
        "retry: the provider says server_error (500)",
    );
    check(
        200,
        r#"{"error":"temporarily_unavailable"}"#,
        "retry: the provider says temporarily_unavailable",
    );
    check(404, "<html>", "retry: refused with 404, no error code");
    check(
        403,
        r#"{"error":"unsupported_country"}"#,
        "retry: refused with 403, error code unsupported_country",
    );
    check(
        401,
        r#"{"error":{"code":null,"type":"invalid_request_error"}}"#,
        "retry: refused with 401, error code invalid_request_error",
    );
    check(
        401,
        r#"{"error":{"message":"…"}}"#,
        "retry: refused with 401, error code unnamed",
    );
    check(
        400,
        r#"{"error":42}"#,
        "retry: refused with 400, error code 42",
    );
    check(
        400,
        r#"{"refresh_token":"r"}"#,
        "retry: refused with 400, no error code",
    );
}

#[test]
fn everything_else_is_unconfirmed() {
    for status in [
        100, 101, 199, 301, 302, 307, 308, 500, 502, 503, 504, 520, 599, 600, 999,
    ] {
        for body in [
            "",
            r#"{"error":"invalid_grant"}"#,
            r#"{"access_token":"a","refresh_token":"r"}"#,
        ] {
            check(
                status,
                body,
                &format!("unconfirmed: answered with status {status}"),
            );
        }
    }
    let unreadable = "unconfirmed: the answer is not one whole JSON object";
    for body in [
        "",
        "<html>login</html>",
        "null",
        "[]",
        "\"a\"",
        "{",
        r#"{"access_token":"a""#,
        r#"{"error":"invalid_grant""#,
    ] {
        check(200, body, unreadable);
    }
    check(200, &"[".repeat(60_000), unreadable);
    check(
        200,
        &format!(r#"{{"refresh_token":"r","x":{}"#, "[".repeat(60_000)),
        &format!("{unreadable} + r"),
    );
    let empty = "unconfirmed: the answer has no usable access token";
    for token in [
        "null",
        "\"\"",
        "\"null\"",
        "\" \"",
        "\"a b\"",
        "\"a\\n\"",
        "\"ключ\"",
        "1",
        "[\"a\"]",
        "{}",
    ] {
        check(
            200,
            &format!(r#"{{"access_token":{token},"refresh_token":"r"}}"#),
            &format!("{empty} + r"),
        );
    }
    check(
        200,
        r#"{"error":"bad_refresh_token"}"#,
        "unconfirmed: answered with error code bad_refresh_token",
    );
    check(
        200,
        r#"{"error":true,"refresh_token":"R"}"#,
        "unconfirmed: answered with error code true + R",
    );
}

#[test]
fn retry_after_is_seconds_or_a_date() {
    let check = |status, value: &str, wanted: &str| {
        let mut answer = answer(status, b"");
        answer
            .headers
            .insert("retry-after", HeaderValue::from_str(value).unwrap());
        assert_eq!(read(&answer), wanted);
    };
    check(
        429,
        "120",
        "retry in 120s: the provider limits the rate (429)",
    );
    check(
        429,
        "Fri, 15 Jan 2027 08:10:00 GMT",
        "retry in 600s: the provider limits the rate (429)",
    );
    check(
        429,
        "Fri, 15 Jan 2021 08:10:00 GMT",
        "retry in 0s: the provider limits the rate (429)",
    );
    check(
        429,
        "18446744073709551615",
        "retry in 34560000s: the provider limits the rate (429)",
    );
    check(429, "soon", "retry: the provider limits the rate (429)");
    check(503, "5", "retry in 5s: the provider is unavailable (503)");
    check(404, "5", "retry in 5s: refused with 404, no error code");
    check(500, "5", "unconfirmed: answered with status 500");
}

#[test]
fn what_never_left_is_retried_and_silence_is_not() {
    assert!(matches!(
        never_sent("refused").verdict,
        Verdict::Retry { .. }
    ));
    assert!(matches!(
        silence("reset").verdict,
        Verdict::Unconfirmed { .. }
    ));
}

fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let member = (
        prop_oneof![
            Just("access_token"),
            Just("refresh_token"),
            Just("expires_in"),
            Just("error"),
            Just("x")
        ],
        prop_oneof![
            "\"[ -~]{0,12}\"",
            "\"\\PC{0,8}\"",
            "-?[0-9]{1,25}",
            Just("null".to_owned()),
            Just("{\"code\":\"c\"}".to_owned())
        ],
    )
        .prop_map(|(name, value)| format!("\"{name}\":{value}"));
    let object = (
        proptest::collection::vec(member, 0..6),
        any::<proptest::sample::Index>(),
    )
        .prop_map(|(members, end)| {
            let mut body = format!("{{{}}}", members.join(",")).into_bytes();
            body.truncate(end.index(body.len() + 1));
            body
        });
    prop_oneof![proptest::collection::vec(any::<u8>(), 0..200), object]
}

proptest! {
    #[test]
    fn no_answer_panics_or_yields_an_unusable_token(status in 0..1000_u16, body in bodies(), retry_after in "[ -~]{0,40}") {
        let mut answer = answer(status, &body);
        answer.headers.insert("retry-after", HeaderValue::from_str(&retry_after).unwrap());
        let outcome = codex().outcome(&answer, now());
        if let Verdict::Granted { access_token, lifetime } = &outcome.verdict {
            prop_assert!(answer.is_success());
            prop_assert!(access_token.expose_secret().bytes().all(|byte| byte.is_ascii_graphic()));
            prop_assert!((SHORTEST..=LONGEST).contains(lifetime));
        }
        if let Some(token) = &outcome.refresh_token {
            prop_assert!(answer.is_success() && !token.expose_secret().trim().is_empty());
            prop_assert!(token.expose_secret().bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        }
    }
}
