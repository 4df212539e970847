//! A disk that is really full from a stage of a refresh on, below the state or the gateway's file.

use std::fmt;
use std::fs;
use std::sync::Arc;

use keyfresh::demo::sink::Manner;
use keyfresh::store;
use nix::sys::signal::Signal;
use rusqlite::Connection;

use crate::judge::{Before, Terms, Verdict, judge, keeps_at_once, stored};
use crate::rig::Rig;
use crate::rig::process::{complains, needs_the_disk, refuses};
use crate::support::daemon::Daemon;
use crate::support::disk::Disk;
use crate::support::gate::{Part, Stop};
use crate::support::installation::{Installation, Ran};
use crate::support::peer::Peer;
use crate::support::until;

/// What lies on the disk.
#[derive(Clone, Copy, Debug)]
enum Place {
    State,
    Gateway,
}

/// Before what the disk is filled up.
#[derive(Clone, Copy, Debug)]
enum Stage {
    Claim,
    Answer,
    Settle,
    Link,
    Notice,
}

/// What happens then.
#[derive(Clone, Copy, Debug)]
enum Then {
    /// Somebody makes room; the daemon goes on, or waits for its restart.
    Room,
    /// The daemon is asked to stop first.
    Stop,
    /// It is killed first.
    Kill,
}

/// A disk that is filled up while a daemon refreshes.
#[derive(Debug)]
pub(crate) struct Full {
    place: Place,
    stage: Stage,
    then: Then,
}

/// Each stage on each disk, with each end.
pub(crate) fn all() -> Vec<Full> {
    let stages = [
        Stage::Claim,
        Stage::Answer,
        Stage::Settle,
        Stage::Link,
        Stage::Notice,
    ];
    let mut runs = Vec::new();
    for place in [Place::State, Place::Gateway] {
        for stage in stages {
            let ends = [Then::Room, Then::Stop, Then::Kill];
            runs.extend(ends.map(|then| Full { place, stage, then }));
        }
    }
    runs
}

/// A disk below the state, made anew there, or below the gateway's file, moved there.
fn disk_below(place: Place, installation: &mut Installation) -> Disk {
    match place {
        Place::State => {
            let state = installation.path("state");
            let disk = Disk::at(&state);
            store::create(&state).unwrap();
            disk
        }
        Place::Gateway => {
            let folder = installation.path("gateway");
            let disk = Disk::at(&folder);
            let path = folder.join("one-api.db");
            fs::copy(&installation.gateway, &path).unwrap();
            let old = std::mem::replace(&mut installation.gateway, path);
            let new = installation.gateway.to_str().unwrap();
            installation.edit(old.to_str().unwrap(), new);
            disk
        }
    }
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, stage, then } = self;
        write!(f, "{place:?} full before {stage:?}, {then:?}")
    }
}

impl Full {
    /// Makes the run on an installation of its own and judges it.
    pub(crate) fn run(&self, peer: &Arc<Peer>) -> Verdict {
        let mut disk = None;
        let mut rig = Rig::with(peer, true, |installation| {
            disk = Some(disk_below(self.place, installation));
        });
        let disk = disk.unwrap();
        let before = Before::of(&rig);
        let daemon = rig.listed_daemon();
        self.fill(&rig, &disk, &daemon);
        until("it complains, or is done", || {
            let done = rig.is_at_rest() && rig.installation.sink.titles().len() > before.told;
            (complains(&daemon.log()) || done && !self.must_fail()).then_some(())
        });
        let ran = self.ended(&rig, &disk, daemon);
        let calls = rig.calls();
        rig.forget_limits();
        rig.installation.run(&["once"]);
        let terms = Terms {
            stored: stored(&calls, &rig.endpoint()) >= rig.whole(),
            repeats: rig.repeats(&[&calls]),
            may_fail: true,
        };
        let mut verdict = judge(&rig, &before, terms);
        if !keeps_at_once(&calls, &rig.endpoint()) {
            verdict.blame("an answer was not kept by the next call");
        }
        if !verdict.is_sound() {
            verdict.explain(&ran.stderr);
        }
        // Before the folder that it is mounted in.
        drop(disk);
        verdict
    }

    /// Whether something is still to be written there.
    fn must_fail(&self) -> bool {
        !matches!((self.place, self.stage), (Place::Gateway, Stage::Notice))
    }

    /// Makes a refresh due and fills the disk up when it has come so far.
    fn fill(&self, rig: &Rig, disk: &Disk, daemon: &Daemon) {
        let gate = rig.gate();
        let installation = &rig.installation;
        let reached = gate.reached();
        let arrives = || {
            until("the exchange is stopped", || {
                (gate.reached() > reached).then_some(())
            });
        };
        match self.stage {
            Stage::Claim => {
                let gateway = locked(installation.other());
                rig.make_due();
                daemon.tries_again_and_again("gateway-writer");
                disk.fill();
                drop(gateway);
            }
            Stage::Answer => {
                gate.stop(Stop::Request);
                rig.make_due();
                arrives();
                disk.fill();
                gate.stop(Stop::Nowhere);
            }
            Stage::Settle => {
                gate.stop(Stop::Answer(Part::First(0)));
                rig.make_due();
                arrives();
                let state = locked(installation.state());
                gate.stop(Stop::Nowhere);
                daemon.waits_for_a_lock("state");
                disk.fill();
                drop(state);
            }
            Stage::Link => {
                let generation = installation.row().generation;
                gate.stop(Stop::Answer(Part::First(0)));
                rig.make_due();
                arrives();
                let gateway = locked(installation.other());
                gate.stop(Stop::Nowhere);
                until("the answer is settled", || {
                    (installation.row().generation > generation).then_some(())
                });
                daemon.tries_again_and_again("gateway-writer");
                disk.fill();
                drop(gateway);
            }
            Stage::Notice => {
                let told = installation.sink.titles().len();
                installation.sink.behave(Manner::Withhold);
                rig.make_due();
                until("the notice has arrived", || {
                    (installation.sink.titles().len() > told).then_some(())
                });
                disk.fill();
                installation.sink.behave(Manner::Accept);
            }
        }
    }

    fn ended(&self, rig: &Rig, disk: &Disk, daemon: Daemon) -> Ran {
        match self.then {
            Then::Room => {
                disk.free();
                // A channel is tried again after a minute only: that is left to the next process.
                until("it goes on, or waits for its restart", || {
                    (refuses(&daemon) || rig.is_settled()).then_some(())
                });
                daemon.stop()
            }
            Then::Stop => {
                daemon.signal(Signal::SIGTERM);
                until("it has ended or needs the disk", || {
                    (daemon.has_ended() || needs_the_disk(&daemon.log())).then_some(())
                });
                disk.free();
                daemon.end()
            }
            Then::Kill => {
                daemon.signal(Signal::SIGKILL);
                let ran = daemon.end();
                disk.free();
                ran
            }
        }
    }
}

/// A lock on a database, as another program would hold it.
fn locked(connection: Connection) -> Connection {
    until("the lock is free", || {
        connection.execute_batch("BEGIN IMMEDIATE").ok()
    });
    connection
}
