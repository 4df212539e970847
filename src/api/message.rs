//! What callers are told, in Chinese and in English; the one catalogue of the HTTP module.
//!
//! Where New API has words of its own they are copied, full-width punctuation included (facts:
//! `gateways.md` 1.5 and 1.11, `tests/golden`). No text may hold what the caller did not say: no SQL, no
//! path, no secret. What a refusal looks like on the wire is for `api.rs` to say.

mod expected;

use std::borrow::Cow;

use axum::http::{HeaderMap, StatusCode, header};

use crate::gateway::Unfit;
use crate::mint::Unusable;
use crate::notify::Locale;

pub(super) use expected::Expected;

/// Why a call is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message {
    // Who may call.
    NotLoggedIn,
    UnknownAccessToken,
    BearerExpired,
    BearerRevoked,
    StrangeUser,
    UserHeaderGarbled,
    UserHeaderOther,
    UserDisabled,
    RoleTooLow,
    // The protocol.
    Malformed,
    NoSuchPath,
    NoSuchMethod,
    TooSlow,
    TooLarge,
    TooManyFailures,
    Fault,
    Internal,
    Busy,
    // The business.
    NoToken,
    NoId,
    NameTooLong,
    /// A field and the most characters it holds.
    TooLong(&'static str, usize),
    /// A field and the most bytes it holds.
    TooManyBytes(&'static str, usize),
    QuotaNegative,
    QuotaTooLarge(i64),
    EnableExpired,
    EnableExhausted,
    BadParameters,
    BodyEmpty,
    BodyNotJson,
    Wrong(&'static str, Expected),
    BadAddress(String),
    NoRanges(String),
    Unfit(&'static str),
    /// Two fields that must agree.
    Together(&'static str, &'static str),
    TooMany(usize),
    TooManyIds(usize),
    KeyNotMade,
    KeySecretMissing,
    KeySecretForeign,
    KeyUnusable(Unusable),
    /// A refusal of one object of several, by its place from 0.
    InArray(usize, Box<Message>),
}

impl Message {
    /// What a refusal with this status says that says nothing itself.
    pub(super) fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::NoSuchPath,
            StatusCode::METHOD_NOT_ALLOWED => Self::NoSuchMethod,
            StatusCode::REQUEST_TIMEOUT => Self::TooSlow,
            StatusCode::PAYLOAD_TOO_LARGE => Self::TooLarge,
            StatusCode::TOO_MANY_REQUESTS => Self::TooManyFailures,
            _ if status.is_server_error() => Self::Fault,
            _ => Self::Malformed,
        }
    }

    /// Its HTTP status where real ones are wanted.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::NotLoggedIn
            | Self::UnknownAccessToken
            | Self::BearerExpired
            | Self::BearerRevoked
            | Self::StrangeUser
            | Self::UserHeaderGarbled
            | Self::UserHeaderOther
            | Self::UserDisabled
            | Self::RoleTooLow => StatusCode::UNAUTHORIZED,
            Self::NoSuchPath | Self::NoToken | Self::NoId => StatusCode::NOT_FOUND,
            Self::NoSuchMethod => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooManyFailures => StatusCode::TOO_MANY_REQUESTS,
            Self::Fault | Self::Internal | Self::KeyNotMade => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::EnableExpired
            | Self::EnableExhausted
            | Self::KeySecretMissing
            | Self::KeySecretForeign
            | Self::KeyUnusable(_) => StatusCode::CONFLICT,
            Self::InArray(_, inner) => inner.status(),
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// The same, of one object of several.
    pub(super) fn of_item(self, place: usize) -> Self {
        Self::InArray(place, Box::new(self))
    }

    /// Whether it is about who calls, which counts as a failed login.
    pub(super) fn is_of_person(&self) -> bool {
        self.status() == StatusCode::UNAUTHORIZED
    }

    /// Whether its status stands even where the gateways answer 200.
    pub(super) fn is_of_protocol(&self) -> bool {
        match self {
            Self::NoToken | Self::NoId => false,
            Self::Malformed => true,
            _ => !matches!(
                self.status(),
                StatusCode::BAD_REQUEST | StatusCode::CONFLICT
            ),
        }
    }

    /// Its words.
    pub(super) fn text(&self, locale: Locale) -> Cow<'static, str> {
        let (chinese, english) = match self {
            Self::InArray(place, inner) => {
                let inner = inner.text(locale);
                return match locale {
                    Locale::Chinese => format!("第 {} 项：{inner}", place + 1),
                    Locale::English => format!("item {}: {inner}", place + 1),
                }
                .into();
            }
            Self::QuotaTooLarge(most) => (
                format!("额度值超出有效范围，最大值为 {most}（remain_quota）").into(),
                format!("Quota value exceeds valid range, maximum is {most} (remain_quota)").into(),
            ),
            Self::Wrong(field, expected) => {
                let (chinese, english) = expected.words();
                (
                    format!("参数错误：{field} {chinese}").into(),
                    format!("Invalid parameters: {field} {english}").into(),
                )
            }
            Self::TooLong(field, most) => (
                format!("参数错误：{field} 过长，最多 {most} 个字符").into(),
                format!("Invalid parameters: {field} is too long, it may have {most} characters").into(),
            ),
            Self::TooManyBytes(field, most) => (
                format!("参数错误：{field} 过长，最多 {most} 字节").into(),
                format!("Invalid parameters: {field} is too long, it may have {most} bytes").into(),
            ),
            Self::BadAddress(entry) => (
                format!("参数错误：allow_ips 中的“{entry}”不是有效的 IP 地址或 CIDR 网段").into(),
                format!("Invalid parameters: allow_ips: `{entry}` is neither an IP address nor a CIDR range").into(),
            ),
            Self::NoRanges(entry) => (
                format!("参数错误：该网关的版本不支持 allow_ips 中的网段“{entry}”，请填写单个 IP 地址").into(),
                format!("Invalid parameters: allow_ips: this gateway's version knows single addresses only, not `{entry}`").into(),
            ),
            Self::Unfit(field) => (
                format!("参数错误：该网关不支持 {field}").into(),
                format!("Invalid parameters: this gateway cannot hold {field}").into(),
            ),
            Self::Together(field, other) => (
                format!("参数错误：该网关要求 {field} 与 {other} 一致：列表非空即启用，列表为空即不启用").into(),
                format!("Invalid parameters: in this gateway {field} and {other} go together: a list is in force, an empty one is not").into(),
            ),
            Self::KeyUnusable(reason) => {
                let (chinese, english) = unusable(*reason);
                (
                    format!("生成令牌失败：One-Hub 不会接受这样的密钥，{chinese}").into(),
                    format!("Failed to generate the token: One-Hub would not accept such a key, {english}").into(),
                )
            }
            Self::TooMany(most) => (
                format!("参数错误：一次最多创建 {most} 个令牌").into(),
                format!("Invalid parameters: at most {most} tokens at once").into(),
            ),
            Self::TooManyIds(most) => (
                format!("参数错误：一次最多删除 {most} 个令牌").into(),
                format!("Invalid parameters: at most {most} ids at once").into(),
            ),
            fixed => {
                let (chinese, english) = fixed.fixed();
                (chinese.into(), english.into())
            }
        };
        match locale {
            Locale::Chinese => chinese,
            Locale::English => english,
        }
    }

    /// The words of a message without a value.
    fn fixed(&self) -> (&'static str, &'static str) {
        self.of_caller()
            .or_else(|| self.of_protocol())
            .unwrap_or_else(|| self.of_business())
    }

    fn of_caller(&self) -> Option<(&'static str, &'static str)> {
        Some(match self {
            Self::NotLoggedIn => (
                "无权进行此操作，未登录且未提供 access token",
                "Unauthorized, not logged in and no access token provided",
            ),
            Self::UnknownAccessToken => (
                "无权进行此操作，access token 无效",
                "Unauthorized, invalid access token",
            ),
            Self::BearerExpired => (
                "无权进行此操作，access token 已过期",
                "Unauthorized, access token has expired",
            ),
            Self::BearerRevoked => (
                "无权进行此操作，access token 已被撤销",
                "Unauthorized, access token has been revoked",
            ),
            Self::StrangeUser => (
                "无权进行此操作，用户信息无效",
                "Unauthorized, invalid user info",
            ),
            Self::UserHeaderGarbled => (
                "无权进行此操作，New-Api-User 格式错误",
                "Unauthorized, New-Api-User format error",
            ),
            Self::UserHeaderOther => (
                "无权进行此操作，New-Api-User 与登录用户不匹配",
                "Unauthorized, New-Api-User does not match the logged in user",
            ),
            Self::UserDisabled => ("用户已被封禁", "User has been banned"),
            Self::RoleTooLow => (
                "无权进行此操作，权限不足",
                "Unauthorized, insufficient privileges",
            ),
            _ => return None,
        })
    }

    fn of_protocol(&self) -> Option<(&'static str, &'static str)> {
        Some(match self {
            Self::Malformed => ("请求格式错误", "malformed request"),
            Self::NoSuchPath => ("无效的请求路径", "no such path"),
            Self::NoSuchMethod => ("不支持的请求方法", "method not allowed"),
            Self::TooSlow => ("请求超时", "the request did not arrive in time"),
            Self::TooLarge => ("请求体过大", "the request's body is too large"),
            Self::TooManyFailures => (
                "认证失败次数过多，请稍后重试",
                "Too many failed logins, please try again later",
            ),
            Self::Fault => ("服务器内部错误", "internal error"),
            Self::Internal => (
                "数据库出错，请联系管理员",
                "Database error, please contact the administrator",
            ),
            Self::Busy => (
                "数据库繁忙，请稍后重试",
                "The database is busy, please try again later",
            ),
            _ => return None,
        })
    }

    fn of_business(&self) -> (&'static str, &'static str) {
        match self {
            Self::NoToken => ("Token不存在", "Token not found"),
            Self::NoId => ("id 或 userId 为空！", "id or userId is empty!"),
            Self::NameTooLong => ("令牌名称过长", "Token name is too long"),
            Self::QuotaNegative => (
                "额度值不能为负数（remain_quota）",
                "Quota value cannot be negative (remain_quota)",
            ),
            Self::EnableExpired => (
                "令牌已过期，无法启用，请先修改令牌过期时间，或者设置为永不过期",
                "Token has expired and cannot be enabled. Please modify the expiration time or set it to never expire",
            ),
            Self::EnableExhausted => (
                "令牌可用额度已用尽，无法启用，请先修改令牌剩余额度，或者设置为无限额度",
                "Token quota is exhausted and cannot be enabled. Please modify the remaining quota or set it to unlimited",
            ),
            Self::BodyEmpty => (
                "参数错误：请求体为空",
                "Invalid parameters: the body is empty",
            ),
            Self::BodyNotJson => (
                "参数错误：请求体不是有效的 JSON",
                "Invalid parameters: the body is not valid JSON",
            ),
            Self::KeyNotMade => ("生成令牌失败", "Failed to generate the token"),
            Self::KeySecretMissing => (
                "生成令牌失败：未配置 gateway.user_token_secret",
                "Failed to generate the token: gateway.user_token_secret is not set",
            ),
            Self::KeySecretForeign => (
                "生成令牌失败：gateway.user_token_secret 与 One-Hub 的不一致",
                "Failed to generate the token: gateway.user_token_secret is not One-Hub's",
            ),
            _ => ("参数错误", "Invalid parameters"),
        }
    }
}

