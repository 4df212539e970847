//! Channels brought to the current generation and kept there, whatever others do to them.

use insta::assert_snapshot;

use crate::support::database::{difference, dump};
use crate::support::world::{World, hours, minutes, whole};

#[tokio::test]
async fn a_strangers_key_is_told_once_and_left_alone() {
    let mut world = World::new("one-api.db").await;
    world.once().await;
    world.sql("UPDATE channels SET key = 'a stranger' WHERE id = 1");
    for _ in 0..3 {
        world.after(minutes(30)).await;
    }
    assert_snapshot!(world.picture().await, @"
    at +01:30:00
    main: resting, due +00:39:20, generation 1, expires +01:00:00, holds main refresh 1
      channel 1: status 1, a stranger; conflict at generation 1; somebody else changed the key of channel 1
    asked +00:00:00: main refresh 0, Granted
    event main refreshed generation 1
    event main conflict channel 1
    notice keyfresh: main refreshed
    notice keyfresh: main: channel 1 is in conflict
    ");
}

#[tokio::test]
async fn a_conflict_is_taken_over_by_a_persons_word() {
    let mut world = World::new("one-api.db").await;
    world.once().await;
    world.sql("UPDATE channels SET key = 'a stranger' WHERE id = 1");
    world.after(minutes(1)).await;
    let taken = world.parts().await.links.take_over("main").await.unwrap();
    assert_eq!(taken, [1]);
    world.after(minutes(1)).await;
    assert_snapshot!(world.picture().await, @"
    at +00:02:00
    main: resting, due +00:39:20, generation 1, expires +01:00:00, holds main refresh 1
      channel 1: status 1, main access 1; current at generation 1, watched until +00:22:00
    asked +00:00:00: main refresh 0, Granted
    event main refreshed generation 1
    event main conflict channel 1
    notice keyfresh: main refreshed
    notice keyfresh: main: channel 1 is in conflict
    ");
}

#[tokio::test]
async fn an_id_that_was_given_to_another_channel_is_a_conflict() {
    let mut world = World::new("one-api.db").await;
    world.once().await;
    world.sql("UPDATE channels SET created_time = created_time + 60 WHERE id = 1");
    for _ in 0..3 {
        world.after(minutes(30)).await;
    }
    assert_snapshot!(world.picture().await, @"
    at +01:30:00
    main: resting, due +00:39:20, generation 1, expires +01:00:00, holds main refresh 1
      channel 1: status 1, main access 1; conflict at generation 1; another channel stands under id 1
    asked +00:00:00: main refresh 0, Granted
    event main refreshed generation 1
    event main conflict channel 1
    notice keyfresh: main refreshed
    notice keyfresh: main: channel 1 is in conflict
    ");
}

#[tokio::test]
async fn a_deleted_channel_is_told_once() {
    let mut world = World::new("one-api.db").await;
    world.once().await;
    world.sql("DELETE FROM channels WHERE id = 1");
    for _ in 0..3 {
        world.after(minutes(30)).await;
    }
    assert_snapshot!(world.picture().await, @"
    at +01:30:00
    main: resting, due +00:39:20, generation 1, expires +01:00:00, holds main refresh 1
      channel 1: nothing to be seen; gone at generation 1; channel 1 is gone
    asked +00:00:00: main refresh 0, Granted
    event main refreshed generation 1
    event main conflict channel 1
    notice keyfresh: main refreshed
    notice keyfresh: main: channel 1 is in conflict
    ");
}

#[tokio::test]
async fn while_one_channel_is_in_order_the_login_is_ours() {
    let mut world = World::new("one-api.db").await;
    world.settings("main").channels = whole(&[1, 4]);
    world.once().await;
    world.sql("UPDATE channels SET key = 'a stranger' WHERE id = 4");
    world.after(hours(1)).await;
    assert_snapshot!(world.picture().await, @"
    at +01:00:00
    main: resting, due +01:38:56, generation 2, expires +02:00:00, holds main refresh 2
      channel 1: status 1, main access 2; current at generation 2, watched until +01:20:00
      channel 4: status 1, a stranger; conflict at generation 1; somebody else changed the key of channel 4
    asked +00:00:00: main refresh 0, Granted
    asked +01:00:00: main refresh 1, Granted
    event main refreshed generation 1
    event main conflict channel 4
    event main refreshed generation 2
    notice keyfresh: main refreshed
    notice keyfresh: 1 in conflict, 1 refreshed
    ");
}

#[tokio::test]
async fn one_credential_feeds_channels_in_every_state() {
    let mut world = World::new("one-api.db").await;
    world.settings("main").channels = whole(&[1, 2, 3]);
    let before = dump(&world.gateway);
    world.once().await;
    let changes = world.text(&difference(&before, &dump(&world.gateway)));
    assert_snapshot!(format!("{changes}\n{}", world.picture().await), @"
    abilities[5].enabled: integer 0 → integer 1
    abilities[6].enabled: integer 0 → integer 1
    channels[1].key: text 'fixture-access-old-0001' → text 'main access 1'
    channels[2].key: text 'fixture-access-old-0002' → text 'main access 1'
    channels[3].key: text 'fixture-access-old-0003' → text 'main access 1'
    channels[3].status: integer 3 → integer 1

    at +00:00:00
    main: resting, due +00:39:20, generation 1, expires +01:00:00, holds main refresh 1
      channel 1: status 1, main access 1; current at generation 1, watched until +00:20:00
      channel 2: status 2, main access 1; current at generation 1, watched until +00:20:00
      channel 3: status 1, main access 1; current at generation 1, watched until +00:20:00
    asked +00:00:00: main refresh 0, Granted
    event main refreshed generation 1
    notice keyfresh: main refreshed
    ");
}

/// A request by the old key, still in the gateway's cache, fails and disables the channel.
#[tokio::test]
async fn while_the_watch_lasts_every_check_repairs() {
    let mut world = World::new("one-api.db").await;
    world.once().await;
    let mut statuses = Vec::new();
    for _ in 0..19 {
        world.wait(minutes(1));
        world.sql("UPDATE channels SET status = 3 WHERE id = 1");
        world.check_channels().await;
        statuses.push(world.status(1));
    }
    assert_eq!(statuses, [1; 19]);
    assert_snapshot!(world.picture().await, @"
    at +00:19:00
    main: resting, due +00:39:20, generation 1, expires +01:00:00, holds main refresh 1
      channel 1: status 1, main access 1; current at generation 1, watched until +00:20:00
    asked +00:00:00: main refresh 0, Granted
    event main refreshed generation 1
    notice keyfresh: main refreshed
    ");
}

#[tokio::test]
async fn after_the_watch_three_repairs_are_enough() {
    let mut world = World::new("one-api.db").await;
    world.once().await;
    world.wait(minutes(20));
    for _ in 0..5 {
        world.sql("UPDATE channels SET status = 3 WHERE id = 1");
        world.check_channels().await;
        world.wait(minutes(1));
    }
    let given_up = world.picture().await;
    world.when_due().await;
    assert_snapshot!(format!("{given_up}\n{}", world.picture().await), @"
    at +00:25:00
    main: resting, due +00:39:20, generation 1, expires +01:00:00, holds main refresh 1
      channel 1: status 3, main access 1; current at generation 1; the gateway disabled channel 1 again after 3 repairs: its upstream refuses the fresh key
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
async fn a_channel_disabled_by_hand_stays_so_with_a_fresh_key() {
    let mut world = World::new("one-api.db").await;
    world.once().await;
    world.sql("UPDATE channels SET status = 2 WHERE id = 1");
    world.after(minutes(1)).await;
    world.after(hours(1)).await;
    assert_snapshot!(world.picture().await, @"
    at +01:01:00
    main: resting, due +01:39:56, generation 2, expires +02:01:00, holds main refresh 2
      channel 1: status 2, main access 2; current at generation 2, watched until +01:21:00
    asked +00:00:00: main refresh 0, Granted
    asked +01:01:00: main refresh 1, Granted
    event main refreshed generation 1
    event main refreshed generation 2
    notice keyfresh: main refreshed
    notice keyfresh: main refreshed
    ");
}

#[tokio::test]
async fn a_restored_backup_is_brought_current_without_an_exchange() {
    let mut world = World::new("one-api.db").await;
    world.once().await;
    world.back_up();
    world.when_due().await;
    world.restore();
    world.after(minutes(1)).await;
    assert_snapshot!(world.picture().await, @"
    at +00:40:20
    main: resting, due +01:18:17, generation 2, expires +01:39:20, holds main refresh 2
      channel 1: status 1, main access 2; current at generation 2, watched until +01:00:20
    asked +00:00:00: main refresh 0, Granted
    asked +00:39:20: main refresh 1, Granted
    event main refreshed generation 1
    event main refreshed generation 2
    notice keyfresh: main refreshed
    notice keyfresh: main refreshed
    ");
}

/// The state is old: it came from a backup while the gateway went on with newer keys.
#[tokio::test]
async fn a_key_that_this_state_never_saw_stops_the_exchange() {
    let mut world = World::new("one-api.db").await;
    world.once().await;
    world.sql("UPDATE channels SET key = 'of a later generation' WHERE id = 1");
    world.after(hours(1)).await;
    world.after(hours(24)).await;
    assert_snapshot!(world.picture().await, @"
    at +1d 01:00:00
    main: resting, due +00:39:20, generation 1, expires +01:00:00, holds main refresh 1
      channel 1: status 1, of a later generation; conflict at generation 1; somebody else changed the key of channel 1
    asked +00:00:00: main refresh 0, Granted
    event main refreshed generation 1
    event main conflict channel 1
    notice keyfresh: main refreshed
    notice keyfresh: main: channel 1 is in conflict
    ");
}
