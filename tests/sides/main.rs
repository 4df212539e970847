//! The gateway's side of the promise: what others do to its file before a refresh, while its exchange is
//! under way, and afterwards. Each row runs the real program, as `once` and as a daemon, over the files
//! of all three gateways; what it came to must be the same. Troubles are in `trouble.rs`, a row's course
//! in `course.rs`.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod course;
mod side;
#[path = "../support/mod.rs"]
mod support;
mod trouble;
mod writer;

use std::thread;

use course::{MOMENTS, Moment, changes, course};
use insta::assert_snapshot;
use keyfresh::store::link::State;
use side::Side;
use support::disk::can_be_mounted;
use support::gate::Stop;
use support::until;
use trouble::Trouble;
use writer::busy;

const FIXTURES: [&str; 3] = ["one-api.db", "new-api-2026-08.db", "one-hub.db"];

/// The three moments of one trouble: alike for all gateways, or told apart.
fn check(trouble: Trouble) -> String {
    let rows: Vec<Vec<String>> = thread::scope(|scope| {
        let run = |moment: Moment| {
            FIXTURES.map(|fixture| scope.spawn(move || course(fixture, trouble, moment)))
        };
        let running = MOMENTS.map(run);
        let ends = running.map(|row| row.map(|thread| thread.join().unwrap()).to_vec());
        ends.to_vec()
    });
    let row = |(moment, told): (&Moment, &Vec<String>)| {
        if told.iter().all(|one| *one == told[0]) {
            return format!("{moment:?}\n{}", told[0]);
        }
        let each = FIXTURES.iter().zip(told);
        let each = each.map(|(fixture, told)| format!("{moment:?}, {fixture}\n{told}"));
        each.collect()
    };
    MOMENTS.iter().zip(&rows).map(row).collect()
}

#[test]
fn locked_for_writing() {
    assert_snapshot!(check(trouble::write_lock));
}

/// By a process that writes, with the patience that is the default: only a delay.
#[test]
fn locked_for_twenty_seconds() {
    let check = |fixture| {
        let side = Side::with(fixture, false, "");
        let daemon = side.installation.serve();
        side.gate.stop(Stop::Request);
        side.make_due();
        until("the request is on its way", || {
            (side.gate.reached() == 1).then_some(())
        });
        let mut writer = busy(&side);
        side.gate.stop(Stop::Nowhere);
        until("it is settled", || {
            (side.installation.row().generation == 3).then_some(())
        });
        assert_eq!(side.link().state, State::Pending);
        until("the key is brought", || {
            (side.link().state == State::Current).then_some(())
        });
        assert!(writer.wait().unwrap().success());
        let log = daemon.stop().stderr;
        assert!(!log.contains("cannot be brought"), "{log}");
        assert_eq!(side.events(), ["refreshed"]);
        assert_eq!(changes(&side), "channels[1].key, a log");
    };
    thread::scope(|scope| {
        for fixture in FIXTURES {
            scope.spawn(move || check(fixture));
        }
    });
}

#[test]
fn locked_whole() {
    assert_snapshot!(check(trouble::whole_lock));
}

#[test]
fn in_a_folder_that_cannot_be_written() {
    if can_be_mounted() {
        assert_snapshot!(check(trouble::read_only));
    }
}

#[test]
fn on_a_full_disk() {
    if can_be_mounted() {
        assert_snapshot!(check(trouble::full_disk));
    }
}

#[test]
fn replaced_by_a_copy() {
    assert_snapshot!(check(trouble::replaced));
}

#[test]
fn deleted_and_made_again() {
    assert_snapshot!(check(trouble::deleted));
}

#[test]
fn replaced_by_another_database() {
    assert_snapshot!(check(trouble::another_database));
}

#[test]
fn replaced_by_a_text() {
    assert_snapshot!(check(trouble::text));
}

#[test]
fn replaced_by_a_folder() {
    assert_snapshot!(check(trouble::folder));
}

#[test]
fn replaced_by_a_link_to_nothing() {
    assert_snapshot!(check(trouble::dangling));
}

#[test]
fn restored_from_a_backup_with_an_older_key() {
    assert_snapshot!(check(trouble::restored));
}

#[test]
fn without_its_channel() {
    assert_snapshot!(check(trouble::channel_deleted));
}

#[test]
fn with_another_channel_under_the_id() {
    assert_snapshot!(check(trouble::id_reused));
}

#[test]
fn with_a_key_edited_by_hand() {
    assert_snapshot!(check(trouble::key_edited));
}

#[test]
fn with_the_channel_disabled_by_hand() {
    assert_snapshot!(check(trouble::disabled));
}

#[test]
fn with_a_hot_journal() {
    assert_snapshot!(check(trouble::hot_journal));
}

#[test]
fn with_a_write_ahead_log_that_nobody_merged() {
    assert_snapshot!(check(trouble::write_ahead_log));
}
