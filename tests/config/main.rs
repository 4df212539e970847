//! Configurations as people write them: a directory, some variables, and what comes of them.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod canary;
mod example;
mod listen;
mod place;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use keyfresh::config::{ChannelRef, Config};
use keyfresh::notify::EventKind;
use place::Place;
use secrecy::ExposeSecret;

/// As long as no name of a key is, and nothing else in any text.
const CANARY: &str = "CANARY.v1-9a8b7c6d5e4f3a2b1c0d/CANARY";

const CREDENTIAL: &str = "[credentials.a]\nprovider = \"openai-auth0\"\n";

fn secret(config: &Config) -> &str {
    config
        .api
        .token_secret
        .as_ref()
        .unwrap()
        .value
        .expose_secret()
}

#[test]
fn nothing_at_all_is_valid() {
    let config = Place::new().config();
    assert!(config.path.is_none() && config.gateway.is_none() && config.credentials.is_empty());
    assert_eq!(config.state_dir, Path::new("/var/lib/keyfresh"));
    assert_eq!(config.api.listen, "127.0.0.1:8787");
}

#[test]
fn mistakes_come_all_at_once() {
    let config = include_str!("mistakes.toml");
    let place = Place::with(config)
        .file("config/open.token", "x")
        .file("open.token", "token")
        .mode("open.token", 0o644)
        .file("empty.token", "\n")
        .variable("KEYFRESH_SCHEDULE__CONCURENCY", "3")
        .variable("KEYFRESH_LOG__KEEP_DAYS", "many")
        .variable("KEYFRESH_CREDENTIALS__ENV__CHANNELS", "one, two");
    insta::assert_snapshot!(place.problems());
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let mut told = String::new();
    let mut tell = |what: &str, place: Place| {
        writeln!(told, "{what}\n  {}", place.problems()).unwrap();
    };
    tell(
        "syntax",
        Place::with("locale = \"en\"\n[api]\ntoken_secret = s3cret-s3cret\n"),
    );
    tell(
        "twice",
        Place::with("[api]\nlisten = \"h:1\"\nlisten = \"h:2\"\n"),
    );
    tell(
        "unclosed",
        Place::with("[api]\ntoken_secret = \"s3cret-s3cret\n"),
    );
    tell("open", Place::with("").mode("config.toml", 0o640));
    tell("binary", {
        let place = Place::with("");
        fs::write(place.path("config.toml"), [0xff, 0xfe]).unwrap();
        place
    });
    tell(
        "named by variable",
        Place::new().variable("KEYFRESH_CONFIG", "no.toml"),
    );
    let mut named = Place::new();
    named.environment.config = Some("no.toml".into());
    tell("named by option", named);
    tell(
        "open .env",
        Place::new()
            .file(".env", "TOKEN_SECRET=x")
            .mode(".env", 0o644),
    );
    tell(
        "bad .env",
        Place::new().file(".env", "TOKEN_SECRET=x\ns3cret s3cret\n"),
    );
    insta::assert_snapshot!(told);
}

#[test]
fn the_stronger_source_wins() {
    let check = |place: Place, expected: &str| assert_eq!(place.config().api.listen, expected);
    let listen = |host: &str| format!("[api]\nlisten = \"{host}:1\"\n");
    let dotenv = "export KEYFRESH_API__LISTEN='dotenv:1'\nOTHER=1\n";
    check(
        Place::new().file("etc/config.toml", &listen("etc")),
        "etc:1",
    );
    let both = || Place::with(&listen("here")).file("etc/config.toml", &listen("etc"));
    check(both(), "here:1");
    check(
        both().variable("KEYFRESH_CONFIG", "etc/config.toml"),
        "etc:1",
    );
    check(both().file(".env", dotenv), "dotenv:1");
    check(
        both()
            .file(".env", dotenv)
            .variable("KEYFRESH_API__LISTEN", "variable:1"),
        "variable:1",
    );
    check(both().variable("KEYFRESH_API__LISTEN", ""), "here:1");

    let mut place = both().file("other.toml", &listen("option"));
    place = place.variable("KEYFRESH_CONFIG", "etc/config.toml");
    place.environment.config = Some("other.toml".into());
    check(place, "option:1");
}

#[test]
fn a_dotenv_of_others_is_left_alone() {
    let place = Place::new()
        .file(".env", "PORT=3000\nnot even\n")
        .mode(".env", 0o644);
    assert!(place.config().api.token_secret.is_none());
}

