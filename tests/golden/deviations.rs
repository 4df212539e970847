//! `deviations.toml`: the rules, which lines each of them explains, and what it claims of those.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::Deserialize;

use super::compare::{Outcome, Part};

/// One of the two recordings.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) enum File {
    V095,
    V2602,
}

impl File {
    pub(crate) fn fixture(self) -> &'static str {
        match self {
            Self::V095 => "new-api-v0.9.5.db",
            Self::V2602 => "new-api-2026-02.db",
        }
    }

    /// Which of the two shapes that server's searches have.
    pub(crate) fn search_shape(self) -> &'static str {
        match self {
            Self::V095 => "array",
            Self::V2602 => "page",
        }
    }
}

/// Why lines are answered otherwise than by the gateway.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    says: String,
    /// The parts in which its lines may differ, and no others; in one of them each does.
    differs: BTreeSet<Part>,
    /// What our answers have in common.
    #[serde(default)]
    status: Option<u16>,
    #[serde(default)]
    success: Option<bool>,
    #[serde(default)]
    written: Option<bool>,
    /// The lines, of both recordings or of one.
    #[serde(default)]
    both: Vec<String>,
    #[serde(default, rename = "new-api-v0-9-5")]
    v095: Vec<String>,
    #[serde(default, rename = "new-api-2026-02")]
    v2602: Vec<String>,
}

/// The rules as they apply to one recording.
pub(crate) struct Deviations {
    rules: BTreeMap<String, Rule>,
    cases: BTreeMap<String, Vec<String>>,
}

impl Deviations {
    /// What the README has to tell of each rule; that a line follows from an earlier one is no rule of
    /// the API.
    pub(crate) fn sentences() -> Vec<String> {
        let mut rules: BTreeMap<String, Rule> =
            toml::from_str(include_str!("deviations.toml")).unwrap();
        rules.remove("earlier-step").unwrap();
        rules.into_values().map(|rule| rule.says).collect()
    }

    /// Fails on a line that is not among `names`, on a line listed twice by one rule, and on a rule
    /// without a sentence or a line.
    pub(crate) fn read<'n>(file: File, names: impl Iterator<Item = &'n str>) -> Self {
        let rules: BTreeMap<String, Rule> =
            toml::from_str(include_str!("deviations.toml")).unwrap();
        let names: BTreeSet<_> = names.collect();
        let mut cases = BTreeMap::<_, Vec<String>>::new();
        for (name, rule) in &rules {
            assert!(rule.says.ends_with('.'), "{name} says no sentence");
            let lines = [&rule.both, &rule.v095, &rule.v2602];
            assert!(
                lines.iter().any(|lines| !lines.is_empty()),
                "{name} explains nothing"
            );
            let own = match file {
                File::V095 => &rule.v095,
                File::V2602 => &rule.v2602,
            };
            for case in rule.both.iter().chain(own) {
                assert!(names.contains(case.as_str()), "{name}: no line {case}");
                let rules = cases.entry(case.clone()).or_default();
                assert!(!rules.contains(name), "{name}: {case} is there twice");
                rules.push(name.clone());
            }
        }
        Self { rules, cases }
    }

    /// The rules that list a line.
    pub(crate) fn of(&self, case: &str) -> Vec<(&String, &Rule)> {
        let names = self.cases.get(case).into_iter().flatten();
        names
            .map(|name| self.rules.get_key_value(name).unwrap())
            .collect()
    }

    /// How many lines each rule lists.
    pub(crate) fn counts(&self) -> String {
        let mut told = format!("{} otherwise:\n", self.cases.len());
        for name in self.rules.keys() {
            let lines = self.cases.values().filter(|rules| rules.contains(name));
            let lines = lines.count();
            if lines > 0 {
                writeln!(told, "{lines:5} {name}").unwrap();
            }
        }
        told
    }
}

/// What is wrong with a line that differs in `parts` and is listed by `rules`.
pub(crate) fn judge(rules: &[(&String, &Rule)], parts: &[Part], ours: &Outcome) -> Option<String> {
    if rules.is_empty() {
        return (!parts.is_empty()).then(|| format!("no rule lets {parts:?} differ"));
    }
    if parts.is_empty() {
        return Some("is answered alike but listed".to_owned());
    }
    let explains = |rule: &Rule, part| rule.differs.contains(part);
    let unexplained = parts
        .iter()
        .find(|part| !rules.iter().any(|(_, rule)| explains(rule, part)));
    if let Some(part) = unexplained {
        return Some(format!("{part:?} differs without a rule"));
    }
    rules.iter().find_map(|(name, rule)| {
        let idle = !parts.iter().any(|part| explains(rule, part));
        let holds = rule.status.is_none_or(|status| status == ours.status)
            && (rule.success.is_none() || rule.success == ours.success())
            && rule.written.is_none_or(|written| written == ours.wrote());
        (idle || !holds).then(|| format!("{name} does not hold"))
    })
}
