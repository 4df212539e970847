//! Our own state: commits shared and undone apart, a full disk, the lock, the pieces that must be there.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod bearers;

use std::fs;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::TimeDelta;
use keyfresh::clock::Clock;
use keyfresh::credential::Credential;
use keyfresh::secret::Fingerprint;
use keyfresh::store::adopt::{Wanted, adopt};
use keyfresh::store::claim::Tokens;
use keyfresh::store::secrets::Name;
use keyfresh::store::{self, Error, Lock, Slots, Store, bearer, credential, embedded, secrets};
use rusqlite::Connection;

struct State {
    dir: PathBuf,
    _folder: tempfile::TempDir,
}

impl State {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("state");
        store::create(&dir).unwrap();
        Self {
            dir,
            _folder: folder,
        }
    }

    fn open(&self) -> Store {
        Store::open(&self.dir).unwrap()
    }
}

fn wanted(name: &str, seed: &str) -> Wanted {
    Wanted {
        name: name.to_owned(),
        seed: Some(seed.into()),
        client: "client".to_owned(),
    }
}

async fn adopted(store: &Store, wanted: Vec<Wanted>) -> Result<(), Error> {
    let (key, now) = (store.key(), Clock::system().now());
    store.write(move |db| adopt(db, &key, &wanted, now)).await
}

async fn names(store: &Store) -> Vec<(String, bool)> {
    let rows = store.read(credential::all).await.unwrap();
    rows.into_iter().map(|row| (row.name, row.parked)).collect()
}

#[tokio::test]
async fn a_closure_that_fails_undoes_itself_and_no_other() {
    let state = State::new();
    let store = state.open();
    let write = |name: &'static str, fails: bool| {
        store.write(move |db| {
            db.execute("INSERT INTO meta VALUES (?1, x'')", [name])?;
            if fails {
                return Err(Error::NoSlot);
            }
            Ok(())
        })
    };
    let (one, two, three) = tokio::join!(
        write("one", false),
        write("two", true),
        write("three", false)
    );
    assert!(one.is_ok() && matches!(two, Err(Error::NoSlot)) && three.is_ok());
    let kept: Vec<String> = store
        .read(|db| {
            let mut statement = db.prepare("SELECT name FROM meta ORDER BY name")?;
            let rows = statement.query_map([], |row| row.get(0))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
        .unwrap();
    assert_eq!(kept, ["key_id", "one", "three"]);
    assert!(store.is_trusted());
}

#[tokio::test]
async fn a_full_disk_ends_claims_until_the_restart() {
    let state = State::new();
    let store = state.open();
    adopted(&store, vec![wanted("a", "seed-of-a")])
        .await
        .unwrap();
    let owner = store.own().unwrap();
    store
        .write(|db| Ok(db.pragma_update(None, "max_page_count", 1)?))
        .await
        .unwrap();
    let big = store
        .write(|db| {
            db.execute("INSERT INTO meta VALUES ('big', zeroblob(1000000))", [])?;
            Ok(())
        })
        .await;
    assert!(big.is_err());
    assert!(!store.is_trusted());

    let row = store.read(credential::all).await.unwrap().remove(0);
    let claim = store
        .claim(
            &owner,
            row.clone(),
            "client".to_owned(),
            "generic",
            &Clock::system(),
        )
        .await;
    assert!(matches!(claim, Err(Error::Untrusted)), "{claim:?}");
    assert_eq!(store.read(credential::all).await.unwrap(), [row]);
}

#[tokio::test]
async fn a_seed_is_one_credentials_alone_and_follows_a_renaming() {
    let state = State::new();
    let store = state.open();
    adopted(
        &store,
        vec![wanted("a", "seed-of-a"), wanted("b", "seed-of-b")],
    )
    .await
    .unwrap();
    let stolen = adopted(
        &store,
        vec![wanted("a", "seed-of-a"), wanted("b", "seed-of-a")],
    )
    .await;
    assert!(matches!(stolen, Err(Error::Foreign(owner)) if owner == "a"));

    adopted(&store, vec![wanted("c", "seed-of-a")])
        .await
        .unwrap();
    let all = [("b".to_owned(), true), ("c".to_owned(), false)];
    assert_eq!(names(&store).await, all);
}

#[tokio::test]
async fn a_token_that_may_be_spent_is_no_new_login() {
    let state = State::new();
    let store = state.open();
    let seed = || vec![wanted("a", "seed-of-a")];
    adopted(&store, seed()).await.unwrap();
    let owner = store.own().unwrap();
    let clock = Clock::system();
    let (key, now) = (store.key(), clock.now());
    let replace = |token: &'static str| {
        let key = Arc::clone(&key);
        store.write(move |db| {
            let mut row = credential::by_name(db, "a")?;
            credential::replace(db, &key, &mut row, &token.into(), now)
        })
    };
    replace("seed-of-a").await.unwrap();
    let row = store.read(credential::all).await.unwrap().remove(0);
    let client = "client".to_owned();
    let claim = store.claim(&owner, row, client, "generic", &clock).await;
    let claimed = claim.unwrap().credential;
    assert!(matches!(replace("seed-of-a").await, Err(Error::Known(_))));
    let tokens = Tokens {
        refresh: Some("rotated".into()),
        ..Tokens::default()
    };
    let rule = |row: &mut Credential| {
        row.renew(row.since.wall);
        Vec::new()
    };
    store.settle(claimed, tokens, rule, now).await.unwrap();
    assert!(matches!(replace("seed-of-a").await, Err(Error::Known(_))));
    adopted(&store, seed()).await.unwrap();
    replace("rotated").await.unwrap();
}

