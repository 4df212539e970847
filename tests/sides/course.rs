//! One row: the trouble comes at its moment, is seen twice by `once` and by a daemon, and is put right.
//! Both must come to the same, which is told as text.

use std::fmt::Write as _;
use std::thread;
use std::time::Duration;

use keyfresh::clock::Clock;

use crate::side::Side;
use crate::support::daemon::Daemon;
use crate::support::database::{difference, dump};
use crate::support::gate::Stop;
use crate::support::until;
use crate::trouble::{self, Trouble};

/// Only a failure takes so long.
const PATIENCE: Duration = Duration::from_mins(1);

/// When the trouble comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// A refresh is due, nothing was sent yet.
    Before,
    /// The request is on its way.
    During,
    /// Nothing is due.
    After,
}

pub(crate) const MOMENTS: [Moment; 3] = [Moment::Before, Moment::During, Moment::After];

/// What the row came to at one of its stages.
#[derive(Debug, PartialEq, Eq)]
struct Stage {
    link: String,
    has_error: bool,
    asked: String,
    /// In order of their names: a channel may be looked at before or after a refresh is settled.
    told: Vec<String>,
}

impl Stage {
    fn of(side: &Side) -> Self {
        let link = side.link();
        let mut told = side.events();
        told.sort();
        Self {
            link: format!("{} at generation {}", link.state.name(), link.generation),
            has_error: link.last_error.is_some(),
            asked: format!("{:?}", side.rulings()),
            told,
        }
    }
}

/// The row's text, as `once` and the daemon agree on it.
pub(crate) fn course(fixture: &str, trouble: Trouble, moment: Moment) -> String {
    let (stages, changed, text) = once(fixture, trouble, moment);
    let by_the_daemon = daemon(fixture, trouble, moment, &stages);
    assert_eq!(by_the_daemon, changed);
    format!("{text}  changed: {changed}\n")
}

fn new(fixture: &str, trouble: Trouble) -> Side {
    let small = std::ptr::fn_addr_eq(trouble, trouble::full_disk as Trouble);
    Side::new(fixture, small)
}

/// Three runs of `once`, two in trouble and one after it: its stages, what they changed, the text.
fn once(fixture: &str, trouble: Trouble, moment: Moment) -> ([Stage; 2], String, String) {
    let side = new(fixture, trouble);
    let world = &side.installation;
    let (cure, first) = match moment {
        Moment::Before | Moment::After => {
            let cure = trouble(&side);
            if moment == Moment::Before {
                side.make_due();
            }
            (cure, world.run(&["once"]))
        }
        Moment::During => {
            side.gate.stop(Stop::Request);
            side.make_due();
            let running = world.start(world.command(&["once"]));
            until("the request is on its way", || {
                (side.gate.reached() == 1).then_some(())
            });
            let cure = trouble(&side);
            side.gate.stop(Stop::Nowhere);
            (cure, running.end())
        }
    };
    let second = world.run(&["once"]);
    let troubled = Stage::of(&side);
    let told = side.events().join(", ");
    let status = world.status()["channels"][0].take();
    let mut text = String::new();
    writeln!(
        text,
        "  once: {:?}, {:?}; asked {}",
        first.code, second.code, troubled.asked
    )
    .unwrap();
    writeln!(text, "  {}; told: {}", troubled.link, told).unwrap();
    if let Some(error) = status["last_error"].as_str() {
        writeln!(text, "  {}", said(&side, error)).unwrap();
    }
    cure(&side);
    if moment == Moment::Before && !troubled.asked.contains("Granted") {
        side.make_due();
    }
    let third = world.run(&["once"]);
    let mended = Stage::of(&side);
    writeln!(text, "  mended: {:?}; asked {}", third.code, mended.asked).unwrap();
    writeln!(
        text,
        "  {}; told: {}",
        mended.link,
        side.events().join(", ")
    )
    .unwrap();
    ([troubled, mended], changes(&side), text)
}

