//! What reading connections remember: as long as it holds, and not a commit longer.
//!
//! Real parts: a gateway's file, other connections that commit, change the schema and replace it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use keyfresh::database::{Database, Fault, Halt, Memorable, Session};
use support::gateway::World;

const QUOTA: &str = r#"SELECT "used_quota" FROM "tokens" WHERE "id" = 1"#;

/// More than there is room for, and more than half of it, in bytes.
const HUGE: usize = 1 << 30;
const HALF: usize = 300 * 1024;

/// How often somebody computed, and how large it is said to be.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    time: i64,
    quota: i64,
    bytes: usize,
}

impl Memorable for Found {
    fn bytes(&self) -> usize {
        self.bytes
    }
}

/// A database on whose scanner, one thread with one connection, all is computed.
struct Asker {
    database: Database,
    times: Arc<AtomicI64>,
}

impl Asker {
    async fn new(world: &World) -> Self {
        Self {
            database: world.database().await,
            times: Arc::default(),
        }
    }

    fn look(
        &self,
        question: &'static str,
        about: &'static [u8],
        bytes: usize,
    ) -> impl Fn(&Session<'_>) -> Result<Option<Found>, Halt<()>> + Send + Sync + 'static {
        let times = Arc::clone(&self.times);
        move |session| {
            let found = session.remembered(question, about, || {
                let time = times.fetch_add(1, Ordering::Relaxed) + 1;
                let quota = session.rows(QUOTA, &[], |row| row.int(0))?[0];
                let found = Found { time, quota, bytes };
                Ok::<_, Fault>((quota >= 0).then_some(found))
            });
            Ok(found?)
        }
    }

    /// What is found, and which time it was computed.
    async fn ask_for(
        &self,
        question: &'static str,
        about: &'static [u8],
        bytes: usize,
    ) -> Option<(i64, i64)> {
        let found = self.database.scan(self.look(question, about, bytes)).await;
        found
            .unwrap()
            .unwrap()
            .map(|found| (found.time, found.quota))
    }

    async fn ask(&self, question: &'static str, about: &'static [u8]) -> Option<(i64, i64)> {
        self.ask_for(question, about, 1).await
    }
}

#[tokio::test]
async fn whatever_is_committed_is_in_the_next_answer() {
    let world = World::new("one-api.db");
    world.sql("UPDATE tokens SET used_quota = 5");
    let asker = Asker::new(&world).await;
    assert_eq!(asker.ask("q", b"a").await, Some((1, 5)));
    assert_eq!(asker.ask("q", b"a").await, Some((1, 5)));
    assert_eq!(asker.ask("q", b"b").await, Some((2, 5)));
    assert_eq!(asker.ask("qa", b"").await, Some((3, 5)));
    assert_eq!(asker.ask("q", b"a").await, Some((1, 5)));

    world.sql("UPDATE tokens SET used_quota = 6");
    assert_eq!(asker.ask("q", b"a").await, Some((4, 6)));
    world.sql("UPDATE users SET request_count = request_count + 1");
    assert_eq!(asker.ask("q", b"a").await, Some((5, 6)));

    let ours = asker
        .database
        .alter::<_, ()>(|session| Ok(session.execute("UPDATE tokens SET used_quota = 7", &[])?));
    ours.await.unwrap().unwrap();
    assert_eq!(asker.ask("q", b"a").await, Some((6, 7)));

    world.sql("CREATE TABLE more (id)");
    assert_eq!(asker.ask("q", b"a").await, Some((7, 7)));

    let restored = World::new("one-api.db");
    restored.sql("UPDATE tokens SET used_quota = 8");
    fs::rename(&restored.path, &world.path).unwrap();
    assert_eq!(asker.ask("q", b"a").await, Some((8, 8)));
    assert_eq!(asker.ask("q", b"a").await, Some((8, 8)));
}

#[tokio::test]
async fn each_commit_is_seen_however_many_there_are() {
    let world = World::new("one-api.db");
    let asker = Asker::new(&world).await;
    for round in 0..200 {
        let ours = asker.database.alter::<_, ()>(move |session| {
            let sql = format!("UPDATE tokens SET used_quota = {round}");
            Ok(session.execute(&sql, &[])?)
        });
        ours.await.unwrap().unwrap();
        for read in 0..3 {
            let job = asker.look("q", b"a", 1);
            let found = asker.database.view(job).await.unwrap().unwrap().unwrap();
            assert_eq!(found.quota, round, "read {read}");
        }
    }
}

#[tokio::test]
async fn nothing_is_remembered_where_it_would_mislead_or_not_fit() {
    let world = World::new("one-api.db");
    world.sql("UPDATE tokens SET used_quota = -1");
    let asker = Asker::new(&world).await;
    for _ in 0..2 {
        assert_eq!(asker.ask("q", b"a").await, None);
    }
    assert_eq!(asker.times.load(Ordering::Relaxed), 2);

    world.sql("UPDATE tokens SET used_quota = 5");
    let (one, other) = (asker.look("q", b"a", 1), asker.look("q", b"a", 1));
    let own = asker.database.alter(move |session| {
        let before = one(session)?;
        session.execute("UPDATE tokens SET used_quota = 6", &[])?;
        Ok((before, other(session)?))
    });
    let (before, after) = own.await.unwrap().unwrap();
    let quotas = [before, after].map(|found| found.unwrap().quota);
    assert_eq!(quotas, [5, 6]);

    // As much as there is room for is kept; then all is forgotten, and what is larger is never kept.
    assert_eq!(asker.ask_for("q", b"a", HALF).await, Some((5, 6)));
    assert_eq!(asker.ask_for("q", b"a", HALF).await, Some((5, 6)));
    assert_eq!(asker.ask_for("q", b"b", HALF).await, Some((6, 6)));
    assert_eq!(asker.ask_for("q", b"a", HALF).await, Some((7, 6)));
    assert_eq!(asker.ask_for("q", b"c", HUGE).await, Some((8, 6)));
    assert_eq!(asker.ask_for("q", b"c", HUGE).await, Some((9, 6)));
}
