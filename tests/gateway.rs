//! The gateways' databases: recognised, written in the named cells alone, and survived.
//!
//! Real parts: copies of databases that real gateways filled, other connections, another process.

mod support;

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use keyfresh::database;
use keyfresh::gateway::json_key::JsonKey;
use keyfresh::gateway::{Channel, Error, Gateway, Kind, Settings, Status, Telling, Write, Written};
use rusqlite::Connection;
use secrecy::ExposeSecret as _;
use support::database::{Dump, FIXTURES, copy, difference, dump};
use tempfile::TempDir;

/// One gateway's database in a folder of its own.
struct World {
    folder: TempDir,
    path: PathBuf,
    before: Dump,
    busy_timeout: Duration,
}

impl World {
    fn new(fixture: &str) -> Self {
        let (folder, path) = copy(fixture);
        let before = dump(&path);
        Self {
            folder,
            path,
            before,
            busy_timeout: Duration::from_secs(60),
        }
    }

    /// The same, with hardly any patience.
    fn hasty(fixture: &str) -> Self {
        Self {
            busy_timeout: Duration::from_millis(200),
            ..Self::new(fixture)
        }
    }

    fn settings(&self) -> Settings {
        Settings {
            database: self.path.clone(),
            kind: None,
            sync_interval: None,
            busy_timeout: self.busy_timeout,
            url: None,
            access_token: None,
        }
    }

    async fn open(&self) -> Gateway {
        Gateway::open(&self.settings()).await.unwrap()
    }

    /// Another connection, which waits for nobody.
    fn other(&self) -> Connection {
        let connection = Connection::open(&self.path).unwrap();
        connection.busy_timeout(Duration::ZERO).unwrap();
        connection
    }

    fn sql(&self, sql: &str) {
        self.other().execute_batch(sql).unwrap();
    }

    fn changes(&self) -> String {
        difference(&self.before, &dump(&self.path))
    }
}

async fn channel(gateway: &Gateway, id: i64) -> Channel {
    gateway.channels(&[id]).await.unwrap().remove(0)
}

/// A write of `new` that enables, decided from the channel as it is.
async fn renewal(gateway: &Gateway, id: i64, line: Option<usize>, new: &str) -> Write {
    let channel = channel(gateway, id).await;
    Write {
        channel: id,
        created_time: channel.created_time,
        kind: channel.kind,
        expected: channel.key,
        new_key: Some(new.into()),
        enable: true,
        line,
    }
}

#[tokio::test]
async fn every_layout_is_recognised_and_left_alone() {
    let check = async |fixture: &str, kind: Kind, minutes: u64, telling: Option<Telling>| {
        let world = World::new(fixture);
        let gateway = world.open().await;
        assert_eq!(gateway.kind(), kind, "{fixture}");
        assert_eq!(gateway.sync_interval(), Duration::from_mins(minutes));
        assert_eq!(gateway.telling(), telling);
        gateway.probe().await.unwrap();
        assert!(!gateway.is_wal().await.unwrap());
        assert_eq!(world.changes(), "");
    };
    check(FIXTURES[0], Kind::OneApi, 10, None).await;
    check(FIXTURES[1], Kind::OneHub, 10, Some(Telling::Needed)).await;
    for fixture in &FIXTURES[2..] {
        check(fixture, Kind::NewApi, 1, Some(Telling::Useful)).await;
    }
}

