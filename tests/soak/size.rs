//! What may not grow: the process as the kernel sees it, and the files.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::support::daemon::Daemon;
use crate::support::installation::Installation;

/// 64 slots of 128 KiB.
const SLOTS: u64 = 64 * 128;

/// What the log in front of our own database may take, in KiB: four times what it is folded at.
const WAL: u64 = 4 * 1024;

/// What our own database keeps of each refresh at most, in bytes: two fingerprints and their index, and
/// an event for as long as events are kept.
const ROW: u64 = 1024;

/// The same of the log.
const LINES: u64 = 2048;

/// How much more a process may hold in the last quarter of its life than in the first, in KiB.
const GROWTH: u64 = 4 * 1024;

/// The most it may hold at any time, in KiB.
const PEAK: u64 = 64 * 1024;

/// How many more descriptors may be open in the last quarter: connections to the gateway's file come
/// and go.
const DESCRIPTORS: u64 = 8;

/// Everything at one moment; of memory and files in KiB.
pub(crate) struct Sizes {
    refreshes: usize,
    memory: u64,
    peak: u64,
    descriptors: u64,
    state: u64,
    wal: u64,
    slots: u64,
    log: u64,
}

impl Sizes {
    pub(crate) fn of(world: &Installation, daemon: &Daemon, refreshes: usize) -> Self {
        let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
        let line = |name: &str| {
            let (_, rest) = status.split_once(name).unwrap();
            rest.split_whitespace().next().unwrap().parse().unwrap()
        };
        Self {
            refreshes,
            memory: line("VmRSS:"),
            peak: line("VmHWM:"),
            descriptors: entries(Path::new(&format!("/proc/{}/fd", daemon.pid()))),
            state: kibibytes(&world.path("state/state.db")),
            wal: kibibytes(&world.path("state/state.db-wal")),
            slots: kibibytes(&world.path("state/slots")),
            log: kibibytes(&world.path("logs")),
        }
    }

    /// All of them, one line each.
    pub(crate) fn table(begun: &Self, seen: &[Self]) -> String {
        let mut table =
            "refreshes  RSS  peak  descriptors  state.db  -wal  slots  logs (KiB)".to_owned();
        for sizes in std::iter::once(begun).chain(seen) {
            write!(
                table,
                "\n{:9} {:5} {:5} {:5} {:8} {:6} {:6} {:6}",
                sizes.refreshes,
                sizes.memory,
                sizes.peak,
                sizes.descriptors,
                sizes.state,
                sizes.wal,
                sizes.slots,
                sizes.log
            )
            .unwrap();
        }
        table
    }

    /// The process keeps its size, the files that of what they are there for.
    pub(crate) fn check(begun: &Self, seen: &[Self]) {
        let quarter = seen.len().div_ceil(4);
        let (first, last) = (&seen[..quarter], &seen[seen.len() - quarter..]);
        let mean = |some: &[Self]| {
            let memory = some.iter().map(|sizes| sizes.memory);
            memory.sum::<u64>() / u64::try_from(quarter).unwrap()
        };
        let open = |some: &[Self]| some.iter().map(|sizes| sizes.descriptors).max().unwrap();
        assert!(mean(last) <= mean(first) + GROWTH, "memory grows");
        assert!(open(last) <= open(first) + DESCRIPTORS, "files stay open");
        for sizes in seen {
            let refreshes = u64::try_from(sizes.refreshes).unwrap();
            assert!(sizes.peak <= PEAK, "{} KiB of memory", sizes.peak);
            assert_eq!(sizes.slots, SLOTS);
            assert!(sizes.wal <= WAL, "{} KiB before the database", sizes.wal);
            assert!(sizes.state <= begun.state + refreshes * ROW / 1024 + 256);
            assert!(sizes.log <= begun.log + refreshes * LINES / 1024 + 256);
        }
    }
}

fn entries(folder: &Path) -> u64 {
    u64::try_from(fs::read_dir(folder).unwrap().count()).unwrap()
}

/// The length of a file, or of all in a folder; nothing if it is not there.
fn kibibytes(path: &Path) -> u64 {
    let length = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
    match fs::read_dir(path) {
        Ok(folder) => {
            folder
                .map(|entry| length(&entry.unwrap().path()))
                .sum::<u64>()
                / 1024
        }
        Err(_) => length(path) / 1024,
    }
}
