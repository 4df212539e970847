use secrecy::SecretString;

use super::super::input::{self, Value};
use super::*;

const LIMITS: Limits = Limits {
    name: 30,
    quota: 500_000_000_000_000,
    ranges: true,
};
const NOW: i64 = 1_760_000_000;

fn given(text: &str) -> Given {
    match input::read(text.as_bytes()) {
        Ok(Value::Object(given)) => *given,
        other => panic!("{text}: {other:?}"),
    }
}

fn created_within(limits: Limits, text: &str) -> Result<NewToken, Message> {
    Wish::of(&given(text))?.creation(limits, NOW)
}

fn created(text: &str) -> Result<NewToken, Message> {
    created_within(LIMITS, text)
}

fn stored() -> Token {
    Token {
        id: 2,
        user_id: 2,
        key: SecretString::from("k"),
        status: 1,
        name: "API Token".to_owned(),
        created_time: 1,
        accessed_time: 2,
        expired_time: NOW + 1,
        remain_quota: 1_000,
        unlimited_quota: false,
        model_limits_enabled: false,
        model_limits: String::new(),
        allow_ips: Some("10.0.0.1\n10.0.0.2".to_owned()),
        used_quota: 0,
        group: "default".to_owned(),
        more: Vec::new(),
    }
}

fn changed(stored: &Token, text: &str) -> Result<TokenChange, Message> {
    Wish::of(&given(text))?.change(stored, LIMITS, NOW)
}

#[test]
fn a_new_token_has_the_gateways_defaults() {
    let expected = NewToken {
        name: String::new(),
        expired_time: -1,
        remain_quota: 0,
        unlimited_quota: false,
        model_limits_enabled: false,
        model_limits: String::new(),
        allow_ips: String::new(),
        group: String::new(),
        cross_group_retry: None,
        now: NOW,
    };
    for text in [
        "{}",
        r#"{"expired_time":0,"name":null,"status":3,"key":[]}"#,
    ] {
        assert_eq!(created(text).as_ref(), Ok(&expected), "{text}");
    }
}

