//! What was typed: tables of keys, each read as the kind of value it should be.
//!
//! A [`Table`] remembers every key it was asked for; [`Table::finish`] reports the rest as unknown. What
//! cannot be read becomes a [`Problem`] and reads as unset, so that reading goes on and all problems
//! come at once. No problem shows a value. What the values mean is not known here.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use figment::value::{Dict, Value};
use figment::{Figment, Provider, Source};

use super::private_file::Places;
use super::problem::{Problem, Problems, shown};
use super::value::{integer, is_name, listed, one_of, span};

/// Everything typed, and what is wrong with it so far.
pub(super) struct Document {
    pub(super) file: Option<PathBuf>,
    pub(super) places: Places,
    figment: Figment,
    entries: Dict,
    problems: RefCell<Vec<Problem>>,
}

/// Where a value was typed, the weakest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The configuration file.
    File(PathBuf),
    /// A variable in `.env`.
    DotEnv(PathBuf, String),
    /// A variable of the environment.
    Environment(String),
}

impl Origin {
    /// A higher rank overrides a lower one.
    pub(super) fn rank(&self) -> u8 {
        match self {
            Self::File(_) => 0,
            Self::DotEnv(..) => 1,
            Self::Environment(_) => 2,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::DotEnv(path, name) => write!(f, "{} ({name})", path.display()),
            Self::Environment(name) => write!(f, "environment variable {name}"),
        }
    }
}

impl Document {
    pub(super) fn new(figment: Figment, file: Option<PathBuf>, places: Places) -> Self {
        // Our providers never fail, so neither does what figment merged of them.
        let entries = figment
            .data()
            .ok()
            .and_then(|mut profiles| profiles.remove(&figment::Profile::Default))
            .unwrap_or_default();
        Self {
            file,
            places,
            figment,
            entries,
            problems: RefCell::default(),
        }
    }

    /// The table that holds all others.
    pub(super) fn root(&self) -> Table<'_> {
        Table::new(self, String::new(), Some(&self.entries))
    }

    /// The place to name for what is missing.
    pub(super) fn place(&self) -> String {
        place(self.file.as_ref())
    }

    pub(super) fn report(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    /// Every problem reported, in the order of source and key.
    pub(super) fn into_problems(self) -> Problems {
        let mut problems = self.problems.into_inner();
        problems.sort_by(|a, b| (&a.source, &a.key).cmp(&(&b.source, &b.key)));
        Problems(problems)
    }

    fn origin(&self, value: &Value) -> Origin {
        let known = self.figment.get_metadata(tag(value));
        let name = known.map_or_else(String::new, |metadata| metadata.name.to_string());
        match known.and_then(|metadata| metadata.source.clone()) {
            Some(Source::File(path)) if name.is_empty() => Origin::File(path),
            Some(Source::File(path)) => Origin::DotEnv(path, name),
            _ => Origin::Environment(name),
        }
    }
}

/// How people are told of the configuration file.
pub(super) fn place(file: Option<&PathBuf>) -> String {
    file.map_or_else(
        || "the configuration".to_owned(),
        |path| path.display().to_string(),
    )
}

/// A table merged from several sources has no tag of its own that helps: its first entry's is taken.
fn tag(value: &Value) -> figment::value::Tag {
    match value {
        Value::Dict(own, entries) => entries.values().next().map_or(*own, tag),
        other => other.tag(),
    }
}

/// One table of the configuration.
pub(super) struct Table<'a> {
    pub(super) document: &'a Document,
    path: String,
    entries: Option<&'a Dict>,
    known: Vec<String>,
}

impl<'a> Table<'a> {
    fn new(document: &'a Document, path: String, entries: Option<&'a Dict>) -> Self {
        Self {
            document,
            path,
            entries,
            known: Vec::new(),
        }
    }

    /// The dotted name of `key`.
    pub(super) fn key(&self, key: &str) -> String {
        match &*self.path {
            "" => key.to_owned(),
            path => format!("{path}.{key}"),
        }
    }