#[test]
fn the_lock_names_its_holder_and_dies_with_it() {
    let state = State::new();
    assert_eq!(Lock::holder(&state.dir).unwrap(), None);
    let lock = Lock::take(&state.dir).unwrap();
    let holder = Lock::holder(&state.dir).unwrap().unwrap();
    assert_eq!(holder.pid, std::process::id());
    assert!(matches!(Lock::take(&state.dir), Err(Error::Held(found)) if found == holder));
    drop(lock);
    assert_eq!(Lock::holder(&state.dir).unwrap(), None);
    Lock::take(&state.dir).unwrap();
}

#[test]
fn asking_who_holds_the_lock_keeps_nobody_from_it() {
    let state = State::new();
    let asked = std::sync::atomic::AtomicBool::new(true);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while asked.load(std::sync::atomic::Ordering::Relaxed) {
                Lock::holder(&state.dir).unwrap();
            }
        });
        // A holder that died is named in the file: the lock was never its own again.
        fs::write(state.dir.join("state.lock"), "0 nowhere\n").unwrap();
        for _ in 0..200 {
            drop(Lock::take(&state.dir).unwrap());
            fs::write(state.dir.join("state.lock"), "0 nowhere\n").unwrap();
        }
        asked.store(false, std::sync::atomic::Ordering::Relaxed);
    });
}

/// Found by the table's "several processes at once": on a busy machine the others tried 10,000 times
/// while the new holder waited for a processor, and then refused in the name of a dead one.
#[test]
fn a_holder_that_has_not_yet_written_its_name_is_waited_for() {
    let state = State::new();
    let path = state.dir.join("state.lock");
    fs::write(&path, "0 nowhere\n").unwrap();
    let holder = fs::File::open(&path).unwrap();
    holder.lock().unwrap();
    std::thread::scope(|scope| {
        let asks = scope.spawn(|| Lock::take(&state.dir));
        std::thread::park_timeout(std::time::Duration::from_millis(200));
        fs::write(&path, "1 elsewhere\n").unwrap();
        let refused = asks.join().unwrap().unwrap_err().to_string();
        assert!(refused.contains("process 1 on elsewhere"), "{refused}");
    });
}

#[test]
fn what_is_missing_or_foreign_is_never_made_anew() {
    fn refusal(change: impl Fn(&Path)) -> Error {
        let state = State::new();
        change(&state.dir);
        match Store::open(&state.dir).and_then(|store| Slots::open(&state.dir, store.key())) {
            Err(error) => error,
            Ok(_) => panic!("opened"),
        }
    }
    let remove = |name: &'static str| move |dir: &Path| fs::remove_file(dir.join(name)).unwrap();
    for name in ["state.db", "state.key", "slots/07"] {
        assert!(matches!(refusal(remove(name)), Error::Incomplete(path) if path.ends_with(name)));
    }
    let other_key = |dir: &Path| fs::write(dir.join("state.key"), [7; 32]).unwrap();
    assert!(matches!(refusal(other_key), Error::WrongKey));
    let readable = |dir: &Path| {
        let mode = fs::Permissions::from_mode(0o644);
        fs::set_permissions(dir.join("state.key"), mode).unwrap();
    };
    let told = refusal(readable).to_string();
    assert!(told.contains("chmod 600"), "{told}");

    // The file's header may say so (SQLite file format, 1.3), as a disk that is read-only does.
    let unwritable = |dir: &Path| {
        let file = fs::File::options().write(true).open(dir.join("state.db"));
        file.unwrap().write_all_at(&[3], 18).unwrap();
    };
    assert!(matches!(refusal(unwritable), Error::Unwritable(_)));

    let state = State::new();
    assert!(matches!(store::create(&state.dir), Err(Error::Exists(_))));
}

