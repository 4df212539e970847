//! Links in odd moments: a key is never made worse, a person is told once, nothing spins.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use keyfresh::clock::{Clock, Timestamp};
use keyfresh::credential::{Credential, CredentialId};
use keyfresh::gateway::{OnDemand, Settings};
use keyfresh::http::Http;
use keyfresh::link::Links;
use keyfresh::refresh::Wakers;
use keyfresh::secret::ExposeSecret as _;
use keyfresh::store::adopt::{Wanted, adopt};
use keyfresh::store::claim::Tokens;
use keyfresh::store::link::{Link, State};
use keyfresh::store::{self, Store};

use support::gateway::World;

/// One credential with the seed `seed`, linked to channels of a gateway.
struct Linked {
    world: World,
    store: Store,
    links: Links,
    clock: Clock,
    wakers: Arc<Wakers>,
    _folder: tempfile::TempDir,
}

impl Linked {
    async fn new(world: World, settings: Settings, channels: &[(i64, Option<usize>)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("state");
        store::create(&dir).unwrap();
        let store = Store::open(&dir).unwrap();
        let clock = Clock::manual(Clock::system().now());
        let wakers = Arc::new(Wakers::default());
        let (key, now) = (store.key(), clock.now());
        let wanted = Wanted {
            name: "a".to_owned(),
            seed: Some("seed".into()),
            client: "client".to_owned(),
        };
        let targets: Vec<_> = channels
            .iter()
            .map(|(channel, line)| (CredentialId(1), *channel, *line))
            .collect();
        store
            .write(move |db| {
                adopt(db, &key, &[wanted], now)?;
                store::link::adopt(db, &targets)
            })
            .await
            .unwrap();
        let links = Links::new(
            store.clone(),
            Some(Arc::new(OnDemand::new(settings))),
            Http::new().unwrap(),
            clock.clone(),
            Arc::clone(&wakers),
        );
        Self {
            world,
            store,
            links,
            clock,
            wakers,
            _folder: folder,
        }
    }

    async fn on(fixture: &str, channels: &[(i64, Option<usize>)]) -> Self {
        let world = World::hasty(fixture);
        let settings = world.settings();
        Self::new(world, settings, channels).await
    }

    /// The credential was refreshed and has `access` for a day.
    async fn refreshed(&self, access: &str) {
        let owner = self.store.own().unwrap();
        let row = self.credential().await;
        let client = "client".to_owned();
        let claim = self
            .store
            .claim(&owner, row, client, "generic", &self.clock);
        let claimed = claim.await.unwrap().credential;
        let tokens = Tokens {
            access: Some(access.into()),
            refresh: None,
        };
        let now = self.clock.now();
        let rule = move |row: &mut Credential| {
            row.renew(now);
            row.generation += 1;
            row.obtained_at = Some(now);
            row.expires_at = Some(now + TimeDelta::days(1));
            Vec::new()
        };
        self.store.settle(claimed, tokens, rule, now).await.unwrap();
    }

    async fn credential(&self) -> Credential {
        self.store
            .read(store::credential::all)
            .await
            .unwrap()
            .remove(0)
    }

    async fn link(&self) -> Link {
        self.store.read(store::link::all).await.unwrap().remove(0)
    }

    async fn conflicts(&self) -> u32 {
        let count = "SELECT count(*) FROM event WHERE kind = 'conflict'";
        self.store
            .read(move |db| Ok(db.query_row(count, [], |row| row.get(0))?))
            .await
            .unwrap()
    }

    fn pass_time(&self, span: TimeDelta) -> Timestamp {
        self.clock.set(self.clock.now() + span);
        self.clock.now()
    }

    fn key(&self, channel: i64) -> String {
        let sql = "SELECT key FROM channels WHERE id = ?1";
        let key = self
            .world
            .other()
            .query_row(sql, [channel], |row| row.get(0));
        key.unwrap()
    }
}

#[tokio::test]
async fn every_line_of_a_channel_is_written_in_one_pass() {
    let linked = Linked::on("new-api-2026-02.db", &[(5, Some(0)), (5, Some(2))]).await;
    linked.refreshed("fresh").await;
    assert_eq!(linked.links.pass().await.unwrap().written, 2);
    assert_eq!(linked.key(5), "fresh\nfixture-access-old-0005b\nfresh");
}

#[tokio::test]
async fn an_expired_token_replaces_no_key() {
    let linked = Linked::on("one-api.db", &[(1, None)]).await;
    linked.refreshed("fresh").await;
    linked.pass_time(TimeDelta::days(2));
    linked.links.pass().await.unwrap();
    assert_eq!(linked.world.changes(), "");
    assert_eq!(linked.link().await.state, State::Pending);
    linked.refreshed("fresher").await;
    linked.links.pass().await.unwrap();
    assert_eq!(linked.key(1), "fresher");
}

#[tokio::test]
async fn a_conflict_wakes_the_notifiers_and_is_told_once_while_the_gateway_cannot_be() {
    let world = World::hasty("one-hub.db");
    world.sql("UPDATE users SET access_token = 'administrator' WHERE id = 1");
    let settings = Settings {
        url: Some("http://127.0.0.1:1".parse().unwrap()),
        access_token: Some("administrator".into()),
        ..world.settings()
    };
    let linked = Linked::new(world, settings, &[(1, None)]).await;
    linked.refreshed("fresh").await;
    linked.links.pass().await.unwrap();
    assert!(linked.link().await.untold);
    linked
        .world
        .sql("UPDATE channels SET key = 'a stranger' WHERE id = 1");
    let mut news = linked.wakers.notices.subscribe();
    for _ in 0..3 {
        linked.links.pass().await.unwrap();
        assert_eq!(linked.link().await.state, State::Conflict);
    }
    assert!(news.has_changed().unwrap());
    news.mark_unchanged();
    assert_eq!(linked.conflicts().await, 1);
}

#[tokio::test]
async fn a_link_that_lost_its_channel_waits_for_nothing() {
    let linked = Linked::on("new-api-2026-02.db", &[(3, None)]).await;
    let round = linked.links.pass().await.unwrap();
    assert!(round.settles_at().is_some());
    linked.world.sql("DELETE FROM channels WHERE id = 3");
    linked.pass_time(TimeDelta::minutes(2));
    let round = linked.links.pass().await.unwrap();
    assert_eq!(linked.link().await.state, State::Gone);
    assert_eq!(round.settles_at(), None);
}

#[tokio::test]
async fn a_clock_set_back_holds_no_link_up() {
    let linked = Linked::on("new-api-2026-02.db", &[(3, None)]).await;
    linked.links.pass().await.unwrap();
    let back = linked.pass_time(TimeDelta::days(-300));
    let round = linked.links.pass().await.unwrap();
    assert!(round.settles_at().unwrap() <= back + TimeDelta::minutes(1));
}

#[tokio::test]
async fn a_refresh_token_that_could_not_be_taken_out_at_once_is_not_taken_for_the_gateways_news() {
    let linked = Linked::on("new-api-2026-02.db", &[(3, None)]).await;
    let other = linked.world.other();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    linked.links.pass().await.unwrap_err();
    other.execute_batch("ROLLBACK").unwrap();
    linked.links.pass().await.unwrap();
    assert!(!linked.key(3).contains("refresh_token"));
    let key = linked.store.key();
    let token = linked
        .store
        .read(move |db| store::credential::refresh_token(db, &key, CredentialId(1)));
    assert_eq!(token.await.unwrap().unwrap().expose_secret(), "seed");
}

#[tokio::test]
async fn a_channel_that_cannot_keep_its_key_holds_up_no_other() {
    let linked = Linked::on("one-api.db", &[(1, None), (2, None)]).await;
    linked.world.sql(
        "CREATE TRIGGER odd AFTER UPDATE OF key ON channels WHEN NEW.id = 1 AND NEW.key <> 'odd'
         BEGIN UPDATE channels SET key = 'odd' WHERE id = 1; END",
    );
    linked.refreshed("fresh").await;
    let passes = linked.links.pass();
    let round = tokio::time::timeout(Duration::from_secs(30), passes).await;
    assert_eq!(round.unwrap().unwrap().written, 1);
    assert_eq!(linked.key(2), "fresh");
}
