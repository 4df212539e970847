//! A disk that is really full, from a stage of a refresh on: a small file system of its own, which only
//! root can mount, below the state or the gateway's file.

use std::fmt;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use nix::sys::signal::Signal;
use rusqlite::Connection;

use crate::judge::{Before, Terms, Verdict, judge, keeps_at_once, stored};
use crate::rig::Rig;
use crate::rig::process::{complains, needs_the_disk, refuses};
use crate::support::daemon::Daemon;
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

/// Whether a file system can be mounted; else the row is left out and says so, but in CI.
#[expect(clippy::disallowed_methods, reason = "CI and people have a say")]
pub(crate) fn can_be_mounted() -> bool {
    let folder = tempfile::tempdir().unwrap();
    let mounted = mount(folder.path());
    if mounted {
        unmount(folder.path());
    } else {
        println!("left out: a full disk (only root may mount one)");
    }
    let needed = std::env::var_os("CI").is_some_and(|value| value == "true");
    assert!(mounted || !needed, "no file system can be mounted");
    mounted
}

fn mount(folder: &Path) -> bool {
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", "size=12m,mode=0700", "keyfresh-test"]);
    let ran = mount.arg(folder).output();
    ran.is_ok_and(|ran| ran.status.success())
}

fn unmount(folder: &Path) {
    let unmounted = Command::new("umount").arg("-l").arg(folder).status();
    assert!(unmounted.unwrap().success());
}

/// The mounted file system.
struct Disk(PathBuf);

impl Disk {
    /// Below the state, made anew there, or below the gateway's file, moved there.
    fn below(place: Place, installation: &mut Installation) -> Self {
        let folder = match place {
            Place::State => installation.path("state"),
            Place::Gateway => installation.path("gateway"),
        };
        if let Place::State = place {
            fs::remove_dir_all(&folder).unwrap();
        }
        fs::create_dir(&folder).unwrap();
        assert!(mount(&folder));
        let this = Self(folder);
        match place {
            Place::State => {
                keyfresh::store::create(&this.0).unwrap();
            }
            Place::Gateway => {
                let path = this.0.join("one-api.db");
                fs::copy(&installation.gateway, &path).unwrap();
                let old = std::mem::replace(&mut installation.gateway, path);
                let new = installation.gateway.to_str().unwrap();
                installation.edit(old.to_str().unwrap(), new);
            }
        }
        this
    }

    fn fill(&self) {
        let mut file = fs::File::create(self.0.join("filler")).unwrap();
        while file.write_all(&[1; 4096]).is_ok() {}
    }

    fn free(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        unmount(&self.0);
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
            disk = Some(Disk::below(self.place, installation));
        });
        let disk = disk.unwrap();
        let before = Before::of(&rig);
        let daemon = rig.listed_daemon();
        self.fill(&rig, &disk, &daemon);
        until("it is done, or complains", || {
            let done = rig.is_at_rest() && rig.installation.sink.titles().len() > before.told;
            (done || complains(&daemon.log())).then_some(())
        });
        let ran = self.ended(&rig, &disk, daemon);
        let complete = rig.has_completed(&before);
        let calls = rig.calls();
        rig.forget_limits();
        rig.installation.run(&["once"]);
        let terms = Terms {
            stored: stored(&calls, &rig.endpoint()) >= rig.whole(),
            strikes: 1,
            may_fail: true,
        };
        let mut verdict = judge(&rig, &before, terms);
        if !keeps_at_once(&calls, &rig.endpoint()) {
            verdict.blame("an answer was not kept by the next call");
        }
        if !complete && !complains(&ran.stderr) {
            verdict.blame("a failure without an alert");
        }
        if !verdict.is_sound() {
            verdict.explain(&ran.stderr);
        }
        // Before the folder that it is mounted in.
        drop(disk);
        verdict
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
                installation.sink.hold(true);
                rig.make_due();
                until("the notice has arrived", || {
                    (installation.sink.titles().len() > told).then_some(())
                });
                disk.fill();
                installation.sink.hold(false);
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
