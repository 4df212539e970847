//! The ratchet: what the compiler and clippy do not hold. Import arrows, sizes, openings, names, words
//! that do not come in, the top level. A rule that has to give way is changed here, in the open.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::{Path, PathBuf};

const WORDS: [&str; 3] = ["secret", "clock", "wire"];

/// Who may import what besides itself and, everywhere, [`WORDS`] and `telemetry` (for `chain`); a key
/// that ends in a slash stands for the files below a module, which else have the rights of the module,
/// and `*` for everything. The texts of notices read the rows of links.
const ARROWS: &[(&str, &[&str])] = &[
    ("lib", &[]),
    ("main", &["cli"]),
    // Words.
    ("secret", &[]),
    ("clock", &[]),
    ("wire", &[]),
    ("telemetry", &[]),
    // Pure: translate and decide.
    ("mint", &[]),
    ("provider", &[]),
    ("gateway/", &["database"]),
    ("notify/", &[]),
    ("schedule", &[]),
    ("credential", &["provider", "notify", "schedule"]),
    // Doors: never each other.
    ("tls", &[]),
    ("exchange", &["tls"]),
    ("http", &["tls"]),
    ("mail", &["tls"]),
    ("database", &[]),
    ("store", &["credential", "notify"]),
    // Acting: the only ones with several doors in hand; `exchange` is refresh's alone.
    ("gateway", &["database", "http"]),
    ("notify", &["http", "store"]),
    ("notify/courier", &["http", "store"]),
    ("notify/text", &["store"]),
    ("notify/text/item", &["store"]),
    (
        "link",
        &[
            "credential",
            "gateway",
            "http",
            "notify",
            "refresh",
            "store",
        ],
    ),
    (
        "refresh",
        &[
            "credential",
            "exchange",
            "link",
            "notify",
            "provider",
            "store",
        ],
    ),
    (
        "api",
        &["database", "gateway", "mint", "notify", "store", "tls"],
    ),
    // Assembly.
    (
        "config",
        &[
            "api",
            "credential",
            "gateway",
            "notify",
            "provider",
            "schedule",
            "tls",
        ],
    ),
    ("daemon", &["*"]),
    ("demo", &["*"]),
    ("cli", &["*"]),
];

/// The most lines of a file.
const LINES: usize = 400;

/// The most lines of an opening, and the least: a module of the map has a role, callers and something
/// absent on purpose; a file below one may need a sentence only.
const OPENING: usize = 12;
const OPENING_OF_A_MODULE: usize = 3;

/// What the user fixed and what tools and law require; dot-files besides.
const TOP_LEVEL: &[&str] = &[
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "config.example.toml",
    "src",
    "systemd",
    "target",
    "tests",
];

const BANNED_FILES: &[&str] = &[
    "common",
    "data",
    "helper",
    "helpers",
    "info",
    "manager",
    "misc",
    "mod",
    "models",
    "processor",
    "service",
    "types",
    "util",
    "utils",
];

const BANNED_WORDS: &[(&str, &str)] = &[
    ("TODO", "do it or leave it"),
    ("FIXME", "do it or leave it"),
    (
        "#[ignore]",
        "a test runs or goes; one that another runs as its child says so",
    ),
    ("#[allow(", "say #[expect(…, reason = \"…\")]"),
    ("let _ =", "name what is dropped, or deal with it"),
    ("../shared", "a fresh clone needs nothing outside itself"),
    ("/work/", "a fresh clone needs nothing outside itself"),
    ("::sleep(", "clock.rs waits; a test looks for what happens"),
    ("time::interval", "waiting goes through clock.rs"),
    ("fn handle_", "name what it does"),
    ("fn process_", "name what it does"),
    ("fn do_", "name what it does"),
    ("fn get_", "name what it gives"),
];

/// Files that may say a banned word: the door it stands for.
const DOORS: &[(&str, &str)] = &[("src/clock.rs", "::sleep("), ("tests/tidy.rs", "")];

/// The first line of a file that is only a place so far.
const STUB: &str = "//! To be written";

struct File {
    /// From the top level, with slashes.
    path: String,
    text: String,
}

impl File {
    /// The path below `src/` without its ending: `notify/pushplus`.
    fn module(&self) -> Option<&str> {
        self.path.strip_prefix("src/")?.strip_suffix(".rs")
    }

    fn stem(&self) -> &str {
        Path::new(&self.path).file_stem().unwrap().to_str().unwrap()
    }

    fn is_stub(&self) -> bool {
        self.text.starts_with(STUB)
    }

    /// The code without comments and without its tests.
    fn code(&self) -> String {
        let shipped = match self.text.find("#[cfg(test)]\nmod tests {") {
            _ if self.stem() == "tests" => "",
            Some(end) => &self.text[..end],
            None => &self.text,
        };
        let code = shipped
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        code.collect::<Vec<_>>().join("\n")
    }
}

fn top() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<File> {
    let mut files = Vec::new();
    let mut folders = vec![top().join("src"), top().join("tests")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let inside = path.strip_prefix(top()).unwrap();
                files.push(File {
                    path: inside.to_str().unwrap().to_owned(),
                    text: fs::read_to_string(&path).unwrap(),
                });
            }
        }
    }
    assert!(files.len() > 20, "the sources are not where they were");
    files.sort_by(|one, other| one.path.cmp(&other.path));
    files
}