    /// The value typed for `key`, which is known from now on.
    pub(super) fn value(&mut self, key: &str) -> Option<&'a Value> {
        self.known.push(key.to_owned());
        self.entries?.get(key)
    }

    /// Where `key` was typed.
    pub(super) fn origin(&self, key: &str) -> Option<Origin> {
        let value = self.entries?.get(key)?;
        Some(self.document.origin(value))
    }

    /// Whether `key` was typed.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries
            .is_some_and(|entries| entries.contains_key(key))
    }

    /// Reports what is wrong with `key`, where it was typed or should have been.
    pub(super) fn report(&self, key: &str, fault: impl Into<String>, remedy: impl Into<String>) {
        let source = self
            .origin(key)
            .or_else(|| self.origin(&format!("{key}_file")))
            .map_or_else(|| self.document.place(), |origin| origin.to_string());
        self.document.report(Problem {
            source,
            key: self.key(key),
            fault: fault.into(),
            remedy: remedy.into(),
        });
    }

    /// Reports that `key` is not what was `expected`; `example` is written as in TOML.
    pub(super) fn reject(&self, key: &str, expected: &str, example: &str) {
        let remedy = match self.origin(key) {
            Some(Origin::DotEnv(_, name) | Origin::Environment(name)) => {
                format!("write for example {name}={}", example.trim_matches('"'))
            }
            _ => format!("write for example {key} = {example}"),
        };
        self.report(key, format!("expected {expected}"), remedy);
    }

    /// `key` as `parse` understands it.
    pub(super) fn parsed<T>(
        &mut self,
        key: &str,
        expected: &str,
        example: &str,
        parse: impl FnOnce(&Value) -> Option<T>,
    ) -> Option<T> {
        let value = self.value(key)?;
        let parsed = parse(value);
        if parsed.is_none() {
            self.reject(key, expected, example);
        }
        parsed
    }

    /// Text that is not empty.
    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        self.parsed(key, "text in quotes, not empty", "\"text\"", |value| {
            Some(value.as_str()?.to_owned()).filter(|text| !text.is_empty())
        })
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&mut self, key: &str, words: &[(&str, T)]) -> Option<T> {
        let all: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let example = format!("\"{}\"", all.first().unwrap_or(&""));
        let expected = format!("one of {}", all.join(", "));
        self.parsed(key, &expected, &example, |value| one_of(value, words))
    }

    /// A list of words.
    pub(super) fn choices<T: Copy>(&mut self, key: &str, words: &[(&str, T)]) -> Option<Vec<T>> {
        let all: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let example = format!("[\"{}\"]", all.first().unwrap_or(&""));
        let expected = format!("a list of words out of {}", all.join(", "));
        self.parsed(key, &expected, &example, |value| {
            listed(value)?
                .iter()
                .map(|word| one_of(word, words))
                .collect()
        })
    }

    /// A whole number in `range`.
    pub(super) fn number(
        &mut self,
        key: &str,
        range: std::ops::RangeInclusive<usize>,
    ) -> Option<usize> {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        let example = range.start().to_string();
        self.parsed(key, &expected, &example, |value| {
            usize::try_from(integer(value)?)
                .ok()
                .filter(|number| range.contains(number))
        })
    }

    /// `true` or `false`.
    pub(super) fn flag(&mut self, key: &str) -> Option<bool> {
        self.parsed(key, "true or false", "true", |value| match value {
            Value::Bool(_, flag) => Some(*flag),
            other => other.as_str()?.parse().ok(),
        })
    }

    /// A span of time.
    pub(super) fn duration(&mut self, key: &str) -> Option<Duration> {
        let expected = "a span of time: a whole number with s, m, h or d, at most 3650d";
        self.parsed(key, expected, "\"90s\"", |value| span(value.as_str()?))
    }

    /// Names with text.
    pub(super) fn strings(&mut self, key: &str) -> Option<BTreeMap<String, String>> {
        self.parsed(key, "a table of text", "{ name = \"text\" }", |value| {
            let pair =
                |(name, text): (&String, &Value)| Some((name.clone(), text.as_str()?.into()));
            value.as_dict()?.iter().map(pair).collect()
        })
    }

    /// The table under `key`; an empty one if there is none.
    pub(super) fn table(&mut self, key: &str) -> Table<'a> {
        let entries = self.value(key).and_then(|value| {
            let entries = value.as_dict();
            if entries.is_none() {
                self.report(
                    key,
                    "expected a table",
                    format!("write [{}] and keys under it", self.key(key)),
                );
            }
            entries
        });
        Table::new(self.document, self.key(key), entries)
    }

    /// The tables under `key`, by name.
    pub(super) fn tables(&mut self, key: &str) -> Vec<(String, Table<'a>)> {
        let mut outer = self.table(key);
        let names: Vec<&String> = outer
            .entries
            .iter()
            .flat_map(|entries| entries.keys())
            .collect();
        names
            .into_iter()
            .filter_map(|name| {
                if is_name(name) {
                    return Some((name.clone(), outer.table(name)));
                }
                self.document.report(Problem {
                    source: outer.origin(name)?.to_string(),
                    key: outer.key(shown(name)),
                    fault: "a name is made of a-z, 0-9 and single _, and starts with a letter"
                        .into(),
                    remedy: "rename it".into(),
                });
                None
            })
            .collect()
    }

    /// Reports every key that nobody asked for.
    pub(super) fn finish(self) {
        let unknown = self
            .entries
            .into_iter()
            .flatten()
            .filter(|(key, _)| !self.known.contains(key));
        for (key, value) in unknown {
            let remedy = match self.closest(key) {
                Some(close) => format!("did you mean `{close}`?"),
                None => format!("remove it; known here: {}", self.known.join(", ")),
            };
            self.document.report(Problem {
                source: self.document.origin(value).to_string(),
                key: self.key(shown(key)),
                fault: "unknown key".to_owned(),
                remedy,
            });
        }
    }

    fn closest(&self, typed: &str) -> Option<&str> {
        let distance = |known: &str| strsim::damerau_levenshtein(known, typed);
        let close = self.known.iter().min_by_key(|known| distance(known))?;
        (distance(close) <= 1 + close.len() / 4).then_some(close)
    }
}
