//! What others do to a gateway's file, and how it is put right again.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use rusqlite::Connection;

use crate::side::Side;
use crate::support::until;
use crate::writer;

/// Does it; what comes back puts it right.
pub(crate) type Trouble = fn(&Side) -> Cure;

pub(crate) type Cure = Box<dyn FnOnce(&Side) + Send>;

/// Nothing is to be put right: keyfresh gets along.
fn none() -> Cure {
    Box::new(|_| {})
}

fn lock(side: &Side, begin: &str) -> Cure {
    let connection = side.installation.other();
    until("the lock is free", || connection.execute_batch(begin).ok());
    Box::new(|_| drop(connection))
}

pub(crate) fn write_lock(side: &Side) -> Cure {
    lock(side, "BEGIN IMMEDIATE")
}

pub(crate) fn whole_lock(side: &Side) -> Cure {
    lock(side, "BEGIN EXCLUSIVE")
}

/// As after a remount: what is open stays open for writing, but nothing can be made or opened so.
pub(crate) fn read_only(side: &Side) -> Cure {
    let (folder, aside) = (side.folder(), side.installation.path("aside"));
    fs::create_dir(&aside).unwrap();
    let mount = |options: &[&str], places: &[&PathBuf]| {
        let mut command = Command::new("mount");
        let status = command.args(options).args(places).status();
        assert!(status.unwrap().success(), "{options:?}");
    };
    // Elsewhere first: nothing may be open for writing while a mount becomes read-only.
    mount(&["--bind"], &[&folder, &aside]);
    mount(&["-o", "remount,ro,bind"], &[&aside]);
    mount(&["--bind"], &[&aside, &folder]);
    Box::new(|side| side.mounts.undo())
}

/// A file system of its own from now on, as full as it was before.
pub(crate) fn full_disk(side: &Side) -> Cure {
    let mut filler = fs::File::create(side.folder().join("filler")).unwrap();
    while filler.write_all(&[1; 512]).is_ok() {}
    Box::new(|side| fs::remove_file(side.folder().join("filler")).unwrap())
}

pub(crate) fn replaced(side: &Side) -> Cure {
    let copy = side.twin();
    fs::rename(copy, side.file()).unwrap();
    none()
}

/// Takes the file away; it comes back as another with the same content.
fn away(side: &Side) -> Cure {
    let copy = side.twin();
    fs::remove_file(side.file()).unwrap();
    Box::new(move |side| fs::rename(copy, side.file()).unwrap())
}

pub(crate) fn deleted(side: &Side) -> Cure {
    away(side)
}

pub(crate) fn another_database(side: &Side) -> Cure {
    let back = away(side);
    let other = Connection::open(side.file()).unwrap();
    other.execute_batch("CREATE TABLE notes (text)").unwrap();
    back
}

pub(crate) fn text(side: &Side) -> Cure {
    let back = away(side);
    fs::write(side.file(), "somebody's notes\n".repeat(100)).unwrap();
    back
}

pub(crate) fn folder(side: &Side) -> Cure {
    let back = away(side);
    fs::create_dir(side.file()).unwrap();
    Box::new(|side| {
        fs::remove_dir(side.file()).unwrap();
        back(side);
    })
}

pub(crate) fn dangling(side: &Side) -> Cure {
    let back = away(side);
    symlink("nowhere", side.file()).unwrap();
    back
}

pub(crate) fn restored(side: &Side) -> Cure {
    fs::rename(side.backup(), side.file()).unwrap();
    none()
}

pub(crate) fn channel_deleted(side: &Side) -> Cure {
    side.installation
        .change("DELETE FROM channels WHERE id = 1");
    Box::new(|side| {
        side.bring_back("INSERT INTO channels SELECT * FROM backup.channels WHERE id = 1");
    })
}

pub(crate) fn id_reused(side: &Side) -> Cure {
    side.installation.change(
        "UPDATE channels SET created_time = created_time + 60, type = 2, name = 'another' WHERE id = 1",
    );
    Box::new(|side| {
        side.bring_back("REPLACE INTO channels SELECT * FROM backup.channels WHERE id = 1");
    })
}

pub(crate) fn key_edited(side: &Side) -> Cure {
    side.installation
        .change("UPDATE channels SET key = 'a stranger' WHERE id = 1");
    Box::new(|side| {
        side.bring_back("REPLACE INTO channels SELECT * FROM backup.channels WHERE id = 1");
    })
}

pub(crate) fn disabled(side: &Side) -> Cure {
    side.installation
        .change("UPDATE channels SET status = 2 WHERE id = 1");
    none()
}

pub(crate) fn hot_journal(side: &Side) -> Cure {
    writer::killed(side, "DELETE", "-journal");
    none()
}

pub(crate) fn write_ahead_log(side: &Side) -> Cure {
    writer::killed(side, "WAL", "-wal");
    none()
}