/// Collects what `problem` finds in each written file.
fn check(problem: impl Fn(&File) -> Vec<String>) {
    let files = sources();
    let written = files.iter().filter(|file| !file.is_stub());
    let problems: Vec<String> = written
        .flat_map(|file| {
            let found = problem(file).into_iter();
            found.map(|problem| format!("{}: {problem}", file.path))
        })
        .collect();
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

/// The modules that stand right behind each `root` (`crate::`), also in braces.
fn imports(code: &str, root: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (start, _) in code.match_indices(root) {
        if code[..start].ends_with(|before: char| before.is_alphanumeric() || before == '_') {
            continue;
        }
        let rest = &code[start + root.len()..];
        match rest.strip_prefix('{') {
            Some(group) => found.extend(first_words(group)),
            None => found.extend(first_word(rest)),
        }
    }
    found
}

fn first_word(text: &str) -> Option<String> {
    let word: String = text
        .trim_start()
        .chars()
        .take_while(|letter| letter.is_alphanumeric() || *letter == '_')
        .collect();
    (!word.is_empty()).then_some(word)
}

/// The first word of each item of a group whose opening brace is past.
fn first_words(group: &str) -> Vec<String> {
    let (mut depth, mut start, mut words) = (1, 0, Vec::new());
    for (place, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => {}
            _ => continue,
        }
        if depth == 0 || (letter == ',' && depth == 1) {
            words.extend(first_word(&group[start..place]));
            start = place + 1;
        }
        if depth == 0 {
            break;
        }
    }
    words
}

#[test]
fn imports_are_found_in_every_spelling() {
    for (code, expected) in [
        ("use crate::clock::Clock;", vec!["clock"]),
        ("use crate::{clock::{A, B}, wire};", vec!["clock", "wire"]),
        ("use crate::{\n    a::{b::{c}},\n    d,\n};", vec!["a", "d"]),
        ("let x = crate::store::open();", vec!["store"]),
        ("pub(crate) fn f() {} othercrate::x", vec![]),
    ] {
        assert_eq!(imports(code, "crate::"), expected, "{code}");
    }
}

#[test]
fn import_arrows_hold() {
    check(|file| {
        let Some(module) = file.module() else {
            return Vec::new();
        };
        let own = module.split('/').next().unwrap();
        let below = format!("{own}/");
        let row = |key: &str| ARROWS.iter().find(|(module, _)| *module == key);
        let inner = module
            .contains('/')
            .then(|| row(module).or_else(|| row(&below)));
        let Some((_, allowed)) = inner.flatten().or_else(|| row(own)) else {
            return vec!["no row in ARROWS".to_owned()];
        };
        let root = if own == "main" {
            "keyfresh::"
        } else {
            "crate::"
        };
        let mut forbidden = imports(&file.code(), root);
        forbidden.retain(|import| {
            let import = import.as_str();
            let open = WORDS.contains(&import) || ["telemetry", own].contains(&import);
            !open && !allowed.contains(&import) && !allowed.contains(&"*")
        });
        let told = forbidden.iter();
        told.map(|import| format!("must not import {import}"))
            .collect()
    });
}

#[test]
fn files_fit_a_mind() {
    check(|file| {
        let lines = file.text.lines().count();
        let long = (lines > LINES).then(|| format!("{lines} lines, at most {LINES}"));
        long.into_iter().collect()
    });
}

#[test]
fn files_open_with_their_role() {
    check(|file| {
        let opening = file.text.lines().take_while(|line| line.starts_with("//!"));
        let lines = opening.count();
        let (least, most) = match file.module() {
            Some("lib") => (1, LINES),
            Some(module) if file.stem() == "tests" && module.contains('/') => (0, OPENING),
            Some(module) if module == "main" || module.contains('/') => (1, OPENING),
            Some(_) => (OPENING_OF_A_MODULE, OPENING),
            None => (1, OPENING),
        };
        let wrong = (lines < least || lines > most)
            .then(|| format!("an opening of {lines} lines, must be {least} to {most}"));
        wrong.into_iter().collect()
    });
}

#[test]
fn banned_words_stay_out() {
    check(|file| {
        let mut problems = Vec::new();
        if BANNED_FILES.contains(&file.stem()) && file.path.starts_with("src/") {
            problems.push("this name says nothing; name what the file holds".to_owned());
        }
        for (number, line) in file.text.lines().enumerate() {
            for (word, advice) in BANNED_WORDS {
                let door = |(path, said): &(&str, &str)| *path == file.path && word.contains(said);
                if line.contains(word) && !DOORS.iter().any(door) {
                    problems.push(format!("line {}: `{word}`: {advice}", number + 1));
                }
            }
        }
        problems
    });
}

#[test]
fn the_map_lists_every_module() {
    let map = fs::read_to_string(top().join("src/lib.rs")).unwrap();
    check(|file| {
        let listed = match file.module() {
            None | Some("lib" | "main") => true,
            Some(module) => match module.split_once('/') {
                None => map.lines().any(|line| line == format!("pub mod {module};")),
                Some((parent, _)) => top().join(format!("src/{parent}.rs")).exists(),
            },
        };
        let lost = (!listed).then(|| "not in src/lib.rs, or a folder without its file".to_owned());
        lost.into_iter().collect()
    });
}

#[test]
fn the_top_level_is_what_the_user_fixed() {
    for entry in fs::read_dir(top()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            name.starts_with('.') || TOP_LEVEL.contains(&name.as_str()),
            "{name} does not belong at the top level"
        );
    }
}

#[test]
fn both_units_are_hardened_alike() {
    let hardening = |unit: &str| {
        let text = fs::read_to_string(top().join("systemd").join(unit)).unwrap();
        let start = text.find("StateDirectory=").unwrap();
        let end = text.find("\n[Install]").unwrap_or(text.len());
        text[start..end].trim().to_owned()
    };
    assert_eq!(
        hardening("keyfresh.service"),
        hardening("keyfresh-once.service")
    );
}