#[test]
fn variables_stay_the_text_they_are() {
    for text in [
        "0012", "12345", "true", "1.5", "-5", "'q'", "\"q\"", "{a=1}", "[x]", "null", " x ", "a=b",
        "密钥",
    ] {
        let place = Place::new().variable("TOKEN_SECRET", text);
        assert_eq!(secret(&place.config()), text);
        let place = Place::new().variable("KEYFRESH_API__TOKEN_SECRET", text);
        assert_eq!(secret(&place.config()), text);
    }
    let place = Place::new()
        .variable("HASHIDS_SALT", "0".repeat(16).as_str())
        .variable("USER_TOKEN_SECRET", "7");
    let config = place.config();
    assert_eq!(
        config.api.hashids_salt.unwrap().value.expose_secret(),
        "0".repeat(16)
    );
    assert_eq!(
        config
            .one_hub
            .user_token_secret
            .unwrap()
            .value
            .expose_secret(),
        "7"
    );
}

#[test]
fn variables_reach_every_kind_of_key() {
    let place = Place::new()
        .variable("KEYFRESH_GATEWAY__DATABASE", "sqlite:///opt/one-api.db")
        .variable("KEYFRESH_GATEWAY__BUSY_TIMEOUT", "0s")
        .variable("KEYFRESH_SCHEDULE__CONCURRENCY", "3")
        .variable("KEYFRESH_CREDENTIALS__CHATGPT__PROVIDER", "openai-auth0")
        .variable("KEYFRESH_CREDENTIALS__CHATGPT__CLIENT_ID", "0042")
        .variable(
            "KEYFRESH_CREDENTIALS__CHATGPT__CHANNELS",
            "1,{ id = 5, line = 0 }",
        )
        .variable("KEYFRESH_CREDENTIALS__CHATGPT__REFRESH_BEFORE", "7d")
        .variable("KEYFRESH_CREDENTIALS__CHATGPT__EXTRA__AUDIENCE", "12")
        .variable("KEYFRESH_NOTIFY__WX__TYPE", "pushplus")
        .variable("KEYFRESH_NOTIFY__WX__TOKEN", "1234")
        .variable("KEYFRESH_NOTIFY__WX__URL", "http://relay.example/send")
        .variable("KEYFRESH_NOTIFY__WX__ALLOW_PLAINTEXT", "true")
        .variable("KEYFRESH_NOTIFY__WX__EVENTS", "dead,starting");
    let config = place.config();
    let gateway = config.gateway.unwrap();
    assert_eq!(gateway.database, Path::new("/opt/one-api.db"));
    assert_eq!(gateway.busy_timeout, Duration::ZERO);
    assert_eq!(config.schedule.concurrency, 3);
    let credential = &config.credentials[0];
    assert_eq!(credential.client.client_id, "0042");
    assert_eq!(
        credential.client.extra,
        BTreeMap::from([("audience".into(), "12".into())])
    );
    let channels = [(1, None), (5, Some(0))].map(|(id, line)| ChannelRef { id, line });
    assert_eq!(credential.channels, channels);
    assert_eq!(credential.refresh_before, Duration::from_hours(7 * 24));
    assert_eq!(
        config.notifiers[0].events,
        [EventKind::Dead, EventKind::Starting]
    );
}

#[test]
fn secret_files_are_found_and_read() {
    let check = |place: Place, expected: &str, source: &str| {
        let config = place.config();
        assert_eq!(secret(&config), expected);
        let found = &config.api.token_secret.unwrap().source;
        assert_eq!(*found, place.path(source).display().to_string());
    };
    let named = "[api]\ntoken_secret_file = \"own\"\n";
    check(Place::with(named).file("own", "abc\n"), "abc", "own");
    check(Place::with(named).file("own", " abc \r\n"), " abc ", "own");
    check(Place::with(named).file("own", "abc\n\n"), "abc\n", "own");
    // systemd's credentials come first, with modes of their own.
    let place = Place::with(named)
        .file("own", "abc")
        .file("run/own", "def")
        .mode("run/own", 0o440);
    check(place.credentials_directory("run"), "def", "run/own");
    // The API's secrets have names by default, here and there.
    check(
        Place::with("").file("token_secret", "ghi"),
        "ghi",
        "token_secret",
    );
    let place = Place::new()
        .file("run/token_secret", "jkl")
        .mode("run/token_secret", 0o444);
    check(
        place.credentials_directory("run"),
        "jkl",
        "run/token_secret",
    );
    // A variable overrides a file named in the configuration.
    let place = Place::with(named)
        .file("own", "abc")
        .variable("TOKEN_SECRET", "variable");
    assert_eq!(secret(&place.config()), "variable");
    let place = Place::with("[api]\ntoken_secret = \"inline\"\n")
        .file("own", "abc")
        .variable("KEYFRESH_API__TOKEN_SECRET_FILE", "own");
    check(place, "abc", "own");
}

