//! The API's secrets, with the real program: what a changed one stops, and which keys were made with them.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Stdio;

use keyfresh::clock::Clock;
use keyfresh::mint::Mint;
use keyfresh::secret::ExposeSecret as _;
use serde_json::{Value, json};
use support::installation::{Installation, Ran};

const OLD: &str = "a-test-value-of-more-than-32-characters";
const NEW: &str = "another-test-value-of-more-than-32-characters";
const NEWEST: &str = "the-third-test-value-of-more-than-32-characters";

/// It said what it should, and no secret.
fn said(ran: &Ran, code: i32, parts: &[&str]) {
    ran.says(code, parts);
    for secret in [OLD, NEW, NEWEST, "another-test-"] {
        assert!(!format!("{ran:?}").contains(secret), "{ran:?}");
    }
}

fn serves(world: &Installation) -> String {
    let daemon = world.serve();
    said(&world.run(&["check"]), 0, &["ok    TOKEN_SECRET"]);
    let ran = daemon.stop();
    said(&ran, 0, &["ready"]);
    ran.stderr
}

fn refuses(world: &Installation, parts: &[&str]) {
    said(&world.run(&["serve"]), 78, parts);
    said(&world.run(&["check"]), 1, parts);
    said(&world.run(&["user", "token", "alice"]), 78, parts);
}

#[test]
fn a_changed_token_secret_needs_the_previous_one_or_a_word() {
    let world = Installation::new("one-api.db");
    let previous = |name: &str| {
        let line = format!("[api]\ntoken_secret_previous_file = \"{name}\"\n");
        world.edit("[api]\n", &line);
    };
    world.secret("old", OLD);
    world.secret("new", NEW);
    serves(&world);
    world.secret("token_secret", NEW);
    refuses(
        &world,
        &[
            "api.token_secret: is not the one used so far",
            "restore the old one",
            "token_secret_previous_file",
            "keyfresh token accept-secrets",
        ],
    );
    previous("old");
    assert!(serves(&world).contains("token_secret has changed"));
    assert!(!serves(&world).contains("token_secret has changed"));
    world.edit("token_secret_previous_file = \"old\"\n", "");
    serves(&world);

    world.secret("token_secret", NEWEST);
    previous("old");
    refuses(&world, &["token_secret_previous is not either"]);
    world.edit("\"old\"", "\"new\"");
    serves(&world);

    world.edit("token_secret_previous_file = \"new\"\n", "");
    world.secret("token_secret", OLD);
    refuses(&world, &["api.token_secret"]);
    let accept = ["token", "accept-secrets"];
    world
        .run(&accept)
        .says(0, &["api.token_secret is taken for ours"]);
    serves(&world);
    world.run(&accept).says(0, &["nothing has changed"]);
}

#[test]
fn a_changed_salt_needs_a_word() {
    let world = Installation::new("one-api.db");
    serves(&world);
    world.secret("hashids_salt", "another-test-salt");
    world.secret("previous", OLD);
    refuses(
        &world,
        &[
            "api.hashids_salt: is not the one used so far",
            "keyfresh token accept-secrets",
        ],
    );
    world.secret("token_secret", NEW);
    refuses(
        &world,
        &["api.token_secret: is not", "api.hashids_salt: is not"],
    );
    let daemonless = world.run(&["token", "accept-secrets"]);
    daemonless.says(0, &["api.token_secret is", "api.hashids_salt is"]);
    assert!(!daemonless.stdout.contains("restart"), "{daemonless:?}");
    serves(&world);
}

#[test]
fn a_changed_secret_beside_a_running_daemon_is_for_its_restart() {
    let world = Installation::new("one-api.db");
    let daemon = world.serve();
    world.secret("token_secret", NEW);
    daemon.signal(nix::sys::signal::Signal::SIGHUP);
    daemon.logs("these changes need a restart");
    assert!(
        daemon.log().contains("api.token_secret"),
        "{}",
        daemon.log()
    );
    world
        .run(&["token", "accept-secrets"])
        .says(0, &["restart the running daemon"]);
    daemon.stop();
    serves(&world);
}

fn mint(secret: &str) -> Mint {
    Mint::new(&secret.into(), None, &"another-test-value".into()).unwrap()
}

