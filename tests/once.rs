//! `keyfresh once` with the real program: what cron ran the shell script for.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::{Command, Stdio};

use chrono::TimeDelta;
use keyfresh::clock::Clock;
use keyfresh::credential::Phase;
use keyfresh::demo::authority::{Fault, Ruling};
use support::database::{difference, dump};
use support::gate::{Gate, Stop};
use support::gateway::{child, database_of_child};
use support::installation::{Installation, PROGRAM, Ran, Running};
use support::until;

fn rulings(world: &Installation) -> Vec<Ruling> {
    let requests = world.authority.requests();
    requests.iter().map(|seen| seen.ruling).collect()
}

/// What the gateway's file looks like to the one before, with the fresh keys by name.
fn changes(world: &Installation, before: &support::database::Dump, names: &[&str]) -> String {
    let mut changes = difference(before, &dump(&world.gateway));
    for name in names {
        let access = world.tokens(name).1.unwrap();
        changes = changes.replace(&access, &format!("<{name}>"));
    }
    changes
}

/// Takes the moments out that keyfresh writes into a JSON key.
fn untimed(mut text: String) -> String {
    for member in [r#""last_refresh":""#, r#""expired":""#] {
        if let Some((_, rest)) = text.split_once(member) {
            let moment = rest.split('"').next().unwrap().to_owned();
            text = text.replace(&moment, "<moment>");
        }
    }
    text
}

/// Two credentials: one key each, in channels enabled, disabled by hand and disabled by the gateway.
#[test]
fn exactly_the_named_channels_change_while_another_process_writes() {
    let check = |fixture: &str, main: &str, other: &str| {
        let world = Installation::new(fixture);
        world.edit("channels = [1]", &format!("channels = {main}"));
        world.credential("other", &format!("channels = {other}"));
        let before = dump(&world.gateway);

        let mut writer = child(
            &std::env::current_exe().unwrap(),
            "write_rows_until_told_to_end",
            &world.gateway,
        )
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
        let mut told = BufReader::new(writer.stdout.take().unwrap()).lines();
        until("the other process writes", || {
            told.next()
                .unwrap()
                .unwrap()
                .contains("writing")
                .then_some(())
        });
        let ran = world.run(&["once"]);
        drop(writer.stdin.take());
        let written = until("the other process has counted", || {
            let line = told.next().unwrap().unwrap();
            line.strip_prefix("written ")?.parse::<usize>().ok()
        });
        assert!(writer.wait().unwrap().success());

        let changes = changes(&world, &before, &["main", "other"]);
        let is_row = |line: &&str| line.starts_with("logs[");
        let rows = changes
            .lines()
            .filter(|line| line.contains("].content: ") && is_row(line));
        assert_eq!(rows.count(), written, "{fixture}");
        assert!(written > 0);
        let changes = untimed(changes);
        let ours: Vec<&str> = changes
            .lines()
            .filter(|line| !is_row(line) && !line.starts_with("sqlite_sequence["))
            .collect();
        let ours = ours.join("\n");
        format!("{fixture}: {:?}\n{}{ours}\n\n", ran.code, ran.stdout)
    };
    let story = [
        check("one-api.db", "[1, 2, 3]", "[4]"),
        check("one-hub.db", "[1, 2, 3]", "[4]"),
        check("new-api-v0.9.5.db", "[1, 7, 8]", "[{ id = 5, line = 1 }]"),
        check(
            "new-api-2026-02.db",
            "[1, 4, 7, 8]",
            "[{ id = 5, line = 1 }]",
        ),
        check(
            "new-api-2026-08.db",
            "[1, 4, 7, 8]",
            "[{ id = 5, line = 1 }]",
        ),
    ];
    insta::assert_snapshot!(story.concat());
}

/// As a gateway does: one booking after the other, none may be refused.
#[test]
#[ignore = "the other process of the test above"]
fn write_rows_until_told_to_end() {
    let connection = rusqlite::Connection::open(database_of_child()).unwrap();
    connection
        .busy_timeout(std::time::Duration::from_secs(5))
        .unwrap();
    let (told, tells) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let end = std::io::stdin().read_line(&mut line);
        told.send(end.unwrap()).unwrap();
    });
    let mut written = 0;
    while tells.try_recv().is_err() {
        connection
            .execute(
                "INSERT INTO logs (user_id, type, content) VALUES (1, 2, 'x')",
                [],
            )
            .unwrap();
        written += 1;
        if written == 1 {
            println!("\nwriting");
        }
        // The gateway has other things to do as well.
        std::thread::park_timeout(std::time::Duration::from_millis(5));
    }
    println!("\nwritten {written}");
}