#[test]
fn a_seed_says_where_it_came_from() {
    let place = Place::with(&format!("{CREDENTIAL}refresh_token_file = \"a.token\"\n"))
        .file("a.token", "v1.seed\n");
    let credential = &place.config().credentials[0];
    assert_eq!(credential.seed.as_ref().unwrap().expose_secret(), "v1.seed");
    let source = place.path("a.token").display().to_string();
    assert_eq!(credential.seed_source.as_deref(), Some(&*source));
}

#[test]
fn api_secrets_are_demanded_and_must_be_strong() {
    let mut told = String::new();
    let mut tell = |token_secret: &str, hashids_salt: &str| {
        let place = Place::new()
            .variable("TOKEN_SECRET", token_secret)
            .variable("HASHIDS_SALT", hashids_salt);
        let problems = place.config().api_secrets().unwrap_err();
        writeln!(told, "{problems}\n").unwrap();
    };
    let strong = "f1e2d3c4b5a697887766554433221100";
    tell("", "");
    tell("", "a salt of its users");
    tell(strong, "");
    tell("your_random_string_here", "YOUR_RANDOM_SALT_HERE");
    tell("short", "short");
    tell(strong, strong);
    insta::assert_snapshot!(told);

    let good = Place::new()
        .variable("TOKEN_SECRET", strong)
        .variable("HASHIDS_SALT", "a salt of its users");
    assert!(good.config().api_secrets().is_ok());
}

#[test]
fn what_needs_a_restart_is_named() {
    let before = "[gateway]\ndatabase = \"a.db\"\n";
    let check = |after: &str, expected: &[&str]| {
        let restart = Place::new()
            .variable("KEYFRESH_STATE__DIR", "/s")
            .file("config.toml", before);
        let old = restart.config();
        let new = restart.file("config.toml", after).config();
        assert_eq!(old.needs_restart(&new), expected, "{after}");
    };
    check(before, &[]);
    check(
        "locale = \"en\"\n[gateway]\ndatabase = \"a.db\"\n[log]\nlevel = \"debug\"\n",
        &[],
    );
    check(
        "[gateway]\ndatabase = \"a.db\"\nbusy_timeout = \"1s\"\n",
        &["gateway"],
    );
    check(
        "[api]\nlisten = \"h:1\"\n[log]\ndir = \"/l\"\n",
        &["api.listen", "gateway", "log.dir"],
    );
    check(
        "[gateway]\ndatabase = \"a.db\"\n[api]\ntrusted_proxies = [\"unix\"]\nname_limit = 50\n\
         search_shape = \"page\"\npublic_ids = \"hashed\"\nerror_status = \"http\"\nauth_failures = 5\n\
         token_secret = \"t\"\nallow_plaintext = true\n",
        &[
            "api.trusted_proxies",
            "api.name_limit",
            "api.search_shape",
            "api.public_ids",
            "api.error_status",
            "api.auth_failures",
            "api.token_secret",
        ],
    );
}

/// Every table with every key it knows, as an unknown key's remedy tells them.
fn known() -> Vec<(String, Vec<String>)> {
    let tables = [
        "",
        "gateway",
        "state",
        "schedule",
        "credentials.a",
        "notify.a",
        "api",
        "log",
    ];
    let config: Vec<String> = tables
        .iter()
        .map(|table| {
            let header = if table.is_empty() {
                String::new()
            } else {
                format!("[{table}]\n")
            };
            let kind = if *table == "notify.a" {
                "type = \"pushplus\"\n"
            } else {
                ""
            };
            format!("{header}zzzzzzzzzzzzzzzz = 1\n{kind}")
        })
        .collect();
    let problems = Place::with(&config.concat()).load().unwrap_err();
    let keys = |table: &str| {
        let unknown = format!("{table}.zzzzzzzzzzzzzzzz");
        let problem = problems
            .0
            .iter()
            .find(|problem| problem.key == unknown.trim_start_matches('.'));
        let (_, list) = problem.unwrap().remedy.split_once("known here: ").unwrap();
        (
            table.to_owned(),
            list.split(", ").map(str::to_owned).collect(),
        )
    };
    tables.into_iter().map(keys).collect()
}
