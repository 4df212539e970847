//! Raw answers of a token endpoint, as a slot keeps them, and what they are taken for.

use keyfresh::clock::Timestamp;
use keyfresh::exchange::{Sent, replay};
use keyfresh::provider::{Client, Outcome, Overrides, Verdict, preset};
use keyfresh::secret::ExposeSecret;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::{bend, cases, json};

const ACCESS: &str = "at-5f0c1dE7.Zq_9~x";
const REFRESH: &str = "rt-0aB3/cD4+eF5=";

fn client() -> Client {
    let preset = preset("openai-codex").unwrap();
    preset.client(Overrides::default()).unwrap()
}

fn now() -> Timestamp {
    "2026-11-21T00:00:00Z".parse().unwrap()
}

/// The answers of real endpoints.
fn bodies() -> Vec<String> {
    vec![
        format!(r#"{{"access_token":"{ACCESS}","token_type":"Bearer","expires_in":864000,"refresh_token":"{REFRESH}","scope":"openid profile"}}"#),
        format!(r#"{{"refresh_token":"{REFRESH}","id_token":"e30.e30.s","access_token":"{ACCESS}","expires_in":"3600"}}"#),
        r#"{"error":"invalid_grant","error_description":"Unknown or invalid refresh token."}"#.to_owned(),
        r#"{"error":{"message":"Your refresh token has already been used.","type":"invalid_request_error","param":null,"code":"refresh_token_reused"}}"#.to_owned(),
    ]
}

fn with_length(status: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}").into_bytes()
}

fn chunked(body: &str) -> Vec<u8> {
    let (one, other) = body.split_at(body.len() / 2);
    let (a, b) = (one.len(), other.len());
    format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nRetry-After: 9\r\n\r\n{a:x}\r\n{one}\r\n{b:x};x=y\r\n{other}\r\n0\r\nTrailer: t\r\n\r\n").into_bytes()
}

fn answers() -> Vec<Vec<u8>> {
    let mut answers = vec![b"HTTP/1.1 100 Continue\r\n\r\n".to_vec()];
    for body in bodies() {
        let close = format!("HTTP/1.0 200 OK\r\n\r\n{body}").into_bytes();
        answers.extend([
            with_length("200 OK", &body),
            with_length("400 Bad Request", &body),
        ]);
        answers.extend([with_length("503 Busy", &body), chunked(&body), close]);
    }
    answers
}

/// What is made of an answer; nothing if it is none.
fn outcome(raw: &[u8]) -> Option<(u16, Outcome)> {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let sent = { runtime }
        .enable_all()
        .build()
        .unwrap()
        .block_on(replay(raw));
    match sent {
        Sent::Answered(answer) => Some((answer.status, client().outcome(&answer, now()))),
        Sent::Silence(_) => None,
        Sent::Never(reason) => panic!("an answer that was kept was asked for: {reason}"),
    }
}

fn texts(outcome: &Outcome) -> (Option<&str>, Option<&str>) {
    let access = match &outcome.verdict {
        Verdict::Granted { access_token, .. } => Some(access_token.expose_secret()),
        _ => None,
    };
    let refresh = outcome.refresh_token.as_ref();
    (access, refresh.map(ExposeSecret::expose_secret))
}

proptest! {
    #![proptest_config(cases(1))]

    #[test]
    fn a_bent_answer_grants_nothing_that_cannot_be_used(raw in bend::bent(answers())) {
        let Some((status, outcome)) = outcome(&raw) else { return Ok(()) };
        let (access, refresh) = texts(&outcome);
        prop_assert!(access.is_none() && refresh.is_none() || (200..300).contains(&status));
        if let Some(access) = access {
            prop_assert!(!access.is_empty() && access.bytes().all(|byte| byte.is_ascii_graphic()));
        }
        if let Some(refresh) = refresh {
            prop_assert!(!refresh.trim().is_empty());
            prop_assert!(refresh.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        }
    }

    #[test]
    fn a_cut_answer_holds_no_token_but_its_own(answer in prop::sample::select(answers()), end in any::<Index>()) {
        let end = end.index(answer.len() + 1);
        let Some((_, outcome)) = outcome(&answer[..end]) else { return Ok(()) };
        let (access, refresh) = texts(&outcome);
        prop_assert!(access.is_none_or(|token| token == ACCESS));
        prop_assert!(refresh.is_none_or(|token| token == REFRESH));
    }

    #[test]
    fn a_refresh_token_that_came_whole_is_found(
        before in json::strange('x'), after in json::strange('y'), end in any::<Index>(), way in 0..3,
    ) {
        let token = ("\"refresh_token\"".to_owned(), format!("\"{REFRESH}\""));
        let body = json::object([before, vec![token], after].concat());
        let whole = body.find(REFRESH).unwrap() + REFRESH.len() + 1;
        let end = whole + end.index(body.len() - whole + 1);
        let raw = match way {
            0 => {
                let mut raw = with_length("200 OK", &body);
                raw.truncate(raw.len() - (body.len() - end));
                raw
            }
            1 => [&b"HTTP/1.1 201 Created\r\n\r\n"[..], &body.as_bytes()[..end]].concat(),
            _ => {
                let head = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{end:x}\r\n");
                [head.as_bytes(), &body.as_bytes()[..end], b"\r\n"].concat()
            }
        };
        let (_, outcome) = outcome(&raw).unwrap();
        prop_assert_eq!(texts(&outcome).1, Some(REFRESH));
    }
}
