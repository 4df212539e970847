//! Jobs on a gateway's database: what they share, what undoes one of them, what holds them up.
//!
//! Real parts: files, other connections that lock, commit and change the schema.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use keyfresh::clock::Clock;
use keyfresh::database::{Change, Error, Fault, Halt, Session, Statement, Value};
use rusqlite::Connection;
use support::gateway::World;
use tokio::task::JoinSet;

const ENDLESS: &str =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";

fn add(session: &Session<'_>, name: &str) -> Result<usize, Fault> {
    let values = [Value::Text(name.into()), Value::Text(name.into())];
    let insert = r#"INSERT INTO "tokens" ("user_id", "key", "name") VALUES (77, ?, ?)"#;
    session.execute(insert, &values)
}

/// The names of what [`add`] left, in order.
fn added(connection: &Connection) -> Vec<String> {
    let mut names = connection
        .prepare("SELECT name FROM tokens WHERE user_id = 77 ORDER BY name")
        .unwrap();
    let names = names.query_map([], |row| row.get(0)).unwrap();
    names.collect::<Result<_, _>>().unwrap()
}

fn names(numbers: impl Iterator<Item = usize>) -> Vec<String> {
    numbers.map(|number| format!("job {number:03}")).collect()
}

/// How often the file was committed to, from its header; only while nobody holds a lock.
fn commits(world: &World) -> u32 {
    let header = fs::read(&world.path).unwrap();
    u32::from_be_bytes(header[24..28].try_into().unwrap())
}

#[tokio::test]
async fn jobs_share_commits_and_each_undoes_itself_alone() {
    const JOBS: usize = 100;
    let world = World::new("new-api-2026-02.db");
    let database = world.database().await;
    let before = commits(&world);
    let mut race = JoinSet::new();
    for (number, name) in names(0..JOBS).into_iter().enumerate() {
        let database = database.clone();
        let job = move |session: &Session<'_>| {
            add(session, &name)?;
            match number % 10 {
                7 => panic!("a job that panics"),
                8 => Ok(session.execute("UPDATE nothing SET at = all", &[])?),
                9 => Err(Halt::Refused(number)),
                _ => Ok(1),
            }
        };
        race.spawn(async move { (number, database.alter(job).await) });
    }
    for (number, answer) in race.join_all().await {
        match number % 10 {
            7 => assert!(matches!(answer, Err(Error::Panicked))),
            8 => assert!(matches!(answer, Err(Error::Engine { .. }))),
            9 => assert_eq!(answer.unwrap(), Err(number)),
            _ => assert_eq!(answer.unwrap(), Ok(1)),
        }
    }
    let kept = names((0..JOBS).filter(|number| number % 10 < 7));
    assert_eq!(added(&world.other()), kept);
    let commits = commits(&world) - before;
    assert!((1..=20).contains(&commits), "{commits} commits");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_delays_jobs_and_does_not_fail_them() {
    let mut world = World::new("one-api.db");
    let patient = world.database().await;
    world.busy_timeout = Duration::from_millis(200);
    let hasty = world.database().await;
    let lock = world.other();
    lock.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let (writer, reader) = (patient.clone(), patient);
    let written = tokio::spawn(async move {
        let job = |session: &Session<'_>| Ok(add(session, "job 000")?);
        writer.alter::<_, ()>(job).await
    });
    let read = tokio::spawn(async move { reader.view::<_, ()>(count).await });
    for result in [hasty.view::<_, ()>(count).await, hasty.scan(count).await] {
        assert!(matches!(result, Err(Error::Busy { .. })), "{result:?}");
    }
    assert!(!written.is_finished() && !read.is_finished());
    lock.execute_batch("ROLLBACK").unwrap();
    assert_eq!(written.await.unwrap().unwrap(), Ok(1));
    assert!(read.await.unwrap().unwrap().is_ok());
}

