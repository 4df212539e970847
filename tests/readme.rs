//! The README holds: its configuration loads, its paths exist, its commands are there.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use keyfresh::config::{self, Environment};

fn top() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn readme() -> String {
    fs::read_to_string(top().join("README.md")).unwrap()
}

/// The blocks fenced as `language`, without their indentation.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let fences = text.split("```").collect::<Vec<_>>();
    let inside = fences.iter().skip(1).step_by(2);
    inside
        .filter_map(|block| block.strip_prefix(language))
        .map(|block| block.lines().map(str::trim).collect::<Vec<_>>().join("\n"))
        .collect()
}

fn private(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn its_configuration_loads_and_is_the_same_in_both_languages() {
    let found = blocks(&readme(), "toml");
    assert_eq!(found.len(), 2);
    assert_eq!(found[0], found[1]);
    let dir = tempfile::tempdir().unwrap();
    private(&dir.path().join("config.toml"), &found[0]);
    private(&dir.path().join("chatgpt.token"), "a-refresh-token");
    private(&dir.path().join("pushplus.token"), "a-pushplus-token");
    let config = config::load(&Environment {
        config: Some(dir.path().join("config.toml")),
        variables: Vec::new(),
        credentials_directory: None,
        working_directory: dir.path().to_owned(),
        system_directory: dir.path().to_owned(),
        runtime_dir: None,
        journal: false,
    });
    let config = config.unwrap();
    assert_eq!(config.credentials[0].client.preset, "openai-auth0");
    assert_eq!(config.notifiers[0].name, "wechat");
}

#[test]
fn its_paths_exist() {
    let text = readme();
    let words = text.split(|letter: char| letter.is_whitespace() || "`()，；".contains(letter));
    let ours = |word: &&str| {
        ["src/", "tests/", "systemd/"]
            .iter()
            .any(|folder| word.starts_with(folder))
    };
    let mut paths: Vec<&str> = words.filter(ours).collect();
    paths.extend(["config.example.toml", "LICENSE"]);
    assert!(paths.len() > 20, "{paths:?}");
    for path in paths {
        assert!(top().join(path).exists(), "{path}");
    }
}

#[test]
fn its_commands_are_there() {
    let text = readme();
    let commands: Vec<Vec<&str>> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `keyfresh ")?.split('`').next())
        .map(|command| {
            let words = command.split(' ');
            words
                .take_while(|word| word.starts_with(|letter: char| letter.is_ascii_lowercase()))
                .collect()
        })
        .collect();
    assert!(commands.len() >= 10, "{commands:?}");
    for command in commands {
        let help = Command::new(env!("CARGO_BIN_EXE_keyfresh"))
            .args(&command)
            .arg("--help")
            .output()
            .unwrap();
        assert!(help.status.success(), "{command:?}");
    }
}
