use super::*;

fn object(text: &str) -> Given {
    match read(text.as_bytes()) {
        Ok(Value::Object(given)) => *given,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn bodies_are_read_as_far_as_the_gateways_read_them() {
    let check = |text: &[u8], expected: Result<&str, Message>| {
        let found = read(text).map(|value| match value {
            Value::Object(given) => given.text(Member::Name).unwrap().unwrap_or_default(),
            other => format!("{other:?}"),
        });
        let expected = expected.map(str::to_owned);
        assert_eq!(found, expected, "{}", String::from_utf8_lossy(text));
    };
    let not_json = || Err(Message::BodyNotJson);
    check(b"", Err(Message::BodyEmpty));
    check(b" \n\t", Err(Message::BodyEmpty));
    check(b"{", not_json());
    check(br#"{"name":"x",}"#, not_json());
    check(b"{'name':'x'}", not_json());
    check(br#"{name:"x"}"#, not_json());
    check(br#"{"name":"x"/*c*/}"#, not_json());
    check(b"\xef\xbb\xbf{\"name\":\"x\"}", not_json());
    check(b"{\"name\":\"a\tb\"}", not_json());
    check(b"{\"name\":\"\xff\"}", not_json());
    check(br#"{"name":"\ud800"}"#, not_json());
    check(br#"{"remain_quota":NaN}"#, not_json());
    check(br#"{"remain_quota":1e999}"#, not_json());
    check(b"name=x", not_json());
    check(br#"{"name":"x"}garbage"#, Ok("x"));
    check(br#"{"name":"x"} {"name":"y"}"#, Ok("x"));
    check(b" \n\t{\"name\":\"x\"}", Ok("x"));
    check(br#"{"name":"a","name":"b"}"#, Ok("b"));
    check(br#"{"name":"exact","NAME":"folded"}"#, Ok("folded"));
    check(br#"{"name":"a","name":null}"#, Ok(""));
    check(br#"{"":1,"foo":{"bar":[1,2]},"name":"x"}"#, Ok("x"));
    check("{\"name\":\"\\u4ee4牌\"}".as_bytes(), Ok("令牌"));
    check(b"null", Ok("Null"));
    check(b"[]", Ok("List([])"));
    let deep = |depth: usize, member: &str| {
        let (open, shut) = ("[".repeat(depth), "]".repeat(depth));
        format!("{{\"{member}\":{open}1{shut},\"name\":\"x\"}}").into_bytes()
    };
    check(&deep(30_000, "foo"), Ok("x"));
    check(&deep(30_000, "name"), not_json());
    check(&b"[".repeat(60_000), not_json());
}

#[test]
fn wrong_types_name_the_member() {
    let wrong = |member: Member, expected| Message::Wrong(member.name(), expected);
    let number = |text: &str| object(&format!(r#"{{"remain_quota":{text}}}"#));
    let check = |text: &str, expected: Option<i64>| {
        let found = number(text).int(Member::RemainQuota);
        let refused = || wrong(Member::RemainQuota, Expected::Integer);
        assert_eq!(found, expected.map(Some).ok_or_else(refused), "{text}");
    };
    check("0", Some(0));
    check("-7", Some(-7));
    check("9223372036854775807", Some(i64::MAX));
    for text in [
        "1.5",
        "2.0",
        "1e6",
        "9223372036854775808",
        "\"5\"",
        "true",
        "[]",
        "{}",
    ] {
        check(text, None);
    }
    assert_eq!(number("null").int(Member::RemainQuota), Ok(None));
    let given = object(r#"{"name":5,"unlimited_quota":"true","group":"a\u0000b","id":[]}"#);
    assert_eq!(
        given.text(Member::Name),
        Err(wrong(Member::Name, Expected::Text))
    );
    assert_eq!(
        given.bool(Member::UnlimitedQuota),
        Err(wrong(Member::UnlimitedQuota, Expected::Boolean))
    );
    assert_eq!(
        given.text(Member::Group),
        Err(wrong(Member::Group, Expected::NoNul))
    );
    assert_eq!(
        given.id(Member::Id, |_| Some(1)),
        Err(wrong(Member::Id, Expected::Id))
    );
}

#[test]
fn texts_come_in_an_array_or_between_separators() {
    let check = |text: &str, expected: Option<&[&str]>| {
        let given = object(&format!(r#"{{"model_limits":{text}}}"#));
        let found = given.texts(Member::ModelLimits, &[',']);
        match expected {
            Some(expected) => assert_eq!(found.unwrap().unwrap(), expected, "{text}"),
            None => assert_eq!(
                found,
                Err(Message::Wrong("model_limits", Expected::Texts)),
                "{text}"
            ),
        }
    };
    check(r#""""#, Some(&[]));
    check("[]", Some(&[]));
    check(r#"" gpt-4 , gpt-4o ,""#, Some(&["gpt-4", "gpt-4o"]));
    check(
        r#"["gpt-4"," gpt-4o,o1 ",""]"#,
        Some(&["gpt-4", "gpt-4o", "o1"]),
    );
    check("[1]", None);
    check("[[\"gpt-4\"]]", None);
    check("5", None);
    check("{}", None);
}

#[test]
fn an_id_is_a_number_or_a_text() {
    let check = |text: &str, expected: Option<i64>| {
        let found = object(&format!(r#"{{"id":{text}}}"#))
            .id(Member::Id, |text| (text == "tEight").then_some(8));
        assert_eq!(found.ok(), expected, "{text}");
    };
    check("2", Some(2));
    check("null", Some(0));
    check("-1", Some(-1));
    check("\"tEight\"", Some(8));
    check("\"tOther\"", None);
    check("2.0", None);
}

#[test]
fn the_names_stand_in_the_order_of_the_members() {
    for (place, member) in MEMBERS.into_iter().enumerate() {
        assert_eq!(member as usize, place);
    }
}
