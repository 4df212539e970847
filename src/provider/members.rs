//! The members of a token answer that matter, read leniently: [`Members`], for `outcome.rs` alone.
//!
//! It takes what stands whole in the body's first JSON object, so an answer that was cut, or is wrong
//! further on, still yields the refresh token the provider rotated to. What the members mean is
//! judged elsewhere.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

/// What stands whole in the body's first JSON object. Of a member given twice the last usable wins.
#[derive(Default)]
pub(super) struct Members {
    pub(super) access_token: Option<SecretString>,
    pub(super) refresh_token: Option<SecretString>,
    pub(super) expires_in: Option<f64>,
    pub(super) error: Option<String>,
    /// A bare `code`, as some `OpenAI` errors have it; means something only outside 2xx.
    pub(super) code: Option<String>,
    /// Whether the object was read to its end.
    pub(super) closed: bool,
}

impl Members {
    pub(super) fn read(body: &[u8]) -> Self {
        let text = Zeroizing::new(String::from_utf8_lossy(body).into_owned());
        let mut members = Self::default();
        let mut json = serde_json::Deserializer::from_str(text.trim_start_matches('\u{feff}'));
        members.closed = Collect(&mut members).deserialize(&mut json).is_ok();
        members
    }

    fn take(&mut self, name: &str, value: Value) {
        match name {
            "access_token" => self.access_token = token(value, '!').or(self.access_token.take()),
            "refresh_token" => self.refresh_token = token(value, ' ').or(self.refresh_token.take()),
            "expires_in" => self.expires_in = number(&value).filter(|seconds| *seconds > 0.0),
            "error" => self.error = error_code(value).or(self.error.take()),
            "code" => self.code = error_code(value).or(self.code.take()),
            _ => {}
        }
    }

    /// An error code from outside as people may see it: words joined by `_`, `-` or `.`, of 64
    /// characters at most. What looks otherwise may be a token that the provider echoes.
    pub(super) fn shown(&self, code: &str) -> String {
        let word = |part: &str| {
            let letters = part.len() <= 20 && part.chars().all(|c| c.is_ascii_alphabetic());
            let digits = part.len() <= 6 && part.chars().all(|c| c.is_ascii_digit());
            letters || digits
        };
        let ours = [&self.access_token, &self.refresh_token];
        let echoed = ours.into_iter().flatten().any(|token| {
            token.expose_secret().contains(code) || code.contains(token.expose_secret())
        });
        if code.len() <= 64 && code.split(['_', '-', '.']).all(word) && !echoed {
            format!("error code {code}")
        } else {
            "an unknown error code".to_owned()
        }
    }
}

/// A JSON number, or a text that holds one.
pub(super) fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    number.is_finite().then_some(number)
}

/// A token of printable ASCII from `first` on; the word `null` is the community script's own trap.
/// RFC 6749 A.17 allows a blank in a refresh token; an access token goes into a header.
fn token(value: Value, first: char) -> Option<SecretString> {
    match value {
        Value::String(text)
            if !text.trim().is_empty()
                && text != "null"
                && text.chars().all(|c| (first..='~').contains(&c)) =>
        {
            Some(text.into())
        }
        _ => None,
    }
}

/// `error` as RFC 6749 has it, or `OpenAI`'s object with `code` or, failing that, `type`. `null`,
/// `false` and an empty text are no error.
fn error_code(value: Value) -> Option<String> {
    match value {
        Value::Null | Value::Bool(false) => None,
        Value::String(code) => (!code.is_empty()).then_some(code),
        Value::Object(mut object) => ["code", "type"]
            .into_iter()
            .find_map(|name| match object.remove(name)? {
                Value::String(code) => Some(code),
                Value::Number(code) => Some(code.to_string()),
                _ => None,
            })
            .or_else(|| Some("unnamed".to_owned())),
        other => Some(other.to_string()),
    }
}

/// JSON in its syntax alone, as `1e400`, half a surrogate or a very deep nesting: it counts as absent,
/// but an error stays one, and what follows is still read.
fn unreadable(name: &str) -> Value {
    match name {
        "error" | "code" => Value::Object(Map::new()),
        _ => Value::Null,
    }
}

/// Fills [`Members`] while reading, so that they survive an error further on.
struct Collect<'a>(&'a mut Members);

impl<'de> DeserializeSeed<'de> for Collect<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Collect<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some((name, value)) = map.next_entry::<&RawValue, &RawValue>()? {
            let name: String = serde_json::from_str(name.get()).unwrap_or_default();
            let value = serde_json::from_str(value.get());
            self.0
                .take(&name, value.unwrap_or_else(|_| unreadable(&name)));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_in_a_cut_body_counts_once_its_closing_quote_was_seen() {
        let body = br#"{"access_token":"a","refresh_token":"r\"\\\u0041\/","expires_in":60}"#;
        let quote = std::str::from_utf8(body)
            .unwrap()
            .find(r#","expires_in"#)
            .unwrap();
        for end in 0..=body.len() {
            let members = Members::read(&body[..end]);
            let token = members
                .refresh_token
                .as_ref()
                .map(ExposeSecret::expose_secret);
            assert_eq!(token, (end >= quote).then_some("r\"\\A/"));
            assert_eq!(members.closed, end == body.len());
        }
    }

    #[test]
    fn a_member_that_nobody_can_hold_hides_none_behind_it() {
        let deep = "[".repeat(200) + &"]".repeat(200);
        let check = |member: &str, error: Option<&str>| {
            let body = format!(r#"{{{member},"refresh_token":"r"}}"#);
            let members = Members::read(body.as_bytes());
            let token = members.refresh_token.as_ref();
            assert_eq!(token.map(ExposeSecret::expose_secret), Some("r"), "{body}");
            assert_eq!(members.error.as_deref(), error, "{body}");
            assert!(members.closed && members.expires_in.is_none());
        };
        check(r#""expires_in":1e400"#, None);
        check(&format!(r#""expires_in":{deep}"#), None);
        check(r#""access_token":"\ud800""#, None);
        check(r#""error":"\ud800""#, Some("unnamed"));
        check(&format!(r#""error":{{"code":{deep}}}"#), Some("unnamed"));
        check(r#""\ud800":0"#, None);
    }

    #[test]
    fn a_code_that_may_be_a_token_is_not_shown() {
        let check = |code: &str, shown: &str| {
            let members = Members::read(br#"{"access_token":"ours","refresh_token":"long.ours"}"#);
            assert_eq!(members.shown(code), shown);
        };
        check("unsupported_country", "error code unsupported_country");
        check("AADSTS.50034", "error code AADSTS.50034");
        for hidden in [
            "7Y8SfQwmt92M5CT2zAbCdEfGhIjKlMnOpQrStUvWxYz",
            "token rt_1 is spent",
            "eyJh.eyJl0.c2ln",
            "ours",
            "not_ours_either",
            &"word_".repeat(13),
        ] {
            check(hidden, "an unknown error code");
        }
    }
}
