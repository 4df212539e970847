//! Values as they may be typed: in TOML with their types, in a variable always as text.

use std::time::Duration;

use figment::providers::{Format, Toml};
use figment::value::{Dict, Value};

/// `[a-z][a-z0-9_]*` without `__`, which separates the parts of a variable's name.
pub(super) fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !name.contains("__")
}

/// What the word typed means among `words`.
pub(super) fn one_of<T: Copy>(value: &Value, words: &[(&str, T)]) -> Option<T> {
    let typed = value.as_str()?;
    let row = words.iter().find(|(word, _)| *word == typed);
    row.map(|(_, meaning)| *meaning)
}

/// A whole number; a variable's is text.
pub(super) fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::String(_, text) => text.trim().parse().ok(),
        other => i64::try_from(other.to_i128()?).ok(),
    }
}

/// The elements of a list; a variable's is text: `1,2`, `[1, 2]` or bare words.
pub(super) fn listed(value: &Value) -> Option<Vec<Value>> {
    let text = match value {
        Value::Array(_, elements) => return Some(elements.clone()),
        other => other.as_str()?.trim(),
    };
    let inner = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(text);
    let typed: Result<Dict, _> = Toml::from_str(&format!("list = [{inner}]"));
    match typed {
        Ok(mut entries) => entries.remove("list")?.into_array(),
        Err(_) => Some(inner.split(',').map(|word| word.trim().into()).collect()),
    }
}

/// A span of time: a whole number with s, m, h or d. The bound, ten years, keeps every sum with a date
/// inside the calendar.
#[must_use]
pub fn span(text: &str) -> Option<Duration> {
    const LONGEST: u64 = 3650 * 86_400;
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let total = number.parse::<u64>().ok()?.checked_mul(seconds)?;
    (total <= LONGEST).then(|| Duration::from_secs(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_a_unit_and_an_end() {
        let check = |text, seconds: Option<u64>| {
            assert_eq!(span(text), seconds.map(Duration::from_secs), "{text}");
        };
        check("90s", Some(90));
        check("12h", Some(43_200));
        check("7d", Some(604_800));
        check("0s", Some(0));
        check("3650d", Some(315_360_000));
        for bad in [
            "",
            "s",
            "90",
            "-1s",
            "+1s",
            "1.5h",
            "3651d",
            "1w",
            "99999999999999999999d",
            "一天",
            "1日",
        ] {
            check(bad, None);
        }
    }

    #[test]
    fn lists_may_be_typed_as_text() {
        let check = |text: &str, count: usize| {
            assert_eq!(listed(&Value::from(text)).unwrap().len(), count, "{text}");
        };
        check("1,2", 2);
        check("[1, 2]", 2);
        check("{ id = 5, line = 0 }, 7", 2);
        check("refreshed, dead", 2);
        check("[\"refreshed\"]", 1);
        check("[]", 0);
    }

    #[test]
    fn names_fit_into_variables() {
        for good in ["a", "chatgpt", "my_one2"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "A", "1a", "_a", "a__b", "a-b", "a.b", "ä"] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
