//! The real program against a real authorization server (`server.js`): every fault of a token endpoint as
//! one story, judged by the server's own log and by a later refresh. Without Node.js these tests say so
//! and pass, but in CI.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod rows;
mod story;
#[path = "../support/mod.rs"]
mod support;

use std::fs;

use keyfresh::credential::Phase;
use rows::After::{Dead, Granted, Retry, Unconfirmed};
use rows::{After, DOUBTFUL, Row, SPENT, UNSPENT};
use story::{Story, check};
use support::daemon::Daemon;
use support::installation::Installation;
use support::peer::Peer;
use support::until;

/// The answer says that nothing was spent (RFC 6585 §4, RFC 9110 §10.2.3), or by leaving the new token out
/// that the old one stays (RFC 6749 §6), and that is not true. Nobody can see through it: it is believed,
/// and the token sent again once its time has come.
const LIES: &str = r#"
Wait        lost {"fault":"status","handled":true,"status":503,"retry_after":600}
Retry       lost {"fault":"status","handled":true,"status":429}
Granted     lost {"fault":"change","handled":true,"omit":["refresh_token"]}
"#;

fn check_all(table: &str) {
    let Some(peer) = Peer::start() else { return };
    for line in table.lines().filter(|line| !line.is_empty()) {
        check(&mut Story::new(&peer), &Row::read(line));
    }
}

#[test]
fn a_refusal_that_proves_itself_spends_nothing() {
    check_all(UNSPENT);
}

#[test]
fn what_nobody_can_know_is_not_sent_again_early() {
    check_all(DOUBTFUL);
}

#[test]
fn a_new_token_is_kept_whatever_is_wrong_around_it() {
    check_all(SPENT);
}

#[test]
fn a_refusal_that_lies_is_believed() {
    check_all(LIES);
}

