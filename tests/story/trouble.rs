//! A gateway that cannot be written costs no token: nothing is sent, one notice tells of it, and all is
//! made good once it can.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use insta::assert_snapshot;

use crate::support::gate::Stop;
use crate::support::world::{World, minutes, whole};

/// A gateway broken by `break_it` after the first refresh, looked at by three passes, mended.
async fn check<T>(break_it: impl Fn(&World) -> T, mend: impl Fn(&World, T)) -> String {
    let mut world = World::new("one-api.db").await;
    world.gateway_settings().busy_timeout = Duration::from_millis(20);
    world.once().await;
    let broken = break_it(&world);
    // What a look at the gateway showed serves for two seconds, which pass between two processes.
    world.stop();
    for _ in 0..3 {
        world.wait_until_due().await;
        // Whether this fails is a matter of what is broken: channels that need nothing are only read.
        drop(world.try_once().await);
    }
    let failing = world.picture().await;
    mend(&world, broken);
    world.stop();
    world.when_due().await;
    format!("{failing}\n{}", world.picture().await)
}

#[tokio::test]
async fn a_locked_file() {
    let lock = |world: &World| {
        let connection = world.other();
        connection.execute_batch("BEGIN EXCLUSIVE").unwrap();
        connection
    };
    assert_snapshot!(check(lock, |_, connection| drop(connection)).await, @"
    at +00:43:19
    main: resting, due +00:48:38, generation 1, expires +01:00:00, holds main refresh 1
      3 failures: /folder/one-api.db has been locked by another process for 20ms: find it (`fuser -v /folder/one-api.db`), restart the gateway if nothing else holds it, or raise gateway.busy_timeout
      channel 1: nothing to be seen; current at generation 1; /folder/one-api.db has been locked by another process for 20ms: find it (`fuser -v /folder/one-api.db`), restart the gateway if nothing else holds it, or raise gateway.busy_timeout
    asked +00:00:00: main refresh 0, Granted
    event main refreshed generation 1
    event main failing
    notice keyfresh: main refreshed
    notice keyfresh: main cannot be refreshed at the moment

    at +00:48:38
    main: resting, due +01:27:34, generation 2, expires +01:48:38, holds main refresh 2
      channel 1: status 1, main access 2; current at generation 2, watched until +01:08:38
    asked +00:00:00: main refresh 0, Granted
    asked +00:48:38: main refresh 1, Granted
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
async fn a_missing_file() {
    let hide = |world: &World| fs::rename(&world.gateway, world.path("away.db")).unwrap();
    let find = |world: &World, ()| fs::rename(world.path("away.db"), &world.gateway).unwrap();
    assert_snapshot!(check(hide, find).await, @"
    at +00:43:19
    main: resting, due +00:48:38, generation 1, expires +01:00:00, holds main refresh 1
      3 failures: /folder/one-api.db does not exist: name the gateway's database file in gateway.database (keyfresh never creates it)
      channel 1: nothing to be seen; current at generation 1; /folder/one-api.db does not exist: name the gateway's database file in gateway.database (keyfresh never creates it)
    asked +00:00:00: main refresh 0, Granted
    event main refreshed generation 1
    event main failing
    notice keyfresh: main refreshed
    notice keyfresh: main cannot be refreshed at the moment

    at +00:48:38
    main: resting, due +01:27:34, generation 2, expires +01:48:38, holds main refresh 2
      channel 1: status 1, main access 2; current at generation 2, watched until +01:08:38
    asked +00:00:00: main refresh 0, Granted
    asked +00:48:38: main refresh 1, Granted
    event main refreshed generation 1
    event main failing
    event main recovered generation 2
    event main refreshed generation 2
    notice keyfresh: main refreshed
    notice keyfresh: main cannot be refreshed at the moment
    notice keyfresh: main recovered
    ");
}

/// The file's header may say that it must not be written (SQLite file format, 1.3), which binds root too.
#[tokio::test]
async fn a_file_for_reading_alone() {
    let mark = |world: &World, version: u8| {
        let file = fs::OpenOptions::new().write(true).open(&world.gateway);
        file.unwrap().write_all_at(&[version], 18).unwrap();
    };
    let story = check(|world| mark(world, 3), |world, ()| mark(world, 1)).await;
    // Whose file it is differs from machine to machine.
    let (before, owners) = story.split_once(" (we are").unwrap();
    let (_, after) = owners.split_once(')').unwrap();
    assert_snapshot!(format!("{before}{after}"), @"
    at +00:43:19
    main: resting, due +00:48:38, generation 1, expires +01:00:00, holds main refresh 1
      3 failures: /folder/one-api.db cannot be written: run keyfresh as the file's owner, or add its user to the file's group and `chmod g+rw` it; under systemd also list its folder in ReadWritePaths=
      channel 1: status 1, main access 1; current at generation 1
    asked +00:00:00: main refresh 0, Granted
    event main refreshed generation 1
    event main failing
    notice keyfresh: main refreshed
    notice keyfresh: main cannot be refreshed at the moment

    at +00:48:38
    main: resting, due +01:27:34, generation 2, expires +01:48:38, holds main refresh 2
      channel 1: status 1, main access 2; current at generation 2, watched until +01:08:38
    asked +00:00:00: main refresh 0, Granted
    asked +00:48:38: main refresh 1, Granted
    event main refreshed generation 1
    event main failing
    event main recovered generation 2
    event main refreshed generation 2
    notice keyfresh: main refreshed
    notice keyfresh: main cannot be refreshed at the moment
    notice keyfresh: main recovered
    ");
}

/// The exchange is done; only the way of its key into the channels is barred.
#[tokio::test]
async fn a_key_that_waits_for_its_channels_is_told_once() {
    let mut world = World::new("one-api.db").await;
    world.gateway_settings().busy_timeout = Duration::from_millis(20);
    world.settings("main").channels = whole(&[1, 4]);
    let gate = world.gate().await;
    world.once().await;
    world.wait_until_due().await;
    gate.stop(Stop::Request);
    world.begin_pass().await;
    gate.arrival(1).await;
    let lock = world.other();
    lock.execute_batch("BEGIN EXCLUSIVE").unwrap();
    gate.stop(Stop::Nowhere);
    world.parts().await.refresher.settled().await;
    for _ in 0..3 {
        assert!(world.try_once().await.is_err());
        world.wait(minutes(1));
    }
    let waits = format!("{}\n{}", world.picture().await, world.last_notice());
    drop(lock);
    world.after(minutes(1)).await;
    assert_snapshot!(format!("{waits}\n{}", world.picture().await));
}

#[tokio::test]
async fn a_channel_that_cannot_keep_its_key_is_told_once() {
    let mut world = World::new("one-api.db").await;
    world.settings("main").channels = whole(&[1, 4]);
    world.once().await;
    world.sql(
        "CREATE TRIGGER odd AFTER UPDATE OF key ON channels WHEN NEW.id = 4 AND NEW.key <> 'odd'
         BEGIN UPDATE channels SET key = 'odd' WHERE id = 4; END",
    );
    world.when_due().await;
    for _ in 0..2 {
        world.after(minutes(1)).await;
    }
    let waits = world.picture().await;
    world.sql("DROP TRIGGER odd");
    world.after(minutes(1)).await;
    assert_snapshot!(format!("{waits}\n{}", world.picture().await));
}
