//! When something is sent, and when not.

use insta::assert_snapshot;
use keyfresh::demo::authority::{Fault, Settings};

use crate::support::world::{World, hours, minutes};

fn limited(retry_after: Option<&str>) -> Fault {
    Fault::Status {
        status: 429,
        retry_after: retry_after.map(str::to_owned),
        handled: false,
    }
}

/// A provider whose access tokens outlive the week.
fn long_lived() -> Settings {
    Settings {
        lifetime: hours(240),
        ..Settings::default()
    }
}

#[tokio::test]
async fn a_seed_is_due_at_once_and_then_by_the_calendar() {
    let mut world = World::with("one-api.db", long_lived()).await;
    world.once().await;
    world.after(minutes(1)).await;
    world.when_due().await;
    assert_snapshot!(world.picture().await, @"
    at +1d 19:00:19
    main: resting, due +8d 19:00:31, generation 2, expires +11d 19:00:19, holds main refresh 2
      channel 1: status 1, main access 2; current at generation 2, watched until +1d 19:20:19
    asked +00:00:00: main refresh 0, Granted
    asked +1d 19:00:19: main refresh 1, Granted
    event main refreshed generation 1
    event main refreshed generation 2
    notice keyfresh: main refreshed
    notice keyfresh: main refreshed
    ");
}

#[tokio::test]
async fn a_short_lived_token_is_replaced_before_it_expires() {
    let mut world = World::new("one-api.db").await;
    world.once().await;
    world.after(minutes(35)).await;
    world.when_due().await;
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
async fn a_retry_after_outlives_a_restart() {
    let mut world = World::new("one-api.db").await;
    world.authority.fault(&limited(Some("7200")), 1);
    world.once().await;
    world.restart().await;
    world.after(minutes(119)).await;
    let waiting = world.picture().await;
    world.after(minutes(1)).await;
    assert_snapshot!(format!("{waiting}\n{}", world.picture().await), @"
    at +01:59:00
    main: resting, due +00:01:19, generation 0, not before +02:00:00, holds main refresh 0
      1 failure: the provider limits the rate (429)
      channel 1: status 1, fixture-access-old-0001; pending
    asked +00:00:00: main refresh 0, Untouched
    event main failing
    notice keyfresh: main cannot be refreshed at the moment

    at +02:00:00
    main: resting, due +02:38:56, generation 1, expires +03:00:00, holds main refresh 1
      channel 1: status 1, main access 1; current at generation 1, watched until +02:20:00
    asked +00:00:00: main refresh 0, Untouched
    asked +02:00:00: main refresh 0, Granted
    event main failing
    event main recovered generation 1
    event main refreshed generation 1
    notice keyfresh: main cannot be refreshed at the moment
    notice keyfresh: main recovered
    ");
}

#[tokio::test]
async fn a_failing_provider_is_asked_less_and_less() {
    let mut world = World::new("one-api.db").await;
    world.authority.fault(&limited(None), 1000);
    for _ in 0..12 * 60 {
        world.after(minutes(1)).await;
    }
    assert_snapshot!(world.asked_at().join("\n"), @"
    +00:01:00
    +00:03:00
    +00:07:00
    +00:13:00
    +00:27:00
    +00:53:00
    +02:47:00
    +04:12:00
    +05:46:00
    +07:24:00
    +08:53:00
    +10:50:00
    ");
}

#[tokio::test]
async fn a_restart_does_not_shorten_the_back_off() {
    let mut world = World::new("one-api.db").await;
    world.authority.fault(&limited(None), 1000);
    for _ in 0..60 {
        world.after(minutes(1)).await;
        world.restart().await;
    }
    assert_snapshot!(world.asked_at().join("\n"), @"
    +00:01:00
    +00:03:00
    +00:07:00
    +00:13:00
    +00:27:00
    +00:53:00
    ");
}

#[tokio::test]
async fn a_clock_that_was_set_back_refreshes_at_once_and_once() {
    let mut world = World::with("one-api.db", long_lived()).await;
    world.wait(hours(48));
    world.once().await;
    // By what the wrong clock had shown, the next is due in days.
    world.clock.set(world.clock.now() - hours(24));
    world.once().await;
    world.after(minutes(10)).await;
    assert_eq!(world.asked_at().len(), 2);
}
