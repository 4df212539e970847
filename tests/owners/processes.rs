//! Several processes on one state: whoever is first refreshes, the others hand over or refuse, and
//! each claim costs one request.

use std::collections::BTreeMap;

use keyfresh::clock::Clock;
use keyfresh::demo::authority::Ruling;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::gate::{Gate, Stop};
use crate::support::installation::{Installation, Ran, Running};
use crate::support::until;

const CREDENTIALS: usize = 20;

/// As many credentials, of which one feeds a channel.
fn crowd() -> Installation {
    let world = Installation::new("one-api.db");
    for number in 1..CREDENTIALS {
        world.credential(&format!("member_{number}"), "");
    }
    world
}

/// A number that SQL finds in our own state.
fn count(world: &Installation, sql: &str) -> usize {
    until("our own state can be read", || {
        world.state().query_row(sql, [], |row| row.get(0)).ok()
    })
}

/// Makes every credential due, while nobody runs.
fn all_due(world: &Installation) {
    let now = Clock::system().now().timestamp_millis();
    let sql = "UPDATE credential SET due_at = ?1";
    world.state().execute(sql, [now]).unwrap();
}

/// Starts `commands` at the same moment, waits until every credential has `generation`, and ends them.
fn at_once(world: &Installation, commands: &[&str], generation: usize) {
    let start = |command: &&str| (*command == "serve", world.start(world.command(&[command])));
    let started: Vec<(bool, Running)> = commands.iter().map(start).collect();
    let pids: Vec<u32> = started.iter().map(|(_, ran)| ran.child.id()).collect();
    until("every credential is refreshed", || {
        let done = format!("SELECT count(*) FROM credential WHERE generation >= {generation}");
        // The first of them makes the rows.
        (count(world, &done) == CREDENTIALS).then_some(())
    });
    for (is_daemon, running) in started {
        if is_daemon {
            // One that refused has ended, but nobody has waited for it: its id is still its own.
            let pid = Pid::from_raw(running.child.id().cast_signed());
            kill(pid, Signal::SIGTERM).unwrap();
        }
        let ran = running.end();
        if ran.code != Some(0) {
            assert!(is_daemon, "{ran:?}");
            refused_by_name(&ran, &pids);
        }
    }
}

fn refused_by_name(ran: &Ran, holders: &[u32]) {
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let name = |pid: &u32| format!("another keyfresh (process {pid} on {})", host.trim());
    let named = holders.iter().any(|pid| ran.stderr.contains(&name(pid)));
    assert!(named, "{ran:?}");
}

/// How often each login was asked for, all of which was granted.
fn granted(world: &Installation) -> BTreeMap<usize, usize> {
    let mut granted = BTreeMap::new();
    for seen in world.authority.requests() {
        assert_eq!(seen.ruling, Ruling::Granted, "{seen:?}");
        *granted.entry(seen.family.unwrap()).or_default() += 1;
    }
    granted
}

#[test]
fn four_processes_and_twenty_credentials_make_one_request_each() {
    let world = crowd();
    let rounds = [
        ["serve", "once", "serve", "once"],
        ["once", "serve", "once", "serve"],
        ["once"; 4],
    ];
    for (round, commands) in rounds.iter().enumerate() {
        if round > 0 {
            all_due(&world);
        }
        at_once(&world, commands, round + 1);
        let each: Vec<usize> = granted(&world).into_values().collect();
        assert_eq!(each, [round + 1; CREDENTIALS], "{commands:?}");
    }
    assert!(world.is_held());
}

#[test]
fn as_many_claims_as_requests_whoever_forces_them() {
    let world = crowd();
    let forced = [(); 4].map(|()| world.start(world.command(&["once", "--force"])));
    for running in forced {
        let ran = running.end();
        assert_eq!(ran.code, Some(0), "{ran:?}");
    }
    let asked: usize = granted(&world).into_values().sum();
    assert!(asked >= CREDENTIALS);
    assert_eq!(count(&world, "SELECT sum(attempt) FROM credential"), asked);
    assert!(world.is_held());
}

#[test]
fn a_second_daemon_refuses_by_the_name_of_the_holder() {
    let world = crowd();
    let daemon = world.serve();
    refused_by_name(&world.run(&["serve"]), &[daemon.pid()]);
    let told = world.done(&["check"]);
    assert!(told.contains(&format!("held by process {}", daemon.pid())));
    daemon.stop().says(0, &[]);
}

/// Four requests of a killed daemon are on their way: those are in doubt, the others nobody's any more.
#[test]
fn what_a_killed_daemon_left_is_taken_over_at_once() {
    let world = crowd();
    let gate = Gate::new(&world.runtime, world.authority.url());
    let text = world.configuration();
    world.configure(&text.replace(world.authority.url().as_str(), gate.url().as_str()));
    gate.stop(Stop::Request);
    let daemon = world.serve();
    until("four requests are under way", || {
        (gate.reached() == 4).then_some(())
    });
    daemon.kill();
    gate.stop(Stop::Nowhere);
    let heirs = [["once"], ["once"]].map(|command| world.start(world.command(&command)));
    for heir in heirs {
        heir.end()
            .says(1, &["unconfirmed, interrupted before an answer was stored"]);
    }
    assert_eq!(
        granted(&world).into_values().sum::<usize>(),
        CREDENTIALS - 4
    );
    let doubtful = "SELECT count(*) FROM credential WHERE phase = 'unconfirmed' AND attempt = 1";
    assert_eq!(count(&world, doubtful), 4);
    assert_eq!(
        count(&world, "SELECT sum(attempt) FROM credential"),
        CREDENTIALS
    );
}
