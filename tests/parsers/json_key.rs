//! A channel's JSON key with members that nobody knows.

use keyfresh::clock::Timestamp;
use keyfresh::gateway::json_key::JsonKey;
use keyfresh::secret::ExposeSecret as _;
use proptest::prelude::*;

use crate::{bend, cases, json};

const KEY: &str = r#"{"id_token":"i","access_token":"old","refresh_token":"r","account_id":"acc","last_refresh":"2025-10-01T00:00:00Z","email":"a<b>@例.com","type":"codex","expired":"2099-12-31T00:00:00Z","later":{"z":1,"a":[2.5]}}"#;

fn now() -> Timestamp {
    "2026-11-21T00:00:00Z".parse().unwrap()
}

proptest! {
    #![proptest_config(cases(1))]

    #[test]
    fn members_that_nobody_knows_stay_as_they_are(before in json::strange('x'), after in json::strange('y')) {
        let token = |text: &str| ("\"access_token\"".to_owned(), format!("\"{text}\""));
        let text = json::object([before.clone(), vec![token("old")], after.clone()].concat());
        let key = JsonKey::parse(&text).unwrap();
        prop_assert_eq!(key.access_token(), "old");

        let written = key.with_access_token("new", None, now());
        let time = ("\"last_refresh\"".to_owned(), "\"2026-11-21T00:00:00Z\"".to_owned());
        let plain = |members: Vec<(String, String)>| {
            let members: Vec<_> = members.iter().map(|(name, value)| format!("{name}:{value}")).collect();
            format!("{{{}}}", members.join(",")).replace(['\n', '\r'], "")
        };
        // What stands within a member keeps even its blanks, but for line breaks; those between members go.
        prop_assert_eq!(
            written.expose_secret(),
            plain([before, vec![token("new")], after, vec![time]].concat())
        );
    }

    #[test]
    fn a_bent_key_is_none_or_keeps_its_token(text in bend::bent(vec![KEY.as_bytes().to_vec()])) {
        let Ok(text) = String::from_utf8(text) else { return Ok(()) };
        let Some(key) = JsonKey::parse(&text) else { return Ok(()) };
        prop_assert!(!key.access_token().is_empty());
        let written = key.with_access_token("new", Some(now()), now());
        let again = JsonKey::parse(written.expose_secret()).unwrap();
        prop_assert_eq!((again.access_token(), again.refresh_token()), ("new", None));
        let back = again.with_refresh_token("r2");
        let back = JsonKey::parse(back.expose_secret()).unwrap();
        prop_assert_eq!(back.refresh_token(), Some("r2"));
        let bare = back.without_refresh_token();
        prop_assert_eq!(bare.expose_secret(), written.expose_secret());
    }
}
