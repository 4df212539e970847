//! What a field of a body should have held, in both languages.

/// What a field should have held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::api) enum Expected {
    /// A whole number without fraction or exponent, in 64 bits.
    Integer,
    Boolean,
    Text,
    /// Texts in an array, or one text with commas.
    Texts,
    /// A number or a hashed id.
    Id,
    /// Unix seconds after 1970, or -1.
    Moment,
    /// 1 or 2, or the status that the token has.
    StatusByHand,
    /// Text without the character NUL.
    NoNul,
    /// A status, which `status_only` is about.
    Given,
    /// An object, or an array of objects.
    Objects,
}

impl Expected {
    pub(super) fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Integer => ("应为整数", "must be an integer"),
            Self::Boolean => ("应为布尔值", "must be a boolean"),
            Self::Text => ("应为字符串", "must be a string"),
            Self::Texts => (
                "应为字符串或字符串数组",
                "must be a string or an array of strings",
            ),
            Self::Id => (
                "应为数字或令牌编号",
                "must be a number or a token's public id",
            ),
            Self::Moment => (
                "应为 Unix 时间戳（秒），或 -1 表示永不过期",
                "must be unix seconds, or -1 for never",
            ),
            Self::StatusByHand => (
                "只能设为 1（启用）或 2（禁用）",
                "can be set to 1 (enabled) or 2 (disabled) only",
            ),
            Self::NoNul => (
                "不能包含空字符（NUL）",
                "must not contain the character NUL",
            ),
            Self::Given => ("不能为空", "must be given"),
            Self::Objects => (
                "应为对象或对象数组",
                "must be an object or an array of objects",
            ),
        }
    }
}
