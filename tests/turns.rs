//! Whose turn it is at a gateway's file: the gateway's, our readers', our writer's.
//!
//! Real parts: locks belong to processes, so who competes with us is another one.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use keyfresh::clock::Clock;
use keyfresh::database::{Error, Halt, Session};
use rusqlite::Connection;
use support::gateway::{World, child, database_of_child};
use tokio::task::JoinSet;

const ENDLESS: &str =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";

const TOUCH: &str = "UPDATE tokens SET used_quota = used_quota + 1 WHERE id = 1";

/// Reads for some milliseconds.
fn read(session: &Session<'_>) -> Result<(), Halt<()>> {
    let some = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 150000) SELECT count(*) FROM n";
    session.rows(some, &[], |_| ())?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_that_overlap_let_another_process_commit() {
    let world = World::new("one-api.db");
    let database = world.database().await;
    let done = Arc::new(AtomicBool::new(false));
    let mut readers = JoinSet::new();
    for number in 0..9 {
        let (database, done) = (database.clone(), Arc::clone(&done));
        readers.spawn(async move {
            while !done.load(Ordering::Relaxed) {
                let read = match number % 3 {
                    0 => database.scan(read).await,
                    _ => database.view(read).await,
                };
                assert!(matches!(read, Ok(Ok(())) | Err(Error::Overrun { .. })));
            }
        });
    }
    let program = std::env::current_exe().unwrap();
    let mut child = child(&program, "child_commits_now_and_then", &world.path);
    let output = tokio::task::spawn_blocking(move || child.output().unwrap());
    let output = output.await.unwrap();
    done.store(true, Ordering::Relaxed);
    readers.join_all().await;
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
}

#[test]
#[ignore = "a child of readers_that_overlap_let_another_process_commit"]
fn child_commits_now_and_then() {
    let connection = Connection::open(database_of_child()).unwrap();
    // Measured: up to 0.3 s, beside other tests on two cores; without turns it fails each time.
    connection.busy_timeout(Duration::from_secs(5)).unwrap();
    for _ in 0..10 {
        connection.execute(TOUCH, []).unwrap();
        // The readers come back in.
        std::thread::park_timeout(Duration::from_millis(100));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_readers_hold_up_leaves_the_file_to_others_most_of_the_time() {
    let world = World::new("one-api.db");
    let database = world.database().await;
    let count = "SELECT count(*) FROM tokens";
    let reader = world.other();
    reader.execute_batch("BEGIN").unwrap();
    reader.query_row(count, [], |_| Ok(())).unwrap();
    let written = tokio::spawn(async move {
        let write = |session: &Session<'_>| Ok(session.execute(TOUCH, &[])?);
        database.alter::<_, ()>(write).await
    });
    let newcomer = world.other();
    let shut_out = || newcomer.query_row(count, [], |_| Ok(())).is_err();
    while !shut_out() {}
    let (mut looks, mut out) = (0, 0);
    let watch = Clock::system().stopwatch();
    while watch.elapsed() < Duration::from_secs(3) {
        looks += 1;
        out += i32::from(shut_out());
        std::thread::park_timeout(Duration::from_millis(1));
    }
    // Measured: a fifth.
    assert!(out > 0 && out < looks / 2, "{out} of {looks}");
    reader.execute_batch("COMMIT").unwrap();
    assert_eq!(written.await.unwrap().unwrap(), Ok(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_commit_is_missed_whichever_thread_is_asked() {
    let world = World::new("one-api.db");
    let database = world.database().await;
    // Asks while the thread is busy that would be asked first, until SQLite ends its job.
    let other = async || {
        let (begins, begun) = mpsc::channel();
        let view = database.clone();
        let busy = tokio::spawn(async move {
            let job = move |session: &Session<'_>| {
                begins.send(()).unwrap();
                Ok(session.rows(ENDLESS, &[], |_| ())?)
            };
            view.view::<_, ()>(job).await
        });
        let waits = tokio::task::spawn_blocking(move || begun.recv().unwrap());
        waits.await.unwrap();
        let version = database.version().await.unwrap();
        busy.await.unwrap().unwrap_err();
        version
    };
    other().await;
    for _ in 0..3 {
        world.sql(TOUCH);
        let before = database.version().await.unwrap();
        assert_eq!(database.version().await.unwrap(), before);
        world.sql(TOUCH);
        assert_ne!(other().await, before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_put_back_was_only_a_delay() {
    let mut world = World::new("one-api.db");
    let patient = world.database().await;
    world.busy_timeout = Duration::from_millis(200);
    let hasty = world.database().await;
    let aside = world.folder.path().join("aside");
    let look = |session: &Session<'_>| Ok::<_, Halt<()>>(session.has("tokens", "id"));
    for half_copied in [false, true] {
        fs::rename(&world.path, &aside).unwrap();
        if half_copied {
            fs::write(&world.path, [7; 4096]).unwrap();
        }
        let patient = patient.clone();
        let seen = tokio::spawn(async move { patient.view(look).await });
        let error = hasty.view(look).await.unwrap_err();
        if half_copied {
            assert!(matches!(error, Error::NotDatabase(_)), "{error}");
        } else {
            assert!(matches!(error, Error::Missing(_)), "{error}");
        }
        assert!(!seen.is_finished());
        fs::rename(&aside, &world.path).unwrap();
        assert_eq!(seen.await.unwrap().unwrap(), Ok(true));
    }
}
