//! What becomes of a login: rejected, replaced, renamed, parked, typed in twice.

use insta::assert_snapshot;
use keyfresh::daemon::Parts;
use keyfresh::demo::authority::Fault;

use crate::support::world::{World, hours, minutes, whole};

async fn dead() -> World {
    let mut world = World::new("one-api.db").await;
    world
        .authority
        .fault(&Fault::Error(400, "invalid_grant"), 1);
    world.once().await;
    world
}

#[tokio::test]
async fn a_rejected_token_is_never_sent_again() {
    let mut world = dead().await;
    for _ in 0..48 {
        world.after(hours(4)).await;
    }
    world.restart().await;
    world.once().await;
    assert_snapshot!(world.picture().await, @"
    at +8d 00:00:00
    main: dead, generation 0, holds main refresh 0
      1 failure: the provider rejected the refresh token: invalid_grant: it was revoked, it expired, or another owner refreshes this token: stop the other one if there is one, log in anew and run `keyfresh credential replace main` with the new token
      channel 1: status 1, fixture-access-old-0001; pending
    asked +00:00:00: main refresh 0, Untouched
    event main dead
    notice keyfresh: main is dead: log in again
    ");
}

#[tokio::test]
async fn a_new_seed_in_the_configuration_revives_a_dead_credential() {
    let mut world = dead().await;
    let seed = world.login("again");
    world.settings("main").seed = Some(seed);
    world.reload().await;
    world.after(minutes(1)).await;
    assert_snapshot!(world.picture().await, @"
    at +00:01:00
    main: resting, due +00:39:56, generation 1, expires +01:01:00, holds again refresh 1
      channel 1: status 1, again access 1; current at generation 1, watched until +00:21:00
    asked +00:00:00: main refresh 0, Untouched
    asked +00:01:00: again refresh 0, Granted
    event main dead
    event main refreshed generation 1
    notice keyfresh: main is dead: log in again
    notice keyfresh: main refreshed
    ");
}

#[tokio::test]
async fn another_client_revives_a_dead_credential_with_the_same_token() {
    let mut world = dead().await;
    world.settings("main").client.client_id = "the right one".to_owned();
    world.reload().await;
    world.after(minutes(1)).await;
    assert_snapshot!(world.picture().await, @"
    at +00:01:00
    main: resting, due +00:39:56, generation 1, expires +01:01:00, holds main refresh 1
      channel 1: status 1, main access 1; current at generation 1, watched until +00:21:00
    asked +00:00:00: main refresh 0, Untouched
    asked +00:01:00: main refresh 0, Granted
    event main dead
    event main refreshed generation 1
    notice keyfresh: main is dead: log in again
    notice keyfresh: main refreshed
    ");
}

#[tokio::test]
async fn another_endpoint_revives_a_dead_credential_with_the_same_token() {
    let mut world = dead().await;
    let url = &mut world.settings("main").client.token_url;
    url.set_query(Some("tenant=right"));
    world.restart().await;
    world.after(minutes(1)).await;
    assert_snapshot!(world.picture().await, @"
    at +00:01:00
    main: resting, due +00:39:56, generation 1, expires +01:01:00, holds main refresh 1
      channel 1: status 1, main access 1; current at generation 1, watched until +00:21:00
    asked +00:00:00: main refresh 0, Untouched
    asked +00:01:00: main refresh 0, Granted
    event main dead
    event main refreshed generation 1
    notice keyfresh: main is dead: log in again
    notice keyfresh: main refreshed
    ");
}

#[tokio::test]
async fn a_login_entered_by_command_is_exchanged_at_once() {
    let mut world = World::new("one-api.db").await;
    world.once().await;
    let token = world.login("again");
    world.replace("main", token).await;
    world.after(minutes(1)).await;
    assert_snapshot!(world.picture().await, @"
    at +00:01:00
    main: resting, due +00:39:56, generation 2, expires +01:01:00, holds again refresh 1
      channel 1: status 1, again access 1; current at generation 2, watched until +00:21:00
    asked +00:00:00: main refresh 0, Granted
    asked +00:01:00: again refresh 0, Granted
    event main refreshed generation 1
    event main refreshed generation 2
    notice keyfresh: main refreshed
    notice keyfresh: main refreshed
    ");
}

#[tokio::test]
async fn a_seed_is_adopted_once() {
    let mut world = World::new("one-api.db").await;
    world.once().await;
    let again = world.login("again");
    world.replace("main", again).await;
    world.restart().await;
    world.after(minutes(1)).await;
    world.restart().await;
    world.after(minutes(1)).await;
    assert_snapshot!(world.picture().await, @"
    at +00:02:00
    main: resting, due +00:39:56, generation 2, expires +01:01:00, holds again refresh 1
      channel 1: status 1, again access 1; current at generation 2, watched until +00:21:00
    asked +00:00:00: main refresh 0, Granted
    asked +00:01:00: again refresh 0, Granted
    event main refreshed generation 1
    event main refreshed generation 2
    notice keyfresh: main refreshed
    notice keyfresh: main refreshed
    ");
}

#[tokio::test]
async fn a_seed_that_returns_to_the_configuration_is_old_news() {
    let mut world = World::new("one-api.db").await;
    let first = world.settings("main").seed.clone();
    world.once().await;
    let second = world.login("again");
    world.settings("main").seed = Some(second);
    world.restart().await;
    world.after(minutes(1)).await;
    world.settings("main").seed = first;
    world.restart().await;
    world.after(minutes(1)).await;
    assert_snapshot!(world.picture().await, @"
    at +00:02:00
    main: resting, due +00:39:56, generation 2, expires +01:01:00, holds again refresh 1
      channel 1: status 1, again access 1; current at generation 2, watched until +00:21:00
    asked +00:00:00: main refresh 0, Granted
    asked +00:01:00: again refresh 0, Granted
    event main refreshed generation 1
    event main refreshed generation 2
    notice keyfresh: main refreshed
    notice keyfresh: main refreshed
    ");
}

#[tokio::test]
async fn one_login_feeds_one_credential() {
    let mut world = World::new("one-api.db").await;
    world.once().await;
    world.credential("other", &[4]);
    world.settings("other").seed = world.settings("main").seed.clone();
    world.stop();
    let parts = Parts::assemble(&world.config, None, world.clock.clone()).await;
    let refusal = format!("{:#}", parts.err().unwrap());
    world.config.credentials.pop();
    assert_snapshot!(format!("{refusal}\n{}", world.picture().await), @"
    this refresh token belongs to credential main: one login feeds one credential
    at +00:00:00
    main: resting, due +00:39:20, generation 1, expires +01:00:00, holds main refresh 1
      channel 1: status 1, main access 1; current at generation 1, watched until +00:20:00
    asked +00:00:00: main refresh 0, Granted
    event main refreshed generation 1
    notice keyfresh: main refreshed
    ");
}

#[tokio::test]
async fn a_renamed_credential_keeps_its_tokens() {
    let mut world = World::new("one-api.db").await;
    world.once().await;
    world.settings("main").name = "chatgpt".to_owned();
    world.restart().await;
    world.after(hours(1)).await;
    assert_snapshot!(world.picture().await, @"
    at +01:00:00
    chatgpt: resting, due +01:39:38, generation 2, expires +02:00:00, holds main refresh 2
      channel 1: status 1, main access 2; current at generation 2, watched until +01:20:00
    asked +00:00:00: main refresh 0, Granted
    asked +01:00:00: main refresh 1, Granted
    event main refreshed generation 1
    event chatgpt refreshed generation 2
    notice keyfresh: main refreshed
    notice keyfresh: chatgpt refreshed
    ");
}

#[tokio::test]
async fn a_credential_that_left_the_configuration_rests_until_it_returns() {
    let mut world = World::new("one-api.db").await;
    world.once().await;
    let main = world.config.credentials.pop().unwrap();
    world.reload().await;
    world.after(hours(24)).await;
    let parked = world.picture().await;
    world.config.credentials.push(main);
    world.reload().await;
    world.once().await;
    assert_snapshot!(format!("{parked}\n{}", world.picture().await), @"
    at +1d 00:00:00
    main: parked, resting, due +00:39:20, generation 1, expires +01:00:00, holds main refresh 1
    asked +00:00:00: main refresh 0, Granted
    event main refreshed generation 1
    notice keyfresh: main refreshed

    at +1d 00:00:00
    main: resting, due +1d 00:38:56, generation 2, expires +1d 01:00:00, holds main refresh 2
      channel 1: status 1, main access 2; current at generation 2, watched until +1d 00:20:00
    asked +00:00:00: main refresh 0, Granted
    asked +1d 00:00:00: main refresh 1, Granted
    event main refreshed generation 1
    event main refreshed generation 2
    notice keyfresh: main refreshed
    notice keyfresh: main refreshed
    ");
}

#[tokio::test]
async fn a_channel_may_move_to_another_credential() {
    let mut world = World::new("one-api.db").await;
    world.once().await;
    world.settings("main").channels.clear();
    world.credential("other", &[1]);
    world.reload().await;
    world.after(minutes(1)).await;
    world.settings("main").channels = whole(&[4]);
    world.reload().await;
    world.after(minutes(1)).await;
    assert_snapshot!(world.picture().await, @"
    at +00:02:00
    main: resting, due +00:39:20, generation 1, expires +01:00:00, holds main refresh 1
      channel 4: status 1, main access 1; current at generation 1, watched until +00:22:00
    other: resting, due +00:39:24, generation 1, expires +01:01:00, holds other refresh 1
      channel 1: status 1, other access 1; current at generation 1, watched until +00:21:00
    asked +00:00:00: main refresh 0, Granted
    asked +00:01:00: other refresh 0, Granted
    event main refreshed generation 1
    event other refreshed generation 1
    notice keyfresh: main refreshed
    notice keyfresh: other refreshed
    ");
}
