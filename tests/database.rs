//! A gateway's database file while others lock it, replace it, rebuild it or forbid it.
//!
//! Real parts: other connections, other processes, another user.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use keyfresh::database;
use keyfresh::gateway::{Error, Gateway, Written};
use rusqlite::Connection;
use secrecy::ExposeSecret as _;
use support::database::{copy, difference, dump};
use support::gateway::{World, channel, child, database_of_child, renewal, told};

#[tokio::test]
async fn another_process_that_writes_all_the_while_loses_nothing() {
    let world = World::new("new-api-2026-02.db");
    let mut child = child(
        &std::env::current_exe().unwrap(),
        "child_writes_until_it_is_told_to_stop",
        &world.path,
    )
    .stdin(Stdio::piped())
    .stdout(Stdio::piped())
    .spawn()
    .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut said = |word: &str| {
        let line = lines.find(|line| line.as_ref().unwrap().contains(word));
        line.unwrap().unwrap()
    };
    said("writing");
    let gateway = world.open().await;
    for round in 0..10 {
        let write = renewal(&gateway, 8, None, &format!("fresh {round}")).await;
        assert_eq!(gateway.write(write).await.unwrap(), Written::Done);
    }
    drop(child.stdin.take());
    let wrote = said("wrote");
    let wrote: i64 = wrote.rsplit(' ').next().unwrap().parse().unwrap();
    assert!(child.wait().unwrap().success());
    let rows: i64 = world
        .other()
        .query_row("SELECT count(*) FROM logs", [], |row| row.get(0))
        .unwrap();
    assert!(wrote > 0);
    assert_eq!(rows, wrote);
    assert_eq!(dump(&world.path)["channels[8].key"], "text 'fresh 9'");
}

