//! A channel key that is a JSON object around an access token: New API's type 57 (Codex).
//!
//! Pure. Fields that we do not know stay, in their order. New API refreshes such a key by itself as long
//! as it holds a `refresh_token`, so ours are written without one (gateways.md 6). Callers: `link.rs`.

use chrono::SecondsFormat;
use secrecy::SecretString;
use serde_json::{Map, Value};

use crate::clock::Timestamp;

/// The object, with the access token that makes it a key.
#[derive(Clone)]
pub struct JsonKey(Map<String, Value>);

impl JsonKey {
    /// Reads a channel's key; nothing if it is no object or has no text as `access_token`.
    #[must_use]
    pub fn parse(key: &str) -> Option<Self> {
        let key = Self(serde_json::from_str(key).ok()?);
        (!key.access_token().is_empty()).then_some(key)
    }

    /// `access_token`.
    #[must_use]
    pub fn access_token(&self) -> &str {
        self.text("access_token")
    }

    /// `refresh_token`, unless it is absent or empty.
    #[must_use]
    pub fn refresh_token(&self) -> Option<&str> {
        Some(self.text("refresh_token")).filter(|token| !token.is_empty())
    }

    /// The key with a fresh access token, without a refresh token; `expired` goes if it is unknown.
    #[must_use]
    pub fn with_access_token(
        &self,
        token: &str,
        expires_at: Option<Timestamp>,
        now: Timestamp,
    ) -> SecretString {
        let mut key = self.0.clone();
        key.shift_remove("refresh_token");
        key.insert("access_token".to_owned(), token.into());
        key.insert("last_refresh".to_owned(), time(now));
        match expires_at {
            Some(expires_at) => key.insert("expired".to_owned(), time(expires_at)),
            None => key.shift_remove("expired"),
        };
        written(key)
    }

    /// The same key, so that the gateway leaves its refreshing to us.
    #[must_use]
    pub fn without_refresh_token(&self) -> SecretString {
        let mut key = self.0.clone();
        key.shift_remove("refresh_token");
        written(key)
    }

    /// The same key with its refresh token put back.
    #[must_use]
    pub fn with_refresh_token(&self, token: &str) -> SecretString {
        let mut key = self.0.clone();
        key.insert("refresh_token".to_owned(), token.into());
        written(key)
    }

    fn text(&self, field: &str) -> &str {
        self.0.get(field).and_then(Value::as_str).unwrap_or("")
    }
}

/// As Go's `time.RFC3339` has it, in UTC.
fn time(moment: Timestamp) -> Value {
    moment.to_rfc3339_opts(SecondsFormat::Secs, true).into()
}

fn written(key: Map<String, Value>) -> SecretString {
    Value::Object(key).to_string().into()
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    const CODEX: &str = r#"{"id_token":"i","access_token":"old","refresh_token":"r","account_id":"acc","last_refresh":"2025-10-01T00:00:00Z","email":"a<b>@例.com","type":"codex","expired":"2099-12-31T00:00:00Z","later":{"z":1,"a":[2.5]}}"#;

    #[test]
    fn only_an_object_with_an_access_token_is_a_key() {
        let check = |text: &str, tokens: Option<(&str, Option<&str>)>| {
            let key = JsonKey::parse(text);
            assert_eq!(
                key.as_ref()
                    .map(|key| (key.access_token(), key.refresh_token())),
                tokens
            );
        };
        check(CODEX, Some(("old", Some("r"))));
        check(
            r#"{"access_token":"a","refresh_token":""}"#,
            Some(("a", None)),
        );
        check(
            r#"{"access_token":"a","refresh_token":null}"#,
            Some(("a", None)),
        );
        check(r#"{"access_token":""}"#, None);
        check(r#"{"access_token":1}"#, None);
        check(r#"{"refresh_token":"r"}"#, None);
        check(r#"["access_token"]"#, None);
        check("plain", None);
        check("", None);
    }

    #[test]
    fn what_we_do_not_know_stays_in_its_place() {
        let moment = |seconds: i64| Timestamp::from_timestamp_millis(seconds * 1000 + 7).unwrap();
        let key = JsonKey::parse(CODEX).unwrap();
        let check = |written: SecretString, expected: &str| {
            assert_eq!(written.expose_secret(), expected);
        };
        check(
            key.with_access_token("new", Some(moment(4_102_444_800)), moment(1_760_000_000)),
            r#"{"id_token":"i","access_token":"new","account_id":"acc","last_refresh":"2025-10-09T08:53:20Z","email":"a<b>@例.com","type":"codex","expired":"2100-01-01T00:00:00Z","later":{"z":1,"a":[2.5]}}"#,
        );
        check(
            key.with_access_token("new", None, moment(1_760_000_000)),
            r#"{"id_token":"i","access_token":"new","account_id":"acc","last_refresh":"2025-10-09T08:53:20Z","email":"a<b>@例.com","type":"codex","later":{"z":1,"a":[2.5]}}"#,
        );
        let bare = r#"{"id_token":"i","access_token":"old","account_id":"acc","last_refresh":"2025-10-01T00:00:00Z","email":"a<b>@例.com","type":"codex","expired":"2099-12-31T00:00:00Z","later":{"z":1,"a":[2.5]}}"#;
        check(key.without_refresh_token(), bare);
        check(
            JsonKey::parse(bare).unwrap().with_refresh_token("r2"),
            &bare.replace("}}", r#"},"refresh_token":"r2"}"#),
        );
        check(
            key.with_refresh_token("r2"),
            &CODEX.replace(r#""r""#, r#""r2""#),
        );
    }
}