#[test]
fn names_count_in_characters() {
    let check = |name: &str, fits| {
        let expected = if fits {
            Ok(name.to_owned())
        } else {
            Err(Message::NameTooLong)
        };
        let found = created(&format!(r#"{{"name":"{name}"}}"#)).map(|new| new.name);
        assert_eq!(found, expected, "{name}");
    };
    check("", true);
    check("  x  ", true);
    check(&"a".repeat(30), true);
    check(&"a".repeat(31), false);
    check(&"令".repeat(30), true);
    check(&"令".repeat(31), false);
    check(&"😀".repeat(30), true);
}

#[test]
fn quotas_and_moments_have_a_range() {
    let quota = |text: &str, most| {
        let limits = Limits {
            quota: most,
            ..LIMITS
        };
        created_within(
            limits,
            &format!(r#"{{"remain_quota":{text},"unlimited_quota":true}}"#),
        )
        .map(|new| new.remain_quota)
    };
    let check = |text, most, expected| assert_eq!(quota(text, most), expected, "{text}");
    check("0", 7, Ok(0));
    check("7", 7, Ok(7));
    check("8", 7, Err(Message::QuotaTooLarge(7)));
    check("-1", 7, Err(Message::QuotaNegative));
    let check = |text: &str, fits: bool| {
        let found = created(&format!(r#"{{"expired_time":{text}}}"#)).map(|new| new.expired_time);
        let refused = Err(Message::Wrong("expired_time", Expected::Moment));
        let expected = if fits {
            Ok(text.parse().unwrap())
        } else {
            refused
        };
        assert_eq!(found, expected, "{text}");
    };
    check("-1", true);
    check("1640995200", true);
    check("253402300799", true);
    check("4102444800000", false);
    check("9223372036854775807", false);
    check("-2", false);
}

#[test]
fn addresses_are_stored_one_a_line_or_not_at_all() {
    let check = |text: &str, ranges: bool, expected: Result<&str, Message>| {
        let limits = Limits { ranges, ..LIMITS };
        let found = created_within(limits, &format!(r#"{{"allow_ips":{text}}}"#));
        let found = found.map(|new| new.allow_ips);
        assert_eq!(found, expected.map(str::to_owned), "{text}");
    };
    let bad = |entry: &str| Err(Message::BadAddress(entry.to_owned()));
    check(r#""""#, true, Ok(""));
    check("[]", true, Ok(""));
    check(
        r#""192.168.1.1,10.0.0.1""#,
        true,
        Ok("192.168.1.1\n10.0.0.1"),
    );
    check(
        r#""192.168.1.1\r\n10.0.0.1\r\n""#,
        true,
        Ok("192.168.1.1\n10.0.0.1"),
    );
    check(
        r#"["10.0.0.0/8"," ::1 ","2001:db8::/32"]"#,
        true,
        Ok("10.0.0.0/8\n::1\n2001:db8::/32"),
    );
    check(
        r#""10.0.0.0/8""#,
        false,
        Err(Message::NoRanges("10.0.0.0/8".to_owned())),
    );
    check(
        r#""10.0.0.1/32,::1/128,::2""#,
        false,
        Ok("10.0.0.1\n::1\n::2"),
    );
    for entry in [
        "x",
        "1.2.3",
        "1.2.3.4.5",
        "01.2.3.4",
        "1.2.3.4/33",
        "::1/129",
        "fe80::1%eth0",
        "*",
        "localhost",
    ] {
        check(&format!(r#""127.0.0.1,{entry}""#), true, bad(entry));
    }
    check(r#""not an ip!""#, true, bad("not"));
}

#[test]
fn what_is_omitted_or_equal_does_not_change() {
    let none = TokenChange::default;
    let check = |stored: &Token, text: &str, expected: Result<TokenChange, Message>| {
        assert_eq!(changed(stored, text), expected, "{text}");
    };
    let row = stored();
    check(&row, r#"{"id":2}"#, Ok(none()));
    check(
        &row,
        r#"{"id":2,"name":"API Token","status":1,"expired_time":1760000001,"remain_quota":1000,"unlimited_quota":false,
            "model_limits_enabled":false,"model_limits":"","allow_ips":"10.0.0.1\n10.0.0.2","group":"default"}"#,
        Ok(none()),
    );
    check(
        &row,
        r#"{"name":""}"#,
        Ok(TokenChange {
            name: Some(String::new()),
            ..none()
        }),
    );
    check(&row, r#"{"expired_time":0}"#, Ok(none()));
    check(
        &row,
        r#"{"allow_ips":""}"#,
        Ok(TokenChange {
            allow_ips: Some(String::new()),
            ..none()
        }),
    );
    check(&row, r#"{"remain_quota":-1}"#, Err(Message::QuotaNegative));
    let odd = Token {
        name: "a".repeat(40),
        status: 3,
        expired_time: 4_102_444_800_000,
        remain_quota: -5,
        allow_ips: Some("nonsense".to_owned()),
        ..stored()
    };
    let back = format!(
        r#"{{"name":"{}","status":3,"expired_time":4102444800000,"remain_quota":-4,"allow_ips":"nonsense"}}"#,
        odd.name
    );
    check(&odd, &back, Ok(none()));
    check(
        &odd,
        r#"{"allow_ips":"other"}"#,
        Err(Message::BadAddress("other".to_owned())),
    );
    let commas = Token {
        allow_ips: Some("10.0.0.1,10.0.0.2".to_owned()),
        ..stored()
    };
    let mended = Some("10.0.0.1\n10.0.0.2".to_owned());
    check(
        &commas,
        r#"{"allow_ips":"10.0.0.1,10.0.0.2"}"#,
        Ok(TokenChange {
            allow_ips: mended,
            ..none()
        }),
    );
}

#[test]
fn a_token_is_enabled_as_it_will_be() {
    let check = |status: i64, text: &str, expected: Result<(), Message>| {
        let expired = Token {
            status,
            expired_time: NOW,
            remain_quota: 0,
            ..stored()
        };
        assert_eq!(
            changed(&expired, text).map(|_| ()),
            expected,
            "{status} {text}"
        );
    };
    let refused = Err(Message::EnableExpired);
    for status in [2, 3, 4] {
        check(status, r#"{"status":1}"#, refused.clone());
        check(status, r#"{"status":1,"remain_quota":5}"#, refused.clone());
        check(
            status,
            r#"{"status":1,"expired_time":-1}"#,
            Err(Message::EnableExhausted),
        );
        check(
            status,
            r#"{"status":1,"expired_time":-1,"remain_quota":5}"#,
            Ok(()),
        );
        check(
            status,
            r#"{"status":1,"expired_time":1760000001,"unlimited_quota":true}"#,
            Ok(()),
        );
    }
    check(1, r#"{"status":1}"#, Ok(()));
    check(3, r#"{"status":2}"#, Ok(()));
    let by_hand = Err(Message::Wrong("status", Expected::StatusByHand));
    for status in ["0", "3", "4", "-1", "99"] {
        check(1, &format!(r#"{{"status":{status}}}"#), by_hand.clone());
    }
    check(3, r#"{"status":3}"#, Ok(()));
}

#[test]
fn status_only_looks_at_nothing_else() {
    let only = |text: &str| Wish::of_status(&given(text));
    let wish = only(r#"{"status":2,"name":5,"allow_ips":"nonsense"}"#).unwrap();
    let expected = TokenChange {
        status: Some(2),
        ..TokenChange::default()
    };
    assert_eq!(wish.change(&stored(), LIMITS, NOW), Ok(expected));
    for text in ["{}", r#"{"status":null}"#] {
        assert_eq!(only(text), Err(Message::Wrong("status", Expected::Given)));
    }
}
