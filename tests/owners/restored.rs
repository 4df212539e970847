//! A state from an old backup, while the gateway went on: nothing spent is sent, and the remedy works.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::installation::Installation;
use crate::support::peer::Peer;
use crate::support::until;
use crate::{complaint, follow, says};

/// A folder with its modes, whole.
fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(copied.unwrap().success());
}

/// What is told, and in which order it is to be done.
const REMEDY: [&str; 2] = [
    "keyfresh credential replace main",
    "keyfresh credential take-over main",
];

#[test]
fn a_restored_state_replays_nothing_and_its_remedy_works_to_the_letter() {
    let Some(peer) = Peer::start() else { return };
    let (world, grant) = Installation::at(&peer, "one-api.db");
    world.done(&["once"]);
    let (state, backup) = (world.path("state"), world.path("backup"));
    copy(&state, &backup);
    world.done(&["once", "--force"]);
    let key = world.key(1);
    fs::remove_dir_all(&state).unwrap();
    fs::rename(&backup, &state).unwrap();

    let ran = world.run(&["once", "--force"]);
    says(&ran.stderr, &REMEDY);
    assert_eq!(ran.code, Some(1));
    let daemon = world.serve();
    world.done(&["credential", "refresh", "main"]);
    assert_eq!(world.run(&["once"]).code, Some(1));
    says(&complaint(&world), &REMEDY);
    assert_eq!((world.key(1), peer.requests_of(&grant).len()), (key, 2));
    assert!(peer.standing(&grant).alive, "the key in service works");

    let again = peer.grant();
    let notice = world.sink.messages().pop().unwrap();
    says(&notice, &REMEDY);
    follow(&world, &notice, &again.refresh_token);
    until("the channel has a key of the new login", || {
        let own = world.tokens("main").1;
        (world.holds(&peer, &again) && own == Some(world.key(1))).then_some(())
    });
    world.done(&["status"]);
    daemon.stop().says(0, &[]);
    let replays = [&grant, &again].map(|grant| peer.replays(grant));
    assert_eq!(replays, [0, 0]);
}

/// No channel could tell: the token is sent, and what is said of its refusal holds for an old state, too.
#[test]
fn without_a_channel_an_old_state_finds_out_by_the_refusal() {
    let Some(peer) = Peer::start() else { return };
    let (world, grant) = Installation::at(&peer, "one-api.db");
    world.edit("channels = [1]\n", "");
    world.done(&["once"]);
    let (state, backup) = (world.path("state"), world.path("backup"));
    copy(&state, &backup);
    world.done(&["once", "--force"]);
    fs::remove_dir_all(&state).unwrap();
    fs::rename(&backup, &state).unwrap();

    let refusal = ["another owner refreshes this token", REMEDY[0]];
    world.run(&["once", "--force"]).says(1, &refusal);
    assert_eq!(peer.replays(&grant), 1);
    let again = peer.grant();
    follow(&world, &complaint(&world), &again.refresh_token);
    world.done(&["once"]);
    assert!(world.holds(&peer, &again));
}
