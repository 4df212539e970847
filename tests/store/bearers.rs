//! Bearers: how long those of one user stay good.

use keyfresh::store::bearer::{self, Standing};

use super::State;

#[tokio::test]
async fn raising_a_generation_is_one_users_alone() {
    let state = State::new();
    let store = state.open();
    for expected in [1, 2] {
        let raised = store.write(|db| bearer::raise(db, 7)).await.unwrap();
        assert_eq!(raised, expected);
    }
    drop(store);
    let store = state.open();
    let all = store.read(|db| Ok((bearer::generation(db, 7)?, bearer::generation(db, 8)?)));
    assert_eq!(all.await.unwrap(), (2, 0));
}

#[tokio::test]
async fn bearers_end_with_the_name_they_were_issued_to() {
    let state = State::new();
    let store = state.open();
    let issue = async |name: &'static str, expected: i64| {
        let issued = store.write(move |db| {
            let generation = bearer::issue(db, 7, name)?;
            Ok((generation, bearer::standing(db, 7)?))
        });
        let standing = Standing {
            generation: expected,
            name: Some(name.to_owned()),
        };
        assert_eq!(issued.await.unwrap(), (expected, standing));
    };
    let unissued = store.read(|db| bearer::standing(db, 7)).await.unwrap();
    assert_eq!((unissued.generation, unissued.name), (0, None));
    store.write(|db| bearer::raise(db, 7)).await.unwrap();
    issue("alice", 1).await;
    issue("alice", 1).await;
    issue("mallory", 2).await;
    store.write(|db| bearer::raise(db, 7)).await.unwrap();
    issue("mallory", 3).await;
    issue("alice", 4).await;
}

#[tokio::test]
async fn bearers_end_with_the_database_whose_users_they_name() {
    let state = State::new();
    let store = state.open();
    let check = async |database: &'static str, generations: [i64; 2]| {
        let bound = store.write(move |db| {
            bearer::belong_to(db, database)?;
            Ok([bearer::generation(db, 1)?, bearer::generation(db, 2)?])
        });
        assert_eq!(bound.await.unwrap(), generations, "{database}");
    };
    check("embedded", [0, 0]).await;
    store.write(|db| bearer::raise(db, 1)).await.unwrap();
    check("embedded", [1, 0]).await;
    check("/opt/one-api/one-api.db", [2, 1]).await;
    check("embedded", [3, 2]).await;
}
