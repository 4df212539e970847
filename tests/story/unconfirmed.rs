//! Nobody knows whether the token was spent: when it is sent again, and when not.

use insta::assert_snapshot;
use keyfresh::demo::authority::{Fault, Settings};
use keyfresh::provider::Rotation;

use crate::support::world::{World, hours, minutes};

const CUT_BEFORE: Fault = Fault::Cut { handled: false };
const CUT_AFTER: Fault = Fault::Cut { handled: true };

/// The second refresh is cut, an hour-long token in service; then every minute is a pass.
async fn cut(mut world: World, fault: &Fault) -> String {
    world.once().await;
    world.authority.fault(fault, 1);
    world.when_due().await;
    let cut = world.picture().await;
    for _ in 0..30 {
        world.after(minutes(1)).await;
    }
    format!("{cut}\n{}", world.picture().await)
}

#[tokio::test]
async fn a_cut_before_the_provider_looked_heals_near_expiry() {
    let world = World::new("one-api.db").await;
    assert_snapshot!(cut(world, &CUT_BEFORE).await, @"
    at +00:39:20
    main: unconfirmed, resend +00:52:30, generation 1, expires +01:00:00, holds main refresh 1
      1 failure: connection closed before message completed
      channel 1: status 1, main access 1; current at generation 1
    asked +00:00:00: main refresh 0, Granted
    asked +00:39:20: main refresh 1, Untouched
    event main refreshed generation 1
    event main unconfirmed
    notice keyfresh: main refreshed
    notice keyfresh: main: outcome of the refresh unknown

    at +01:09:20
    main: resting, due +01:32:28, generation 2, expires +01:53:20, holds main refresh 2
      channel 1: status 1, main access 2; current at generation 2, watched until +01:13:20
    asked +00:00:00: main refresh 0, Granted
    asked +00:39:20: main refresh 1, Untouched
    asked +00:53:20: main refresh 1, Granted
    event main refreshed generation 1
    event main unconfirmed
    event main recovered generation 2
    event main refreshed generation 2
    notice keyfresh: main refreshed
    notice keyfresh: main: outcome of the refresh unknown
    notice keyfresh: main recovered
    ");
}

#[tokio::test]
async fn a_cut_after_a_rotation_costs_the_login_and_never_the_key_in_service() {
    let world = World::new("one-api.db").await;
    assert_snapshot!(cut(world, &CUT_AFTER).await, @"
    at +00:39:20
    main: unconfirmed, resend +00:52:30, generation 1, expires +01:00:00, holds main refresh 1
      1 failure: connection closed before message completed
      channel 1: status 1, main access 1; current at generation 1
    asked +00:00:00: main refresh 0, Granted
    asked +00:39:20: main refresh 1, Granted
    event main refreshed generation 1
    event main unconfirmed
    notice keyfresh: main refreshed
    notice keyfresh: main: outcome of the refresh unknown

    at +01:09:20
    main: dead, generation 1, expires +01:00:00, holds main refresh 1
      2 failures: the provider rejected the refresh token: invalid_grant: most likely it was spent by the exchange whose answer was lost: log in anew and run `keyfresh credential replace main` with the new token
      channel 1: status 1, main access 1; current at generation 1
    asked +00:00:00: main refresh 0, Granted
    asked +00:39:20: main refresh 1, Granted
    asked +00:53:20: main refresh 1, Reused
    event main refreshed generation 1
    event main unconfirmed
    event main dead
    notice keyfresh: main refreshed
    notice keyfresh: main: outcome of the refresh unknown
    notice keyfresh: main is dead: log in again
    ");
}

#[tokio::test]
async fn within_a_grace_the_token_is_sent_again_at_once() {
    let grace = minutes(10);
    let habits = Settings {
        grace,
        ..Settings::default()
    };
    let mut world = World::with("one-api.db", habits).await;
    world.settings("main").client.grace = grace;
    assert_snapshot!(cut(world, &CUT_AFTER).await, @"
    at +00:39:20
    main: resting, due +01:18:28, generation 2, expires +01:39:20, holds main refresh 3
      channel 1: status 1, main access 3; current at generation 2, watched until +00:59:20
    asked +00:00:00: main refresh 0, Granted
    asked +00:39:20: main refresh 1, Granted
    asked +00:39:20: main refresh 1, Graced
    event main refreshed generation 1
    event main unconfirmed
    event main recovered generation 2
    event main refreshed generation 2
    notice keyfresh: main refreshed
    notice keyfresh: main recovered

    at +01:09:20
    main: resting, due +01:18:28, generation 2, expires +01:39:20, holds main refresh 3
      channel 1: status 1, main access 3; current at generation 2
    asked +00:00:00: main refresh 0, Granted
    asked +00:39:20: main refresh 1, Granted
    asked +00:39:20: main refresh 1, Graced
    event main refreshed generation 1
    event main unconfirmed
    event main recovered generation 2
    event main refreshed generation 2
    notice keyfresh: main refreshed
    notice keyfresh: main recovered
    ");
}

#[tokio::test]
async fn a_provider_that_keeps_tokens_is_asked_again_at_once() {
    let habits = Settings {
        rotates: false,
        ..Settings::default()
    };
    let mut world = World::with("one-api.db", habits).await;
    world.settings("main").client.rotation = Rotation::Keeps;
    assert_snapshot!(cut(world, &CUT_AFTER).await, @"
    at +00:39:20
    main: resting, due +01:18:28, generation 2, expires +01:39:20, holds main refresh 0
      channel 1: status 1, main access 3; current at generation 2, watched until +00:59:20
    asked +00:00:00: main refresh 0, Granted
    asked +00:39:20: main refresh 0, Granted
    asked +00:39:20: main refresh 0, Granted
    event main refreshed generation 1
    event main unconfirmed
    event main recovered generation 2
    event main refreshed generation 2
    notice keyfresh: main refreshed
    notice keyfresh: main recovered

    at +01:09:20
    main: resting, due +01:18:28, generation 2, expires +01:39:20, holds main refresh 0
      channel 1: status 1, main access 3; current at generation 2
    asked +00:00:00: main refresh 0, Granted
    asked +00:39:20: main refresh 0, Granted
    asked +00:39:20: main refresh 0, Granted
    event main refreshed generation 1
    event main unconfirmed
    event main recovered generation 2
    event main refreshed generation 2
    notice keyfresh: main refreshed
    notice keyfresh: main recovered
    ");
}

#[tokio::test]
async fn a_refresh_token_whole_in_a_cut_body_is_kept() {
    let world = World::new("one-api.db").await;
    assert_snapshot!(cut(world, &Fault::CutBody { missing: 1 }).await, @"
    at +00:39:20
    main: resting, due +00:40:52, generation 1, expires +01:00:00, holds main refresh 2
      1 failure: the answer is not one whole JSON object
      channel 1: status 1, main access 1; current at generation 1
    asked +00:00:00: main refresh 0, Granted
    asked +00:39:20: main refresh 1, Granted
    event main refreshed generation 1
    event main failing
    notice keyfresh: main refreshed
    notice keyfresh: main cannot be refreshed at the moment

    at +01:09:20
    main: resting, due +01:20:28, generation 2, expires +01:41:20, holds main refresh 3
      channel 1: status 1, main access 3; current at generation 2
    asked +00:00:00: main refresh 0, Granted
    asked +00:39:20: main refresh 1, Granted
    asked +00:41:20: main refresh 2, Granted
    event main refreshed generation 1
    event main failing
    event main recovered generation 2
    event main refreshed generation 2
    notice keyfresh: main refreshed
    notice keyfresh: main cannot be refreshed at the moment
    notice keyfresh: main recovered
    ");
}

#[tokio::test]
async fn before_the_first_grant_the_key_in_service_is_spared_as_if_it_were_new() {
    let mut world = World::new("one-api.db").await;
    world.authority.fault(&CUT_BEFORE, 1);
    world.once().await;
    world.after(minutes(52)).await;
    world.after(minutes(1)).await;
    assert_snapshot!(world.picture().await, @"
    at +00:53:00
    main: resting, due +01:31:56, generation 1, expires +01:53:00, holds main refresh 1
      channel 1: status 1, main access 1; current at generation 1, watched until +01:13:00
    asked +00:00:00: main refresh 0, Untouched
    asked +00:53:00: main refresh 0, Granted
    event main unconfirmed
    event main recovered generation 1
    event main refreshed generation 1
    notice keyfresh: main: outcome of the refresh unknown
    notice keyfresh: main recovered
    ");
}

#[tokio::test]
async fn a_token_that_stays_unconfirmed_is_asked_for_less_and_less() {
    let mut world = World::new("one-api.db").await;
    world.authority.fault(&CUT_BEFORE, 1000);
    for _ in 0..12 {
        world.after(minutes(5)).await;
    }
    for _ in 0..24 {
        world.after(hours(1)).await;
    }
    assert_snapshot!(world.asked_at().join("\n"), @"
    +00:05:00
    +01:00:00
    +02:00:00
    +03:00:00
    +04:00:00
    +05:00:00
    +07:00:00
    +09:00:00
    +11:00:00
    +13:00:00
    +15:00:00
    +17:00:00
    +19:00:00
    +21:00:00
    +23:00:00
    +1d 01:00:00
    ");
}

#[tokio::test]
async fn a_new_login_ends_the_waiting() {
    let mut world = World::new("one-api.db").await;
    world.once().await;
    world.authority.fault(&CUT_AFTER, 1);
    world.when_due().await;
    let seed = world.login("again");
    world.replace("main", seed).await;
    world.once().await;
    assert_snapshot!(world.picture().await, @"
    at +00:39:20
    main: resting, due +01:18:28, generation 2, expires +01:39:20, holds again refresh 1
      channel 1: status 1, again access 1; current at generation 2, watched until +00:59:20
    asked +00:00:00: main refresh 0, Granted
    asked +00:39:20: main refresh 1, Granted
    asked +00:39:20: again refresh 0, Granted
    event main refreshed generation 1
    event main unconfirmed
    event main refreshed generation 2
    notice keyfresh: main refreshed
    notice keyfresh: main: outcome of the refresh unknown
    notice keyfresh: main refreshed
    ");
}
