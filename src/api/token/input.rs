//! Bodies as they come: JSON read as Go reads it where that is harmless, field by field.
//!
//! Like the gateways: the content type does not matter, unknown members are skipped, names match in any
//! case, the last of several wins, `null` is "not given", what follows the first value is not looked at.
//! Stricter: text must be UTF-8 and a whole number must be written as one. Whether a value may stand
//! there is decided in `rules.rs`.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;

use crate::api::message::{Expected, Message};

/// The members that are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Member {
    Id,
    Ids,
    Name,
    Status,
    ExpiredTime,
    RemainQuota,
    UnlimitedQuota,
    ModelLimitsEnabled,
    ModelLimits,
    AllowIps,
    Group,
    CrossGroupRetry,
}

/// Their names, in the order of [`Member`].
const NAMES: [&str; 12] = [
    "id",
    "ids",
    "name",
    "status",
    "expired_time",
    "remain_quota",
    "unlimited_quota",
    "model_limits_enabled",
    "model_limits",
    "allow_ips",
    "group",
    "cross_group_retry",
];

impl Member {
    pub(super) fn name(self) -> &'static str {
        NAMES[self as usize]
    }
}

/// A value, as far as it matters.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    /// A number that is no 64-bit integer as written.
    Number,
    Text(String),
    List(Vec<Value>),
    Object(Box<Given>),
}

/// An object's members, each as it came last.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Given([Option<Value>; NAMES.len()]);

/// Reads a body's first value.
///
/// # Errors
/// When there is none, or it is not JSON.
pub(super) fn read(bytes: &[u8]) -> Result<Value, Message> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    Value::deserialize(&mut json).map_err(|error| match error.classify() {
        Category::Eof if bytes.trim_ascii().is_empty() => Message::BodyEmpty,
        _ => Message::BodyNotJson,
    })
}

impl Given {
    /// The value of a member; none where it is absent or `null`.
    fn value(&self, member: Member) -> Option<&Value> {
        self.0[member as usize]
            .as_ref()
            .filter(|value| **value != Value::Null)
    }

    /// A member's integer.
    pub(super) fn int(&self, member: Member) -> Result<Option<i64>, Message> {
        self.value(member)
            .map(|value| match value {
                Value::Int(number) => Ok(*number),
                _ => Err(Message::Wrong(member.name(), Expected::Integer)),
            })
            .transpose()
    }

    /// A member's boolean.
    pub(super) fn bool(&self, member: Member) -> Result<Option<bool>, Message> {
        self.value(member)
            .map(|value| match value {
                Value::Bool(truth) => Ok(*truth),
                _ => Err(Message::Wrong(member.name(), Expected::Boolean)),
            })
            .transpose()
    }

    /// A member's text.
    pub(super) fn text(&self, member: Member) -> Result<Option<String>, Message> {
        self.value(member)
            .map(|value| match value {
                Value::Text(text) => clean(member, text).map(str::to_owned),
                _ => Err(Message::Wrong(member.name(), Expected::Text)),
            })
            .transpose()
    }

    /// A member's texts: an array's, or those between the `separators` of one text; blanks around them
    /// and empty ones are dropped.
    pub(super) fn texts(
        &self,
        member: Member,
        separators: &[char],
    ) -> Result<Option<Vec<String>>, Message> {
        let wrong = || Message::Wrong(member.name(), Expected::Texts);
        let Some(value) = self.value(member) else {
            return Ok(None);
        };
        let written = match value {
            Value::Text(text) => vec![text.as_str()],
            Value::List(items) => items
                .iter()
                .map(|item| match item {
                    Value::Text(text) => Ok(text.as_str()),
                    _ => Err(wrong()),
                })
                .collect::<Result<_, _>>()?,
            _ => return Err(wrong()),
        };
        let mut texts = Vec::new();
        for text in written {
            let parts = clean(member, text)?.split(separators).map(str::trim);
            texts.extend(parts.filter(|part| !part.is_empty()).map(str::to_owned));
        }
        Ok(Some(texts))
    }

    /// A member's id: a number, or a text that `id_of` reads; 0 where it is absent.
    pub(super) fn id(
        &self,
        member: Member,
        id_of: impl Fn(&str) -> Option<i64>,
    ) -> Result<i64, Message> {
        match self.value(member) {
            None => Ok(0),
            Some(value) => value
                .id(id_of)
                .ok_or(Message::Wrong(member.name(), Expected::Id)),
        }
    }

    /// The ids of an array; none where there is none, or something else stands in it.
    pub(super) fn ids(&self, id_of: impl Fn(&str) -> Option<i64>) -> Option<Vec<i64>> {
        match self.value(Member::Ids) {
            Some(Value::List(items)) => items.iter().map(|item| item.id(&id_of)).collect(),
            _ => None,
        }
    }
}

impl Value {
    /// The id that it says; `null` is 0, as Go has it.
    pub(super) fn id(&self, id_of: impl Fn(&str) -> Option<i64>) -> Option<i64> {
        match self {
            Self::Null => Some(0),
            Self::Int(number) => Some(*number),
            Self::Text(text) => id_of(text),
            _ => None,
        }
    }
}

/// Databases cut text at NUL or refuse it.
fn clean(member: Member, text: &str) -> Result<&str, Message> {
    if text.contains('\0') {
        return Err(Message::Wrong(member.name(), Expected::NoNul));
    }
    Ok(text)
}

/// The member of a name, in any case.
struct Name(Option<Member>);

const MEMBERS: [Member; NAMES.len()] = [
    Member::Id,
    Member::Ids,
    Member::Name,
    Member::Status,
    Member::ExpiredTime,
    Member::RemainQuota,
    Member::UnlimitedQuota,
    Member::ModelLimitsEnabled,
    Member::ModelLimits,
    Member::AllowIps,
    Member::Group,
    Member::CrossGroupRetry,
];

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Name;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a member's name")
            }

            fn visit_str<E>(self, text: &str) -> Result<Name, E> {
                let is = |member: &&Member| member.name().eq_ignore_ascii_case(text);
                Ok(Name(MEMBERS.iter().find(is).copied()))
            }
        }
        json.deserialize_str(Reader)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
                let mut given = Box::<Given>::default();
                while let Some(Name(member)) = object.next_key()? {
                    match member {
                        Some(member) => given.0[member as usize] = Some(object.next_value()?),
                        None => drop(object.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(Value::Object(given))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Value, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = array.next_element()? {
                    items.push(item);
                }
                Ok(Value::List(items))
            }

            fn visit_unit<E>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }

            fn visit_bool<E>(self, truth: bool) -> Result<Value, E> {
                Ok(Value::Bool(truth))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
                Ok(Value::Int(number))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
                Ok(i64::try_from(number).map_or(Value::Number, Value::Int))
            }

            fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
                Ok(Value::Number)
            }

            fn visit_str<E>(self, text: &str) -> Result<Value, E> {
                Ok(Value::Text(text.to_owned()))
            }

            fn visit_string<E>(self, text: String) -> Result<Value, E> {
                Ok(Value::Text(text))
            }
        }
        json.deserialize_any(Reader)
    }
}

#[cfg(test)]
mod tests;
