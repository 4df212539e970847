//! The crash table: the real program killed at every cut of an exchange, whether or not the provider
//! had rotated by then, and started again. The provider's own log is the judge.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::fmt::Write as _;
use std::fs;

use keyfresh::clock::Clock;
use keyfresh::demo::authority::{Fault, Ruling};
use keyfresh::demo::sink::Manner;
use rusqlite::Connection;
use support::daemon::Daemon;
use support::disk::{self, Disk};
use support::gate::{Gate, Part, Stop};
use support::installation::Installation;
use support::until;

/// An installation that has its first access token, behind a gate.
struct World {
    installation: Installation,
    gate: Gate,
    daemon: Option<Daemon>,
}

/// A lock on a database, as another program would hold it.
fn locked(connection: Connection) -> Connection {
    until("the lock is free", || {
        connection.execute_batch("BEGIN IMMEDIATE").ok()
    });
    connection
}

impl World {
    fn new() -> Self {
        let installation = Installation::new("one-api.db");
        let gate = Gate::new(&installation.runtime, installation.authority.url());
        installation.edit(installation.authority.url().as_str(), gate.url().as_str());
        installation.done(&["once"]);
        let daemon = Some(installation.serve());
        Self {
            installation,
            gate,
            daemon,
        }
    }

    fn daemon(&self) -> &Daemon {
        self.daemon.as_ref().unwrap()
    }

    fn due(&self) {
        self.installation.make_due(Clock::system().now());
    }

    /// Makes the exchange due and waits until it stands at the gate.
    fn stopped(&self, at: Stop) {
        self.gate.stop(at);
        self.due();
        until("the exchange is stopped", || {
            (self.gate.reached() == 1).then_some(())
        });
    }

    fn lock_state(&self) -> Connection {
        locked(self.installation.state())
    }

    fn lock_gateway(&self) -> Connection {
        locked(self.installation.other())
    }

    fn kill(&mut self) {
        self.daemon.take().unwrap().kill();
    }

    fn slot(&self) -> Vec<u8> {
        fs::read(self.installation.path("state/slots/00")).unwrap()
    }

    fn reach_generation(&self, generation: u64) {
        until("the answer is settled", || {
            (self.installation.row().generation == generation).then_some(())
        });
    }

    /// Starts the program again, lets it go on, and tells what the world looks like then.
    fn restarted(&self) -> String {
        let installation = &self.installation;
        self.gate.stop(Stop::Nowhere);
        let asked = installation.authority.requests().len();
        let told = installation.sink.titles().len();
        let codes = [(); 2].map(|()| installation.run(&["once"]).code.unwrap());
        let status = installation.status();
        let newest = installation.tokens("main").1.unwrap();
        let rulings: Vec<Ruling> = installation
            .authority
            .requests()
            .iter()
            .map(|seen| seen.ruling)
            .collect();
        assert!(!rulings.contains(&Ruling::Reused), "{rulings:?}");
        assert!(installation.authority.alive(0));
        assert_eq!(
            installation.key(1),
            newest,
            "the channel holds the newest key we have"
        );
        format!(
            "    requests {:?}, then {:?}\n    {}, generation {}, {}, once {codes:?}\n    notices {:?}, then {:?}\n",
            &rulings[1..asked],
            &rulings[asked..],
            status["phase"].as_str().unwrap(),
            status["generation"],
            if installation.is_held() {
                "held"
            } else {
                "lost"
            },
            &installation.sink.titles()[1..told],
            &installation.sink.titles()[told..],
        )
    }
}

/// One row of the table.
fn check(cut: &str, happened: bool, drive: impl FnOnce(&mut World)) -> String {
    let mut world = World::new();
    drive(&mut world);
    let happened = if happened {
        "happened"
    } else {
        "did not happen"
    };
    format!("{cut}: {happened}\n{}", world.restarted())
}

const RETRY: Fault = Fault::Error(503, "temporarily_unavailable");

#[test]
fn before_the_answer_is_stored() {
    let mut table = String::new();
    let mut row = |text: String| writeln!(table, "{text}").unwrap();

    row(check("the claim waits to be committed", false, |world| {
        let gateway = world.lock_gateway();
        world.due();
        world.daemon().tries_again_and_again("gateway-writer");
        let state = world.lock_state();
        drop(gateway);
        world.daemon().waits_for_a_lock("state");
        world.kill();
        drop(state);
    }));
    row(check("connecting", false, |world| {
        let installation = &world.installation;
        let plain = installation.configuration();
        let tls = world.gate.url().as_str().replace("http://", "https://");
        installation.edit(world.gate.url().as_str(), &tls);
        world.daemon().signal(nix::sys::signal::Signal::SIGHUP);
        world.daemon().logs("configuration reloaded");
        world.stopped(Stop::Connecting);
        world.kill();
        world.installation.configure(&plain);
    }));
    row(check("the request has arrived", false, |world| {
        world.stopped(Stop::Request);
        world.kill();
    }));
    for happened in [false, true] {
        let parts = [
            (
                "the request is answered, nothing of it came",
                Part::First(0),
            ),
            ("half of the answer came", Part::Half),
        ];
        for (cut, part) in parts {
            row(check(cut, happened, |world| {
                if !happened {
                    world.installation.authority.fault(&RETRY, 1);
                }
                world.stopped(Stop::Answer(part));
                if part != Part::First(0) {
                    until("it is stored", || {
                        world.slot().iter().any(|byte| *byte != 0).then_some(())
                    });
                }
                world.kill();
            }));
        }
    }
    insta::assert_snapshot!(table);
}

