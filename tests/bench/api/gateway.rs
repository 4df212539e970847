//! A gateway with a million tokens, made from a fixture, and the daemon that serves them.

use std::path::Path;

use rusqlite::{Connection, params_from_iter, types::Value};

use crate::support::daemon::Daemon;
use crate::support::installation::Installation;
use crate::support::until;

/// The user who calls, in both fixtures.
pub(crate) const ALICE: i64 = 2;

/// The tokens of all users, and hers among them.
pub(crate) const ROWS: usize = 1_000_000;
const OWN: usize = 10_000;

/// Users besides her, who have the rest.
const OTHERS: usize = 20_000;

/// SQLite's pages kept in memory while the table is made, in KiB.
const CACHE: i64 = -1_000_000;

/// 2025-10-09, and one token a minute from then on.
const EPOCH: usize = 1_760_000_000;

const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

const PURPOSES: [&str; 8] = [
    "chat web",
    "laptop",
    "ci runner",
    "翻译插件",
    "VS Code",
    "team bot",
    "n8n flow",
    "手机",
];

/// What is particular to a gateway's tokens.
pub(crate) struct Layout {
    pub(crate) fixture: &'static str,
    /// Her access token in the fixture.
    pub(crate) authorization: &'static str,
    /// Columns besides the common ones, with their values.
    more: &'static [(&'static str, &'static str)],
}

impl Layout {
    pub(crate) const NEW_API: Self = Self {
        fixture: "new-api-2026-02.db",
        authorization: "fixture-access-token-alice-00002",
        more: &[
            ("model_limits_enabled", "0"),
            ("model_limits", "''"),
            ("allow_ips", "''"),
            ("\"group\"", "'default'"),
            ("cross_group_retry", "0"),
        ],
    };
    pub(crate) const ONE_API: Self = Self {
        fixture: "one-api.db",
        authorization: "fixtureaccesstokenalice000000001",
        more: &[("models", "''"), ("subnet", "''")],
    };
}

/// An installation on a gateway's file of [`ROWS`] tokens.
pub(crate) fn large(layout: &Layout) -> Installation {
    let world = Installation::new(layout.fixture);
    let mut db = world.other();
    // The file holds nothing yet that could be lost.
    db.pragma_update(None, "synchronous", "OFF").unwrap();
    db.pragma_update(None, "journal_mode", "MEMORY").unwrap();
    db.pragma_update(None, "cache_size", CACHE).unwrap();
    let count = |sql: &str| -> usize { db.query_row(sql, [], |row| row.get(0)).unwrap() };
    let missing = ROWS - count("SELECT count(*) FROM tokens");
    let own = OWN - count("SELECT count(*) FROM tokens WHERE user_id = 2");
    let making = db.transaction().unwrap();
    for number in 0..missing {
        // Hers lie among the others' from the first to the last.
        let is_hers = number * own / missing != (number + 1) * own / missing;
        let owner = if is_hers {
            ALICE
        } else {
            let other = 1000 + scatter(number) % OTHERS;
            other.try_into().unwrap()
        };
        insert(&making, layout, owner, number);
    }
    making.commit().unwrap();
    world
}

/// One token, the `number`th; all have keys of their own.
pub(crate) fn insert(db: &Connection, layout: &Layout, owner: i64, number: usize) {
    let columns = layout.more.iter().map(|(name, _)| format!(", {name}"));
    let values = layout.more.iter().map(|(_, value)| format!(", {value}"));
    let sql = format!(
        "INSERT INTO tokens (user_id, \"key\", status, name, created_time, accessed_time, expired_time, \
         remain_quota, unlimited_quota, used_quota{}) VALUES (?, ?, 1, ?, ?, ?, -1, 500000, 0, 0{})",
        columns.collect::<String>(),
        values.collect::<String>(),
    );
    let created: i64 = (EPOCH + number * 60).try_into().unwrap();
    let values: [Value; 5] = [
        owner.into(),
        key(owner, number).into(),
        name(number).into(),
        created.into(),
        created.into(),
    ];
    let mut statement = db.prepare_cached(&sql).unwrap();
    statement.execute(params_from_iter(values)).unwrap();
}

/// What people call their tokens.
fn name(number: usize) -> String {
    let purpose = PURPOSES[scatter(number) % PURPOSES.len()];
    format!("{purpose} {number}")
}

/// 48 letters and digits in no order.
fn key(owner: i64, number: usize) -> String {
    let mut state = number ^ usize::try_from(owner).unwrap() << 32;
    let letter = |_| {
        state = scatter(state);
        char::from(LETTERS[(state >> 33) % LETTERS.len()])
    };
    (0..48).map(letter).collect()
}

/// The step of the generator splitmix64.
fn scatter(number: usize) -> usize {
    let mut word = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// `count` ids of hers, spread evenly over all.
pub(crate) fn own_ids(path: &Path, count: usize) -> Vec<i64> {
    let db = Connection::open(path).unwrap();
    let mut statement = db
        .prepare(
            "SELECT id FROM tokens WHERE user_id = 2 AND status = 1 AND name != '' ORDER BY id",
        )
        .unwrap();
    let ids: Vec<i64> = statement
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .skip(OWN / 10)
        .collect();
    let step = ids.len() / count;
    ids.into_iter().step_by(step).take(count).collect()
}

/// Where the daemon listens.
pub(crate) fn address(daemon: &Daemon) -> String {
    until("it listens", || {
        let log = daemon.log();
        let (_, rest) = log.split_once("127.0.0.1:")?;
        let end = rest.find(|letter: char| !letter.is_ascii_digit())?;
        Some(format!("127.0.0.1:{}", &rest[..end]))
    })
}
