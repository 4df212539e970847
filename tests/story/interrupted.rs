//! A process claims, gets as far as it gets, and is gone: what the next one makes of its slot.

use insta::assert_snapshot;
use keyfresh::demo::authority::Fault;
use keyfresh::exchange::Door;

use crate::support::world::{World, minutes};

/// Where the first process ended.
enum End {
    /// After the claim, before anything was sent.
    Claimed,
    /// After what came of the exchange stood in the slot.
    Sent,
}

/// The exchange that comes after a first grant is interrupted at `end`.
async fn interrupted(end: End, fault: Option<&Fault>) -> World {
    let mut world = World::new("one-api.db").await;
    world.once().await;
    let row = world.row("main").await;
    world.clock.set(row.due_at);
    world.stop();
    let client = world.settings("main").client.clone();
    let store = world.store();
    let owner = store.own().unwrap();
    let text = client.digest_text();
    let claim = store.claim(&owner, row, text, client.preset, &world.clock);
    let mut claim = claim.await.unwrap();
    if let Some(fault) = fault {
        world.authority.fault(fault, 1);
    }
    if let End::Sent = end {
        let request = client.request(&claim.refresh_token);
        let timeout = client.timeout;
        drop(
            Door::new()
                .send(request, None, timeout, &mut claim.slot)
                .await,
        );
    }
    world
}

/// The next process's first pass, then one every minute until the old access token has expired.
async fn story(mut world: World) -> String {
    world.once().await;
    let first = world.picture().await;
    for _ in 0..22 {
        world.after(minutes(1)).await;
    }
    format!("{first}\n{}", world.picture().await)
}

#[tokio::test]
async fn a_whole_answer_is_settled_without_another_request() {
    let mut world = interrupted(End::Sent, None).await;
    world.once().await;
    assert_snapshot!(world.picture().await, @"
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
async fn half_an_answer_may_hold_the_refresh_token() {
    let world = interrupted(End::Sent, Some(&Fault::CutBody { missing: 1 })).await;
    assert_snapshot!(story(world).await, @"
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

    at +01:01:20
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
async fn half_an_answer_without_it_is_unconfirmed() {
    let world = interrupted(End::Sent, Some(&Fault::CutBody { missing: 20 })).await;
    assert_snapshot!(story(world).await, @"
    at +00:39:20
    main: unconfirmed, resend +00:52:30, generation 1, expires +01:00:00, holds main refresh 1
      1 failure: the answer is not one whole JSON object
      channel 1: status 1, main access 1; current at generation 1
    asked +00:00:00: main refresh 0, Granted
    asked +00:39:20: main refresh 1, Granted
    event main refreshed generation 1
    event main unconfirmed
    notice keyfresh: main refreshed
    notice keyfresh: main: outcome of the refresh unknown

    at +01:01:20
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
async fn an_empty_slot_is_unconfirmed_and_heals_if_nothing_was_sent() {
    let world = interrupted(End::Claimed, None).await;
    assert_snapshot!(story(world).await, @"
    at +00:39:20
    main: unconfirmed, resend +00:52:30, generation 1, expires +01:00:00, holds main refresh 1
      1 failure: interrupted before an answer was stored
      channel 1: status 1, main access 1; current at generation 1
    asked +00:00:00: main refresh 0, Granted
    event main refreshed generation 1
    event main unconfirmed
    notice keyfresh: main refreshed
    notice keyfresh: main: outcome of the refresh unknown

    at +01:01:20
    main: resting, due +01:32:28, generation 2, expires +01:53:20, holds main refresh 2
      channel 1: status 1, main access 2; current at generation 2, watched until +01:13:20
    asked +00:00:00: main refresh 0, Granted
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
async fn an_empty_slot_costs_the_login_if_the_provider_rotated() {
    let world = interrupted(End::Sent, Some(&Fault::Cut { handled: true })).await;
    assert_snapshot!(story(world).await, @"
    at +00:39:20
    main: unconfirmed, resend +00:52:30, generation 1, expires +01:00:00, holds main refresh 1
      1 failure: interrupted before an answer was stored
      channel 1: status 1, main access 1; current at generation 1
    asked +00:00:00: main refresh 0, Granted
    asked +00:39:20: main refresh 1, Granted
    event main refreshed generation 1
    event main unconfirmed
    notice keyfresh: main refreshed
    notice keyfresh: main: outcome of the refresh unknown

    at +01:01:20
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
async fn a_rejection_in_the_slot_is_one() {
    let mut world = interrupted(End::Sent, Some(&Fault::Error(400, "invalid_grant"))).await;
    world.once().await;
    world.after(minutes(60)).await;
    assert_snapshot!(world.picture().await, @"
    at +01:39:20
    main: dead, generation 1, expires +01:00:00, holds main refresh 1
      1 failure: the provider rejected the refresh token: invalid_grant: it was revoked, it expired, or another owner refreshes this token: stop the other one if there is one, log in anew and run `keyfresh credential replace main` with the new token
      channel 1: status 1, main access 1; current at generation 1
    asked +00:00:00: main refresh 0, Granted
    asked +00:39:20: main refresh 1, Untouched
    event main refreshed generation 1
    event main dead
    notice keyfresh: main refreshed
    notice keyfresh: main is dead: log in again
    ");
}

#[tokio::test]
async fn a_new_login_waits_until_the_slot_is_settled() {
    let mut world = interrupted(End::Sent, None).await;
    let seed = world.login("again");
    world.settings("main").seed = Some(seed);
    world.once().await;
    world.once().await;
    assert_snapshot!(world.picture().await, @"
    at +00:39:20
    main: resting, due +01:18:28, generation 3, expires +01:39:20, holds again refresh 1
      channel 1: status 1, again access 1; current at generation 3, watched until +00:59:20
    asked +00:00:00: main refresh 0, Granted
    asked +00:39:20: main refresh 1, Granted
    asked +00:39:20: again refresh 0, Granted
    event main refreshed generation 1
    event main refreshed generation 2
    event main refreshed generation 3
    notice keyfresh: main refreshed
    notice keyfresh: main refreshed
    ");
}

/// Out of the configuration, it waits with its slot, and is settled when it returns.
#[tokio::test]
async fn a_parked_credential_keeps_its_answer() {
    let mut world = interrupted(End::Sent, None).await;
    let main = world.config.credentials.pop().unwrap();
    world.once().await;
    let parked = world.picture().await;
    world.config.credentials.push(main);
    world.restart().await;
    world.after(minutes(1)).await;
    assert_snapshot!(format!("{parked}\n{}", world.picture().await), @"
    at +00:39:20
    main: parked, exchanging, generation 1, expires +01:00:00, holds main refresh 1
    asked +00:00:00: main refresh 0, Granted
    asked +00:39:20: main refresh 1, Granted
    event main refreshed generation 1
    notice keyfresh: main refreshed

    at +00:40:20
    main: resting, due +01:18:38, generation 2, expires +01:39:20, holds main refresh 2
      channel 1: status 1, main access 2; current at generation 2, watched until +01:00:20
    asked +00:00:00: main refresh 0, Granted
    asked +00:39:20: main refresh 1, Granted
    event main refreshed generation 1
    event main refreshed generation 2
    notice keyfresh: main refreshed
    notice keyfresh: main refreshed
    ");
}