fn count<R>(session: &Session<'_>) -> Result<i64, Halt<R>> {
    let sql = r#"SELECT count(*) FROM "tokens" WHERE "user_id" = ?"#;
    Ok(session.count(sql, &[Value::Int(77)])?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_fails_reruns_its_batch_and_each_job_happens_once() {
    const JOBS: usize = 20;
    let world = World::new("one-api.db");
    let database = world.database().await;
    let reader = world.other();
    let rows = "SELECT count(*) FROM tokens";
    reader.execute_batch("BEGIN").unwrap();
    reader.query_row(rows, [], |_| Ok(())).unwrap();

    let runs = Arc::new(AtomicUsize::new(0));
    let mut race = JoinSet::new();
    for name in names(0..JOBS) {
        let (database, runs) = (database.clone(), Arc::clone(&runs));
        race.spawn(async move {
            let job = database.alter::<_, ()>(move |session| {
                runs.fetch_add(1, Ordering::Relaxed);
                Ok(add(session, &name)?)
            });
            job.await
        });
    }
    let newcomer = world.other();
    let shut_out = || newcomer.query_row(rows, [], |_| Ok(())).is_err();
    // While our COMMIT waits, it shuts newcomers out; it must let them in again before it is done.
    while !shut_out() {}
    while shut_out() {}
    reader.execute_batch("COMMIT").unwrap();
    for answer in race.join_all().await {
        assert_eq!(answer.unwrap(), Ok(1));
    }
    assert!(runs.load(Ordering::Relaxed) > JOBS);
    assert_eq!(added(&newcomer), names(0..JOBS));
}

#[tokio::test]
async fn a_row_against_a_rule_is_the_jobs_own_trouble() {
    let world = World::new("one-api.db");
    let database = world.database().await;
    let execute = async |sql: &'static str| {
        let done = database.alter::<_, ()>(move |session| Ok(session.execute(sql, &[])?));
        done.await.map(|done| done.unwrap())
    };
    // It lasts as long as the connection.
    execute("CREATE TEMP TABLE mark (at)").await.unwrap();
    let broken = execute("INSERT INTO tokens (user_id, key) SELECT 77, key FROM tokens").await;
    assert!(
        matches!(broken, Err(Error::Constraint { .. })),
        "{broken:?}"
    );
    assert_eq!(execute("INSERT INTO mark VALUES (1)").await.unwrap(), 1);
    assert_eq!(world.changes(), "");
}

#[tokio::test]
async fn a_changed_schema_is_seen_by_the_next_job() {
    let world = World::new("one-api.db");
    let database = world.database().await;
    let look = |session: &Session<'_>| {
        let sql = r#"SELECT * FROM "tokens" WHERE "user_id" = 77"#;
        let named = session.rows(sql, &[], |row| row.text(3).to_owned())?;
        let schema = ["name", "later"].map(|column| {
            let has = session.has("tokens", column);
            (has, session.has_index("tokens", column))
        });
        Ok::<_, Halt<()>>((named.len(), schema))
    };
    let answer = database.scan(look).await.unwrap();
    assert_eq!(answer, Ok((0, [(true, true), (false, false)])));
    world.sql("DROP INDEX idx_tokens_name; CREATE INDEX part ON tokens (name) WHERE id > 5");
    world.sql("ALTER TABLE tokens ADD COLUMN later text; CREATE INDEX fresh ON tokens (later, id)");
    world.sql("INSERT INTO tokens (user_id, key) VALUES (77, 'k')");
    let answer = database.scan(look).await.unwrap();
    assert_eq!(answer, Ok((1, [(true, false), (true, true)])));
}

#[tokio::test]
async fn a_replaced_file_is_seen_by_the_next_job() {
    let world = World::new("one-api.db");
    let database = world.database().await;
    assert_eq!(database.scan::<_, ()>(count).await.unwrap(), Ok(0));
    let restored = World::new("one-api.db");
    restored.sql("INSERT INTO tokens (user_id, key, name) VALUES (77, 'k', '')");
    fs::rename(&restored.path, &world.path).unwrap();
    assert_eq!(database.scan::<_, ()>(count).await.unwrap(), Ok(1));
    let job = |session: &Session<'_>| Ok(add(session, "job 000")?);
    database.alter::<_, ()>(job).await.unwrap().unwrap();
    assert_eq!(added(&world.other()), ["", "job 000"]);
}

