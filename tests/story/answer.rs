//! What an answer leaves out or says in its own way, and how long its token lives then.

use insta::assert_snapshot;
use keyfresh::demo::authority::{Fault, Settings};

use crate::support::world::{World, hours};

/// Two refreshes with a provider that answers the first one so.
async fn check(habits: Settings, fault: Option<Fault>) -> String {
    let mut world = World::with("one-api.db", habits).await;
    if let Some(fault) = fault {
        world.authority.fault(&fault, 1);
    }
    world.once().await;
    let first = world.picture().await;
    world.when_due().await;
    format!("{first}\n{}", world.picture().await)
}

#[tokio::test]
async fn without_a_refresh_token_the_old_one_stays() {
    let keeps = Settings {
        rotates: false,
        ..Settings::default()
    };
    let fault = Fault::Omit("refresh_token");
    assert_snapshot!(check(keeps, Some(fault)).await, @"
    at +00:00:00
    main: resting, due +00:39:20, generation 1, expires +01:00:00, holds main refresh 0
      channel 1: status 1, main access 1; current at generation 1, watched until +00:20:00
    asked +00:00:00: main refresh 0, Granted
    event main refreshed generation 1
    notice keyfresh: main refreshed

    at +00:39:20
    main: resting, due +01:18:17, generation 2, expires +01:39:20, holds main refresh 0
      channel 1: status 1, main access 2; current at generation 2, watched until +00:59:20
    asked +00:00:00: main refresh 0, Granted
    asked +00:39:20: main refresh 0, Granted
    event main refreshed generation 1
    event main refreshed generation 2
    notice keyfresh: main refreshed
    notice keyfresh: main refreshed
    ");
}

#[tokio::test]
async fn without_a_lifetime_the_jwt_tells_it() {
    let jwt = Settings {
        jwt: true,
        lifetime: hours(3),
        ..Settings::default()
    };
    let fault = Fault::Omit("expires_in");
    let mut world = World::with("one-api.db", jwt).await;
    world.authority.fault(&fault, 1);
    world.once().await;
    assert_snapshot!(world.picture().await, @"
    at +00:00:00
    main: resting, due +01:58:02, generation 1, expires +03:00:00, holds main refresh 1
      channel 1: status 1, main access 1; current at generation 1, watched until +00:20:00
    asked +00:00:00: main refresh 0, Granted
    event main refreshed generation 1
    notice keyfresh: main refreshed
    ");
}

#[tokio::test]
async fn a_lifetime_may_be_a_text_or_nonsense() {
    let check = async |lifetime: &str| {
        let mut world = World::new("one-api.db").await;
        let fault = Fault::ExpiresIn(lifetime.to_owned());
        world.authority.fault(&fault, 1);
        world.once().await;
        let expires_at = world.row("main").await.expires_at.unwrap();
        format!(
            "{lifetime}: {} s\n",
            (expires_at - world.clock.now()).num_seconds()
        )
    };
    let story = [
        check("\"7200\"").await,
        check("1").await,
        check("0").await,
        check("-1").await,
        check("null").await,
        check("\"soon\"").await,
        check("1e12").await,
    ];
    assert_snapshot!(story.concat(), @r#"
    "7200": 7200 s
    1: 60 s
    0: 3600 s
    -1: 3600 s
    null: 3600 s
    "soon": 3600 s
    1e12: 34560000 s
    "#);
}

#[tokio::test]
async fn a_grant_without_an_access_token_still_brings_its_refresh_token() {
    let fault = Fault::Omit("access_token");
    assert_snapshot!(check(Settings::default(), Some(fault)).await, @"
    at +00:00:00
    main: resting, due +00:01:19, generation 0, holds main refresh 1
      1 failure: the answer has no usable access token
      channel 1: status 1, fixture-access-old-0001; pending
    asked +00:00:00: main refresh 0, Granted
    event main failing
    notice keyfresh: main cannot be refreshed at the moment

    at +00:01:19
    main: resting, due +00:40:16, generation 1, expires +01:01:19, holds main refresh 2
      channel 1: status 1, main access 2; current at generation 1, watched until +00:21:19
    asked +00:00:00: main refresh 0, Granted
    asked +00:01:19: main refresh 1, Granted
    event main failing
    event main recovered generation 1
    event main refreshed generation 1
    notice keyfresh: main cannot be refreshed at the moment
    notice keyfresh: main recovered
    ");
}

#[tokio::test]
async fn an_answer_that_comes_byte_by_byte_is_an_answer() {
    assert_snapshot!(check(Settings::default(), Some(Fault::Trickle)).await, @"
    at +00:00:00
    main: resting, due +00:39:20, generation 1, expires +01:00:00, holds main refresh 1
      channel 1: status 1, main access 1; current at generation 1, watched until +00:20:00
    asked +00:00:00: main refresh 0, Granted
    event main refreshed generation 1
    notice keyfresh: main refreshed

    at +00:39:20
    main: resting, due +01:18:17, generation 2, expires +01:39:20, holds main refresh 2
      channel 1: status 1, main access 2; current at generation 2, watched until +00:59:20
    asked +00:00:00: main refresh 0, Granted
    asked +00:39:20: main refresh 1, Granted
    event main refreshed generation 1
    event main refreshed generation 2
    notice keyfresh: main refreshed
    notice keyfresh: main refreshed
    ");
}

#[tokio::test]
async fn an_error_may_be_an_object_in_a_200() {
    let fault = Fault::ErrorObject(200, "invalid_grant");
    let mut world = World::new("one-api.db").await;
    world.authority.fault(&fault, 1);
    world.once().await;
    assert_snapshot!(world.picture().await, @"
    at +00:00:00
    main: dead, generation 0, holds main refresh 0
      1 failure: the provider rejected the refresh token: invalid_grant: it was revoked, it expired, or another owner refreshes this token: stop the other one if there is one, log in anew and run `keyfresh credential replace main` with the new token
      channel 1: status 1, fixture-access-old-0001; pending
    asked +00:00:00: main refresh 0, Untouched
    event main dead
    notice keyfresh: main is dead: log in again
    ");
}

#[tokio::test]
async fn a_page_for_people_may_have_cost_the_token() {
    let mut world = World::new("one-api.db").await;
    world.authority.fault(&Fault::Html, 1);
    world.once().await;
    assert_snapshot!(world.picture().await, @"
    at +00:00:00
    main: unconfirmed, resend +00:52:30, generation 0, holds main refresh 0
      1 failure: the answer is not one whole JSON object
      channel 1: status 1, fixture-access-old-0001; pending
    asked +00:00:00: main refresh 0, Untouched
    event main unconfirmed
    notice keyfresh: main: outcome of the refresh unknown
    ");
}
