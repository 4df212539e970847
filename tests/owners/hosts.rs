//! Two hosts with one configuration and one login, each with a state of its own. The second refresh token
//! that leaves is a replay, which nobody can prevent; what can be told of it is told.

use std::fs;

use keyfresh::demo::authority::Fault;

use crate::support::installation::Installation;
use crate::support::peer::{Grant, Peer};
use crate::{INIT, complaint, follow, says};

/// Another host with `first`'s login at `peer` and a gateway of its own.
fn second(peer: &Peer, grant: &Grant) -> Installation {
    let (host, _) = Installation::at(peer, "one-api.db");
    host.secret("main.token", &grant.refresh_token);
    host
}

/// Makes `host` feed the gateway of `other`.
fn share_the_gateway(host: &Installation, other: &Installation) {
    let [own, others] = [host, other].map(|world| world.gateway.display().to_string());
    host.edit(&own, &others);
}

/// What is known of a token that was refused, and what to do.
const REFUSED: [&str; 4] = [
    "revoked",
    "expired",
    "another owner refreshes this token",
    "keyfresh credential replace main",
];

#[test]
fn the_second_host_and_then_the_first_say_who_else_may_refresh() {
    let check = |shared: bool| {
        let Some(peer) = Peer::start() else { return };
        let (first, grant) = Installation::at(&peer, "one-api.db");
        first.done(&["once"]);
        let other = second(&peer, &grant);
        if shared {
            share_the_gateway(&other, &first);
        }
        // Where it is shared, the gateway of the other is not used.
        let keys = [&first, &other].map(|host| host.key(1));
        other.run(&["once"]).says(1, &REFUSED);
        first.run(&["once", "--force"]).says(1, &REFUSED);
        for (host, key) in [&first, &other].into_iter().zip(keys) {
            assert_eq!(host.key(1), key, "the key in service stays");
            assert_eq!(host.status()["phase"], "dead");
            says(&complaint(host), &REFUSED);
            says(host.sink.messages().last().unwrap(), &REFUSED);
            // Nothing is sent again, whoever asks for it.
            assert_eq!(host.run(&["once", "--force"]).code, Some(1));
        }
        assert_eq!(
            (peer.requests_of(&grant).len(), peer.replays(&grant)),
            (3, 1)
        );

        // The other one is stopped, and the remedy followed to the letter.
        let again = peer.grant();
        let notice = first.sink.messages().pop().unwrap();
        follow(&first, &notice, &again.refresh_token);
        first.done(&["once"]);
        assert!(first.holds(&peer, &again));
        assert_eq!(Some(first.key(1)), first.tokens("main").1);
    };
    check(false);
    check(true);
}

/// Both have met the channel before either refreshed: the loser sees the winner's key there.
#[test]
fn a_shared_channel_tells_of_the_other_owner_before_a_token_is_spent() {
    let Some(peer) = Peer::start() else { return };
    let (first, grant) = Installation::at(&peer, "one-api.db");
    let other = second(&peer, &grant);
    share_the_gateway(&other, &first);
    peer.order(&[r#"{"fault":"error","handled":false,"code":"server_error"}"#]);
    assert_eq!(other.run(&["once"]).code, Some(1));
    first.done(&["once"]);
    let key = first.key(1);

    let reason = [
        "another owner refreshes this token",
        "keyfresh credential replace main",
        "keyfresh credential take-over main",
    ];
    let ran = other.run(&["once", "--force"]);
    ran.says(1, &reason);
    says(&ran.stderr, &reason);
    says(&complaint(&other), &reason);
    let obstacle = other.status()["obstacle"].as_str().unwrap().to_owned();
    says(&obstacle, &reason);
    let notice = other.sink.messages().pop().unwrap();
    says(&notice.to_lowercase(), &reason);
    other.run(&["check"]).says(1, &reason);
    assert_eq!((first.key(1), peer.requests_of(&grant).len()), (key, 2));
    assert!(first.holds(&peer, &grant));

    // The first is stopped for good: its login goes on until nobody needs it.
    fs::remove_dir_all(first.path("state")).unwrap();
    let again = peer.grant();
    follow(&other, &notice, &again.refresh_token);
    other.done(&["once"]);
    assert!(other.holds(&peer, &again));
    assert_eq!(Some(first.key(1)), other.tokens("main").1);
    assert_eq!(peer.replays(&grant), 0);
    assert!(other.status()["obstacle"].is_null());
}

/// `init` finds what was copied from the first host, and makes the second one wait for a person.
#[test]
fn a_second_host_made_by_init_asks_before_it_refreshes() {
    let Some(peer) = Peer::start() else { return };
    let (first, grant) = Installation::at(&peer, "one-api.db");
    let other = second(&peer, &grant);
    fs::remove_dir_all(other.path("state")).unwrap();
    other
        .run(&INIT)
        .says(0, &["held  main: ", "it may be spent"]);
    other.run(&["once", "--force"]).says(1, &["main: dead"]);
    first.done(&["once"]);
    assert_eq!(other.run(&["once"]).code, Some(1));
    assert_eq!(peer.requests_of(&grant).len(), 1);
    assert!(first.holds(&peer, &grant));
}

#[test]
fn a_channel_that_is_gone_accuses_nobody() {
    let world = Installation::new("one-api.db");
    world.done(&["once"]);
    world.change("DELETE FROM channels WHERE id = 1");
    let ran = world.run(&["once", "--force"]);
    ran.says(1, &["channel 1 is gone"]);
    let told = [ran.stdout, ran.stderr, complaint(&world)].concat();
    let told = told + &world.sink.messages().concat();
    assert!(!told.to_lowercase().contains("another owner"), "{told}");
    assert_eq!(world.authority.requests().len(), 1);
}

#[test]
fn a_code_that_names_reuse_names_the_other_owner() {
    let world = Installation::new("one-api.db");
    world.done(&["once"]);
    let key = world.key(1);
    let reused = Fault::ErrorObject(401, "refresh_token_reused");
    world.authority.fault(&reused, 1);
    let reason = [
        "refresh_token_reused",
        "another owner refreshes this token",
        "keyfresh credential replace main",
    ];
    let ran = world.run(&["once", "--force"]);
    ran.says(1, &reason);
    says(&ran.stderr, &reason);
    says(&complaint(&world), &reason);
    says(world.sink.messages().last().unwrap(), &reason);
    assert_eq!(world.run(&["once", "--force"]).code, Some(1));
    assert_eq!(world.authority.requests().len(), 2);
    assert_eq!(world.key(1), key);
}
