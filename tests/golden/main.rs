//! The golden replay: what real New API servers answered, request by request, held against the real
//! program on copies of the same databases. A line is answered alike, or `deviations.toml` lists it
//! under the rules that make it differ; the snapshots show how each of those differs.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod compare;
mod deviations;
mod place;
mod recording;

use std::fmt::Write as _;

use compare::{differences, tell};
use deviations::{Deviations, File};
use place::Place;
use recording::{Recording, Step};

#[test]
fn new_api_v0_9_5() {
    let report = replay(File::V095, include_str!("new-api-v0.9.5.jsonl"));
    insta::assert_snapshot!("new_api_v0_9_5", report);
}

#[test]
fn new_api_2026_02() {
    let report = replay(File::V2602, include_str!("new-api-2026-02.jsonl"));
    insta::assert_snapshot!("new_api_2026_02", report);
}

#[test]
fn the_readme_tells_the_rules() {
    let spaced = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let readme = spaced(include_str!("../../README.md"));
    for sentence in Deviations::sentences() {
        assert!(readme.contains(&spaced(&sentence)), "{sentence}");
    }
}

/// Replays every line: how many differ and why, then how each listed one does. Fails on whatever no
/// rule explains.
fn replay(file: File, lines: &str) -> String {
    let recording = Recording::read(lines);
    let deviations = Deviations::read(file, recording.names());
    let mut place = Place::new(file);
    let mut report = String::new();
    let mut problems = String::new();
    let mut equal = 0;
    for scenario in recording.scenarios() {
        place.put_back(&scenario[0].prepare);
        for step in scenario {
            let told = replay_one(&mut place, step, &deviations, &mut problems);
            match told {
                Some(told) => report.push_str(&told),
                None => equal += 1,
            }
        }
    }
    assert!(problems.is_empty(), "\n{problems}");
    place.keys_verify();
    format!(
        "{equal} lines are answered alike, {}\n{report}",
        deviations.counts()
    )
}

/// How one line differs, if it does; what is wrong with that goes to `problems`.
fn replay_one(
    place: &mut Place,
    step: &Step,
    deviations: &Deviations,
    problems: &mut String,
) -> Option<String> {
    let ours = place.answer(step, problems);
    let theirs = step.outcome();
    let parts = differences(&theirs, &ours);
    let rules = deviations.of(&step.name);
    let told = tell(&theirs, &ours);
    if let Some(problem) = deviations::judge(&rules, &parts, &ours) {
        writeln!(problems, "{}: {problem}\n{told}", step.name).unwrap();
    }
    let names = rules.iter().map(|(name, _)| name.as_str());
    let names = names.collect::<Vec<_>>().join(", ");
    (!rules.is_empty()).then(|| format!("{} ({names})\n{told}", step.name))
}
