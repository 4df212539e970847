use super::*;

#[test]
fn the_first_tag_says_the_language() {
    let check = |value: Option<&'static str>, expected: Option<Locale>| {
        let mut headers = HeaderMap::new();
        if let Some(value) = value {
            headers.insert(header::ACCEPT_LANGUAGE, value.parse().unwrap());
        }
        for otherwise in [Locale::Chinese, Locale::English] {
            let found = language(&headers, otherwise);
            assert_eq!(found, expected.unwrap_or(otherwise), "{value:?}");
        }
    };
    check(None, None);
    check(Some(""), None);
    check(Some("*"), None);
    check(Some("fr,zh;q=0.9"), None);
    check(Some("en"), Some(Locale::English));
    check(Some("en-US,en;q=0.9"), Some(Locale::English));
    check(Some(" EN_gb"), Some(Locale::English));
    check(Some("zh;q=0,en"), Some(Locale::Chinese));
    check(Some("ZH-cn"), Some(Locale::Chinese));
    check(Some("zh-Hant"), Some(Locale::Chinese));
}

#[test]
fn messages_say_the_field_and_the_entry() {
    let check = |message: Message, chinese: &str, english: &str| {
        assert_eq!(message.text(Locale::Chinese), chinese);
        assert_eq!(message.text(Locale::English), english);
    };
    check(
        Message::Wrong("remain_quota", Expected::Integer),
        "参数错误：remain_quota 应为整数",
        "Invalid parameters: remain_quota must be an integer",
    );
    check(
        Message::InArray(1, Box::new(Message::NameTooLong)),
        "第 2 项：令牌名称过长",
        "item 2: Token name is too long",
    );
    check(
        Message::QuotaTooLarge(7),
        "额度值超出有效范围，最大值为 7（remain_quota）",
        "Quota value exceeds valid range, maximum is 7 (remain_quota)",
    );
    check(
        Message::BadAddress("1.2.3".to_owned()),
        "参数错误：allow_ips 中的“1.2.3”不是有效的 IP 地址或 CIDR 网段",
        "Invalid parameters: allow_ips: `1.2.3` is neither an IP address nor a CIDR range",
    );
    check(Message::BadParameters, "参数错误", "Invalid parameters");
}

#[test]
fn protocol_errors_keep_their_status() {
    let check = |message: Message, status: u16, keeps| {
        assert_eq!(message.status(), status, "{message:?}");
        assert_eq!(message.is_of_protocol(), keeps, "{message:?}");
    };
    check(Message::UserDisabled, 401, true);
    check(Message::NoSuchPath, 404, true);
    check(Message::Busy, 503, true);
    check(Message::NoToken, 404, false);
    check(Message::NameTooLong, 400, false);
    check(Message::EnableExpired, 409, false);
}
