//! What happens while an exchange is under way.

use insta::assert_snapshot;
use keyfresh::credential::Phase;
use keyfresh::refresh::Pick;

use crate::support::gate::{Gate, Stop};
use crate::support::world::{World, minutes};

/// `main`'s first exchange has arrived at the provider's door.
async fn under_way() -> (World, Gate) {
    let mut world = World::new("one-api.db").await;
    let gate = world.gate().await;
    gate.stop(Stop::Request);
    world.begin_pass().await;
    gate.arrival(1).await;
    (world, gate)
}

#[tokio::test]
async fn a_login_entered_meanwhile_waits_for_the_answer() {
    let (mut world, gate) = under_way().await;
    let token = world.login("again");
    world.replace("main", token).await;
    let waiting = world.picture().await;
    gate.stop(Stop::Nowhere);
    world.end_pass().await;
    assert_snapshot!(format!("{waiting}\n{}", world.picture().await), @"
    at +00:00:00
    main: exchanging, generation 0, holds main refresh 0
      channel 1: status 1, fixture-access-old-0001; pending

    at +00:00:00
    main: resting, due +00:38:56, generation 2, expires +01:00:00, holds again refresh 1
      channel 1: status 1, again access 1; current at generation 2, watched until +00:20:00
    asked +00:00:00: main refresh 0, Granted
    asked +00:00:00: again refresh 0, Granted
    event main refreshed generation 1
    event main refreshed generation 2
    notice keyfresh: main refreshed
    ");
}

#[tokio::test]
async fn a_seed_configured_meanwhile_waits_for_the_answer() {
    let (mut world, gate) = under_way().await;
    let seed = world.login("again");
    world.settings("main").seed = Some(seed);
    world.reload().await;
    gate.stop(Stop::Nowhere);
    world.end_pass().await;
    assert_snapshot!(world.picture().await, @"
    at +00:00:00
    main: resting, due +00:38:56, generation 2, expires +01:00:00, holds again refresh 1
      channel 1: status 1, again access 1; current at generation 2, watched until +00:20:00
    asked +00:00:00: main refresh 0, Granted
    asked +00:00:00: again refresh 0, Granted
    event main refreshed generation 1
    event main refreshed generation 2
    notice keyfresh: main refreshed
    ");
}

#[tokio::test]
async fn a_credential_renamed_meanwhile_settles_under_its_new_name() {
    let (mut world, gate) = under_way().await;
    world.settings("main").name = "chatgpt".to_owned();
    world.reload().await;
    gate.stop(Stop::Nowhere);
    world.end_pass().await;
    assert_snapshot!(world.picture().await, @"
    at +00:00:00
    chatgpt: resting, due +00:38:12, generation 1, expires +01:00:00, holds main refresh 1
      channel 1: status 1, main access 1; current at generation 1, watched until +00:20:00
    asked +00:00:00: main refresh 0, Granted
    event chatgpt refreshed generation 1
    notice keyfresh: chatgpt refreshed
    ");
}

#[tokio::test]
async fn a_credential_that_leaves_meanwhile_settles_and_rests() {
    let (mut world, gate) = under_way().await;
    let main = world.config.credentials.pop().unwrap();
    world.reload().await;
    gate.stop(Stop::Nowhere);
    world.end_pass().await;
    let parked = world.picture().await;
    world.config.credentials.push(main);
    world.reload().await;
    world.after(minutes(1)).await;
    assert_snapshot!(format!("{parked}\n{}", world.picture().await), @"
    at +00:00:00
    main: parked, resting, due +00:39:20, generation 1, expires +01:00:00, holds main refresh 1
    asked +00:00:00: main refresh 0, Granted
    event main refreshed generation 1
    notice keyfresh: main refreshed

    at +00:01:00
    main: resting, due +00:39:20, generation 1, expires +01:00:00, holds main refresh 1
      channel 1: status 1, main access 1; current at generation 1, watched until +00:21:00
    asked +00:00:00: main refresh 0, Granted
    event main refreshed generation 1
    notice keyfresh: main refreshed
    ");
}

#[tokio::test]
async fn another_pass_meanwhile_sends_nothing() {
    let (mut world, gate) = under_way().await;
    world.begin_pass().await;
    gate.stop(Stop::Nowhere);
    world.end_pass().await;
    assert_snapshot!(world.picture().await, @"
    at +00:00:00
    main: resting, due +00:39:20, generation 1, expires +01:00:00, holds main refresh 1
      channel 1: status 1, main access 1; current at generation 1, watched until +00:20:00
    asked +00:00:00: main refresh 0, Granted
    event main refreshed generation 1
    notice keyfresh: main refreshed
    ");
}

#[tokio::test]
async fn two_passes_at_once_make_one_request() {
    let mut world = World::new("one-api.db").await;
    world.check_channels().await;
    let (refresher, pick) = (&world.parts().await.refresher, Pick::default());
    let (one, two) = tokio::join!(refresher.pass(&pick), refresher.pass(&pick));
    assert!(one.is_ok() && two.is_ok());
    world.end_pass().await;
    assert_snapshot!(world.picture().await, @"
    at +00:00:00
    main: resting, due +00:39:20, generation 1, expires +01:00:00, holds main refresh 1
      channel 1: status 1, main access 1; current at generation 1, watched until +00:20:00
    asked +00:00:00: main refresh 0, Granted
    event main refreshed generation 1
    notice keyfresh: main refreshed
    ");
}

/// Somebody enters a login between the look at the row and the claim.
#[tokio::test]
async fn a_row_that_changed_since_it_was_seen_is_not_claimed() {
    let mut world = World::new("one-api.db").await;
    let seen = world.row("main").await;
    let token = world.login("again");
    world.wait(minutes(1));
    world.replace("main", token).await;
    let late = world.row("main").await;
    world.stop();
    let store = world.store();
    let owner = store.own().unwrap();
    let claim = store.claim(&owner, seen, String::new(), "generic", &world.clock);
    let refusal = claim.await.unwrap_err().to_string();
    drop((owner, store));
    assert_eq!(world.row("main").await, late);
    assert_snapshot!(refusal, @"credential main changed meanwhile");
}

#[tokio::test]
async fn one_endpoint_is_asked_by_so_many_at_once_and_no_more() {
    let mut world = World::new("one-api.db").await;
    for (name, channel) in [("b", 4), ("c", 5), ("d", 10), ("e", 11)] {
        world.credential(name, &[channel]);
    }
    world.config.schedule.per_endpoint = 2;
    let gate = world.gate().await;
    gate.stop(Stop::Request);
    world.begin_pass().await;
    gate.arrival(2).await;
    let mut claimed = 0;
    for name in ["b", "c", "d", "e", "main"] {
        claimed += usize::from(matches!(
            world.row(name).await.phase,
            Phase::Exchanging { .. }
        ));
    }
    assert_eq!((claimed, gate.reached()), (2, 2));
    gate.stop(Stop::Nowhere);
    world.end_pass().await;
    assert_eq!(world.asked_at(), ["+00:00:00"; 5]);
}