#[test]
fn nothing_is_sent_before_it_is_due() {
    let world = Installation::new("one-api.db");
    assert_eq!(
        world.done(&["once"]).lines().next(),
        Some("main: resting, refreshed, generation 1")
    );
    assert_eq!(
        world.done(&["once"]).lines().next(),
        Some("main: resting, not due")
    );
    assert_eq!(
        world.done(&["once", "--force", "main"]).lines().next(),
        Some("main: resting, refreshed, generation 2")
    );
    assert_eq!(rulings(&world), [Ruling::Granted; 2]);
    assert!(world.is_held());
    assert_eq!(Some(world.key(1)), world.tokens("main").1);
    assert_eq!(world.sink.titles().len(), 2);
}

#[test]
fn force_never_overrides_what_the_provider_said_or_may_have_done() {
    let check = |fault: &Fault, phase: &str| {
        let world = Installation::new("one-api.db");
        world.done(&["once"]);
        world.authority.fault(fault, 1);
        assert_eq!(world.run(&["once", "--force"]).code, Some(1));
        assert_eq!(world.status()["phase"], phase);
        let asked = world.authority.requests().len();
        for arguments in [
            &["once"][..],
            &["once", "--force"],
            &["credential", "refresh", "main"],
        ] {
            let ran = world.run(arguments);
            assert_eq!(ran.code, Some(1), "{fault:?} {arguments:?} {ran:?}");
        }
        assert_eq!(world.authority.requests().len(), asked, "{fault:?}");
        assert!(world.authority.alive(0));
    };
    let slow_down = Fault::Status {
        status: 429,
        retry_after: Some("3600".into()),
        handled: false,
    };
    check(&slow_down, "resting");
    check(&Fault::Cut { handled: true }, "unconfirmed");
    check(&Fault::Cut { handled: false }, "unconfirmed");
    check(&Fault::Error(400, "invalid_grant"), "dead");
}

#[test]
fn two_at_the_same_moment_make_one_request() {
    let world = Installation::new("one-api.db");
    let gate = Gate::new(&world.runtime, world.authority.url());
    world.edit(world.authority.url().as_str(), gate.url().as_str());
    gate.stop(Stop::Request);
    let both = [(); 2].map(|()| world.start(world.command(&["once"])));
    until("one of them has asked", || {
        (gate.reached() == 1).then_some(())
    });
    gate.stop(Stop::Nowhere);
    let codes = both
        .map(Running::end)
        .map(|ran: Ran| (ran.code, ran.stderr));
    assert!(codes.iter().all(|(code, _)| *code == Some(0)), "{codes:?}");
    assert_eq!(rulings(&world), [Ruling::Granted]);
    assert!(world.is_held());
}

#[test]
fn a_signal_lets_its_exchange_settle() {
    let world = Installation::new("one-api.db");
    let gate = Gate::new(&world.runtime, world.authority.url());
    world.edit(world.authority.url().as_str(), gate.url().as_str());
    gate.stop(Stop::Request);
    let once = world.start(world.command(&["once"]));
    until("the request is under way", || {
        (gate.reached() == 1).then_some(())
    });
    let pid = nix::unistd::Pid::from_raw(once.child.id().cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    until("it knows of the signal", || {
        once.log().contains("stopping").then_some(())
    });
    gate.stop(Stop::Nowhere);
    let ran = once.end();
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_eq!((world.row().generation, world.is_held()), (1, true));
}

#[test]
fn while_a_daemon_runs_it_does_the_work() {
    let world = Installation::new("one-api.db");
    let daemon = world.serve();
    until("the seed is exchanged", || {
        (world.row().generation == 1).then_some(())
    });
    assert_eq!(
        world.done(&["once"]).lines().next(),
        Some("main: resting, not due")
    );
    assert_eq!(
        world.done(&["once", "--force"]).lines().next(),
        Some("main: resting, refreshed, generation 2")
    );
    world
        .authority
        .fault(&Fault::Error(400, "invalid_grant"), 1);
    let ran = world.run(&["once", "--force", "main"]);
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.stdout.starts_with("main: dead, the provider rejected"),
        "{ran:?}"
    );
    assert_eq!(
        rulings(&world),
        [Ruling::Granted, Ruling::Granted, Ruling::Untouched]
    );
    daemon.stop();
}