#[test]
fn an_answer_later_than_the_time_out_is_doubtful() {
    let Some(peer) = Peer::start() else { return };
    let mut story = Story::new(&peer);
    story.world.edit("client_id", "timeout = \"1s\"\nclient_id");
    check(
        &mut story,
        &Row::read(r#"Unconfirmed lost {"fault":"slow","handled":true,"ms":3000}"#),
    );
}

#[test]
fn a_lifetime_is_what_can_be_believed_of_it() {
    let Some(peer) = Peer::start() else { return };
    let story = Story::new(&peer);
    let check = |change: &str, seconds: i64| {
        peer.order(&[&format!(r#"{{"fault":"change","handled":true,{change}}}"#)]);
        story.force();
        let row = story.world.row();
        let lifetime = row.expires_at.unwrap() - row.obtained_at.unwrap();
        assert_eq!(
            (lifetime.num_seconds(), story.holds()),
            (seconds, true),
            "{change}"
        );
    };
    let hour = 3600;
    check(r#""omit":["expires_in"]"#, hour);
    for (told, seconds) in [
        (r#"\"7200\""#, 7200),
        ("7200.9", 7200),
        ("null", hour),
        ("0", hour),
        ("-1", hour),
        (r#"\"soon\""#, hour),
        ("[7200]", hour),
        ("1", 60),
        ("1e300", 400 * 24 * hour),
        ("9999999999999999999999", 400 * 24 * hour),
    ] {
        check(&format!(r#""set":{{"expires_in":"{told}"}}"#), seconds);
    }
}

/// The daemon's largest memory so far, in KiB.
fn peak(daemon: &Daemon) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let (_, rest) = status.split_once("VmHWM:").unwrap();
    rest.split_whitespace().next().unwrap().parse().unwrap()
}

/// Makes the daemon refresh and waits until that is settled.
fn refresh(story: &Story, daemon: &Daemon) {
    let before = story.world.row().attempt;
    story.world.done(&["credential", "refresh", "main"]);
    until(&format!("it is settled:\n{}", daemon.log()), || {
        let row = story.world.row();
        (row.attempt == before + 1 && !matches!(row.phase, Phase::Exchanging { .. })).then_some(())
    });
}

#[test]
fn fifty_megabytes_cost_no_memory() {
    let Some(peer) = Peer::start() else { return };
    let story = Story::new(&peer);
    let daemon = story.world.serve();
    refresh(&story, &daemon);
    let before = peak(&daemon);
    peer.order(&[r#"{"fault":"huge","handled":true,"tokens":"first"}"#]);
    refresh(&story, &daemon);
    let grown = peak(&daemon) - before;
    assert!(grown < 2048, "{grown} KiB for an answer of 50 MB");
    let requests = peer.requests_of(&story.grant);
    let left = requests.last().unwrap().answered.clone().unwrap();
    assert!(
        !left.whole && left.bytes < 20_000_000,
        "{left:?}: it hung up early"
    );
    assert_eq!((story.stands(), story.holds()), (Retry, true));
}

/// HTTP clients with a pool send a request again that met its connection's end; here that would be a
/// replay.
#[test]
fn a_connection_that_was_kept_is_not_used_again_and_nothing_resent() {
    let Some(peer) = Peer::start() else { return };
    let story = Story::new(&peer);
    let daemon = story.world.serve();
    peer.order(&[
        r#"{"fault":"keep-open","handled":true}"#,
        r#"{"fault":"cut","handled":true,"reset":true}"#,
    ]);
    refresh(&story, &daemon);
    assert_eq!((story.stands(), story.holds()), (Granted, true));
    refresh(&story, &daemon);
    assert_eq!((story.stands(), story.holds()), (Unconfirmed, false));
    assert_eq!(daemon.stop().code, Some(0));
    let requests = peer.requests_of(&story.grant);
    let connections: Vec<u64> = requests.iter().map(|seen| seen.connection).collect();
    assert!(
        connections.windows(2).all(|pair| pair[0] < pair[1]),
        "{connections:?}"
    );
    assert_eq!((requests.len(), peer.replays(&story.grant)), (3, 0));
}

#[test]
fn a_server_that_cannot_be_reached_or_trusted_hears_nothing() {
    let Some(peer) = Peer::start() else {
        return;
    };
    let (world, grant) = Installation::at(&peer, "one-api.db");
    world.edit(peer.url().as_str(), peer.tls_url().as_str());
    let once = |certificates: Option<&std::path::Path>| {
        let mut command = world.command(&["once", "--force"]);
        command.envs(certificates.map(|file| ("SSL_CERT_FILE", file)));
        world.start(command).end()
    };
    assert_eq!(once(None).code, Some(1));
    assert_eq!(After::of(&world), Retry);
    assert_eq!((peer.requests().len(), peer.refused_tls()), (0, 1));

    let trusted = peer.authority();
    assert_eq!(once(Some(&trusted)).code, Some(0));
    assert_eq!(
        (After::of(&world), world.holds(&peer, &grant)),
        (Granted, true)
    );

    peer.kill();
    assert_eq!(once(Some(&trusted)).code, Some(1));
    assert_eq!(After::of(&world), Retry);
    peer.restart();
    assert_eq!(peer.requests().len(), 1);
    assert_eq!(once(Some(&trusted)).code, Some(0));
    assert_eq!(
        (After::of(&world), world.holds(&peer, &grant)),
        (Granted, true)
    );
    assert_eq!((peer.requests().len(), peer.replays(&grant)), (2, 0));
}

#[test]
fn a_server_killed_after_it_rotated_leaves_a_doubt() {
    let Some(peer) = Peer::start() else { return };
    let mut story = Story::new(&peer);
    peer.order(&[r#"{"fault":"slow","handled":true,"ms":600000}"#]);
    let running = story.world.start(story.world.command(&["once", "--force"]));
    until("the token is rotated", || {
        let requests = peer.requests_of(&story.grant);
        requests.get(1)?.handled.is_some().then_some(())
    });
    peer.kill();
    assert_eq!(running.end().code, Some(1));
    peer.restart();
    assert_eq!((story.stands(), story.holds()), (Unconfirmed, false));
    assert!(peer.standing(&story.grant).alive);
    story.sleep_over_it();
    assert_eq!(story.world.run(&["once"]).code, Some(1));
    assert_eq!((story.asked(), story.stands()), (3, Dead));
    assert_eq!(peer.replays(&story.grant), 1);
    story.log_in_again();
}

/// The judge itself: a replay kills the family, also across a kill -9, and the log has it.
#[test]
fn the_server_knows_a_replay_when_it_sees_one() {
    let Some(peer) = Peer::start() else {
        return;
    };
    let story = Story::new(&peer);
    let spent = &story.grant.refresh_token;
    assert!(story.holds());
    peer.kill();
    peer.restart();
    assert!(story.holds());
    assert_eq!(peer.refresh(spent), 400);
    assert!(!peer.standing(&story.grant).alive);
    let requests = peer.requests_of(&story.grant);
    let replay = requests.last().unwrap().handled.clone().unwrap();
    assert_eq!(
        replay.refusal.as_deref(),
        Some("refresh token already used")
    );
    assert_eq!(peer.replays(&story.grant), 1);
    story.force();
    assert_eq!((story.stands(), story.holds()), (Dead, false));
}
