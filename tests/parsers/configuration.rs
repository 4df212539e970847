//! The example of the configuration, switched on and bent; and variables that nobody meant.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use keyfresh::config::{Environment, load};
use proptest::prelude::*;

use crate::{bend, cases};

/// As long as no name of a key is, and nothing else in any text.
const CANARY: &str = "CANARY.v1-9a8b7c6d5e4f3a2b1c0d/CANARY";

/// The example as it is, and with every key on and secrets in all values that may be one.
fn examples() -> Vec<Vec<u8>> {
    let example = include_str!("../../config.example.toml");
    let on: Vec<String> = example
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(key)
                if key.starts_with(|first: char| first.is_ascii_lowercase() || first == '[') =>
            {
                key
            }
            _ => line,
        })
        .map(secretive)
        .collect();
    let text = on.join("\n");
    assert!(text.matches(CANARY).count() > 5, "{text}");
    vec![example.as_bytes().to_vec(), text.into_bytes()]
}

fn secretive(line: &str) -> String {
    let Some((key, _)) = line.split_once(" = ") else {
        return line.to_owned();
    };
    let is_secret = ["secret", "salt", "token", "proxy"]
        .iter()
        .any(|word| key.contains(word));
    let key = key.strip_suffix("_file").unwrap_or(key);
    if is_secret && !key.ends_with("_url") {
        format!("{key} = \"{CANARY}\"")
    } else {
        line.to_owned()
    }
}

/// What loading it in an empty folder says.
fn said(folder: &Path, text: &[u8], variables: Vec<(String, String)>) -> (usize, String) {
    let file = folder.join("config.toml");
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let environment = Environment {
        config: Some(file),
        variables,
        credentials_directory: None,
        working_directory: folder.to_owned(),
        system_directory: folder.join("etc"),
        runtime_dir: None,
        journal: false,
    };
    match load(&environment) {
        Ok(config) => (0, format!("{config:?}")),
        Err(problems) => (problems.0.len(), format!("{problems}\n{problems:?}")),
    }
}

/// Names that exist, do not, or lead through a value.
fn variable() -> impl Strategy<Value = (String, String)> {
    let name = prop_oneof![
        Just("TOKEN_SECRET".to_owned()),
        "KEYFRESH_(API|GATEWAY|SCHEDULE|LOG|STATE|NOTIFY|CREDENTIALS)__[A-Z_]{0,12}",
        "KEYFRESH_(API|CREDENTIALS__A|NOTIFY__A)__(TOKEN_SECRET|CHANNELS|REFRESH_TOKEN|TOKEN|URL|PROXY|EXTRA)",
        "KEYFRESH_[A-Z_]{0,20}",
    ];
    let value = prop_oneof![
        Just(CANARY.to_owned()),
        Just(format!("[\"{CANARY}\"]")),
        Just(format!("{{{CANARY} = 1")),
        "\\PC{0,20}",
        "[0-9,\\[\\]{}=\" ]{0,12}",
    ];
    (name, value)
}

#[test]
fn a_bent_configuration_is_refused_without_its_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let mut runner = proptest::test_runner::TestRunner::new(cases(2));
    let variables = prop::collection::vec(variable(), 0..3);
    let cases = (bend::bent(examples()), variables);
    runner
        .run(&cases, |(text, variables)| {
            let (_, said) = said(folder.path(), &text, variables);
            let shown = said.contains(&CANARY[..12]) || said.contains(&CANARY[CANARY.len() - 12..]);
            prop_assert!(!shown, "{}", said);
            Ok(())
        })
        .unwrap();
}

/// Mistakes in different places hide none of each other.
#[test]
fn every_mistake_is_told() {
    const MISTAKES: [(&str, &str, &str); 7] = [
        ("locale", "", "locale = \"xx\"\n"),
        (
            "schedule",
            "schedule.concurrency",
            "[schedule]\nconcurrency = 65\n",
        ),
        ("log", "log.format", "[log]\nformat = \"xml\"\n"),
        ("api", "api.name_limit", "[api]\nname_limit = \"many\"\n"),
        ("gateway", "gateway.kind", "[gateway]\nkind = \"two-api\"\n"),
        (
            "credentials",
            "credentials.a.provider",
            "[credentials.a]\nprovider = \"nobody\"\n",
        ),
        ("notify", "notify.w.type", "[notify.w]\ntype = \"pigeon\"\n"),
    ];
    let folder = tempfile::tempdir().unwrap();
    let mut runner = proptest::test_runner::TestRunner::new(cases(8));
    runner
        .run(
            &prop::collection::vec(any::<bool>(), MISTAKES.len()),
            |made| {
                let made = MISTAKES.iter().zip(made).filter(|(_, made)| *made);
                let made: Vec<_> = made.map(|(mistake, _)| mistake).collect();
                let text: String = made.iter().map(|(_, _, text)| *text).collect();
                let (count, said) = said(folder.path(), text.as_bytes(), Vec::new());
                prop_assert_eq!(count > 0, !made.is_empty());
                for (key, full, _) in made {
                    let name = if full.is_empty() { key } else { full };
                    prop_assert!(said.contains(name), "{} is not in {}", name, said);
                }
                Ok(())
            },
        )
        .unwrap();
}
