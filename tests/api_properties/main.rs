//! Any calls by several users: what they see is what a plain model says, a call touches the columns it
//! names and no other cell of the table, and nobody learns anything of somebody else's tokens.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod call;
mod model;
mod world;

use proptest::test_runner::{Config, TestRunner};

use model::Gateway;
use world::World;

/// Sequences of calls for each gateway.
const CASES: u32 = 100;

fn check(mut world: World) {
    let config = Config {
        cases: CASES,
        failure_persistence: None,
        max_shrink_iters: 500,
        ..Config::default()
    };
    let users = world.users.len();
    let world = std::cell::RefCell::new(&mut world);
    TestRunner::new(config)
        .run(&call::calls(users), |calls| {
            let mut world = world.borrow_mut();
            world.begin();
            for (user, call) in calls {
                world.play(user, &call)?;
            }
            world.end()
        })
        .unwrap();
}

#[test]
fn new_api() {
    let gateway = Gateway {
        lacks: &[],
        soft: true,
        most_quota: i64::from(i32::MAX),
        key_length: 48,
        columns: &[],
        is_one_api: false,
    };
    check(World::new("new-api-2026-08.db", gateway));
}

#[test]
fn one_api() {
    let gateway = Gateway {
        lacks: &["group", "cross_group_retry"],
        soft: false,
        most_quota: 500_000_000_000_000,
        key_length: 48,
        columns: &[
            ("model_limits_enabled", "models"),
            ("model_limits", "models"),
            ("allow_ips", "subnet"),
        ],
        is_one_api: true,
    };
    check(World::new("one-api.db", gateway));
}

#[test]
fn one_hub() {
    let gateway = Gateway {
        lacks: &["cross_group_retry"],
        soft: true,
        most_quota: 500_000_000_000_000,
        key_length: 59,
        columns: &[
            ("model_limits_enabled", "setting"),
            ("model_limits", "setting"),
            ("allow_ips", "setting"),
        ],
        is_one_api: false,
    };
    check(World::new("one-hub.db", gateway));
}

#[test]
fn embedded() {
    check(World::embedded(Gateway {
        lacks: &[],
        soft: true,
        most_quota: 500_000_000_000_000,
        key_length: 48,
        columns: &[],
        is_one_api: false,
    }));
}
