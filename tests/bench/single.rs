//! One credential: how soon the daemon is ready, and how often a refresh waits for the disk.

use std::fs;
use std::process::Command;

use crate::support::installation::{Installation, PROGRAM};
use crate::table::{Table, Target};
use crate::{current, is_installed, reach, ready, search_path};

const FSYNCS: &str = "fsyncs of one refresh, from claim to link row";

pub(crate) fn measure(table: &mut Table) {
    let world = Installation::new("one-api.db");
    // Nobody is told: a notifier's cursor is not to be counted.
    let text = world.configuration();
    let (head, rest) = text.split_once("[notify.wechat]").unwrap();
    let (_, tail) = rest.split_once("[api]").unwrap();
    world.configure(&format!("{head}[api]{tail}"));
    let daemon = world.serve();
    reach(&world, &daemon, &current(1), 1);
    daemon.stop();
    ready(&world, "1 credential", table);
    if is_installed("strace") {
        let counted = f64::from(fsyncs(&world));
        table.line(FSYNCS, counted, Target::Most(4.0), "fsyncs");
    } else {
        table.unmeasured(FSYNCS, "strace is missing (apt-get install strace)");
    }
}

/// Counts under strace what a running daemon does on our own files for a refresh that somebody asks for.
fn fsyncs(world: &Installation) -> u32 {
    let trace = world.path("trace");
    let mut command = Command::new("strace");
    world.prepare(&mut command);
    command
        .env("PATH", search_path())
        // strace makes way for the daemon, so that signals reach it.
        .args(["-D", "-f", "-y", "-e", "trace=fsync,fdatasync", "-o"])
        .arg(&trace)
        .args([PROGRAM, "serve"]);
    let daemon = world.serve_as(command);
    let refresh = |generation| {
        let before = fs::read_to_string(&trace).unwrap().len();
        world.done(&["credential", "refresh", "main"]);
        reach(world, &daemon, &current(generation), 1);
        let text = fs::read_to_string(&trace).unwrap();
        let own = text[before..]
            .lines()
            .filter(|line| line.contains("/state/"));
        u32::try_from(own.count()).unwrap()
    };
    // The first write after a checkpoint begins the write-ahead log anew and syncs its head, too.
    refresh(2);
    let counted = refresh(3);
    daemon.stop();
    counted
}
