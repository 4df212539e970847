//! A credential's life: due, early, failing, dead, replaced, unconfirmed.

use chrono::TimeDelta;
use insta::assert_snapshot;
use keyfresh::demo::authority::{Fault, Settings};
use keyfresh::store;

use crate::world::World;

#[tokio::test]
async fn due_on_monday_and_not_before() {
    let mut world = World::new().await;
    world.pass().await;
    assert_snapshot!(world.tell().await);

    world.wait(TimeDelta::days(1));
    world.pass().await;
    assert_eq!(world.requests(), "none");

    world.wait(TimeDelta::days(1));
    world.pass().await;
    assert_snapshot!(world.tell().await);
}

#[tokio::test]
async fn due_at_once_when_the_clock_was_set_back() {
    let mut world = World::new().await;
    world.wait(TimeDelta::days(2));
    world.pass().await;
    world.tell().await;
    // By what the wrong clock had shown, the next is due in more than a week.
    world.wait(-TimeDelta::days(1));
    world.pass().await;
    assert_ne!(world.requests(), "none");
    world.pass().await;
    assert_eq!(world.requests(), "none");
}

#[tokio::test]
async fn early_because_the_token_expires_first() {
    let lifetime = std::time::Duration::from_hours(6);
    let settings = Settings::default();
    let mut world = World::with("one-api.db", "channels = [1]\nlifetime = \"6h\"", settings).await;
    let without = Fault::Omit("expires_in");
    world.authority.fault(&without, 1);
    world.pass().await;
    assert_snapshot!(world.tell().await);
    world.wait(TimeDelta::from_std(lifetime).unwrap() * 2 / 3);
    world.pass().await;
    assert_snapshot!(world.requests());
}

#[tokio::test]
async fn a_retry_after_holds_across_a_restart_and_against_force() {
    let mut world = World::new().await;
    let wait = Fault::Status {
        status: 429,
        retry_after: Some("7200".to_owned()),
        handled: false,
    };
    world.authority.fault(&wait, 1);
    world.pass().await;
    assert_snapshot!(world.tell().await);
    world.wait(TimeDelta::minutes(119));
    world.stop();
    world.force().await;
    assert_eq!(world.requests(), "none");
    world.wait(TimeDelta::minutes(1));
    world.again().await;
    assert_snapshot!(world.tell().await);
}

#[tokio::test]
async fn backing_off_makes_few_calls_and_one_notice() {
    let mut world = World::new().await;
    let busy = Fault::Status {
        status: 503,
        retry_after: Some("1".to_owned()),
        handled: false,
    };
    world.authority.fault(&busy, 1000);
    let mut calls = Vec::new();
    for minute in 0..600 {
        world.pass().await;
        if world.requests() != "none" {
            calls.push(minute);
        }
        world.wait(TimeDelta::minutes(1));
    }
    assert!(calls.iter().filter(|minute| **minute < 60).count() <= 12);
    let late: Vec<_> = calls.iter().filter(|minute| **minute >= 60).collect();
    assert!(
        late.windows(2).all(|pair| *pair[1] - *pair[0] >= 60),
        "{late:?}"
    );
    assert!(late.len() >= 4);
    assert_snapshot!(world.tell().await);
}

#[tokio::test]
async fn rejected_is_final_until_something_changes() {
    let mut world = World::new().await;
    world.pass().await;
    world.tell().await;
    world
        .authority
        .fault(&Fault::Error(400, "invalid_grant"), 1);
    world.wait(TimeDelta::days(7));
    world.pass().await;
    assert_snapshot!(world.tell().await);

    world.wait(TimeDelta::days(300));
    world.stop();
    world.force().await;
    assert_eq!(world.requests(), "none");

    world.credentials = world.credentials.replace("story", "another");
    world.again().await;
    assert_snapshot!(world.tell().await);
}

#[tokio::test]
async fn a_new_login_replaces_a_dead_one() {
    let mut world = World::new().await;
    world
        .authority
        .fault(&Fault::ErrorObject(401, "invalid_grant"), 1);
    world.pass().await;
    assert_snapshot!(world.tell().await);
    world.seed("main");
    world.wait(TimeDelta::minutes(5));
    world.again().await;
    assert_snapshot!(world.tell().await);
}

