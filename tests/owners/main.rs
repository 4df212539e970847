//! Who may refresh, with the real program: several processes on one state, two hosts with one login, a
//! state from a backup, a state made anew beside an old configuration, a lost key. The provider's log is
//! the judge; what people are told to do is done to the letter.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod hosts;
mod key;
mod older;
mod processes;
mod restored;
#[path = "../support/mod.rs"]
mod support;

use support::installation::{Installation, Ran};

/// As root or not, the files are the caller's.
const INIT: [&str; 3] = ["init", "--owner", "root"];

/// The commands about a credential that a text tells people to run, in its order, each once.
fn commands(text: &str) -> Vec<Vec<String>> {
    let mut commands: Vec<Vec<String>> = Vec::new();
    for rest in text.split("keyfresh credential ").skip(1) {
        let words = rest.split(|letter: char| !letter.is_alphanumeric() && letter != '-');
        let words = words.take(2).map(str::to_owned);
        let command: Vec<String> = ["credential".to_owned()].into_iter().chain(words).collect();
        if !commands.contains(&command) {
            commands.push(command);
        }
    }
    commands
}

/// Does what `text` tells people to do about a credential, with `login` for whatever asks for a new one.
fn follow(world: &Installation, text: &str, login: &str) {
    let commands = commands(text);
    assert!(!commands.is_empty(), "{text}");
    for command in commands {
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        let ran = world.run_with(login, &command);
        assert_eq!(ran.code, Some(0), "{command:?}: {ran:?}");
    }
}

/// What `status` says to people; somebody is needed.
fn complaint(world: &Installation) -> String {
    let ran: Ran = world.run(&["status"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    ran.stdout
}

/// `text` has all `parts`.
fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part}: {text}");
    }
}
