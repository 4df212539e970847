//! Two outcomes of a request side by side: which parts differ, and how, in lines that a person reads.

use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The longest value told in full; tokens are shorter.
const LONG: usize = 700;

/// What came of a request.
pub(crate) struct Outcome {
    pub(crate) status: u16,
    pub(crate) content_type: Option<String>,
    pub(crate) location: Option<String>,
    /// JSON, or a string of what is none.
    pub(crate) body: Value,
    /// Of the table `tokens`: rows `inserted` and `changed`, ids `gone`.
    pub(crate) rows: Value,
}

/// What two outcomes may differ in.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Part {
    Status,
    ContentType,
    Location,
    Body,
    Rows,
}

impl Outcome {
    /// A body as it is compared.
    pub(crate) fn body(text: &str) -> Value {
        serde_json::from_str(text).unwrap_or_else(|_| json!(text))
    }

    /// What the envelope says, where there is one.
    pub(crate) fn success(&self) -> Option<bool> {
        self.body["success"].as_bool()
    }

    /// Whether any row is other than before.
    pub(crate) fn wrote(&self) -> bool {
        let mut kinds = self.rows.as_object().unwrap().values();
        kinds.any(|rows| !rows.as_array().unwrap().is_empty())
    }
}

/// The parts that differ. The envelope's own members may come in any order, all else may not.
pub(crate) fn differences(theirs: &Outcome, ours: &Outcome) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut compare = |part, alike: bool| {
        if !alike {
            parts.push(part);
        }
    };
    compare(Part::Status, theirs.status == ours.status);
    compare(Part::ContentType, theirs.content_type == ours.content_type);
    compare(Part::Location, theirs.location == ours.location);
    let alike = match (theirs.body.as_object(), ours.body.as_object()) {
        (Some(theirs), Some(ours)) => {
            theirs.len() == ours.len()
                && theirs
                    .iter()
                    .all(|(name, value)| ours.get(name).map(written) == Some(written(value)))
        }
        _ => theirs.body == ours.body,
    };
    compare(Part::Body, alike);
    compare(Part::Rows, theirs.rows == ours.rows);
    parts
}

/// The text of a value: objects differ in it if only their members' order does.
fn written(value: &Value) -> String {
    value.to_string()
}

/// Each difference on a line: where, what the gateway has, what we have.
pub(crate) fn tell(theirs: &Outcome, ours: &Outcome) -> String {
    let mut told = String::new();
    let parts = [
        ("status", json!(theirs.status), json!(ours.status)),
        (
            "content-type",
            json!(theirs.content_type),
            json!(ours.content_type),
        ),
        ("location", json!(theirs.location), json!(ours.location)),
        ("body", theirs.body.clone(), ours.body.clone()),
        ("rows", theirs.rows.clone(), ours.rows.clone()),
    ];
    for (name, theirs, ours) in parts {
        tell_value(name, Some(&theirs), Some(&ours), &mut told);
    }
    told
}

fn tell_value(path: &str, theirs: Option<&Value>, ours: Option<&Value>, told: &mut String) {
    match (theirs, ours) {
        (Some(Value::Object(theirs)), Some(Value::Object(ours))) => {
            tell_object(path, theirs, ours, told);
        }
        (Some(Value::Array(theirs)), Some(Value::Array(ours)))
            if have_ids(theirs) && have_ids(ours) =>
        {
            tell_rows(path, theirs, ours, told);
        }
        _ if theirs == ours => {}
        _ => {
            let [theirs, ours] = [theirs, ours].map(shown);
            writeln!(told, "    {path}: {theirs} → {ours}").unwrap();
        }
    }
}

fn tell_object(
    path: &str,
    theirs: &Map<String, Value>,
    ours: &Map<String, Value>,
    told: &mut String,
) {
    let added = ours.keys().filter(|name| !theirs.contains_key(*name));
    for name in theirs.keys().chain(added) {
        let (theirs, ours) = (theirs.get(name), ours.get(name));
        tell_value(&format!("{path}.{name}"), theirs, ours, told);
    }
    let [theirs, ours] = [theirs, ours].map(|object| {
        let both = object
            .keys()
            .filter(|name| theirs.contains_key(*name) && ours.contains_key(*name));
        both.collect::<Vec<_>>()
    });
    if path != "body" && theirs != ours {
        writeln!(told, "    {path}: another order").unwrap();
    }
}

/// Rows by their ids; one that stands on both sides is compared, one that is only ours is told in full
/// where it was written.
fn tell_rows(path: &str, theirs: &[Value], ours: &[Value], told: &mut String) {
    let [before, after] = [theirs, ours].map(ids);
    if before != after {
        writeln!(told, "    {path}: ids {} → {}", runs(&before), runs(&after)).unwrap();
    }
    for ours in ours {
        let id = &ours["id"];
        let theirs = theirs.iter().find(|theirs| theirs["id"] == *id);
        if theirs.is_some() || path.starts_with("rows") {
            tell_value(&format!("{path}[{id}]"), theirs, Some(ours), told);
        }
    }
}

fn have_ids(rows: &[Value]) -> bool {
    rows.iter().all(|row| row["id"].is_i64())
}

fn ids(rows: &[Value]) -> Vec<i64> {
    let ids = rows.iter().map(|row| row["id"].as_i64().unwrap());
    ids.collect()
}

/// Numbers with a run of neighbours, up or down, as `first…last`.
fn runs(numbers: &[i64]) -> String {
    let mut told = Vec::new();
    let mut rest = numbers;
    while let [first, ..] = rest {
        let step = rest.get(1).map_or(0, |second| second - first);
        let mut length = 1;
        while step.abs() == 1 && rest.get(length) == Some(&(rest[length - 1] + step)) {
            length += 1;
        }
        let last = rest[length - 1];
        told.push(if length > 2 {
            format!("{first}…{last}")
        } else {
            length = 1;
            first.to_string()
        });
        rest = &rest[length..];
    }
    if told.is_empty() {
        "none".to_owned()
    } else {
        told.join(" ")
    }
}

/// A value, shortened; a token of an answer by its id, for what it shows is held against its row.
fn shown(value: Option<&Value>) -> String {
    let text = match value {
        None => "nothing".to_owned(),
        // Rows of the table have 0 and 1 there.
        Some(token) if token["unlimited_quota"].is_boolean() => {
            format!("token {}", token["id"])
        }
        Some(value) => value.to_string(),
    };
    let length = text.chars().count();
    if length > LONG {
        let begin: String = text.chars().take(60).collect();
        format!("{begin}… ({length} characters)")
    } else {
        text
    }
}

#[test]
fn runs_are_short() {
    for (numbers, expected) in [
        (&[][..], "none"),
        (&[1, 2], "1 2"),
        (&[40, 39, 38, 31, 30, 7], "40…38 31 30 7"),
        (&[1, 2, 3, 9, 8, 7], "1…3 9…7"),
    ] {
        assert_eq!(runs(numbers), expected);
    }
}
