//! The people of the token API, with the real program: users, their bearers, and the embedded database
//! that holds them where there is no gateway.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use keyfresh::clock::Clock;
use keyfresh::mint::Mint;
use keyfresh::secret::SecretString;
use serde_json::Value;
use support::database::FIXTURES;
use support::installation::{Installation, mode};

/// A configuration without a gateway, and no state yet.
fn without_a_gateway() -> Installation {
    let world = Installation::new("one-api.db");
    fs::remove_dir_all(world.path("state")).unwrap();
    world.configure("[state]\ndir = \"state\"\n\n[api]\nlisten = \"127.0.0.1:0\"\n");
    world
}

/// As root or not, the files are the caller's.
const INIT: [&str; 3] = ["init", "--owner", "root"];

/// Every file below the state folder but the embedded database, with its content.
fn state(world: &Installation) -> Vec<(PathBuf, Vec<u8>)> {
    let folders = ["state", "state/slots"].map(|name| fs::read_dir(world.path(name)).unwrap());
    let paths = folders
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = paths.filter(|path| path.is_file()).collect();
    files.retain(|path| !path.ends_with("gateway.db"));
    files.sort();
    let content = |path: PathBuf| (path.clone(), fs::read(path).unwrap());
    files.into_iter().map(content).collect()
}

#[test]
fn init_makes_the_embedded_database_once_and_nobody_else_does() {
    let world = without_a_gateway();
    let embedded = world.path("state/gateway.db");
    world
        .run(&INIT)
        .says(0, &["state/state.db", "made", "state/gateway.db"]);
    assert_eq!(mode(&embedded), 0o600);
    world.serve().stop().says(0, &["ready"]);
    world.run(&INIT).says(78, &["exists already"]);

    fs::remove_file(&embedded).unwrap();
    let missing = ["gateway.db is missing", "keyfresh init", "restore it"];
    for command in [
        &["serve"][..],
        &["user", "list"],
        &["user", "add", "alice"],
        &["user", "token", "alice"],
    ] {
        world.run(command).says(78, &missing);
    }
    world.run(&["check"]).says(1, &missing);
    assert!(!embedded.exists());
    let before = state(&world);
    world.run(&INIT).says(0, &["kept", "made", "gateway.db"]);
    assert_eq!(state(&world), before);
    world.serve().stop().says(0, &["ready"]);

    // A piece of the state itself is never made anew, whatever else is missing.
    fs::remove_file(&embedded).unwrap();
    fs::remove_file(world.path("state/state.key")).unwrap();
    world.run(&INIT).says(78, &["exists already"]);
    assert!(!embedded.exists() && !world.path("state/state.key").exists());
}

#[test]
fn init_makes_no_embedded_database_beside_a_gateway() {
    let world = Installation::new("one-api.db");
    fs::remove_dir_all(world.path("state")).unwrap();
    world.run(&INIT).says(0, &["state/state.db"]);
    assert!(!world.path("state/gateway.db").exists());
    world.run(&INIT).says(78, &["exists already"]);
    world
        .run(&["user", "add", "zoe"])
        .says(1, &["the gateway's own"]);
}

#[test]
fn users_are_listed_and_never_their_access_tokens() {
    let mut picture = String::new();
    for fixture in FIXTURES {
        let world = Installation::new(fixture);
        let said = world.done(&["user", "list"]);
        writeln!(picture, "{fixture}\n{said}").unwrap();
        let json: Value = serde_json::from_str(&world.done(&["user", "list", "--json"])).unwrap();
        let users = json["users"].as_array().unwrap();
        assert_eq!(users.len(), said.lines().count());
        assert_eq!(users[0]["has_access_token"], true);
        for text in [said, json.to_string()] {
            assert!(
                !text.contains("fixture-access") && !text.contains("fixtureaccess"),
                "{text}"
            );
        }
    }
    insta::assert_snapshot!(picture);
}

