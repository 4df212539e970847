//! What an earlier process left behind: its answer is settled once, as of the day it came.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use keyfresh::clock::{Clock, Timestamp};
use keyfresh::credential::{Credential, Phase, Terms};
use keyfresh::exchange::Door;
use keyfresh::http::Http;
use keyfresh::link::Links;
use keyfresh::provider::{Overrides, preset};
use keyfresh::refresh::{Flight, Pick, Refresher, Settings, Wakers};
use keyfresh::schedule::Plan;
use keyfresh::store::adopt::{Wanted, adopt};
use keyfresh::store::claim::Owner;
use keyfresh::store::{self, Slot, Store};
use tokio::sync::watch;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 70\r\n\r\n\
    {\"access_token\":\"fresh\",\"refresh_token\":\"rotated\",\"expires_in\":864000}";

/// A claim whose answer came, left by a process that died.
struct Left {
    store: Store,
    owner: Arc<Owner>,
    clock: Clock,
    _folder: tempfile::TempDir,
}

impl Left {
    async fn new(keep: impl FnOnce(&mut Slot, &Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("state");
        store::create(&dir).unwrap();
        let store = Store::open(&dir).unwrap();
        let clock = Clock::manual(Clock::system().now());
        let (key, now) = (store.key(), clock.now());
        let wanted = Wanted {
            name: "a".to_owned(),
            seed: Some("seed".into()),
            client: "client".to_owned(),
        };
        store
            .write(move |db| adopt(db, &key, &[wanted], now))
            .await
            .unwrap();
        let owner = store.own().unwrap();
        let row = store.read(store::credential::all).await.unwrap().remove(0);
        let client = "client".to_owned();
        let claim = store.claim(&owner, row, client, "generic", &clock);
        keep(&mut claim.await.unwrap().slot, &dir);
        Self {
            store,
            owner,
            clock,
            _folder: folder,
        }
    }

    fn refresher(&self) -> Arc<Refresher> {
        let overrides = Overrides {
            token_url: Some("http://127.0.0.1:1/token".into()),
            client_id: Some("client".into()),
            ..Overrides::default()
        };
        let terms = Terms {
            client: preset("generic").unwrap().client(overrides).unwrap(),
            plan: Arc::new(Plan::parse("0 5 * * 1", chrono_tz::Tz::UTC).unwrap()),
            refresh_before: Duration::from_hours(24),
        };
        let terms = HashMap::from([("a".to_owned(), Arc::new(terms))]);
        let wakers = Arc::new(Wakers::default());
        let links = Links::new(
            self.store.clone(),
            None,
            Http::new().unwrap(),
            self.clock.clone(),
            Arc::clone(&wakers),
        );
        Arc::new(Refresher {
            store: self.store.clone(),
            owner: Arc::clone(&self.owner),
            door: Door::new(),
            links: Arc::new(links),
            clock: self.clock.clone(),
            settings: watch::Sender::new(Arc::new(Settings::new(terms, 1, 1))).subscribe(),
            wakers,
            runtime_dir: None,
            flight: Flight::default(),
        })
    }

    async fn row(&self) -> Credential {
        let rows = self.store.read(store::credential::all).await;
        rows.unwrap().remove(0)
    }

    async fn sql(&self, sql: &'static str) {
        let run = self.store.write(move |db| Ok(db.execute_batch(sql)?));
        run.await.unwrap();
    }
}

#[tokio::test]
async fn a_token_that_waited_in_its_slot_has_aged() {
    let left = Left::new(|slot, _| slot.write(ANSWER)).await;
    let came: Timestamp = left.clock.now();
    left.clock.set(came + TimeDelta::days(4));
    left.refresher().pass(&Pick::default()).await.unwrap();
    let row = left.row().await;
    assert_eq!(row.generation, 1);
    assert_eq!(row.expires_at, Some(came + TimeDelta::days(10)));
}

#[tokio::test]
async fn an_answer_kept_elsewhere_outlives_a_process_that_cannot_settle_it() {
    let left = Left::new(|slot, dir| {
        slot.write(ANSWER);
        slot.keep_elsewhere(dir).unwrap();
        // What the slot itself has is of no use.
        slot.write(b"");
        slot.write(b"");
    })
    .await;
    left.sql(
        "CREATE TEMP TRIGGER full BEFORE UPDATE ON credential
         BEGIN SELECT RAISE(ABORT, 'the disk is full'); END",
    )
    .await;
    let refresher = left.refresher();
    refresher.drain().await;
    refresher.pass(&Pick::default()).await.unwrap();
    assert!(matches!(left.row().await.phase, Phase::Exchanging { .. }));

    left.sql("DROP TRIGGER full").await;
    left.refresher().pass(&Pick::default()).await.unwrap();
    assert_eq!(left.row().await.generation, 1);
}

#[tokio::test]
async fn a_daemon_that_cannot_settle_stops_when_told() {
    let left = Left::new(|slot, _| slot.write(ANSWER)).await;
    left.sql(
        "CREATE TEMP TRIGGER full BEFORE UPDATE ON credential
         BEGIN SELECT RAISE(ABORT, 'the disk is full'); END",
    )
    .await;
    let (stop, stopped) = watch::channel(false);
    let run = tokio::spawn(left.refresher().run(stopped));
    tokio::task::yield_now().await;
    stop.send_replace(true);
    let ended = tokio::time::timeout(Duration::from_secs(20), run).await;
    ended.unwrap().unwrap();
}
