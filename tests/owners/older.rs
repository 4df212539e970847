//! A state made beside a configuration that is older: the logins configured there may be spent, so a
//! person decides about each.

use std::fs;

use keyfresh::demo::authority::Ruling;
use keyfresh::secret::ExposeSecret as _;
use nix::sys::signal::Signal;

use crate::support::installation::Installation;
use crate::support::until;
use crate::{INIT, complaint, follow, says};

/// What is said of a login that is held back.
const HELD: [&str; 3] = [
    "this refresh token was configured before this state was made",
    "it may be spent",
    "keyfresh credential replace main",
];

/// An installation whose state is gone; its seed was never used.
fn without_a_state() -> Installation {
    let world = Installation::new("one-api.db");
    fs::remove_dir_all(world.path("state")).unwrap();
    world
}

fn rulings(world: &Installation) -> Vec<Ruling> {
    let requests = world.authority.requests();
    requests.iter().map(|seen| seen.ruling).collect()
}

fn seed(world: &Installation) -> String {
    fs::read_to_string(world.path("main.token")).unwrap()
}

#[test]
fn a_lost_state_sends_no_spent_seed_and_its_remedy_works_to_the_letter() {
    let world = Installation::new("one-api.db");
    world.done(&["once"]);
    let key = world.key(1);
    fs::remove_dir_all(world.path("state")).unwrap();
    for command in [
        &["once"][..],
        &["serve"],
        &["status"],
        &["credential", "replace", "main"],
        &["credential", "refresh", "main"],
        &["credential", "take-over", "main"],
        &["notify", "test"],
    ] {
        let missing = ["state is missing", "backup", "keyfresh init"];
        world.run(command).says(78, &missing);
    }

    world
        .run(&INIT)
        .says(0, &["held  main: ", HELD[0], HELD[1], HELD[2]]);
    says(&complaint(&world), &HELD);
    world.run(&["check"]).says(0, &HELD);
    world.run(&["once", "--force"]).says(1, &HELD);
    let daemon = world.serve();
    until("somebody is told", || {
        (world.sink.titles().len() == 2).then_some(())
    });
    // Another client says nothing about the token.
    world.edit("client_id = \"test\"", "client_id = \"another\"");
    daemon.signal(Signal::SIGHUP);
    daemon.logs("configuration reloaded");
    says(&complaint(&world), &HELD);
    assert_eq!(
        (world.key(1), rulings(&world)),
        (key, vec![Ruling::Granted])
    );

    let told = world.sink.messages().pop().unwrap();
    says(&told, &["main is dead", "configured before the state"]);
    let login = world.authority.seed().unwrap();
    follow(&world, &told, login.expose_secret());
    until("the channel has a key of the new login", || {
        let own = world.tokens("main").1?;
        (world.key(1) == own).then_some(())
    });
    daemon.stop().says(0, &[]);
    assert_eq!(rulings(&world), [Ruling::Granted; 2]);
    assert_eq!(world.sink.titles().len(), 3, "{:?}", world.sink.titles());
}

#[test]
fn a_login_that_was_never_used_is_accepted_once_by_a_persons_word() {
    let world = without_a_state();
    let told = world.done(&INIT);
    follow(&world, &told, &seed(&world));
    world.done(&["once"]);
    assert!(world.is_held());
    assert_eq!(rulings(&world), [Ruling::Granted]);
    world
        .run_with(&seed(&world), &["credential", "replace", "main"])
        .says(1, &["no new login"]);
    world.run(&INIT).says(78, &["exists already"]);
    assert_eq!(world.run(&["once"]).code, Some(0));
    assert_eq!(rulings(&world), [Ruling::Granted]);
}

#[test]
fn another_seed_or_another_credential_is_adopted_as_ever() {
    let world = without_a_state();
    world.done(&INIT);
    world.credential("later", "");
    world.run(&["once"]).says(1, &["later: resting", HELD[0]]);
    assert_eq!(rulings(&world), [Ruling::Granted]);
    let login = world.authority.seed().unwrap();
    world.secret("main.token", login.expose_secret());
    world.done(&["once"]);
    assert_eq!(rulings(&world), [Ruling::Granted; 2]);
    assert_eq!(Some(world.key(1)), world.tokens("main").1);
}

/// The seed under another name, or gone for a while, is the same seed.
#[test]
fn a_login_stays_held_through_every_change_of_the_configuration() {
    let world = without_a_state();
    world.done(&INIT);
    let text = world.configuration();
    world.configure(&text.replace("[credentials.main]", "[credentials.renamed]"));
    world
        .run(&["once"])
        .says(1, &["renamed: dead", HELD[0], "replace renamed"]);
    let (rest, _) = text.split_once("\n[credentials.main]").unwrap();
    world.configure(rest);
    world.done(&["once"]);
    world.configure(&text.replace("generic", "generic\"\ntimeout = \"30s"));
    world.run(&["once", "--force"]).says(1, &[HELD[0]]);
    assert_eq!(rulings(&world), []);
    world
        .run_with(&seed(&world), &["credential", "replace", "main"])
        .says(0, &["new refresh token"]);
    world.done(&["once"]);
    assert_eq!(rulings(&world), [Ruling::Granted]);
}

#[test]
fn every_credential_can_be_given_a_login_before_the_first_start() {
    let world = without_a_state();
    world.edit("refresh_token_file = \"main.token\"\n", "");
    let told = world.done(&INIT);
    says(&told, &["held  main: no refresh token is known"]);
    follow(&world, "keyfresh credential replace main", &seed(&world));
    world.done(&["once"]);
    assert!(world.is_held());
}

/// An installation is new where `init` made the configuration or one of the API's secrets, wherever the
/// other one comes from.
#[test]
fn a_first_installation_adopts_its_seeds_at_once() {
    let check = |absent: &[&str], variables: &[(&str, &str)], is_held: bool| {
        let world = without_a_state();
        for name in absent {
            fs::remove_file(world.path(name)).unwrap();
        }
        let run = |arguments: &[&str]| {
            let mut command = world.command(arguments);
            command.envs(variables.iter().copied());
            world.start(command).end()
        };
        let ran = run(&INIT);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert_eq!(ran.stdout.contains("held  main"), is_held, "{ran:?}");
        assert_eq!(run(&["once"]).code, Some(i32::from(is_held)));
        assert_eq!(rulings(&world).is_empty(), is_held);
    };
    let token_secret = ("TOKEN_SECRET", "a-test-value-of-more-than-32-characters");
    let hashids_salt = ("HASHIDS_SALT", "another-test-value");
    check(&["token_secret"], &[], false);
    check(&["hashids_salt"], &[], false);
    check(&["hashids_salt"], &[token_secret], false);
    let secrets = ["token_secret", "hashids_salt"];
    check(&secrets, &[token_secret, hashids_salt], true);
    check(&[], &[], true);
}