#[test]
fn the_embedded_database_has_users_of_our_own() {
    let world = without_a_gateway();
    world.done(&INIT);
    assert!(
        world
            .done(&["user", "list"])
            .contains("keyfresh user add NAME")
    );
    let said = world.done(&["user", "add", "alice"]);
    assert!(said.contains("added alice with id 1"), "{said}");
    world
        .run(&["user", "add", "alice"])
        .says(1, &["there is a user alice already"]);
    for name in ["7", "", " x", "a\u{1b}[31m"] {
        world
            .run(&["user", "add", name])
            .says(1, &["a name has no blanks"]);
    }
    let daemon = world.serve();
    assert!(
        world
            .done(&["user", "add", "中文 name"])
            .contains("with id 2")
    );
    assert_eq!(
        world.done(&["user", "list"]),
        "1  alice: user, enabled, no access token\n2  中文 name: user, enabled, no access token\n"
    );
    world
        .run(&["user", "token", "中文 name"])
        .says(0, &["(id 2)"]);
    daemon.stop();
}

/// The bearer that `arguments` print, alone on standard output.
fn bearer(world: &Installation, arguments: &[&str]) -> (String, String) {
    let ran = world.run(arguments);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let bearer = ran.stdout.strip_suffix('\n').unwrap().to_owned();
    assert!(
        !bearer.contains('\n') && !ran.stderr.contains(&bearer),
        "{ran:?}"
    );
    (bearer, ran.stderr)
}

#[test]
fn a_bearer_is_printed_alone_and_revoked_with_all_before_it() {
    let world = Installation::new("one-api.db");
    let installed = ["token_secret", "hashids_salt"].map(|name| {
        let text = fs::read_to_string(world.path(name)).unwrap();
        SecretString::from(text)
    });
    let mint = Mint::new(&installed[0], None, &installed[1]).unwrap();
    let now = Clock::system().now();
    let read = |arguments: &[&str]| {
        let (bearer, told) = bearer(&world, arguments);
        let read = mint.read_bearer(&bearer, now).unwrap();
        (
            read.user,
            read.generation,
            (read.expires - now).num_hours(),
            told,
        )
    };
    let (user, generation, hours, told) = read(&["user", "token", "alice"]);
    assert_eq!((user, generation, (hours + 1) / 24), (2, 0, 30));
    assert!(
        told.contains("alice (id 2)") && told.contains("--revoke-all"),
        "{told}"
    );
    let (user, _, hours, _) = read(&["user", "token", "2", "--ttl", "12h"]);
    assert_eq!((user, hours.clamp(11, 12)), (2, hours));

    let revoked = world.run(&["user", "token", "--revoke-all", "alice"]);
    revoked.says(0, &["alice (id 2)", "revoked"]);
    assert_eq!(revoked.stdout, "");
    assert_eq!(read(&["user", "token", "alice"]).1, 1);
    assert_eq!(read(&["user", "token", "bob"]).1, 0);

    world
        .run(&["user", "token", "carol"])
        .says(1, &["carol may not call the API"]);
    for nobody in ["erin", "zoe", "99", "6"] {
        world
            .run(&["user", "token", nobody])
            .says(1, &["keyfresh user list"]);
    }
    for ttl in ["0s", "3651d", "30", "-1d", "1.5h", "d"] {
        let typed = format!("--ttl={ttl}");
        world
            .run(&["user", "token", "alice", &typed])
            .says(64, &["3650d"]);
    }
    let both = ["user", "token", "alice", "--ttl", "1d", "--revoke-all"];
    world.run(&both).says(64, &["cannot be used with"]);
}

#[test]
fn a_guest_gets_no_bearer() {
    let world = Installation::new("new-api-2026-08.db");
    world
        .run(&["user", "token", "eve"])
        .says(1, &["eve may not call the API"]);
    world
        .run(&["user", "token", "dave"])
        .says(1, &["no user is called dave"]);
    bearer(&world, &["user", "token", "frank"]);
}