/// `state.db` as version 1 made it.
fn version_1(dir: &Path) {
    let path = dir.join("state.db");
    let key_id: Vec<u8> = Connection::open(&path)
        .unwrap()
        .query_row("SELECT value FROM meta WHERE name = 'key_id'", [], |row| {
            row.get(0)
        })
        .unwrap();
    for name in ["state.db", "state.db-wal", "state.db-shm"] {
        let path = dir.join(name);
        assert!(fs::remove_file(&path).is_ok() || !path.exists());
    }
    let db = Connection::open(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    db.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))
        .unwrap();
    db.execute_batch(include_str!("../../src/store/schema.sql"))
        .unwrap();
    db.pragma_update(None, "user_version", 1).unwrap();
    db.execute("INSERT INTO meta VALUES ('key_id', ?1)", [key_id])
        .unwrap();
    db.execute(
        "INSERT INTO notifier (name, cursor) VALUES ('wechat', 41)",
        [],
    )
    .unwrap();
    db.execute(
        "INSERT INTO credential (name, phase, since, due_at, resend_at)
         VALUES ('a', 'unconfirmed', 1795219200000, 1795219200000, 1795222800000)",
        [],
    )
    .unwrap();
}

#[tokio::test]
async fn a_state_of_version_1_is_brought_up_to_date_and_keeps_its_rows() {
    let state = State::new();
    version_1(&state.dir);
    for _ in 0..2 {
        let store = state.open();
        let found = store.read(|db| {
            let version: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
            let cursor: i64 = db.query_row("SELECT cursor FROM notifier", [], |row| row.get(0))?;
            Ok((version, cursor, bearer::generation(db, 1)?))
        });
        assert_eq!(found.await.unwrap(), (3, 41, 0));
        // Of what happened before nobody knows the uptime: the wall clock decides alone.
        let row = store.read(|db| credential::by_name(db, "a")).await.unwrap();
        assert_eq!((row.since.uptime, row.obtained_uptime), (None, None));
        let clock = Clock::manual(row.since.wall);
        for (minutes, due) in [(59, false), (1, true)] {
            clock.jump(TimeDelta::minutes(minutes));
            assert_eq!(row.is_due(clock.read()), due);
        }
    }
    let newer = |db: &Connection| Ok(db.pragma_update(None, "user_version", 4)?);
    state.open().write(newer).await.unwrap();
    assert!(matches!(Store::open(&state.dir), Err(Error::Newer(4))));
}

#[tokio::test]
async fn a_fingerprint_is_kept_by_name_and_replaced() {
    let state = State::new();
    let store = state.open();
    for (name, bytes, before) in [
        (Name::TokenSecret, [1; 16], None),
        (Name::HashidsSalt, [2; 16], None),
        (Name::TokenSecret, [3; 16], Some([1; 16])),
        (Name::HashidsSalt, [2; 16], Some([2; 16])),
    ] {
        let found = store.write(move |db| {
            let used = secrets::used(db, name)?;
            secrets::keep(db, name, Fingerprint::from_bytes(bytes))?;
            Ok(used)
        });
        assert_eq!(found.await.unwrap(), before.map(Fingerprint::from_bytes));
    }
}

#[test]
fn the_embedded_database_is_found_or_missed_with_the_remedy() {
    let state = State::new();
    let path = state.dir.join("gateway.db");
    let missed = embedded::find(&state.dir).unwrap_err();
    assert!(missed.to_string().contains("keyfresh init"), "{missed}");
    fs::write(&path, "").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(
        embedded::find(&state.dir),
        Err(Error::Readable { .. })
    ));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(embedded::find(&state.dir).unwrap(), path);
}
