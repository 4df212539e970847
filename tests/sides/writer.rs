//! A process that is killed in the middle of a transaction, after pages of it went to the disk.

use std::fs;
use std::io::{self, BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

use keyfresh::clock::Clock;

use crate::side::Side;
use crate::support::gateway::{child, database_of_child};
use crate::support::until;

/// What it writes and never commits.
const TORN: &str = "UPDATE channels SET key = 'torn', name = 'torn';
    INSERT INTO logs (content) SELECT hex(randomblob(3000)) FROM channels, tokens";

/// How long another process writes without a pause.
const HELD: Duration = Duration::from_secs(20);

/// Has the gateway's file written to by a process that is killed meanwhile: what `ending` names stays.
pub(crate) fn killed(side: &Side, journal: &str, ending: &str) {
    let program = std::env::current_exe().unwrap();
    let name = "writer::write_and_wait_to_be_killed";
    let mut writer = child(&program, name, &side.file())
        .env("KEYFRESH_TEST_JOURNAL", journal)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = BufReader::new(writer.stdout.take().unwrap()).lines();
    until("pages went to the disk", || {
        told.next().unwrap().unwrap().contains("torn").then_some(())
    });
    // Another process may roll it back as soon as this one is dead.
    let written = if journal == "WAL" {
        side.beside(ending)
    } else {
        side.file()
    };
    let bytes = fs::read(written).unwrap();
    assert!(bytes.windows(4).any(|bytes| bytes == b"torn"));
    assert!(side.beside(ending).exists());
    writer.kill().unwrap();
    writer.wait().unwrap();
}

/// Has the gateway's file locked by a process that writes for twenty seconds, from now on.
pub(crate) fn busy(side: &Side) -> Child {
    let program = std::env::current_exe().unwrap();
    let name = "writer::write_for_twenty_seconds";
    let mut writer = child(&program, name, &side.file())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = BufReader::new(writer.stdout.as_mut().unwrap()).lines();
    until("the file is locked", || {
        let line = told.next().unwrap().unwrap();
        line.contains("locked").then_some(())
    });
    writer
}

#[test]
#[ignore = "the other process of the test with a lock of twenty seconds"]
fn write_for_twenty_seconds() {
    let connection = rusqlite::Connection::open(database_of_child()).unwrap();
    until("the file is ours", || {
        connection.execute_batch("BEGIN IMMEDIATE").ok()
    });
    let sql = "INSERT INTO logs (content) VALUES ('whole')";
    connection.execute(sql, []).unwrap();
    let clock = Clock::system().stopwatch();
    println!("\nlocked");
    while let Some(left) = HELD.checked_sub(clock.elapsed()) {
        thread::park_timeout(left);
    }
    until("readers let it through", || {
        connection.execute_batch("COMMIT").ok()
    });
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
    // Ends when whoever started it is gone without having killed it.
    io::copy(&mut io::stdin(), &mut io::sink()).unwrap();
}