#[tokio::test]
async fn a_file_that_stays_locked_is_busy_and_unchanged() {
    let world = World::hasty("one-hub.db");
    let gateway = world.open().await;
    let write = renewal(&gateway, 3, None, "fresh").await;
    let lock = world.other();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let busy = |error: Error| matches!(error, Error::Database(database::Error::Busy { .. }));
    assert!(busy(gateway.write(write.clone()).await.unwrap_err()));
    assert!(busy(gateway.probe().await.unwrap_err()));
    gateway.channels(&[3]).await.unwrap();
    lock.execute_batch("ROLLBACK; BEGIN EXCLUSIVE").unwrap();
    assert!(busy(gateway.channels(&[3]).await.unwrap_err()));
    assert!(busy(Gateway::open(&world.settings()).await.err().unwrap()));
    lock.execute_batch("ROLLBACK").unwrap();
    assert_eq!(world.changes(), "");
    assert_eq!(gateway.write(write).await.unwrap(), Written::Done);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_ends_was_only_a_delay() {
    let mut world = World::new("new-api-v0.9.5.db");
    let patient = world.open().await;
    world.busy_timeout = Duration::from_millis(200);
    let hasty = world.open().await;
    let write = renewal(&patient, 8, None, "fresh").await;
    let lock = world.other();
    lock.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let written = tokio::spawn(async move { patient.write(write).await });
    assert!(hasty.version().await.is_err());
    assert!(!written.is_finished());
    lock.execute_batch("ROLLBACK").unwrap();
    assert_eq!(written.await.unwrap().unwrap(), Written::Done);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_writes_decided_from_one_row_only_one_is_done() {
    let world = World::new("one-api.db");
    let (one, two) = (world.open().await, world.open().await);
    let mut write = renewal(&one, 3, None, "").await;
    let mut race = tokio::task::JoinSet::new();
    for number in 0..16 {
        let gateway = if number % 2 == 0 { &one } else { &two }.clone();
        write.new_key = Some(format!("fresh {number}").into());
        let write = write.clone();
        race.spawn(async move { gateway.write(write).await.unwrap() });
    }
    let outcomes = race.join_all().await;
    let done = |outcome: &&Written| **outcome == Written::Done;
    assert_eq!(outcomes.iter().filter(done).count(), 1);
    assert!(!outcomes.contains(&Written::Gone));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_a_reader_blocks_steps_back_and_comes_again() {
    let world = World::new("one-api.db");
    let gateway = world.open().await;
    let write = renewal(&gateway, 1, None, "fresh").await;
    let reader = world.other();
    let count = "SELECT count(*) FROM channels";
    reader.execute_batch("BEGIN").unwrap();
    reader.query_row(count, [], |_| Ok(())).unwrap();

    let written = tokio::spawn(async move { gateway.write(write).await });
    let newcomer = world.other();
    let shut_out = || newcomer.query_row(count, [], |_| Ok(())).is_err();
    // While our COMMIT waits, it shuts newcomers out; it must let them in again before it is done.
    while !shut_out() {}
    while shut_out() {}
    assert!(!written.is_finished());
    reader.execute_batch("COMMIT").unwrap();
    assert_eq!(written.await.unwrap().unwrap(), Written::Done);
}

#[tokio::test]
async fn the_file_at_the_path_counts_not_the_one_that_was_open() {
    let world = World::hasty("one-api.db");
    let gateway = world.open().await;
    let version = gateway.version().await.unwrap();
    assert_eq!(gateway.version().await.unwrap(), version);
    let aside = world.folder.path().join("aside");

    let restored = World::new("one-api.db");
    restored.sql("UPDATE channels SET key = 'restored' WHERE id = 1");
    fs::rename(&world.path, &aside).unwrap();
    let missing = gateway.probe().await.unwrap_err();
    assert!(matches!(
        missing,
        Error::Database(database::Error::Missing(_))
    ));
    fs::copy(&restored.path, &world.path).unwrap();
    assert_ne!(gateway.version().await.unwrap(), version);
    let write = renewal(&gateway, 1, None, "fresh").await;
    assert_eq!(write.expected.expose_secret(), "restored");
    assert_eq!(gateway.write(write).await.unwrap(), Written::Done);
    assert_eq!(difference(&world.before, &dump(&aside)), "");

    let stranger = World::new("one-hub.db");
    fs::rename(&stranger.path, &world.path).unwrap();
    let error = gateway.channels(&[1]).await.unwrap_err();
    assert!(matches!(
        error,
        Error::Database(database::Error::Unrecognised { .. })
    ));
    fs::rename(&aside, &world.path).unwrap();
    gateway.channels(&[1]).await.unwrap();
}

const AWAY: &str = "ALTER TABLE channels RENAME COLUMN channel_info TO moved";
const BACK: &str = "ALTER TABLE channels RENAME COLUMN moved TO channel_info";

#[tokio::test]
async fn tables_that_are_rebuilt_alike_are_recognised_again() {
    let world = World::new("new-api-2026-08.db");
    let gateway = world.open().await;
    let write = renewal(&gateway, 1, None, "fresh").await;
    world.sql("ALTER TABLE channels ADD COLUMN later text; ALTER TABLE abilities RENAME TO old; CREATE TABLE abilities AS SELECT * FROM old; DROP TABLE old");
    assert_eq!(gateway.write(write).await.unwrap(), Written::Done);

    let rebuilding = world.other();
    rebuilding.busy_timeout(world.busy_timeout).unwrap();
    rebuilding.execute_batch(AWAY).unwrap();
    let rebuilt = async {
        tokio::task::yield_now().await;
        rebuilding.execute_batch(BACK).unwrap();
    };
    let (read, ()) = tokio::join!(gateway.channels(&[1]), rebuilt);
    assert_eq!(read.unwrap().len(), 1);
}

#[tokio::test]
async fn tables_that_stay_strange_are_refused_and_left_alone() {
    let world = World::hasty("new-api-2026-08.db");
    let gateway = world.open().await;
    let write = renewal(&gateway, 1, None, "fresh").await;
    world.sql(AWAY);
    let error = gateway.write(write).await.unwrap_err();
    assert!(gateway.probe().await.is_err());
    world.sql(BACK);
    assert_eq!(
        dump(&world.path)["channels[1].key"],
        world.before["channels[1].key"]
    );
    insta::assert_snapshot!(told(&error, &world));
}

#[tokio::test]
async fn a_hot_journal_is_rolled_back_first() {
    let victim = World::new("one-api.db");
    let torn = victim.other();
    torn.execute_batch("PRAGMA cache_size = 2; BEGIN; UPDATE channels SET key = 'torn'; INSERT INTO logs (content) SELECT hex(randomblob(3000)) FROM channels, tokens")
        .unwrap();
    let world = World::new("one-api.db");
    let journal = |path: &Path| path.with_extension("db-journal");
    fs::copy(&victim.path, &world.path).unwrap();
    fs::copy(journal(&victim.path), journal(&world.path)).unwrap();

    let torn = fs::read(&world.path).unwrap();
    assert!(torn.windows(4).any(|bytes| bytes == b"torn"));
    let gateway = world.open().await;
    let write = renewal(&gateway, 1, None, "fresh").await;
    assert_eq!(gateway.write(write).await.unwrap(), Written::Done);
    insta::assert_snapshot!(world.changes(), @"channels[1].key: text 'fixture-access-old-0001' → text 'fresh'");
}

#[tokio::test]
async fn a_symbolic_link_leads_to_the_database() {
    let mut world = World::new("one-hub.db");
    let link = world.folder.path().join("link.db");
    let target = std::mem::replace(&mut world.path, link.clone());
    symlink(&target, &link).unwrap();
    let gateway = world.open().await;
    gateway.probe().await.unwrap();
    let other = World::new("one-hub.db");
    other.sql("UPDATE channels SET key = 'elsewhere' WHERE id = 1");
    fs::remove_file(&link).unwrap();
    symlink(&other.path, &link).unwrap();
    let held = channel(&gateway, 1).await.access_token(None).unwrap();
    assert_eq!(held.expose_secret(), "elsewhere");
}

#[tokio::test]
async fn a_write_ahead_log_is_noticed_and_kept() {
    let world = World::new("new-api-v0.9.5.db");
    world.sql("PRAGMA journal_mode = wal");
    let gateway = world.open().await;
    assert!(gateway.is_wal().await.unwrap());
    let write = renewal(&gateway, 1, None, "fresh").await;
    assert_eq!(gateway.write(write).await.unwrap(), Written::Done);
    assert_eq!(dump(&world.path)["PRAGMA journal_mode"], r#"Text("wal")"#);
}

#[tokio::test]
async fn what_others_commit_changes_the_version() {
    let world = World::new("one-api.db");
    let gateway = world.open().await;
    let version = gateway.version().await.unwrap();
    gateway.probe().await.unwrap();
    assert_eq!(gateway.version().await.unwrap(), version);
    world.sql("UPDATE channels SET used_quota = used_quota + 1");
    assert_ne!(gateway.version().await.unwrap(), version);
}

/// Permissions do not bind root, so root lets a child of another user tell this story.
#[tokio::test]
async fn what_may_not_be_written_is_refused_with_the_remedy() {
    if !nix::unistd::geteuid().is_root() {
        return permissions(World::hasty("one-api.db")).await;
    }
    let (folder, path) = copy("one-api.db");
    let program = folder.path().join("program");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    for place in [folder.path(), &path, &program] {
        chown(place, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let output = child(&program, "child_tells_of_permissions", &path)
        .uid(NOBODY)
        .gid(NOBODY)
        .current_dir(folder.path())
        .env("TMPDIR", folder.path())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}

const NOBODY: u32 = 65534;

async fn permissions(world: World) {
    let mode = |path: &Path, mode: u32| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let folder = world.path.parent().unwrap();
    let gateway = world.open().await;
    gateway.probe().await.unwrap();

    mode(folder, 0o555);
    let error = gateway.probe().await.unwrap_err();
    assert!(
        matches!(error, Error::Database(database::Error::Folder { .. })),
        "{error}"
    );
    let write = renewal(&gateway, 1, None, "fresh").await;
    let error = gateway.write(write).await.unwrap_err();
    assert!(
        matches!(error, Error::Database(database::Error::Folder { .. })),
        "{error}"
    );

    mode(folder, 0o755);
    mode(&world.path, 0o444);
    let gateway = world.open().await;
    let error = gateway.probe().await.unwrap_err();
    assert!(
        matches!(error, Error::Database(database::Error::ReadOnly { .. })),
        "{error}"
    );
    assert!(error.to_string().contains("mode 0444"), "{error}");

    mode(&world.path, 0o000);
    let error = Gateway::open(&world.settings()).await.err().unwrap();
    assert!(
        matches!(error, Error::Database(database::Error::Denied { .. })),
        "{error}"
    );
    mode(&world.path, 0o644);
    mode(folder, 0o600);
    let error = Gateway::open(&world.settings()).await.err().unwrap();
    assert!(
        matches!(error, Error::Database(database::Error::Denied { .. })),
        "{error}"
    );
    mode(folder, 0o755);
    assert_eq!(world.changes(), "");
}

#[test]
#[ignore = "a child of another_process_that_writes_all_the_while_loses_nothing"]
fn child_writes_until_it_is_told_to_stop() {
    let connection = Connection::open(database_of_child()).unwrap();
    connection.busy_timeout(Duration::from_mins(1)).unwrap();
    let stop = std::thread::spawn(|| std::io::stdin().lines().count());
    let mut wrote = 0;
    while !stop.is_finished() {
        connection
            .execute("INSERT INTO logs (content) VALUES (?)", [wrote])
            .unwrap();
        // Like a gateway, it reads between its writes.
        connection
            .query_row(
                "SELECT count(*) FROM channels, abilities, tokens",
                [],
                |_| Ok(()),
            )
            .unwrap();
        if wrote == 0 {
            println!("writing");
        }
        wrote += 1;
    }
    println!("wrote {wrote}");
}

#[tokio::test]
#[ignore = "a child of what_may_not_be_written_is_refused_with_the_remedy"]
async fn child_tells_of_permissions() {
    let path = database_of_child();
    permissions(World {
        folder: tempfile::tempdir().unwrap(),
        before: dump(&path),
        path,
        busy_timeout: Duration::from_millis(200),
    })
    .await;
}