impl From<Unfit> for Message {
    fn from(unfit: Unfit) -> Self {
        match unfit.partner {
            Some(partner) => Self::Together(unfit.field, partner),
            None => Self::Unfit(unfit.field),
        }
    }
}

/// Why One-Hub's relay would refuse a key.
fn unusable(reason: Unusable) -> (&'static str, &'static str) {
    match reason {
        Unusable::Ids => ("编号须大于 0", "for ids begin at 1"),
        Unusable::Separator => (
            "因为 HASHIDS_SALT 含有“_”",
            "for its HASHIDS_SALT holds `_`",
        ),
        Unusable::Channel => (
            "因为 HASHIDS_SALT 含有“#”",
            "for its HASHIDS_SALT holds `#`",
        ),
        Unusable::Length(_) => (
            "因为 HASHIDS_SALT 太短",
            "for its HASHIDS_SALT is too short",
        ),
        Unusable::Blocked => ("因为其中含有屏蔽词", "for it would hold a blocked word"),
    }
}

/// The language of an answer: what the first tag of `Accept-Language` asks for, whatever its quality;
/// `otherwise` where it is neither Chinese nor English.
pub(super) fn language(headers: &HeaderMap, otherwise: Locale) -> Locale {
    let Some(value) = headers.get(header::ACCEPT_LANGUAGE) else {
        return otherwise;
    };
    let first = value.as_bytes().split(|byte| b",;".contains(byte)).next();
    let primary = first.and_then(|tag| tag.trim_ascii().split(|byte| b"-_".contains(byte)).next());
    match primary {
        Some(tag) if tag.eq_ignore_ascii_case(b"zh") => Locale::Chinese,
        Some(tag) if tag.eq_ignore_ascii_case(b"en") => Locale::English,
        _ => otherwise,
    }
}

#[cfg(test)]
mod tests;