#[test]
fn a_key_tells_who_made_it_and_for_whom() {
    let world = Installation::new("one-api.db");
    let verify = |key: &str, arguments: &[&str]| {
        let ran = world.run_with(key, &[&["token", "verify"], arguments].concat());
        assert!(!format!("{ran:?}").contains(key.trim()), "{ran:?}");
        ran
    };
    let created = "2026-08-01T12:30:00Z".parse().unwrap();
    let key = mint(OLD).key(42, created).unwrap();
    let key = key.expose_secret();
    let ours = ["ours: made for user 42 at 2026-08-01 20:30:00 CST, signed with token_secret\n"];
    verify(key, &[]).says(0, &ours);
    verify(&format!("sk-{key}\n"), &[]).says(0, &ours);
    let told: Value = serde_json::from_str(&verify(key, &["--json"]).stdout).unwrap();
    assert_eq!(
        told,
        json!({"ours": true, "format": "keyfresh", "user": 42, "token": null,
            "created": "2026-08-01T12:30:00Z", "secret": "token_secret"})
    );

    let foreign = mint(NEW).key(42, created).unwrap();
    for other in [
        foreign.expose_secret(),
        &"x".repeat(48),
        &key[..47],
        "sk-",
        "密钥",
    ] {
        let ran = world.run_with(other, &["token", "verify"]);
        assert_eq!(ran.code, Some(1), "{other}: {ran:?}");
    }
    verify(foreign.expose_secret(), &[]).says(1, &["not ours"]);
    let told = verify(foreign.expose_secret(), &["--json"]).stdout;
    assert!(told.contains("\"ours\": false"), "{told}");
    world
        .run_with("\n", &["token", "verify"])
        .says(1, &["expected on standard input"]);

    world.secret("token_secret", NEW);
    world.secret("previous", OLD);
    world.edit(
        "[api]\n",
        "[api]\ntoken_secret_previous_file = \"previous\"\n",
    );
    verify(key, &[]).says(0, &["signed with token_secret_previous"]);
    // Offline: neither the gateway nor the state is needed.
    fs::remove_file(&world.gateway).unwrap();
    fs::remove_dir_all(world.path("state")).unwrap();
    verify(foreign.expose_secret(), &[]).says(0, &["user 42"]);
    fs::remove_file(world.path("token_secret")).unwrap();
    verify(key, &[]).says(78, &["token_secret or hashids_salt is not set"]);
}

/// The secret that signed the keys of the fixture.
const ONE_HUBS: &str = "fixture-user-token-secret-000001";

#[test]
fn one_hubs_keys_are_known_by_its_own_secret() {
    let world = Installation::new("one-hub.db");
    let newest = "SELECT key FROM tokens WHERE id = 16";
    let key: String = world
        .other()
        .query_row(newest, [], |row| row.get(0))
        .unwrap();
    let makes_none = "the API makes no tokens";
    world
        .run_with(&key, &["token", "verify"])
        .says(1, &["not ours"]);
    world
        .run(&["check"])
        .says(0, &["note", makes_none, "is not set"]);
    let secret = |text: &str| world.secret("one-hub.secret", text);
    secret("a-secret-of-another-one-hub-0001");
    world.edit(
        "[gateway]\n",
        "[gateway]\nuser_token_secret_file = \"one-hub.secret\"\n",
    );
    world
        .run(&["check"])
        .says(1, &["FAIL", makes_none, "token 16"]);
    let daemon = world.serve();
    daemon.logs(makes_none);
    daemon.stop();

    secret(ONE_HUBS);
    let verified = world.run_with(&key, &["token", "verify"]);
    verified.says(0, &["token 16 of user 3"]);
    world
        .run(&["check"])
        .says(0, &["ok    One-Hub's newest key verifies"]);
    let daemon = world.serve();
    assert!(!daemon.stop().stderr.contains(makes_none));
    // A deleted key, or one from before signatures, proves nothing.
    world.change("UPDATE tokens SET key = id || substr(key, 1, 40) WHERE deleted_at IS NULL");
    world.run(&["check"]).says(0, &["ok    gateway"]);
}

#[test]
fn a_key_on_its_way_shows_in_no_process_list() {
    let world = Installation::new("one-api.db");
    let key = mint(OLD).key(42, Clock::system().now()).unwrap();
    let mut command = world.command(&["token", "verify"]);
    command.stdin(Stdio::piped());
    let mut running = world.start(command);
    let mut input = running.child.stdin.take().unwrap();
    let folder = PathBuf::from(format!("/proc/{}", running.child.id()));
    input.write_all(key.expose_secret().as_bytes()).unwrap();
    for file in ["cmdline", "environ", "comm"] {
        let text = fs::read_to_string(folder.join(file)).unwrap();
        assert!(!text.contains(key.expose_secret()), "{file}: {text}");
    }
    drop(input);
    running.end().says(0, &["user 42"]);
}