#[tokio::test]
async fn a_long_read_is_cut_off_and_holds_up_nobody() {
    let world = World::new("one-api.db");
    let database = world.database().await;
    let endless = |session: &Session<'_>| Ok(session.count(ENDLESS, &[])?);
    let scanner = database.clone();
    let scan = tokio::spawn(async move { scanner.scan::<_, ()>(endless).await });
    let mut views = 0;
    while !scan.is_finished() {
        database.view::<_, ()>(count).await.unwrap().unwrap();
        views += 1;
    }
    let error = scan.await.unwrap().unwrap_err();
    assert!(error.to_string().contains("ask for less"), "{error}");
    assert!(views > 5, "{views} views");
    let error = database.view::<_, ()>(endless).await.unwrap_err();
    assert!(matches!(error, Error::Overrun { .. }), "{error}");
    database.view::<_, ()>(count).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn views_do_not_wait_for_each_other() {
    let world = World::new("one-api.db");
    let database = world.database().await;
    let overtakes = async || {
        let entered = Arc::new(AtomicBool::new(false));
        let (slow, inside) = (database.clone(), Arc::clone(&entered));
        let slow = tokio::spawn(async move {
            let job = slow.view::<_, ()>(move |_| {
                inside.store(true, Ordering::Relaxed);
                // As long as a job may take, for then the file is left to others.
                let watch = Clock::system().stopwatch();
                while watch.elapsed() < Duration::from_millis(100) {}
                Ok(())
            });
            job.await
        });
        while !entered.load(Ordering::Relaxed) {
            tokio::task::yield_now().await;
        }
        database.view::<_, ()>(count).await.unwrap().unwrap();
        let has_overtaken = !slow.is_finished();
        slow.await.unwrap().unwrap().unwrap();
        has_overtaken
    };
    // A busy machine may hold the second up for longer than the first takes, but not each time.
    for _ in 0..20 {
        if overtakes().await {
            return;
        }
    }
    panic!("each view waited for the one before it");
}

#[tokio::test]
async fn a_write_that_does_not_end_is_cut_off_and_its_neighbours_are_done() {
    let world = World::new("one-api.db");
    let database = world.database().await;
    let job = |name: &'static str, then: String| {
        database.alter::<_, ()>(move |session| {
            add(session, name)?;
            Ok(session.execute(&then, &[])?)
        })
    };
    let nothing = "DELETE FROM tokens WHERE id < 0";
    let (before, cut, after) = tokio::join!(
        job("job 000", nothing.into()),
        job("job 001", format!("UPDATE tokens SET name = ({ENDLESS})")),
        job("job 002", nothing.into()),
    );
    assert_eq!((before.unwrap(), after.unwrap()), (Ok(0), Ok(0)));
    assert!(matches!(cut, Err(Error::Overrun { .. })), "{cut:?}");
    assert_eq!(added(&world.other()), ["job 000", "job 002"]);
}

#[tokio::test]
async fn a_view_writes_nothing() {
    let world = World::new("one-api.db");
    let database = world.database().await;
    let job = |session: &Session<'_>| Ok(add(session, "job 000")?);
    assert!(database.view::<_, ()>(job).await.is_err());
    assert_eq!(world.changes(), "");
}

#[tokio::test]
async fn a_count_is_remembered_until_somebody_commits() {
    let world = World::new("one-api.db");
    let database = world.database().await;
    let drawn = async |value: Value| {
        let job = move |session: &Session<'_>| {
            let sql = "SELECT abs(random()) WHERE ? IS NOT NULL";
            Ok(session.count(sql, std::slice::from_ref(&value))?)
        };
        database.scan::<_, ()>(job).await.unwrap().unwrap()
    };
    let first = drawn(Value::Int(1)).await;
    assert_eq!(drawn(Value::Int(1)).await, first);
    assert_ne!(drawn(Value::Int(2)).await, first);
    let text = || Value::Text("may be a secret".into());
    assert_ne!(drawn(text()).await, drawn(text()).await);
    world.sql("UPDATE tokens SET used_quota = used_quota + 1");
    assert_ne!(drawn(Value::Int(1)).await, first);

    let own = database.alter(|session| {
        let before = count::<()>(session)?;
        add(session, "job 000")?;
        Ok((before, count(session)?))
    });
    assert_eq!(own.await.unwrap(), Ok((0, 1)));
    assert_eq!(database.scan::<_, ()>(count).await.unwrap(), Ok(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_and_jobs_do_not_starve_each_other() {
    let world = World::new("one-api.db");
    let database = world.database().await;
    let statement = |sql: &str| Statement {
        sql: sql.to_owned(),
        values: Vec::new(),
    };
    let change = Change {
        guarded: statement("UPDATE tokens SET used_quota = used_quota + 1 WHERE id = 1"),
        then: Vec::new(),
        proof: statement("SELECT 1 FROM tokens WHERE id = 1"),
    };
    for by_job in [true, false] {
        let done = Arc::new(AtomicBool::new(false));
        let one = async |hammering: bool| {
            if hammering == by_job {
                let sql = "UPDATE tokens SET remain_quota = 5";
                let job = |session: &Session<'_>| Ok(session.execute(sql, &[])?);
                database.alter::<_, ()>(job).await.unwrap().unwrap();
            } else {
                assert!(database.write(change.clone()).await.unwrap());
            }
        };
        let hammer = async || {
            while !done.load(Ordering::Relaxed) {
                one(true).await;
            }
        };
        let other = async {
            for _ in 0..10 {
                one(false).await;
            }
            done.store(true, Ordering::Relaxed);
        };
        tokio::join!(hammer(), hammer(), hammer(), hammer(), other);
    }
}