/// The same with a daemon, which must come to the same stages; what it changed.
fn daemon(fixture: &str, trouble: Trouble, moment: Moment, stages: &[Stage; 2]) -> String {
    let side = new(fixture, trouble);
    let daemon = side.installation.serve();
    daemon.logs("gateway recognised");
    let cure = match moment {
        Moment::Before => {
            let cure = trouble(&side);
            side.make_due();
            cure
        }
        Moment::During => {
            side.gate.stop(Stop::Request);
            side.make_due();
            until("the request is on its way", || {
                (side.gate.reached() == 1).then_some(())
            });
            let cure = trouble(&side);
            side.gate.stop(Stop::Nowhere);
            cure
        }
        Moment::After => {
            let cure = trouble(&side);
            side.wake();
            cure
        }
    };
    reaches(&side, &daemon, &stages[0], || {});
    cure(&side);
    let is_left = moment == Moment::Before && !stages[0].asked.contains("Granted");
    if !is_left {
        side.wake();
    }
    // What a look at the gateway showed is believed for two seconds more.
    // The provider is looked at last: a refresh that ends between the looks is not made due again.
    reaches(&side, &daemon, &stages[1], || {
        if is_left && side.is_postponed() && side.rulings().is_empty() {
            side.make_due();
        }
    });
    until("all is told", || side.is_told().then_some(()));
    if stages[1].link.starts_with("current") {
        // What is put right without a word shows only there.
        until("the channel holds the newest key", || {
            (Some(side.installation.key(1)) == side.installation.tokens("main").1).then_some(())
        });
    }
    until("it says that it is over", || {
        is_over(&daemon.log()).then_some(())
    });
    check_log(&daemon.stop().stderr);
    changes(&side)
}

/// One warning for each thing that goes wrong, however often it was tried, and one line when it is over.
fn check_log(log: &str) {
    let warnings = log.lines().filter_map(|line| line.split_once(" WARN "));
    let mut warnings: Vec<&str> = warnings.map(|(_, warning)| warning).collect();
    let count = warnings.len();
    warnings.sort_unstable();
    warnings.dedup();
    assert_eq!(warnings.len(), count, "{log}");
    assert!(is_over(log), "{log}");
}

fn is_over(log: &str) -> bool {
    let begun = log.matches("channels cannot be brought up to date");
    let over = log.matches("channels can be brought up to date again");
    begun.count() == over.count()
}

fn reaches(side: &Side, daemon: &Daemon, stage: &Stage, meanwhile: impl Fn()) {
    let clock = Clock::system().stopwatch();
    loop {
        meanwhile();
        let now = Stage::of(side);
        if now == *stage {
            return;
        }
        assert!(
            clock.elapsed() < PATIENCE,
            "once: {stage:?}, the daemon: {now:?}\n{}",
            daemon.log()
        );
        thread::park_timeout(Duration::from_millis(20));
    }
}

/// An error without what differs from run to run.
fn said(side: &Side, error: &str) -> String {
    let error = error.replace(side.installation.path("").to_str().unwrap(), "/");
    let end = error.find([':', '(']).unwrap_or(error.len());
    error[..end].trim().to_owned()
}

/// Which cells of the gateway's file are not as they were, rows that came or went as a whole; the
/// channel must hold the newest key if it is said to.
pub(crate) fn changes(side: &Side) -> String {
    let after = dump(&side.file());
    let link = side.link();
    if link.state.name() == "current" {
        let access = side.installation.tokens("main").1.unwrap();
        assert_eq!(after["channels[1].key"], format!("text '{access}'"));
    }
    let mut names: Vec<String> = Vec::new();
    for line in difference(&side.before, &after).lines() {
        let (name, values) = line.split_once(": ").unwrap();
        let row = name.split('.').next().unwrap();
        let came_or_went = values.starts_with("absent →") || values.ends_with("→ absent");
        let name = if came_or_went { row } else { name };
        // Which ids logs have, and where that is counted, differs from gateway to gateway.
        let name = match name.split('[').next() {
            Some("logs" | "sqlite_sequence") => "a log",
            _ => name,
        };
        if names.iter().all(|known| known != name) {
            names.push(name.to_owned());
        }
    }
    names.join(", ")
}
