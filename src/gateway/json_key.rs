//! A channel key that is a JSON object around an access token: New API's type 57 (Codex).
//!
//! Pure. Fields that we do not know stay, in their order. New API refreshes such a key by itself as long
//! as it holds a `refresh_token`, so ours are written without one (gateways.md 6). Callers: `link.rs`.

use std::fmt;

use chrono::SecondsFormat;
use secrecy::SecretString;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::clock::Timestamp;

/// The object, with the access token that makes it a key.
#[derive(Clone)]
pub struct JsonKey {
    members: Members,
    access_token: String,
    refresh_token: Option<String>,
}

/// Names, and values as they were typed: a number is not read, for its digits may be more than we hold.
#[derive(Clone, Default)]
struct Members(Vec<(String, String)>);

impl JsonKey {
    /// Reads a channel's key; nothing if it is no object or has no text as `access_token`.
    #[must_use]
    pub fn parse(key: &str) -> Option<Self> {
        let members: Members = serde_json::from_str(key).ok()?;
        Some(Self {
            access_token: members.text("access_token")?,
            refresh_token: members.text("refresh_token"),
            members,
        })
    }

    /// `access_token`.
    #[must_use]
    pub fn access_token(&self) -> &str {
        &self.access_token
    }

    /// `refresh_token`, unless it is absent or empty.
    #[must_use]
    pub fn refresh_token(&self) -> Option<&str> {
        self.refresh_token.as_deref()
    }

    /// The key with a fresh access token, without a refresh token; `expired` goes if it is unknown.
    #[must_use]
    pub fn with_access_token(
        &self,
        token: &str,
        expires_at: Option<Timestamp>,
        now: Timestamp,
    ) -> SecretString {
        let mut key = self.members.clone();
        key.remove("refresh_token");
        key.set("access_token", token);
        key.set("last_refresh", &time(now));
        match expires_at {
            Some(expires_at) => key.set("expired", &time(expires_at)),
            None => key.remove("expired"),
        }
        key.written()
    }

    /// The same key, so that the gateway leaves its refreshing to us.
    #[must_use]
    pub fn without_refresh_token(&self) -> SecretString {
        let mut key = self.members.clone();
        key.remove("refresh_token");
        key.written()
    }

    /// The same key with its refresh token put back.
    #[must_use]
    pub fn with_refresh_token(&self, token: &str) -> SecretString {
        let mut key = self.members.clone();
        key.set("refresh_token", token);
        key.written()
    }
}

impl Members {
    /// The text of a member that has one, and not an empty one.
    fn text(&self, name: &str) -> Option<String> {
        let (_, value) = self.0.iter().find(|(known, _)| known == name)?;
        let text: String = serde_json::from_str(value).ok()?;
        (!text.is_empty()).then_some(text)
    }

    fn set(&mut self, name: &str, text: &str) {
        self.put(name.to_owned(), Value::from(text).to_string());
    }

    /// Of a member given twice the last value stays, in the first one's place.
    fn put(&mut self, name: String, value: String) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some(member) => member.1 = value,
            None => self.0.push((name, value)),
        }
    }

    fn remove(&mut self, name: &str) {
        self.0.retain(|(known, _)| known != name);
    }

    fn written(&self) -> SecretString {
        let member = |(name, value): &(String, String)| format!("{}:{value}", Value::from(&**name));
        let members: Vec<String> = self.0.iter().map(member).collect();
        format!("{{{}}}", members.join(",")).into()
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Members::default();
                while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
                    // Between tokens alone; a key is one line.
                    members.put(name, value.get().replace(['\n', '\r'], ""));
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// As Go's `time.RFC3339` has it, in UTC.
fn time(moment: Timestamp) -> String {
    moment.to_rfc3339_opts(SecondsFormat::Secs, true)
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
    fn a_key_laid_out_for_people_becomes_one_line() {
        let key = JsonKey::parse(
            "{\n \"access_token\": \"a\",\r\n \"later\": {\n  \"z\": [1,\n 2]\n }\n}",
        );
        let written = key.unwrap().with_refresh_token("r");
        assert_eq!(
            written.expose_secret(),
            r#"{"access_token":"a","later":{  "z": [1, 2] },"refresh_token":"r"}"#
        );
    }

    #[test]
    fn numbers_that_nobody_reads_keep_their_digits() {
        let key = JsonKey::parse(
            r#"{"access_token":"a","account":12345678901234567890123,"b":1.10,"c":1e400,"d":"\u00e9"}"#,
        );
        let written = key.unwrap().with_refresh_token("r");
        let same = r#"{"access_token":"a","account":12345678901234567890123,"b":1.10,"c":1e400,"d":"\u00e9","refresh_token":"r"}"#;
        assert_eq!(written.expose_secret(), same);
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
