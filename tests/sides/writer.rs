//! A process that is killed in the middle of a transaction, after pages of it went to the disk.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::thread;

use crate::support::gateway::{child, database_of_child};
use crate::support::until;

/// What it writes and never commits.
const TORN: &str = "UPDATE channels SET key = 'torn', name = 'torn';
    INSERT INTO logs (content) SELECT hex(randomblob(3000)) FROM channels, tokens";

/// Has the file at `path` written to by a process that is killed meanwhile.
pub(crate) fn killed(path: &Path, journal: &str) {
    let program = std::env::current_exe().unwrap();
    let mut writer = child(&program, "writer::write_and_wait_to_be_killed", path)
        .env("KEYFRESH_TEST_JOURNAL", journal)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = BufReader::new(writer.stdout.take().unwrap()).lines();
    until("pages went to the disk", || {
        told.next().unwrap().unwrap().contains("torn").then_some(())
    });
    writer.kill().unwrap();
    writer.wait().unwrap();
}

#[test]
#[ignore = "the other process of the tests with a killed writer"]
#[expect(clippy::disallowed_methods, reason = "how a child learns its part")]
fn write_and_wait_to_be_killed() {
    let connection = rusqlite::Connection::open(database_of_child()).unwrap();
    let journal = std::env::var("KEYFRESH_TEST_JOURNAL").unwrap();
    until("the journal's mode is set", || {
        let sql = format!("PRAGMA journal_mode = {journal}");
        let mode: String = connection.query_row(&sql, [], |row| row.get(0)).ok()?;
        mode.eq_ignore_ascii_case(&journal).then_some(())
    });
    if journal == "WAL" {
        let whole = "PRAGMA wal_autocheckpoint = 0; INSERT INTO logs (content) VALUES ('whole')";
        until("a transaction is whole", || {
            connection.execute_batch(whole).ok()
        });
    }
    connection.execute_batch("PRAGMA cache_size = 2").unwrap();
    until("the file is ours", || {
        connection.execute_batch("BEGIN IMMEDIATE").ok()
    });
    // Readers hold up the pages for a moment.
    until("pages went to the disk", || {
        connection.execute_batch(TORN).ok()
    });
    println!("\ntorn");
    loop {
        thread::park();
    }
}
