//! The reliability table: the real program struck at each call by which it touches a file or the network,
//! killed or made to fail, started again and judged. `tests/harness/calls.c` strikes, the server's log judges.
//!
//! Without more it runs a part spread over all calls. Everything is run, and the table shown, by
//! `KEYFRESH_SWEEP=full cargo test --release --test harness nothing_is_lost -- --nocapture` (`kills`,
//! `faults` or `others`: one part). A finding is named by its point; `KEYFRESH_CUT="once 57 killed After"`
//! runs it alone.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]
#![expect(clippy::print_stdout, reason = "the table is for people")]

#[path = "../support/mod.rs"]
mod support;

mod calls;
mod course;
mod crowd;
mod disk;
mod judge;
mod misbehaving;
mod rig;
#[path = "../peer/rows.rs"]
mod rows;
mod seen;
mod server;
mod sweep;
mod table;

use std::sync::Arc;

use course::{Course, STAGES, Stage};
use rig::Rig;
use support::peer::Peer;
use sweep::Sweep;
use table::Table;

#[expect(clippy::disallowed_methods, reason = "people have a say")]
fn asked(variable: &str) -> Option<String> {
    std::env::var(variable).ok()
}

/// Adds rows to the table.
type Part = fn(&Sweep, &mut Table);

/// The parts of the table, as `KEYFRESH_SWEEP` calls them.
const PARTS: [(&str, Part); 3] = [("kills", kills), ("faults", faults), ("others", others)];

fn is_part(wish: &str) -> bool {
    PARTS.iter().any(|(part, _)| *part == wish)
}

/// An installation without a gate; none without the authorization server.
fn rig() -> Option<Rig> {
    Some(Rig::new(&Arc::new(Peer::start()?), false))
}

#[test]
fn nothing_is_lost_wherever_the_program_is_struck() {
    let wish = asked("KEYFRESH_SWEEP");
    let Some(peer) = Peer::start() else { return };
    let sweep = Sweep::new(Arc::new(peer), wish.is_some());
    let mut table = Table::default();
    if let Some(point) = asked("KEYFRESH_CUT") {
        table.add(sweep.points("one point", vec![course::parse(&point)]));
    } else {
        let part = wish.as_deref().filter(|wish| is_part(wish));
        for (name, rows) in PARTS {
            if part.is_none_or(|part| part == name) {
                rows(&sweep, &mut table);
            }
        }
    }
    table.print();
    table.must_be_sound();
}

/// The number of each is that of the part that runs without `KEYFRESH_SWEEP`.
fn kills(sweep: &Sweep, table: &mut Table) {
    let recoveries = STAGES.map(Course::Recovery);
    table.add(sweep.kills("killed in `once`", &[Course::Once], 100));
    table.add(sweep.kills("killed in the daemon", &[Course::Daemon], 50));
    table.add(sweep.kills("killed in a reload", &[Course::Reload], 30));
    table.add(sweep.kills("killed again in the recovery", &recoveries, 100));
    let starts = [Stage::Claimed, Stage::Answered, Stage::Told].map(Course::Start);
    table.add(sweep.kills("killed in the start after it", &starts, 40));
    table.add(sweep.by_time("killed by time after the reply", 30));
    assert!(table.kills() >= 300, "{} kills", table.kills());
}

fn faults(sweep: &Sweep, table: &mut Table) {
    let recoveries = STAGES.map(Course::Recovery);
    let both = [Course::Once, Course::Daemon];
    table.add(sweep.faults("a call fails in `once`", &[Course::Once], 60));
    table.add(sweep.faults("a call fails in the daemon", &[Course::Daemon], 24));
    table.add(sweep.faults("a call fails in the recovery", &recoveries, 30));
    let start = [Course::Start(Stage::Answered)];
    table.add(sweep.faults("a call fails in the start", &start, 24));
    let some = [
        Course::Once,
        Course::Daemon,
        Course::Recovery(Stage::Answered),
    ];
    table.add(sweep.reads("a read of a file fails", &some, 24));
    table.add(sweep.full_disk("the disk is full from a call on", &both, 24));
}

/// What comes from outside: the server, other processes, the disk.
fn others(sweep: &Sweep, table: &mut Table) {
    let (times, kills) = if sweep.is_full() { (8, 20) } else { (1, 1) };
    let faults = (0..times).flat_map(|_| misbehaving::all()).collect();
    let fault = |rig: &mut Rig, fault: &misbehaving::Fault| fault.run(rig);
    table.add(sweep.run("the server misbehaves", faults, false, fault));
    let crowd = |rig: &mut Rig, crowd: &crowd::Crowd| crowd.run(rig);
    table.add(sweep.run("several processes at once", crowd::all(kills), true, crowd));
    if support::disk::can_be_mounted() {
        let disks = sweep.thinned((0..4).flat_map(|_| disk::all()).collect(), 17);
        table.add(sweep::runs("a disk is really full", disks, |disk| {
            disk.run(sweep.peer())
        }));
    }
}

#[test]
fn the_library_sees_every_call_that_strace_sees() {
    if !support::strace::can_trace() {
        return;
    }
    let Some(mut rig) = rig() else { return };
    let (seen, listed) = seen::both(&mut rig);
    assert_eq!(seen.len(), listed.len());
    for (call, count) in seen {
        assert_eq!(listed.get(&call), Some(&count), "{call:?}");
    }
}

/// Found by the table: `once 21 ENOSPC Before` and its neighbours ended well and said nothing.
#[test]
fn a_slot_that_fails_is_told_even_if_the_answer_is_kept() {
    let Some(mut rig) = rig() else { return };
    let sync = rig.fail_first(calls::kind::SYNC, &rig.endpoint());
    assert!(
        sync.said.contains("it is kept in a file beside it"),
        "{}",
        sync.said
    );
    rig.installation.done(&["once"]);
    let write = rig.fail_first(calls::kind::WRITE, &rig.endpoint());
    assert!(
        write.said.contains("stored in its slot after a failure"),
        "{}",
        write.said
    );
    assert!(rig.holds_the_newest());
}

/// SQLite syncs the folder of its new log and does not tell if that fails; a commit in that log could be
/// lost with its name.
#[test]
fn a_new_log_whose_name_cannot_be_made_durable_stops_the_start() {
    let Some(mut rig) = rig() else { return };
    let before = rig.server().asked();
    let sync = rig.fail_first(calls::kind::SYNC, "state.db-wal");
    assert_eq!(sync.code, Some(1), "{}", sync.said);
    assert!(sync.said.contains("state: "), "{}", sync.said);
    assert_eq!(rig.server().asked(), before);
    rig.installation.done(&["once"]);
    assert!(rig.holds_the_newest());
}