#[tokio::test]
async fn a_write_changes_the_named_cells_and_no_other() {
    let ids: [&[(i64, Option<usize>)]; 5] = [
        &[
            (1, None),
            (2, None),
            (3, None),
            (4, None),
            (9, None),
            (10, None),
            (14, None),
        ],
        &[
            (1, None),
            (2, None),
            (3, None),
            (9, None),
            (12, None),
            (15, None),
        ],
        &[
            (1, None),
            (2, None),
            (4, None),
            (5, Some(1)),
            (6, Some(0)),
            (7, None),
            (8, None),
            (13, None),
        ],
        &[
            (1, None),
            (2, None),
            (3, None),
            (5, Some(1)),
            (6, Some(0)),
            (7, None),
            (8, None),
            (13, None),
        ],
        &[
            (1, None),
            (5, Some(0)),
            (6, Some(1)),
            (7, None),
            (8, None),
            (13, None),
        ],
    ];
    let mut story = String::new();
    for (fixture, ids) in FIXTURES.into_iter().zip(ids) {
        for &(id, line) in ids {
            let world = World::new(fixture);
            let gateway = world.open().await;
            let before = channel(&gateway, id).await;
            let new = match JsonKey::parse(before.key.expose_secret()) {
                Some(key) if before.json => key
                    .with_access_token("fresh", None, chrono::DateTime::UNIX_EPOCH)
                    .expose_secret()
                    .to_owned(),
                _ => "fresh 'quoted\" \\ 令牌".to_owned(),
            };
            let write = renewal(&gateway, id, line, &new).await;
            assert_eq!(gateway.write(write.clone()).await.unwrap(), Written::Done);
            assert_eq!(gateway.write(write).await.unwrap(), Written::Changed);
            let held = channel(&gateway, id).await.access_token(line).unwrap();
            assert!(held.expose_secret().starts_with("fresh"));
            writeln!(story, "{fixture} channel {id}\n{}", world.changes()).unwrap();
        }
    }
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn what_was_disabled_by_hand_stays_so() {
    let world = World::new("new-api-2026-02.db");
    world.sql(
        "UPDATE channels SET channel_info = CAST(json_set(CAST(channel_info AS TEXT), '$.multi_key_status_list.1', 2) AS BLOB) WHERE id IN (5, 6)",
    );
    let before = dump(&world.path);
    let gateway = world.open().await;
    for (id, line) in [(5, Some(1)), (6, Some(1)), (7, None)] {
        let status = channel(&gateway, id).await.status_of(line);
        assert_eq!(status, Status::ManuallyDisabled);
        let mut write = renewal(&gateway, id, line, "fresh").await;
        write.new_key = None;
        assert_eq!(gateway.write(write).await.unwrap(), Written::Done);
    }
    assert_eq!(difference(&before, &dump(&world.path)), "");
}

#[tokio::test]
async fn an_enabled_channel_whose_abilities_are_off_is_enabled_whole() {
    let world = World::new("one-api.db");
    world.sql("UPDATE abilities SET enabled = 0 WHERE channel_id = 1");
    let gateway = world.open().await;
    assert_eq!(
        channel(&gateway, 1).await.status_of(None),
        Status::AutoDisabled
    );
    let mut write = renewal(&gateway, 1, None, "").await;
    write.new_key = None;
    assert_eq!(gateway.write(write).await.unwrap(), Written::Done);
    assert_eq!(world.changes(), "");
}

#[tokio::test]
async fn a_row_that_is_not_the_one_read_is_left_alone() {
    for fixture in FIXTURES {
        let world = World::new(fixture);
        let gateway = world.open().await;
        let write = renewal(&gateway, 1, None, "fresh").await;
        let check = async |outcome: Written, change: &dyn Fn(&mut Write)| {
            let mut write = write.clone();
            change(&mut write);
            assert_eq!(gateway.write(write).await.unwrap(), outcome, "{fixture}");
        };
        check(Written::Changed, &|write| write.expected = "stale".into()).await;
        check(Written::Changed, &|write| write.created_time += 1).await;
        check(Written::Changed, &|write| write.kind += 1).await;
        check(Written::Gone, &|write| write.channel = 999).await;
        if fixture == "one-hub.db" {
            check(Written::Gone, &|write| write.channel = 16).await;
            assert!(gateway.channels(&[16, 999]).await.unwrap().is_empty());
        }
        assert_eq!(world.changes(), "");
    }
}

#[tokio::test]
async fn a_key_that_cannot_stand_there_is_refused() {
    let world = World::new("new-api-2026-02.db");
    let gateway = world.open().await;
    let mut story = String::new();
    for (id, line, new) in [
        (1, None, ""),
        (1, None, "two\nlines"),
        (1, Some(0), "fresh"),
        (3, None, "no JSON"),
        (5, None, "fresh"),
        (5, Some(1), "two\nlines"),
        (5, Some(3), "fresh"),
    ] {
        let write = renewal(&gateway, id, line, new).await;
        let error = gateway.write(write).await.unwrap_err();
        writeln!(story, "{error}").unwrap();
    }
    assert_eq!(world.changes(), "");
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn a_key_stored_as_bytes_is_a_key() {
    let world = World::new("one-api.db");
    world.sql("UPDATE channels SET key = CAST('bytes' AS BLOB), created_time = NULL WHERE id = 1");
    let gateway = world.open().await;
    let write = renewal(&gateway, 1, None, "fresh").await;
    assert_eq!(write.expected.expose_secret(), "bytes");
    assert_eq!(gateway.write(write).await.unwrap(), Written::Done);
    assert_eq!(dump(&world.path)["channels[1].key"], "text 'fresh'");
}

#[tokio::test]
async fn a_value_that_is_not_kept_undoes_the_whole_write() {
    let world = World::new("one-api.db");
    world.sql("CREATE TRIGGER cut AFTER UPDATE OF key ON channels BEGIN UPDATE channels SET key = substr(key, 1, 3) WHERE id = new.id; END");
    let before = dump(&world.path);
    let gateway = world.open().await;
    let write = renewal(&gateway, 3, None, "fresh").await;
    let error = gateway.write(write).await.unwrap_err();
    assert!(matches!(
        error,
        Error::Database(database::Error::NotKept(_))
    ));
    assert_eq!(difference(&before, &dump(&world.path)), "");
}

#[tokio::test]
async fn another_process_that_writes_all_the_while_loses_nothing() {
    let world = World::new("new-api-2026-02.db");
    let mut child = child("child_writes_until_it_is_told_to_stop", &world.path)
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
    for round in 0..40 {
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
    assert_eq!(dump(&world.path)["channels[8].key"], "text 'fresh 39'");
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
    let mut shut_out = || newcomer.query_row(count, [], |_| Ok(())).is_err();
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

#[tokio::test]
async fn a_gateway_that_starts_may_rebuild_its_tables() {
    let mut world = World::hasty("new-api-2026-08.db");
    let gateway = world.open().await;
    let write = renewal(&gateway, 1, None, "fresh").await;
    world.sql("ALTER TABLE channels ADD COLUMN later text; ALTER TABLE abilities RENAME TO old; CREATE TABLE abilities AS SELECT * FROM old; DROP TABLE old");
    assert_eq!(gateway.write(write).await.unwrap(), Written::Done);

    world.sql("ALTER TABLE channels RENAME COLUMN channel_info TO moved");
    let write = |gateway: Gateway| async move {
        let error = gateway.channels(&[1]).await.unwrap_err();
        assert!(gateway.probe().await.is_err());
        error
    };
    insta::assert_snapshot!(told(&write(gateway).await, &world));

    world.sql("ALTER TABLE channels RENAME COLUMN moved TO channel_info");
    world.busy_timeout = Duration::from_secs(60);
    let gateway = world.open().await;
    let other = world.other();
    other
        .execute_batch("ALTER TABLE channels RENAME COLUMN channel_info TO moved")
        .unwrap();
    let again = async {
        tokio::task::yield_now().await;
        other
            .execute_batch("ALTER TABLE channels RENAME COLUMN moved TO channel_info")
            .unwrap();
    };
    let (read, ()) = tokio::join!(gateway.channels(&[1]), again);
    assert_eq!(read.unwrap().len(), 1);
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

#[tokio::test]
async fn an_access_token_belongs_to_a_living_user() {
    let check = async |fixture: &str, token: &str, owner: Option<i64>| {
        let world = World::new(fixture);
        let gateway = world.open().await;
        let found = gateway.access_token_owner(&token.into()).await.unwrap();
        assert_eq!(found, owner, "{fixture} {token}");
    };
    check("one-api.db", "fixtureaccesstokenroot0000000001", Some(1)).await;
    check("one-api.db", "fixtureaccesstokenROOT0000000001", None).await;
    check("one-api.db", "", None).await;
    check("one-hub.db", "fixtureaccesstokendave0000000001", Some(5)).await;
    check("one-hub.db", "fixtureaccesstokenerin0000000001", None).await;
    for fixture in &FIXTURES[2..] {
        check(fixture, "fixture/access+token/bob+000003=", Some(3)).await;
        check(fixture, "fixture-access-token-dave-000005", None).await;
    }
}

#[tokio::test]
async fn a_gateway_is_told_in_the_name_of_the_tokens_user() {
    let request = async |fixture: &str, token: Option<&str>| {
        let world = World::new(fixture);
        let settings = Settings {
            url: Some("http://127.0.0.1:3000".parse().unwrap()),
            access_token: token.map(Into::into),
            ..world.settings()
        };
        let gateway = Gateway::open(&settings).await.unwrap();
        gateway.telling_request(12).await
    };
    let root = Some("fixture-access-token-root-000001");
    let told = request("new-api-2026-08.db", root).await.unwrap().unwrap();
    assert_eq!(told.url.as_str(), "http://127.0.0.1:3000/api/channel/");
    assert_eq!(told.headers[2].1, "1");
    assert!(request("one-hub.db", None).await.unwrap().is_none());
    assert!(request("one-api.db", root).await.unwrap().is_none());
    assert!(matches!(
        request("one-hub.db", root).await,
        Err(Error::NoOwner)
    ));
}

#[tokio::test]
async fn a_file_that_is_no_gateways_is_refused_by_name() {
    let world = World::new("one-api.db");
    let beside = |name: &str| world.folder.path().join(name);
    fs::write(beside("empty"), "").unwrap();
    fs::write(beside("text"), "no database ".repeat(100)).unwrap();
    let stranger = Connection::open(beside("stranger")).unwrap();
    stranger
        .execute_batch("CREATE TABLE channels (id, type, key, other_info); CREATE TABLE notes (t)")
        .unwrap();
    let mut story = String::new();
    for (path, kind) in [
        (beside("missing"), None),
        (world.folder.path().to_owned(), None),
        (beside("empty"), None),
        (beside("text"), None),
        (beside("stranger"), None),
        (world.path.clone(), Some(Kind::NewApi)),
    ] {
        let settings = Settings {
            database: path,
            kind,
            ..world.settings()
        };
        let error = Gateway::open(&settings).await.err().unwrap();
        writeln!(story, "{}", told(&error, &world)).unwrap();
    }
    assert!(!beside("missing").exists());
    insta::assert_snapshot!(story);
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
    let output = child_of(&program, "child_tells_of_permissions", &path)
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

/// An error as told, with the temporary folder's name taken out.
fn told(error: &Error, world: &World) -> String {
    let folder = world.folder.path().to_str().unwrap();
    error.to_string().replace(folder, "/folder")
}

/// This program again, as another process that runs one of the children below.
fn child(name: &str, database: &Path) -> Command {
    child_of(&std::env::current_exe().unwrap(), name, database)
}

fn child_of(program: &Path, name: &str, database: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .args(["--exact", name, "--ignored", "--nocapture"])
        .env("KEYFRESH_TEST_DATABASE", database);
    command
}

#[expect(clippy::disallowed_methods, reason = "how a child learns its part")]
fn database_of_child() -> PathBuf {
    std::env::var_os("KEYFRESH_TEST_DATABASE").unwrap().into()
}

#[test]
#[ignore = "a child of another_process_that_writes_all_the_while_loses_nothing"]
fn child_writes_until_it_is_told_to_stop() {
    let connection = Connection::open(database_of_child()).unwrap();
    connection.busy_timeout(Duration::from_secs(60)).unwrap();
    let stop = std::thread::spawn(|| std::io::stdin().lines().count());
    let mut wrote = 0;
    while !stop.is_finished() {
        connection
            .execute("INSERT INTO logs (content) VALUES (?)", [wrote])
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