#[tokio::test]
async fn a_login_entered_during_an_exchange_waits_for_its_end() {
    let mut world = World::new().await;
    world.start().await;
    let slow = Fault::Slow(std::time::Duration::from_millis(200));
    world.authority.fault(&slow, 1);
    let login = world.authority.seed().unwrap();
    let store = world.store().await;
    let (key, now) = (store.key(), world.now());
    let requests = || world.authority.requests().len();
    let entered = async {
        while requests() == 0 {
            tokio::task::yield_now().await;
        }
        let enter = store.write(move |db| {
            let mut row = store::credential::by_name(db, "main")?;
            store::credential::replace(db, &key, &mut row, &login, now)
        });
        enter.await.unwrap();
    };
    let parts = world.parts();
    let pick = keyfresh::refresh::Pick::default();
    let (passed, ()) = tokio::join!(parts.once(&pick), entered);
    passed.unwrap();
    world.pass().await;
    assert_snapshot!(world.tell().await);
}

#[tokio::test]
async fn omitted_and_odd_fields_are_survived() {
    let mut world = World::new().await;
    let faults = [
        (
            "expires_in_as_text",
            Fault::ExpiresIn("\"864000\"".to_owned()),
        ),
        ("expires_in_negative", Fault::ExpiresIn("-1".to_owned())),
        ("expires_in_null", Fault::ExpiresIn("null".to_owned())),
        ("token_type_omitted", Fault::Omit("token_type")),
    ];
    for (name, fault) in faults {
        world.authority.fault(&fault, 1);
        world.pass().await;
        assert_snapshot!(name, world.tell().await);
        world.wait(TimeDelta::days(7));
    }
}

#[tokio::test]
async fn a_kept_refresh_token_may_be_omitted() {
    let settings = Settings {
        rotates: false,
        ..Settings::default()
    };
    let keeps = "channels = [1]\nrotation = \"keeps\"";
    let mut world = World::with("new-api-2026-02.db", keeps, settings).await;
    for _ in 0..2 {
        world.authority.fault(&Fault::Omit("refresh_token"), 1);
        world.pass().await;
        world.wait(TimeDelta::days(7));
    }
    assert_snapshot!(world.tell().await);
}

#[tokio::test]
async fn what_may_have_been_spent_waits_until_nothing_is_left_to_lose() {
    for (name, handled) in [("not_handled", false), ("handled", true)] {
        let mut world = World::new().await;
        world.pass().await;
        world.tell().await;
        world.wait(TimeDelta::days(7));
        world.authority.fault(&Fault::Cut { handled }, 1);
        world.pass().await;
        assert_snapshot!(format!("cut_{name}"), world.tell().await);

        world.wait(TimeDelta::days(2));
        world.stop();
        world.force().await;
        assert_eq!(world.requests(), "none", "too early");

        world.wait(TimeDelta::days(1));
        world.again().await;
        assert_snapshot!(format!("resent_{name}"), world.tell().await);
    }
}

#[tokio::test]
async fn a_grace_window_is_used_at_once() {
    let settings = Settings {
        grace: std::time::Duration::from_mins(10),
        ..Settings::default()
    };
    let grace = "channels = [1]\nrotation = \"rotates\"\ngrace = \"10m\"";
    let mut world = World::with("new-api-2026-02.db", grace, settings).await;
    world.authority.fault(&Fault::Cut { handled: true }, 1);
    world.pass().await;
    world.pass().await;
    assert_snapshot!(world.tell().await);
}

#[tokio::test]
async fn a_refresh_token_in_a_cut_answer_is_kept() {
    for missing in [1, 20] {
        let mut world = World::new().await;
        world.authority.fault(&Fault::CutBody { missing }, 1);
        world.pass().await;
        assert_snapshot!(format!("cut_body_by_{missing}"), world.tell().await);
    }
}

#[tokio::test]
async fn renamed_parked_and_back_without_a_seed_sent_twice() {
    let mut world = World::new().await;
    world.pass().await;
    world.tell().await;

    std::fs::rename(world.path("main.token"), world.path("other.token")).unwrap();
    world.credentials = world.credentials.replace("main", "other");
    world.again().await;
    assert_snapshot!("renamed", world.tell().await);

    let there = std::mem::take(&mut world.credentials);
    world.wait(TimeDelta::days(30));
    world.again().await;
    assert_snapshot!("parked", world.tell().await);

    world.credentials = there;
    world.again().await;
    assert_snapshot!("back", world.tell().await);
}

#[tokio::test]
async fn two_passes_at_once_send_once() {
    let mut world = World::new().await;
    world.start().await;
    let pick = keyfresh::refresh::Pick::default();
    let parts = world.parts();
    let (one, two) = tokio::join!(parts.once(&pick), parts.once(&pick));
    assert!(one.is_ok() && two.is_ok());
    world.pass().await;
    assert_eq!(world.requests(), "token 0 granted");
}
