//! Telling a gateway that a channel was written: the request, and whether the answer accepts it.
//!
//! Pure. `PUT /api/channel/` with the id and nothing else reloads New API and One-Hub and changes no
//! column; with `models` in it, it would destroy the row on One-Hub (facts: live-one-api-one-hub 0.1
//! and 2.1). One-API has no such call. `link.rs` carries the request through `http.rs`.

use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use url::Url;
use zeroize::Zeroizing;

use crate::wire::{Answer, Request};

/// The request for one channel; `owner` is the user whose access token it is, whom New API wants
/// named. Nothing if the token cannot stand in a header.
pub(super) fn request(
    gateway: &Url,
    access_token: &SecretString,
    owner: i64,
    channel: i64,
) -> Option<Request> {
    let bearer = Zeroizing::new(format!("Bearer {}", access_token.expose_secret()));
    let mut authorization = HeaderValue::from_str(&bearer).ok()?;
    authorization.set_sensitive(true);
    let mut url = gateway.clone();
    // Without the last slash the gateways redirect.
    let path = format!("{}/api/channel/", url.path().trim_end_matches('/'));
    url.set_path(&path);
    Some(Request {
        method: Method::PUT,
        url,
        headers: vec![
            (AUTHORIZATION, authorization),
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (HeaderName::from_static("new-api-user"), owner.into()),
        ],
        body: Zeroizing::new(format!(r#"{{"id":{channel}}}"#).into_bytes()),
    })
}

/// Whether the gateway reloaded.
///
/// # Errors
/// What it says instead. One-Hub's answer holds the channel's key, so nothing else of it is told.
pub fn accepted(answer: &Answer) -> Result<(), String> {
    #[derive(Deserialize)]
    struct Envelope {
        success: bool,
        #[serde(default)]
        message: String,
    }
    let envelope = serde_json::from_slice::<Envelope>(&answer.body).ok();
    match envelope {
        Some(envelope) if envelope.success && answer.is_success() => Ok(()),
        Some(envelope) => Err(format!(
            "HTTP {}: {}",
            answer.status,
            envelope.message.chars().take(200).collect::<String>()
        )),
        None => Err(format!(
            "HTTP {} without the gateway's envelope",
            answer.status
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_holds_the_id_and_nothing_else() {
        let check = |base: &str, url: &str| {
            let request = request(&base.parse().unwrap(), &"to/k+en=".into(), 5, 12).unwrap();
            assert_eq!(request.method, Method::PUT);
            assert_eq!(request.url.as_str(), url);
            assert_eq!(&**request.body, br#"{"id":12}"#);
            assert_eq!(request.headers[0].1, "Bearer to/k+en=");
            assert_eq!(request.headers[2].1, "5");
        };
        check(
            "http://127.0.0.1:3000",
            "http://127.0.0.1:3000/api/channel/",
        );
        check("https://a.example/gw/", "https://a.example/gw/api/channel/");
        let url = "http://127.0.0.1".parse().unwrap();
        assert!(request(&url, &"to\nken".into(), 5, 12).is_none());
    }

    #[test]
    fn only_success_is_acceptance() {
        let check = |status: u16, body: &str, outcome: Result<(), &str>| {
            let answer = Answer {
                status,
                headers: http::HeaderMap::new(),
                body: Zeroizing::new(body.as_bytes().to_vec()),
                cut: None,
            };
            assert_eq!(accepted(&answer), outcome.map_err(str::to_owned));
        };
        check(
            200,
            r#"{"success":true,"message":"","data":{"key":"k"}}"#,
            Ok(()),
        );
        check(
            200,
            r#"{"success":false,"message":"无权进行此操作，权限不足"}"#,
            Err("HTTP 200: 无权进行此操作，权限不足"),
        );
        check(500, r#"{"success":true}"#, Err("HTTP 500: "));
        check(
            502,
            "<html>",
            Err("HTTP 502 without the gateway's envelope"),
        );
        check(500, "", Err("HTTP 500 without the gateway's envelope"));
    }
}
