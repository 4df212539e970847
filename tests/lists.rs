//! An owner's tokens listed and searched, in tables large and small.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use keyfresh::database::Halt;
use keyfresh::gateway::{FOUND_MOST, Gateway, Page, Token};
use support::database::FIXTURES;
use support::gateway::World;

const ALICE: i64 = 2;
const BOB: i64 = 3;

async fn page(gateway: &Gateway, owner: i64) -> Page {
    gateway.page(owner, 0, 100).await.unwrap()
}

fn ids(page: &Page) -> Vec<i64> {
    page.tokens.iter().map(|token| token.id).collect()
}

#[tokio::test]
async fn a_page_is_cut_from_the_own_rows() {
    for fixture in FIXTURES {
        let world = World::new(fixture);
        let gateway = world.open().await;
        let all = page(&gateway, ALICE).await;
        let all_ids = ids(&all);
        for (offset, limit) in [(0, 3), (3, 3), (0, 0), (5, 100), (1000, 5), (u64::MAX, 1)] {
            let expected = all_ids.iter().copied();
            let expected = expected.skip(usize::try_from(offset).unwrap()).take(limit);
            let expected: Vec<i64> = expected.collect();
            let part = gateway.page(ALICE, offset, limit).await.unwrap();
            assert_eq!(ids(&part), expected, "{fixture} {offset} {limit}");
            assert_eq!(part.total, all.total);
            let short = gateway
                .view(move |tables| Ok::<_, Halt<()>>(tables.page(ALICE, offset, limit)?))
                .await
                .unwrap()
                .unwrap();
            assert_eq!(short.is_some(), fixture.starts_with("new-api"));
            assert!(short.is_none_or(|short| ids(&short) == expected));
        }
        let one = |owner, id| {
            let gateway = gateway.clone();
            async move {
                let token = gateway.view(move |tables| Ok::<_, Halt<()>>(tables.token(owner, id)?));
                token.await.unwrap().unwrap().map(|token| token.id)
            }
        };
        assert_eq!(one(ALICE, all_ids[0]).await, Some(all_ids[0]));
        assert_eq!(one(BOB, all_ids[0]).await, None);
        assert_eq!(one(ALICE, 999_999).await, None);
        if fixture == "one-hub.db" {
            assert_eq!(one(ALICE, 14).await, None);
        }
    }
}

#[tokio::test]
async fn a_search_takes_every_sign_literally() {
    let world = World::new("new-api-2026-02.db");
    world.sql("UPDATE tokens SET name = 'wow! 50_x' WHERE id = 2; UPDATE tokens SET name = NULL WHERE id = 4");
    let gateway = world.open().await;
    let check = async |name: &str, key: &str, expected: &[i64]| {
        let found = gateway.search(ALICE, name, key).await.unwrap();
        let ids: Vec<i64> = found.iter().map(|token| token.id).collect();
        assert_eq!(ids, expected, "{name:?} {key:?}");
    };
    let all: Vec<i64> = page(&gateway, ALICE)
        .await
        .tokens
        .iter()
        .map(|token| token.id)
        .collect();
    check("", "", &all).await;
    check("%", "", &[16]).await;
    check("_", "", &[25, 16, 2]).await;
    check("0%_d", "", &[16]).await;
    check("!", "", &[2]).await;
    check("50!_", "", &[]).await;
    check("\\", "", &[]).await;
    check("O'Brien \"x\"; --", "", &[17]).await;
    check("生产", "", &[15]).await;
    check("API TOKEN", "", &[19]).await;
    check("bob laptop", "", &[]).await;
    check("", "alice0015", &[15]).await;
    check("生产", "0016", &[]).await;
    check("deleted", "", &[]).await;
    // Databases end a pattern at NUL, and every text would do.
    for (name, key) in [("\0", ""), ("50\0", ""), ("", "\0"), ("", "alice\0")] {
        check(name, key, &[]).await;
    }
}

