//! The key that seals the state is lost, or another state's: nothing is sent, and what is said leads out,
//! with a backup and without one.

use std::fs;

use keyfresh::demo::authority::Ruling;
use keyfresh::secret::ExposeSecret as _;

use crate::support::installation::Installation;
use crate::{INIT, follow, says};

/// What is to be done where there is no backup.
const ANEW: [&str; 4] = [
    "without a backup, move everything in the state folder but gateway.db away",
    "run `keyfresh init`",
    "log in anew for each credential",
    "`keyfresh credential replace NAME`",
];

/// Every command that would need the key stops, whatever it is for, and tells the way out.
fn refuses(world: &Installation, reason: &str) {
    let asked = world.authority.requests().len();
    for command in [
        &["once", "--force"][..],
        &["serve"],
        &["status"],
        &["credential", "replace", "main"],
        &["credential", "refresh", "main"],
        &["credential", "take-over", "main"],
    ] {
        let ran = world.run_with("a-login", command);
        ran.says(78, &[reason]);
        says(&ran.stderr, &ANEW);
    }
    world.run(&["check"]).says(1, &[reason]);
    assert_eq!(world.authority.requests().len(), asked);
}

/// Does what [`ANEW`] says, up to the login.
fn make_anew(world: &Installation) -> String {
    fs::create_dir(world.path("away")).unwrap();
    for entry in fs::read_dir(world.path("state")).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name() != "gateway.db" {
            fs::rename(entry.path(), world.path("away").join(entry.file_name())).unwrap();
        }
    }
    world.done(&INIT)
}

fn check(damage: impl Fn(&Installation), reason: &str) {
    let world = Installation::new("one-api.db");
    world.credential("second", "channels = [2]");
    world.done(&["once"]);
    let keys = [1, 2].map(|channel| world.key(channel));
    let sealed = fs::read(world.path("state/state.key")).unwrap();
    damage(&world);
    refuses(&world, reason);
    assert_eq!([1, 2].map(|channel| world.key(channel)), keys);

    // With a backup of the key all is well.
    world.secret("state/state.key", "");
    fs::write(world.path("state/state.key"), sealed).unwrap();
    world.done(&["once"]);

    damage(&world);
    let told = make_anew(&world);
    assert_eq!(world.run(&["once"]).code, Some(1));
    assert_eq!([1, 2].map(|channel| world.key(channel)), keys);
    for name in ["main", "second"] {
        let login = world.authority.seed().unwrap();
        let line = told
            .lines()
            .find(|line| line.contains(&format!("held  {name}")));
        follow(&world, line.unwrap(), login.expose_secret());
    }
    world.done(&["once"]);
    for (channel, name) in [(1, "main"), (2, "second")] {
        assert_eq!(Some(world.key(channel)), world.tokens(name).1);
    }
    let rulings = world.authority.requests();
    let rulings: Vec<Ruling> = rulings.iter().map(|seen| seen.ruling).collect();
    assert_eq!(rulings, [Ruling::Granted; 4]);
}

#[test]
fn a_lost_key_stops_everything_and_the_way_out_works_to_the_letter() {
    let remove = |world: &Installation| fs::remove_file(world.path("state/state.key")).unwrap();
    check(remove, "state.key is missing");
}

#[test]
fn the_key_of_another_state_is_as_good_as_none() {
    let foreign = |world: &Installation| {
        fs::write(world.path("state/state.key"), [1; 32]).unwrap();
    };
    check(foreign, "state.key does not belong to this state.db");
    let short = |world: &Installation| fs::write(world.path("state/state.key"), [1; 7]).unwrap();
    check(short, "state.key does not belong to this state.db");
}

/// As a kill in the middle of `init` leaves it.
#[test]
fn a_state_that_was_not_made_to_its_end_is_none() {
    let world = Installation::new("one-api.db");
    world.state().execute("DELETE FROM meta", []).unwrap();
    refuses(&world, "state.key does not belong to this state.db");
    make_anew(&world);
    follow(&world, "keyfresh credential replace main", "a-login");
}

/// The people of the embedded database outlive the state.
#[test]
fn a_state_made_anew_keeps_the_embedded_database() {
    let world = Installation::new("one-api.db");
    fs::remove_dir_all(world.path("state")).unwrap();
    world.configure("[state]\ndir = \"state\"\n");
    world.done(&INIT);
    world.done(&["user", "add", "alice"]);
    fs::remove_file(world.path("state/state.key")).unwrap();
    world.run(&["serve"]).says(78, &ANEW);
    make_anew(&world);
    says(&world.done(&["user", "list"]), &["alice"]);
}
