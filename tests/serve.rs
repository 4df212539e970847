//! `keyfresh serve` and the commands beside it, with the real program.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::fs;
use std::time::Duration;

use keyfresh::clock::Clock;
use keyfresh::demo::authority::{Fault, Ruling};
use keyfresh::secret::ExposeSecret as _;
use nix::sys::signal::Signal;
use serde_json::Value;
use support::gate::{Gate, Stop};
use support::installation::{Installation, mode};
use support::until;

fn rulings(world: &Installation) -> Vec<Ruling> {
    let requests = world.authority.requests();
    requests.iter().map(|seen| seen.ruling).collect()
}

fn reaches(world: &Installation, generation: u64) {
    until(&format!("generation {generation}"), || {
        (world.row().generation == generation).then_some(())
    });
}

#[test]
fn it_is_ready_at_once_and_stops_when_told() {
    let world = Installation::new("one-api.db");
    let mut daemon = world.serve();
    assert!(
        daemon.ready_after < Duration::from_secs(5),
        "{:?}",
        daemon.ready_after
    );
    println!("READY after {:?}", daemon.ready_after);
    daemon.hear("STATUS=refreshing");
    assert_eq!(
        daemon.page("/healthz"),
        (200, r#"{"message":"","success":true}"#.into())
    );
    assert_eq!(daemon.page("/readyz").0, 200);
    assert_eq!(daemon.page("/nowhere").0, 404);
    reaches(&world, 1);
    let newest = world.tokens("main").1.unwrap();
    until("the channel has the key", || {
        (world.key(1) == newest).then_some(())
    });
    daemon.signal(Signal::SIGTERM);
    daemon.hear("STOPPING=1");
    let ran = daemon.end();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(world.sink.titles().len(), 1, "{:?}", world.sink.messages());
}

#[test]
fn a_gateway_out_of_reach_shows_in_readyz() {
    let world = Installation::new("one-api.db");
    let daemon = world.serve();
    until("the channel is current", || {
        (world.status()["channels"][0]["state"] == "current").then_some(())
    });
    fs::rename(&world.gateway, world.path("away")).unwrap();
    daemon.signal(Signal::SIGHUP);
    until("it is not ready", || {
        (daemon.page("/readyz").0 == 503).then_some(())
    });
    assert_eq!(daemon.page("/healthz").0, 200);
    fs::rename(world.path("away"), &world.gateway).unwrap();
    daemon.signal(Signal::SIGHUP);
    until("it is ready again", || {
        (daemon.page("/readyz").0 == 200).then_some(())
    });
}

#[test]
fn a_reload_is_all_or_nothing() {
    let world = Installation::new("one-api.db");
    let mut daemon = world.serve();
    reaches(&world, 1);

    world.credential("second", "channels = [2]");
    daemon.signal(Signal::SIGHUP);
    daemon.hear("RELOADING=1");
    daemon.hear("READY=1");
    until("the new credential's channel has a key", || {
        let key = world.tokens("second").1?;
        (world.key(2) == key).then_some(())
    });

    let good = world.configuration();
    world.configure(&good.replace("cron = \"0 5 * * 1\"", "cron = \"never\""));
    daemon.signal(Signal::SIGHUP);
    daemon.hear("READY=1");
    daemon.logs("the old one stays in force");
    assert!(daemon.log().contains("schedule.cron"), "{}", daemon.log());
    world.make_due(Clock::system().now());
    reaches(&world, 2);
    assert_eq!(world.run(&["status"]).code, Some(78));

    world.configure(
        &good
            .replace("127.0.0.1:0", "127.0.0.1:1")
            .replace("dir = \"state\"", "dir = \"elsewhere\""),
    );
    daemon.signal(Signal::SIGHUP);
    daemon.logs("these changes need a restart");
    let log = daemon.log();
    let line = log
        .lines()
        .find(|line| line.contains("need a restart"))
        .unwrap();
    assert!(
        line.contains("api.listen") && line.contains("state.dir"),
        "{line}"
    );

    world.configure(&good);
    daemon.signal(Signal::SIGHUP);
    world.done(&["credential", "refresh", "main"]);
    reaches(&world, 3);
    assert_eq!(daemon.stop().code, Some(0));
}

#[test]
fn sigterm_lets_an_exchange_settle_and_tells_of_the_stop() {
    let world = Installation::new("one-api.db");
    world.edit(
        "[notify.wechat]\n",
        "[notify.wechat]\nevents = [\"refreshed\", \"starting\", \"stopping\"]\n",
    );
    let gate = Gate::new(&world.runtime, world.authority.url());
    world.edit(world.authority.url().as_str(), gate.url().as_str());
    gate.stop(Stop::Request);
    let mut daemon = world.serve();
    until("the request is under way", || {
        (gate.reached() == 1).then_some(())
    });
    daemon.signal(Signal::SIGTERM);
    daemon.hear("STOPPING=1");
    gate.stop(Stop::Nowhere);
    let ran = daemon.end();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(rulings(&world), [Ruling::Granted]);
    assert_eq!(world.row().generation, 1);
    assert!(world.is_held());
    let told = world.sink.messages().concat();
    assert!(told.contains("stop") && told.contains("start"), "{told}");
}

#[test]
fn the_watchdog_is_fed() {
    let world = Installation::new("one-api.db");
    let mut command = world.command(&["serve"]);
    command.env("WATCHDOG_USEC", "300000");
    let mut daemon = world.serve_as(command);
    for _ in 0..3 {
        daemon.hear("WATCHDOG=1");
    }
    assert_eq!(daemon.stop().code, Some(0));
}

#[test]
fn one_daemon_at_a_time_and_a_dead_one_holds_nothing() {
    let world = Installation::new("one-api.db");
    let first = world.serve();
    let refused = world.run(&["serve"]);
    assert_eq!(refused.code, Some(1));
    let name = format!("another keyfresh (process {}", first.pid());
    assert!(refused.stderr.contains(&name), "{refused:?}");
    first.kill();
    let second = world.serve();
    assert_eq!(second.stop().code, Some(0));
}

#[test]
fn commands_beside_the_daemon_are_picked_up() {
    let world = Installation::new("one-api.db");
    let daemon = world.serve();
    reaches(&world, 1);
    let said = world.done(&["credential", "refresh", "main"]);
    assert!(said.contains("the running daemon acts on it"), "{said}");
    reaches(&world, 2);

    world
        .authority
        .fault(&Fault::Error(400, "invalid_grant"), 1);
    world.done(&["credential", "refresh", "main"]);
    until("the login is dead", || {
        (world.status()["phase"] == "dead").then_some(())
    });
    assert_eq!(world.run(&["status"]).code, Some(1));
    assert_eq!(world.run(&["credential", "refresh", "main"]).code, Some(1));
    assert_eq!(
        world
            .run_with("\n", &["credential", "replace", "main"])
            .code,
        Some(1)
    );
    let fresh = world.authority.seed().unwrap();
    let ran = world.run_with(fresh.expose_secret(), &["credential", "replace", "main"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    reaches(&world, 3);

    until("the channel has the key", || {
        (world.tokens("main").1 == Some(world.key(1))).then_some(())
    });
    let said = world.done(&["credential", "take-over", "main"]);
    assert!(said.contains("no channel of main is in conflict"), "{said}");
    world.change("UPDATE channels SET key = 'a-stranger' WHERE id = 1");
    world.done(&["credential", "refresh", "main"]);
    until("the conflict is seen", || {
        (world.status()["channels"][0]["state"] == "conflict").then_some(())
    });
    assert_eq!(world.key(1), "a-stranger");
    // Once it is settled it is no news.
    until("the conflict is told", || {
        let told = world.sink.messages().concat();
        let words = "somebody else changed the key of channel 1";
        told.contains(words).then_some(())
    });
    let said = world.done(&["credential", "take-over", "main"]);
    assert!(said.contains("channel 1 is ours to write again"), "{said}");
    until("the channel is ours", || {
        (world.tokens("main").1 == Some(world.key(1))).then_some(())
    });
    assert_eq!(daemon.stop().code, Some(0));
}

#[test]
fn status_is_for_people_and_for_programs() {
    let world = Installation::new("one-api.db");
    let daemon = world.serve();
    reaches(&world, 1);
    until("the channel has the key", || {
        (world.status()["channels"][0]["state"] == "current").then_some(())
    });
    let pid = u64::from(daemon.pid());
    let told = world.done(&["status", "--json"]);
    let mut report: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(report["daemon"]["pid"].as_u64(), Some(pid));
    report["daemon"]["pid"] = "<pid>".into();
    for moment in ["obtained_at", "expires_at", "due_at"] {
        let text = report["credentials"][0][moment].as_str().unwrap();
        assert!(text.ends_with('Z') && text.len() >= 20, "{moment}: {text}");
        report["credentials"][0][moment] = "<moment>".into();
    }
    assert_eq!(report["notifiers"][0]["name"], "wechat");
    report["notifiers"] = "<told or about to be>".into();
    insta::assert_snapshot!(serde_json::to_string_pretty(&report).unwrap());
    let said = world.done(&["status"]);
    for line in [
        "main: resting",
        "channel 1",
        "current, enabled",
        "running: process",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert_eq!(world.run(&["status", "nobody"]).code, Some(1));
    daemon.stop();
    assert!(world.done(&["status"]).contains("not running"));
}

#[test]
fn check_finds_what_would_stop_the_daemon() {
    let world = Installation::new("one-api.db");
    let said = world.done(&["check"]);
    assert!(!said.contains("FAIL"), "{said}");
    assert_eq!(world.authority.requests().len(), 0);
    let check = |damage: &dyn Fn(&Installation), says: &str| {
        let world = Installation::new("one-api.db");
        damage(&world);
        let ran = world.run(&["check"]);
        assert_ne!(ran.code, Some(0), "{ran:?}");
        let said = ran.stdout + &ran.stderr;
        assert!(said.contains(says), "{says}: {said}");
    };
    check(
        &|world| world.edit("channels = [1]", "channels = [99]"),
        "no channel 99",
    );
    check(
        &|world| fs::remove_file(world.path("token_secret")).unwrap(),
        "failed to initialize user token: token_secret or hashids_salt is not set",
    );
    check(
        &|world| fs::remove_file(world.path("main.token")).unwrap(),
        "credentials.main.refresh_token_file",
    );
    check(
        &|world| fs::write(&world.gateway, "not a database").unwrap(),
        "gateway",
    );
    check(
        &|world| fs::remove_file(world.path("state/slots/07")).unwrap(),
        "slots/07 is missing",
    );
    check(
        &|world| world.edit("cron = \"0 5 * * 1\"", "cron = \"0 5\"\nnonsense = 1"),
        "schedule.nonsense",
    );
    check(
        &|world| world.secret("hashids_salt", "short"),
        "hashids_salt",
    );
}

#[test]
fn a_notifier_can_be_tried() {
    let world = Installation::new("one-api.db");
    let said = world.done(&["notify", "test"]);
    assert!(
        said.contains("wechat: the service accepted the test message"),
        "{said}"
    );
    assert_eq!(world.sink.titles().len(), 1);
    let ran = world.run(&["notify", "test", "nobody"]);
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.stderr.contains("no notifier is called nobody"),
        "{ran:?}"
    );
}

#[test]
fn logs_are_json_on_request_and_kept_private_in_daily_files() {
    let world = Installation::new("one-api.db");
    world.edit("[log]\n", "[log]\nformat = \"json\"\ndir = \"logs\"\n");
    let ran = world.run(&["once"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let files: Vec<_> = fs::read_dir(world.path("logs"))
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    assert_eq!(files.len(), 1);
    assert_eq!(mode(&files[0]), 0o600);
    assert_eq!(mode(&world.path("logs")), 0o700);
    let file = fs::read_to_string(&files[0]).unwrap();
    for text in [&file, &ran.stderr] {
        let lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert!(
            lines.iter().any(|line| line["credential.name"] == "main"),
            "{text}"
        );
    }
}
