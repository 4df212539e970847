//! What keyfresh costs, measured on this machine beside what it may cost: `cargo bench --bench refresh`.
//!
//! Runs the release binary against real parts on loopback: the bundled authorization server, a copy of
//! a gateway's file, a PushPlus sink. Takes two minutes after the build and needs an idle machine. Some
//! lines need strace, or curl, jq and sqlite3; without them they say so. A line that misses its target
//! says MISS and fails nothing; only what cannot run at all ends the run.

#![expect(clippy::unwrap_used, reason = "a benchmark may panic")]
#![expect(clippy::print_stdout, reason = "this is a report")]

mod burst;
mod contest;
mod process;
mod single;
#[path = "../support/mod.rs"]
mod support;
mod table;

use std::ffi::OsString;
use std::fs;

use process::megabytes;
use support::daemon::Daemon;
use support::installation::{Installation, PROGRAM};
use table::{Table, Target};

/// How often the daemon is started to find the median.
const STARTS: usize = 15;

fn main() {
    let cores = std::thread::available_parallelism().unwrap();
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap();
    let model = processors
        .lines()
        .find(|line| line.starts_with("model name"));
    let model = model
        .and_then(|line| line.split_once(": "))
        .map_or("?", |(_, model)| model);
    let folder = std::env::temp_dir();
    println!("keyfresh {}", env!("CARGO_PKG_VERSION"));
    println!("on {cores} cores, {model}; files in {}\n", folder.display());
    let mut table = Table::default();
    let size = fs::metadata(PROGRAM).unwrap().len();
    table.line(
        "size of the release binary",
        megabytes(size),
        Target::Most(15.0),
        "MB",
    );
    single::measure(&mut table);
    burst::measure(&mut table);
    contest::measure(&mut table);
    println!("\n{table}");
}

/// The value in the middle of `values`.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The time from exec to `READY=1` with nothing due.
fn ready(world: &Installation, with: &str, table: &mut Table) {
    let start = |_| {
        let daemon = world.serve();
        let span = daemon.ready_after.as_secs_f64() * 1000.0;
        daemon.stop();
        span
    };
    let what = format!("READY=1 after exec, {with}, median of {STARTS}");
    let measured = median((0..STARTS).map(start).collect());
    table.line(what, measured, Target::Most(100.0), "ms");
}

/// Waits until `query`, a count of rows of our own state, gives `expected`.
fn reach(world: &Installation, daemon: &Daemon, query: &str, expected: usize) {
    let rows = world.state();
    support::until(query, || {
        // A look every few milliseconds would cost more than what is measured.
        std::thread::park_timeout(std::time::Duration::from_millis(20));
        let found: usize = rows.query_row(query, [], |row| row.get(0)).ok()?;
        assert!(
            fs::exists(format!("/proc/{}/exe", daemon.pid())).unwrap(),
            "{}",
            daemon.log()
        );
        (found == expected).then_some(())
    });
}

/// How many links hold the key of `generation` or a newer one.
fn current(generation: usize) -> String {
    format!("SELECT count(*) FROM link WHERE state = 'current' AND generation >= {generation}")
}

/// Where tools are looked for.
#[expect(
    clippy::disallowed_methods,
    reason = "tools are found as a shell finds them"
)]
fn search_path() -> OsString {
    std::env::var_os("PATH").unwrap_or_default()
}

fn is_installed(tool: &str) -> bool {
    std::env::split_paths(&search_path()).any(|folder| folder.join(tool).is_file())
}
