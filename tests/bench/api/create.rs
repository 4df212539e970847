//! Creating tokens beside one commit for each, on this disk and on one whose fsync costs more.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use keyfresh::clock::Clock;

use crate::Effort;
use crate::bare::{self, Bare};
use crate::calls::{self, Server, contest};
use crate::gateway;
use crate::load;
use crate::support::daemon::Daemon;
use crate::support::installation::{Installation, PROGRAM};
use crate::table::{Table, Target};

/// Clients at once, and how many times the rate of single commits is wanted of us.
const WANTED: [(usize, f64); 2] = [(16, 5.0), (64, 10.0)];

/// What strace adds to each fsync to make this a slower disk: a hard disk or a network volume takes
/// some milliseconds for it.
const DELAY: Duration = Duration::from_millis(4);

const SLOW: &str = "create where an fsync takes 4 ms longer";

/// Syncs that are timed.
const SYNCS: u32 = 200;

/// Against single commits on `single`, a copy of the gateway's file as the daemon found it.
pub(crate) fn measure(
    world: &Installation,
    daemon: &Daemon,
    single: &Path,
    effort: Effort,
    table: &mut Table,
) {
    let sync = sync(&world.path("sync"));
    table.line("fdatasync of 4 KiB appended", sync, Target::Shown, "ms");
    let theirs = Bare::commits(Command::new(bare::own()), single);
    side_by_side(daemon, &theirs, "create", effort, table);
}

/// The same where strace holds up every fsync of both.
pub(crate) fn measure_slow(world: &Installation, single: &Path, effort: Effort, table: &mut Table) {
    if !Path::new(STRACE).exists() {
        table.unmeasured(SLOW, "strace is missing (apt-get install strace)");
        return;
    }
    let mut command = delayed();
    world.prepare(&mut command);
    command.args([PROGRAM, "serve"]);
    let daemon = world.serve_as(command);
    let mut command = delayed();
    command.arg(bare::own());
    let theirs = Bare::commits(command, single);
    side_by_side(&daemon, &theirs, SLOW, effort, table);
    daemon.stop();
}

const STRACE: &str = "/usr/bin/strace";

/// Runs what follows; strace makes way for it, so that signals reach it, and stops it for nothing else.
fn delayed() -> Command {
    let mut command = Command::new(STRACE);
    let delay = DELAY.as_micros();
    command
        .args(["-D", "-f", "-qq", "--seccomp-bpf", "-o", "/dev/null"])
        .args(["-e", "trace=fsync,fdatasync"])
        .args(["-e", &format!("inject=fsync,fdatasync:delay_enter={delay}")]);
    command
}

fn side_by_side(daemon: &Daemon, theirs: &Bare, what: &str, effort: Effort, table: &mut Table) {
    let runtime = load::thread();
    let call = Arc::new(calls::create());
    let ours = Server {
        address: gateway::address(daemon),
        pid: daemon.pid(),
    };
    let theirs = Server {
        address: theirs.address.clone(),
        pid: theirs.pid(),
    };
    for (size, wanted) in WANTED {
        let [ours, theirs] = contest(&runtime, &call, size, [&ours, &theirs], effort)
            .map(|measured| measured.sample.rate());
        let each = format!("{what}, {size} clients");
        table.line(&each, ours, Target::Shown, "per s");
        table.line(
            format!("{each}, a commit each"),
            theirs,
            Target::Shown,
            "per s",
        );
        table.line(
            format!("{each}, against that"),
            ours / theirs,
            Target::Least(wanted),
            "x",
        );
    }
}

/// The mean time in milliseconds of an `fdatasync` after 4 KiB more.
fn sync(path: &Path) -> f64 {
    let mut file = File::create_new(path).unwrap();
    let watch = Clock::system().stopwatch();
    for _ in 0..SYNCS {
        file.write_all(&[1; 4096]).unwrap();
        file.sync_data().unwrap();
    }
    watch.elapsed().as_secs_f64() * 1000.0 / f64::from(SYNCS)
}
