//! The tour as a new user takes it, and what becomes of it when a step cannot happen.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn demo(folders: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_keyfresh"))
        .arg("demo")
        .env("TMPDIR", folders)
        // A configuration that would be refused: the demo must not look at it.
        .env("KEYFRESH_CONFIG", "/nonexistent/config.toml")
        .output()
        .unwrap()
}

/// The words of the steps, act by act.
fn steps(text: &str) -> Vec<Vec<&str>> {
    let mut acts = Vec::new();
    for line in text.lines() {
        if line.starts_with(|first: char| first.is_ascii_digit()) {
            acts.push(Vec::new());
        }
        if let (Some((_, step)), Some(act)) = (line.split_once(" ms  "), acts.last_mut()) {
            act.extend(step.split_whitespace().next());
        }
    }
    acts
}

#[test]
fn the_tour_shows_every_step_and_leaves_nothing_behind() {
    let folders = tempfile::tempdir().unwrap();
    let output = demo(folders.path());
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{text}\n{errors}");
    assert_eq!(errors, "");
    let refresh = [
        "claim", "exchange", "answer", "settled", "channel", "notice",
    ];
    let whole = [&["due"], &refresh[..]].concat();
    let lost = ["due", "claim", "exchange", "unconfirmed"];
    assert_eq!(
        steps(&text),
        [
            whole.clone(),
            whole.clone(),
            vec!["reuse", "channel"],
            [&lost[..], &refresh].concat(),
            vec![
                "due", "process", "claim", "lock", "exchange", "answer", "SIGKILL"
            ],
            vec!["start", "settled", "channel", "notice"],
        ],
        "{text}"
    );
    for said in [
        "status 3 → 1, abilities on again",
        "│ keyfresh：chatgpt 已刷新",
        "│ keyfresh: chatgpt refreshed",
        "keyfresh：chatgpt 已恢复",
        "Nothing was sent again and nothing was lost.",
    ] {
        assert!(text.contains(said), "{said}\n{text}");
    }
    assert_eq!(fs::read_dir(folders.path()).unwrap().count(), 0);
    assert!(!text.contains('\u{1b}'), "colours outside a terminal");
}

/// Every token of the tour is 43 characters of base64url.
#[test]
fn tokens_are_shown_masked_only() {
    let folders = tempfile::tempdir().unwrap();
    let output = demo(folders.path());
    let text = String::from_utf8(output.stdout).unwrap();
    let in_token = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
    let longest = text.split(|letter| !in_token(letter)).map(str::len).max();
    assert!(longest.is_some_and(|length| length < 30), "{text}");
    assert!(text.contains('…'));
}

#[test]
fn a_tour_that_cannot_happen_fails() {
    let folders = tempfile::tempdir().unwrap();
    let output = demo(&folders.path().join("missing"));
    assert_eq!(output.status.code(), Some(1));
    assert!(!output.stderr.is_empty());
}
