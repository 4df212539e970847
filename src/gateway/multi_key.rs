//! New API's channels with several keys: the lines of `key` and what `channel_info` says of each.
//!
//! Pure. Lines are counted as New API counts them: line breaks at either end of the text are not
//! lines. A JSON array of keys (Vertex) has no lines for us.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::Value;

use super::Status;

/// `channel_info` of a channel that holds several keys.
pub(super) struct MultiKey {
    text: String,
    info: serde_json::Map<String, Value>,
}

impl MultiKey {
    /// Reads the column; nothing if the channel holds a single key.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let info: serde_json::Map<String, Value> = serde_json::from_str(text).ok()?;
        (info.get("is_multi_key") == Some(&Value::Bool(true))).then(|| Self {
            text: text.to_owned(),
            info,
        })
    }

    /// The column as it was read.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The lines that are not enabled.
    pub(super) fn lines_off(&self) -> BTreeMap<usize, Status> {
        let Some(Value::Object(list)) = self.info.get("multi_key_status_list") else {
            return BTreeMap::new();
        };
        list.iter()
            .filter_map(|(line, status)| Some((line.parse().ok()?, status.as_i64()?.into())))
            .filter(|(_, status)| *status != Status::Enabled)
            .collect()
    }

    /// The column with `line` enabled: its number leaves the three lists.
    pub(super) fn without(&self, line: usize) -> String {
        let mut info = self.info.clone();
        for list in [
            "multi_key_status_list",
            "multi_key_disabled_reason",
            "multi_key_disabled_time",
        ] {
            if let Some(Value::Object(list)) = info.get_mut(list) {
                list.shift_remove(&line.to_string());
            }
        }
        Value::Object(info).to_string()
    }
}

/// The text of a line.
pub(super) fn line(key: &str, line: usize) -> Option<&str> {
    key.get(place(key, line)?)
}

/// `key` with another text in a line; all others stay where they are.
pub(super) fn with_line(key: &str, line: usize, new: &str) -> Option<String> {
    let place = place(key, line)?;
    let mut key = key.to_owned();
    key.replace_range(place, new);
    Some(key)
}

fn place(key: &str, line: usize) -> Option<Range<usize>> {
    if key.trim_start().starts_with('[') {
        return None;
    }
    let lines = key.trim_matches('\n');
    let mut start = key.len() - key.trim_start_matches('\n').len();
    for (number, text) in lines.split('\n').enumerate() {
        if number == line {
            return Some(start..start + text.len());
        }
        start += text.len() + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_is_replaced_and_nothing_else() {
        let check = |key: &str, number: usize, before: Option<&str>, after: Option<&str>| {
            assert_eq!(line(key, number), before);
            assert_eq!(with_line(key, number, "NEW").as_deref(), after);
        };
        check("a\nb\nc", 0, Some("a"), Some("NEW\nb\nc"));
        check("a\nb\nc", 1, Some("b"), Some("a\nNEW\nc"));
        check("a\nb\nc", 2, Some("c"), Some("a\nb\nNEW"));
        check("a\nb\nc", 3, None, None);
        check("\n\na\nb\n", 0, Some("a"), Some("\n\nNEW\nb\n"));
        check("\n\na\nb\n", 1, Some("b"), Some("\n\na\nNEW\n"));
        check("\n\na\nb\n", 2, None, None);
        check("a\n\nb", 2, Some("b"), Some("a\n\nNEW"));
        check("密\n钥", 1, Some("钥"), Some("密\nNEW"));
        check(" [{\"a\":1},\n{\"b\":2}]", 0, None, None);
    }

    #[test]
    fn a_line_that_is_enabled_leaves_the_lists() {
        let check = |before: &str, line: usize, after: Option<&str>| {
            let cleared = MultiKey::parse(before).map(|info| info.without(line));
            assert_eq!(cleared.as_deref(), after);
        };
        let both = r#"{"is_multi_key":true,"multi_key_size":2,"multi_key_status_list":{"0":3,"1":2},"multi_key_disabled_reason":{"0":"401"},"multi_key_disabled_time":{"0":9},"x":1,"multi_key_mode":"polling"}"#;
        check(
            both,
            0,
            Some(
                r#"{"is_multi_key":true,"multi_key_size":2,"multi_key_status_list":{"1":2},"multi_key_disabled_reason":{},"multi_key_disabled_time":{},"x":1,"multi_key_mode":"polling"}"#,
            ),
        );
        check(both, 7, Some(both));
        check(
            r#"{"is_multi_key":true,"multi_key_status_list":null}"#,
            0,
            Some(r#"{"is_multi_key":true,"multi_key_status_list":null}"#),
        );
        check(r#"{"is_multi_key":false}"#, 0, None);
        check("{}", 0, None);
        check("", 0, None);
        let off = MultiKey::parse(both).map(|info| info.lines_off()).unwrap();
        assert_eq!(off[&0], Status::AutoDisabled);
        assert_eq!(off[&1], Status::ManuallyDisabled);
    }

    proptest! {
        #[test]
        fn a_line_is_the_only_one_that_changes(key in "[a\\n\\r 密]{0,12}", number in 0..6_usize, new in "[^\n]{0,5}") {
            let Some(written) = with_line(&key, number, &new) else {
                prop_assert_eq!(line(&key, number), None);
                return Ok(());
            };
            let changed = |(one, other): (&str, &str)| one != other;
            let lines = key.split('\n').zip(written.split('\n'));
            prop_assert_eq!(key.matches('\n').count(), written.matches('\n').count());
            prop_assert!(lines.filter(|&pair| changed(pair)).count() <= 1);
            // An empty line at either end is none to the gateway.
            if !new.is_empty() && !new.trim_start().starts_with('[') {
                prop_assert_eq!(line(&written, number), Some(new.as_str()));
            }
        }
    }
}