#[test]
fn after_the_answer_is_stored() {
    let mut table = String::new();
    let mut row = |text: String| writeln!(table, "{text}").unwrap();

    row(check("all but the last brace came", true, |world| {
        let before = world.slot();
        world.stopped(Stop::Answer(Part::AllBut(1)));
        until("it is stored", || (world.slot() != before).then_some(()));
        world.kill();
    }));
    for happened in [false, true] {
        row(check(
            "the answer is stored, its settling waits to be committed",
            happened,
            |world| {
                if !happened {
                    world.installation.authority.fault(&RETRY, 1);
                }
                world.stopped(Stop::Answer(Part::First(0)));
                let before = world.slot();
                let state = world.lock_state();
                world.gate.stop(Stop::Nowhere);
                until("it is stored", || (world.slot() != before).then_some(()));
                world.daemon().waits_for_a_lock("state");
                world.kill();
                drop(state);
            },
        ));
    }
    insta::assert_snapshot!(table);
}

#[test]
fn after_the_answer_is_settled() {
    let mut table = String::new();
    let mut row = |text: String| writeln!(table, "{text}").unwrap();

    row(check(
        "the answer is settled, the gateway's file is locked",
        true,
        |world| {
            world.stopped(Stop::Answer(Part::First(0)));
            let gateway = world.lock_gateway();
            world.gate.stop(Stop::Nowhere);
            world.reach_generation(2);
            world.daemon().tries_again_and_again("gateway-writer");
            world.kill();
            drop(gateway);
        },
    ));
    row(check(
        "the channel is written, its link is not saved",
        true,
        |world| {
            world.stopped(Stop::Answer(Part::First(0)));
            let old = world.installation.key(1);
            let gateway = world.lock_gateway();
            world.gate.stop(Stop::Nowhere);
            world.reach_generation(2);
            world.daemon().tries_again_and_again("gateway-writer");
            let state = world.lock_state();
            drop(gateway);
            until("the channel is written", || {
                (world.installation.key(1) != old).then_some(())
            });
            world.kill();
            drop(state);
        },
    ));
    row(check(
        "the notice has arrived, it is not answered",
        true,
        |world| {
            world.installation.sink.behave(Manner::Withhold);
            world.due();
            until("the notice has arrived", || {
                (world.installation.sink.titles().len() == 2).then_some(())
            });
            world.kill();
            world.installation.sink.behave(Manner::Accept);
        },
    ));
    row(check(
        "the notice is answered, the cursor is not saved",
        true,
        |world| {
            world.installation.sink.behave(Manner::Withhold);
            world.due();
            until("the notice has arrived", || {
                (world.installation.sink.titles().len() == 2).then_some(())
            });
            let state = world.lock_state();
            world.installation.sink.behave(Manner::Accept);
            world.daemon().waits_for_a_lock("state");
            world.kill();
            drop(state);
        },
    ));
    insta::assert_snapshot!(table);
}

/// The slot needs no free space: with the state's disk full the answer is kept there, and settled once
/// there is space again, by this process or the next one.
#[test]
fn on_a_full_disk() {
    if !disk::can_be_mounted() {
        return;
    }
    for killed in [false, true] {
        let installation = Installation::new("one-api.db");
        let disk = Disk::at(&installation.path("state"));
        keyfresh::store::create(&installation.path("state")).unwrap();
        let gate = Gate::new(&installation.runtime, installation.authority.url());
        installation.edit(installation.authority.url().as_str(), gate.url().as_str());
        let daemon = installation.serve();
        let reaches = |generation| {
            until("the answer is settled", || {
                (installation.row().generation == generation).then_some(())
            });
        };
        reaches(1);
        gate.stop(Stop::Answer(Part::First(0)));
        installation.make_due(Clock::system().now());
        until("the exchange is stopped", || {
            (gate.reached() == 1).then_some(())
        });
        disk.fill();
        gate.stop(Stop::Nowhere);
        daemon.logs("an answer in its slot cannot be settled yet");
        assert_eq!(daemon.page("/readyz").0, 503);
        let again = if killed {
            daemon.kill();
            disk.free();
            installation.serve()
        } else {
            disk.free();
            daemon
        };
        reaches(2);
        assert!(installation.is_held());
        assert_eq!(installation.authority.requests().len(), 2);
        assert_eq!(again.stop().code, Some(0));
    }
}