#[test]
fn exit_codes_tell_who_has_to_act() {
    let world = Installation::new("one-api.db");
    let check = |arguments: &[&str], code: i32, says: &str| {
        let ran = world.run(arguments);
        assert_eq!(ran.code, Some(code), "{arguments:?}: {ran:?}");
        let said = ran.stdout + &ran.stderr;
        assert!(said.contains(says), "{arguments:?}: {said}");
    };
    check(&["once", "--nonsense"], 64, "--nonsense");
    check(&["nonsense"], 64, "nonsense");
    check(&["--version"], 0, "keyfresh");
    check(
        &["once", "nobody"],
        1,
        "no credential is called nobody: `keyfresh status` lists them",
    );
    check(&["--config", "absent.toml", "once"], 78, "absent.toml");
    assert_eq!(rulings(&world), []);
}

/// What is wrong with the installation is told with its remedy, and nothing is made anew.
#[test]
fn a_damaged_installation_is_refused_with_the_remedy() {
    let check = |damage: &dyn Fn(&Installation), says: &[&str]| {
        let world = Installation::new("one-api.db");
        damage(&world);
        for command in ["once", "serve", "status"] {
            let ran = world.run(&[command]);
            assert_eq!(ran.code, Some(78), "{command}: {ran:?}");
            for said in says {
                assert!(ran.stderr.contains(said), "{command}: {said}: {ran:?}");
            }
        }
        assert_eq!(rulings(&world), []);
    };
    let open = |name: &'static str| {
        move |world: &Installation| {
            let path = world.path(name);
            let mode = if path.is_dir() { 0o755 } else { 0o644 };
            std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        }
    };
    let remove = |name: &'static str| {
        move |world: &Installation| {
            let path = world.path(name);
            if path.is_dir() {
                std::fs::remove_dir_all(path).unwrap();
            } else {
                std::fs::remove_file(path).unwrap();
            }
        }
    };
    check(&open("config.toml"), &["chmod 600", "config.toml"]);
    check(&open("main.token"), &["chmod 600", "main.token"]);
    check(&open("state"), &["chmod 700", "state"]);
    check(&open("state/state.key"), &["chmod 600", "state.key"]);
    check(&open("state/state.db"), &["chmod 600", "state.db"]);
    check(&remove("state"), &["state is missing", "keyfresh init"]);
    check(
        &remove("state/state.db"),
        &["state.db is missing", "backup"],
    );
    check(
        &remove("state/state.key"),
        &["state.key is missing", "backup"],
    );
    let foreign =
        |world: &Installation| std::fs::write(world.path("state/state.key"), [1; 32]).unwrap();
    check(&foreign, &["state.key does not belong to this state.db"]);
}

const NOBODY: u32 = 65534;

/// Only root can try this; CI runs as root.
#[test]
fn another_user_is_sent_to_the_owner() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let world = Installation::new("one-api.db");
    chown(world.path("state"), Some(1), Some(1)).unwrap();
    let refused = world.run(&["once"]);
    assert_eq!(refused.code, Some(78));
    assert!(refused.stderr.contains("sudo -u"), "{refused:?}");

    for name in [
        "",
        "config.toml",
        "main.token",
        "pushplus.token",
        "token_secret",
        "hashids_salt",
    ] {
        chown(world.path(name), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    std::fs::set_permissions(world.path("state"), PermissionsExt::from_mode(0o700)).unwrap();
    let mut command = Command::new("setpriv");
    command.args([
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        PROGRAM,
        "once",
    ]);
    world.prepare(&mut command);
    let refused = world.start(command).end();
    assert_eq!(refused.code, Some(78), "{refused:?}");
    assert!(refused.stderr.contains("sudo -u"), "{refused:?}");
    assert_eq!(rulings(&world), []);
}

#[test]
fn a_locked_gateway_costs_no_token() {
    let world = Installation::new("one-api.db");
    world.done(&["once"]);
    world.edit("[gateway]\n", "[gateway]\nbusy_timeout = \"1s\"\n");
    world.make_due(Clock::system().now() - TimeDelta::seconds(1));
    let lock = world.other();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let ran = world.run(&["once"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stdout.contains("locked by another process"), "{ran:?}");
    assert_eq!(rulings(&world), [Ruling::Granted]);
    assert_eq!(world.row().phase, Phase::Resting);
    lock.execute_batch("ROLLBACK").unwrap();
    assert_eq!(world.run(&["once", "--force"]).code, Some(0));
    assert_eq!(rulings(&world), [Ruling::Granted; 2]);
}
