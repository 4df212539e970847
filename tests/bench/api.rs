//! What the token API costs among a million tokens: `cargo bench --bench api`.
//!
//! Runs the release binary on a copy of a gateway's file and asks it over loopback from one thread,
//! beside two servers on the same stack: one returns the same bytes and does nothing for them, one
//! commits every token by itself. Takes four minutes after the build, a minute with `-- --quick`, less
//! with `-- --reads` (lists and rows alone), and needs an idle machine. A line that misses its target
//! says MISS and fails nothing.

#![expect(clippy::unwrap_used, reason = "a benchmark may panic")]
#![expect(clippy::print_stdout, reason = "this is a report")]

#[path = "api/bare.rs"]
mod bare;
#[path = "api/calls.rs"]
mod calls;
#[path = "api/create.rs"]
mod create;
#[path = "api/gateway.rs"]
mod gateway;
#[path = "api/load.rs"]
mod load;
mod process;
#[path = "api/search.rs"]
mod search;
#[path = "../support/mod.rs"]
mod support;
mod table;

use std::fs;
use std::time::Duration;

use gateway::Layout;
use keyfresh::clock::Clock;
use table::{Table, Target};

/// How long the clients ask.
#[derive(Clone, Copy)]
struct Effort {
    /// Turns of each server.
    rounds: usize,
    /// One turn.
    span: Duration,
    /// Whether reading rows and lists is all that is measured.
    reads_only: bool,
}

impl Effort {
    fn covers(self, call: &str) -> bool {
        !self.reads_only || ["list of 20", "get"].contains(&call)
    }
}

const FULL: Effort = Effort {
    rounds: 4,
    span: Duration::from_millis(600),
    reads_only: false,
};
const QUICK: Effort = Effort {
    rounds: 2,
    span: Duration::from_millis(150),
    reads_only: false,
};

fn main() {
    if bare::serve() {
        return;
    }
    let is_asked = |option| std::env::args().any(|argument| argument == option);
    let effort = Effort {
        reads_only: is_asked("--reads"),
        ..if is_asked("--quick") { QUICK } else { FULL }
    };
    let cores = std::thread::available_parallelism().unwrap();
    let folder = std::env::temp_dir();
    println!("keyfresh {}", env!("CARGO_PKG_VERSION"));
    println!("on {cores} cores; files in {}\n", folder.display());
    let watch = Clock::system().stopwatch();
    let mut table = Table::default();
    let world = gateway::large(&Layout::NEW_API);
    let single = world.path("single.db");
    fs::copy(&world.gateway, &single).unwrap();
    let daemon = world.serve();
    let speeds = calls::measure(&world, &daemon, effort, &mut table);
    if !effort.reads_only {
        create::measure(&world, &daemon, &single, effort, &mut table);
    }
    let resident = |line| process::memory(daemon.pid(), "status", line);
    let what = "RSS of the daemon after all this";
    table.line(what, resident("VmRSS:"), Target::Most(30.0), "MB");
    let what = "  … of it not the program's own file";
    table.line(what, resident("RssAnon:"), Target::Shown, "MB");
    let what = "  … the most it ever was";
    table.line(what, resident("VmHWM:"), Target::Shown, "MB");
    daemon.stop();
    if !effort.reads_only {
        create::measure_slow(&world, &single, effort, &mut table);
        drop(world);
        search::measure(&mut table);
    }
    println!("\n{speeds}\n{table}");
    println!("took {:.0} s", watch.elapsed().as_secs_f64());
}