#[tokio::test]
async fn a_table_without_an_index_is_read_to_its_end() {
    let world = World::new("one-api.db");
    world.sql("WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n WHERE i < 200099) INSERT INTO tokens (id, user_id, key, name) SELECT i, CASE WHEN i % 100 = 0 THEN 3 ELSE 9 END, 'many' || i, 'n' || i FROM n");
    world.sql("UPDATE tokens SET id = 9000000000000000000 WHERE id = 200099");
    let gateway = world.open().await;
    let Page { tokens, total } = gateway.page(BOB, 1998, 4).await.unwrap();
    let ids: Vec<i64> = tokens.iter().map(|token| token.id).collect();
    assert_eq!((ids, total), (vec![200, 100, 14, 13], 2002));
    let deep = gateway.page(9, 197_990, 100).await.unwrap();
    assert_eq!((deep.tokens.len(), deep.total), (10, 198_000));
    let found = gateway.search(BOB, "n1000", "MANY").await.unwrap();
    let ids: Vec<i64> = found.iter().map(|token| token.id).collect();
    assert_eq!(ids, [100_000, 10_000, 1000]);
    assert_eq!(gateway.search(9, "", "").await.unwrap().len(), FOUND_MOST);
}

#[tokio::test]
async fn who_has_many_tokens_may_have_to_wait_for_the_scans() {
    let world = World::new("new-api-2026-08.db");
    world.sql("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) INSERT INTO tokens (user_id, key, name, deleted_at) SELECT 9, 'many' || i, 'n' || i, CASE WHEN i % 2 = 0 THEN '2026-01-01 00:00:00+00:00' END FROM n");
    let gateway = world.open().await;
    let short = gateway.view(|tables| Ok::<_, Halt<()>>(tables.page(9, 0, 20)?));
    // A machine that is quick enough gives it in the one read.
    let short = short.await.unwrap().unwrap();
    assert!(short.is_none_or(|page| page.total == 2500));
    let Page { tokens, total } = gateway.page(9, 2499, 20).await.unwrap();
    assert_eq!((tokens.len(), total), (1, 2500));
    let short = gateway.view(|tables| Ok::<_, Halt<()>>(tables.page(ALICE, 0, 20)?));
    assert_eq!(short.await.unwrap().unwrap().unwrap().total, 34);
}

#[tokio::test]
async fn what_others_stored_in_whatever_size_is_not_gathered_whole() {
    const MEGABYTE: i64 = 1024 * 1024;
    for fixture in FIXTURES {
        let world = World::new(fixture);
        let stored = format!(
            "WITH RECURSIVE n(i) AS (SELECT 101 UNION ALL SELECT i + 1 FROM n WHERE i < 108) INSERT INTO tokens (id, user_id, key, status, name, expired_time) SELECT i, 9, 'large' || i, 1, printf('%.*c', {MEGABYTE}, 'x'), -1 FROM n"
        );
        world.sql(&stored);
        let gateway = world.open().await;
        let found = gateway.search(9, "", "").await.unwrap();
        let ids = |tokens: &[Token]| tokens.iter().map(|token| token.id).collect::<Vec<_>>();
        assert_eq!(ids(&found), [108, 107, 106], "{fixture}");
        let Page { tokens, total } = gateway.page(9, 1, 100).await.unwrap();
        assert_eq!((ids(&tokens), total), (vec![107, 106, 105], 8), "{fixture}");
        world.sql("UPDATE tokens SET name = name || name || name || name || name WHERE id = 108");
        let found = gateway.search(9, "", "").await.unwrap();
        assert_eq!(ids(&found), [108], "{fixture}");
    }
}

#[tokio::test]
async fn a_page_that_overruns_the_short_read_is_read_in_pieces() {
    let world = World::new("new-api-2026-08.db");
    world.sql("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) INSERT INTO tokens (user_id, key, name) SELECT 9, 'many' || i, 'n' || i FROM n");
    // Each row costs as much as if its page had to come from a slow disk.
    world.sql("DROP INDEX idx_tokens_deleted_at; ALTER TABLE tokens DROP COLUMN deleted_at; ALTER TABLE tokens ADD COLUMN deleted_at text AS (NULLIF(length(hex(zeroblob(30000 + id - id))), 60000))");
    let gateway = world.open().await;
    let short = gateway.view(|tables| Ok::<_, Halt<()>>(tables.page(9, 0, 20)?));
    assert!(short.await.unwrap().unwrap().is_none());
    let Page { tokens, total } = gateway.page(9, 1990, 20).await.unwrap();
    assert_eq!((tokens.len(), total), (10, 2000));
}
