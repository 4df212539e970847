//! Gateways that hold keys in their own way: lines, JSON, and a master that must be told.

use insta::assert_snapshot;
use keyfresh::config::ChannelRef;
use keyfresh::demo::authority::Fault;
use keyfresh::gateway::json_key::JsonKey;
use keyfresh::secret::ExposeSecret as _;

use crate::support::console::Console;
use crate::support::world::{World, hours, minutes, whole};

fn line(line: usize) -> Vec<ChannelRef> {
    let line = Some(line);
    vec![ChannelRef { id: 5, line }]
}

#[tokio::test]
async fn lines_of_one_key_are_fed_by_different_credentials() {
    let mut world = World::new("new-api-2026-08.db").await;
    world.settings("main").channels = line(0);
    world.credential("other", &[]);
    world.settings("other").channels = line(1);
    world.config.schedule.concurrency = 1;
    world.once().await;
    let key = world.text(&world.key(5));
    assert_snapshot!(format!("{key}\n{}", world.picture().await), @"
    main access 1
    other access 1
    fixture-access-old-0005c
    at +00:00:00
    main: resting, due +00:39:20, generation 1, expires +01:00:00, holds main refresh 1
      channel 5 line 0: status 1, main access 1; current at generation 1, watched until +00:02:00
    other: resting, due +00:38:24, generation 1, expires +01:00:00, holds other refresh 1
      channel 5 line 1: status 1, other access 1; current at generation 1, watched until +00:02:00
    asked +00:00:00: main refresh 0, Granted
    asked +00:00:00: other refresh 0, Granted
    event main refreshed generation 1
    event other refreshed generation 1
    notice keyfresh: 2 refreshed
    ");
}

#[tokio::test]
async fn a_line_that_is_not_there_is_told_once() {
    let mut world = World::new("new-api-2026-08.db").await;
    world.settings("main").channels = line(3);
    world.once().await;
    world.after(minutes(1)).await;
    assert_snapshot!(world.picture().await, @"
    at +00:01:00
    main: resting, due +00:00:00, generation 0, holds main refresh 0
      channel 5 line 3: nothing to be seen; conflict at generation 0; channel 5 has no key line 3
    event main conflict channel 5
    notice keyfresh: main: channel 5 is in conflict
    ");
}

#[tokio::test]
async fn several_lines_need_a_name() {
    let mut world = World::new("new-api-2026-08.db").await;
    world.settings("main").channels = whole(&[5]);
    world.once().await;
    assert_snapshot!(world.picture().await, @"
    at +00:00:00
    main: resting, due +00:00:00, generation 0, holds main refresh 0
      channel 5: status 1, fixture-access-old-0005a
    fixture-access-old-0005b
    fixture-access-old-0005c; conflict at generation 0; channel 5 has several keys: name the line, `channels = [{ id = 5, line = 0 }]`
    event main conflict channel 5
    notice keyfresh: main: channel 5 is in conflict
    ");
}

async fn codex() -> World {
    let mut world = World::new("new-api-2026-08.db").await;
    world.settings("main").channels = whole(&[3]);
    world.check_channels().await;
    world
}

#[tokio::test]
async fn a_json_key_loses_its_refresh_token_a_minute_before_the_first_exchange() {
    let mut world = codex().await;
    let stripped = world.picture().await;
    world.wait(minutes(1));
    world.once().await;
    assert_snapshot!(format!("{stripped}\n{}", world.picture().await), @r#"
    at +00:00:00
    main: resting, due +00:00:00, generation 0, holds main refresh 0
      channel 3: status 1, {"access_token":"fixture-access-old-0003","account_id":"fixture-account-0003","last_refresh":"2025-10-01T00:00:00Z","email":"fixture3@example.com","type":"codex","expired":"2099-12-31T00:00:00Z"}; pending, settles +00:01:00, keeps a refresh token

    at +00:01:00
    main: resting, due +00:40:20, generation 1, expires +01:01:00, holds main refresh 1
      channel 3: status 1, {"access_token":"main access 1","account_id":"fixture-account-0003","last_refresh":"2026-11-21T02:01:00Z","email":"fixture3@example.com","type":"codex","expired":"2026-11-21T03:01:00Z"}; current at generation 1, watched until +00:03:00, keeps a refresh token
    asked +00:01:00: main refresh 0, Granted
    event main refreshed generation 1
    notice keyfresh: main refreshed
    "#);
}

/// New API was in the middle of a refresh of its own when the refresh token was taken out.
#[tokio::test]
async fn what_the_gateway_refreshed_meanwhile_is_adopted() {
    let mut world = codex().await;
    let theirs = world.login("gateway");
    let key = JsonKey::parse(&world.key(3)).unwrap();
    let key = key.with_access_token("fixture-access-of-the-gateway", None, world.clock.now());
    let key = JsonKey::parse(key.expose_secret()).unwrap();
    let key = key.with_refresh_token(theirs.expose_secret());
    world.set_key(3, key.expose_secret());
    world.wait(minutes(1));
    world.check_channels().await;
    let adopted = world.picture().await;
    world.wait(minutes(1));
    world.once().await;
    assert_snapshot!(format!("{adopted}\n{}", world.picture().await), @r#"
    at +00:01:00
    main: resting, due +00:01:00, generation 0, holds gateway refresh 0
      channel 3: status 1, {"access_token":"fixture-access-of-the-gateway","account_id":"fixture-account-0003","last_refresh":"2026-11-21T02:00:00Z","email":"fixture3@example.com","type":"codex"}; pending, settles +00:02:00, keeps a refresh token

    at +00:02:00
    main: resting, due +00:41:20, generation 1, expires +01:02:00, holds gateway refresh 1
      channel 3: status 1, {"access_token":"gateway access 1","account_id":"fixture-account-0003","last_refresh":"2026-11-21T02:02:00Z","email":"fixture3@example.com","type":"codex","expired":"2026-11-21T03:02:00Z"}; current at generation 1, watched until +00:04:00, keeps a refresh token
    asked +00:02:00: gateway refresh 0, Granted
    event main refreshed generation 1
    notice keyfresh: main refreshed
    "#);
}

#[tokio::test]
async fn a_rejected_first_exchange_gives_the_refresh_token_back() {
    let mut world = codex().await;
    world
        .authority
        .fault(&Fault::Error(400, "invalid_grant"), 1);
    world.wait(minutes(1));
    world.once().await;
    world.after(minutes(1)).await;
    assert_snapshot!(world.picture().await, @r#"
    at +00:02:00
    main: dead, generation 0, holds main refresh 0
      1 failure: the provider rejected the refresh token: invalid_grant: it was revoked, it expired, or another owner refreshes this token: stop the other one if there is one, log in anew and run `keyfresh credential replace main` with the new token
      channel 3: status 1, {"access_token":"fixture-access-old-0003","account_id":"fixture-account-0003","last_refresh":"2025-10-01T00:00:00Z","email":"fixture3@example.com","type":"codex","expired":"2099-12-31T00:00:00Z","refresh_token":"fixture-refresh-old-0003"}; pending
    asked +00:01:00: main refresh 0, Untouched
    event main dead
    notice keyfresh: main is dead: log in again
    "#);
}

#[tokio::test]
async fn one_hub_that_cannot_be_told_stays_pending() {
    let mut world = World::new("one-hub.db").await;
    world.once().await;
    world.after(minutes(1)).await;
    assert_snapshot!(format!("{}\n{}", world.picture().await, world.last_notice()), @"
    at +00:01:00
    main: resting, due +00:39:20, generation 1, expires +01:00:00, holds main refresh 1
      channel 1: status 1, main access 1; pending at generation 1, watched until +00:20:00, untold
    asked +00:00:00: main refresh 0, Granted
    event main refreshed generation 1
    notice keyfresh: main refreshed

    main refreshed
    At: 2026-11-21 10:00
    New key: masked main access 1 (generation 1)
    Expires: 2026-11-21 11:00
    Next refresh: 2026-11-21 10:39
    Channel 1: updated, the gateway does not know yet
    One-Hub must be told of the new key: restart it, or save the channel once in its console; with url and access_token_file set under [gateway], keyfresh does it.

    Times are in Asia/Shanghai.
    ");
}

#[tokio::test]
async fn one_hub_is_told_of_each_write_and_each_repair() {
    let mut world = World::new("one-hub.db").await;
    let console = Console::start(&mut world, "fixtureaccesstokendave0000000001").await;
    world.settings("main").channels = whole(&[1, 3]);
    world.once().await;
    world.sql("UPDATE channels SET status = 3 WHERE id = 1");
    world.after(minutes(1)).await;
    assert_snapshot!(format!("{}\n{}", world.picture().await, console.heard()), @r#"
    at +00:01:00
    main: resting, due +00:39:20, generation 1, expires +01:00:00, holds main refresh 1
      channel 1: status 1, main access 1; current at generation 1, watched until +00:20:00
      channel 3: status 1, main access 1; current at generation 1, watched until +00:20:00
    asked +00:00:00: main refresh 0, Granted
    event main refreshed generation 1
    notice keyfresh: main refreshed

    PUT /api/channel/, Bearer fixtureaccesstokendave0000000001, user 5, {"id":1}
    PUT /api/channel/, Bearer fixtureaccesstokendave0000000001, user 5, {"id":3}
    PUT /api/channel/, Bearer fixtureaccesstokendave0000000001, user 5, {"id":1}
    "#);
}

#[tokio::test]
async fn one_hub_is_told_again_until_it_has_heard() {
    let mut world = World::new("one-hub.db").await;
    let console = Console::start(&mut world, "fixtureaccesstokendave0000000001").await;
    console.refuse(1);
    world.once().await;
    let refused = world.picture().await;
    world.stop();
    world.after(minutes(1)).await;
    assert_snapshot!(format!("{refused}\n{}\n{}", world.picture().await, console.heard()), @r#"
    at +00:00:00
    main: resting, due +00:39:20, generation 1, expires +01:00:00, holds main refresh 1
      channel 1: status 1, main access 1; pending at generation 1, watched until +00:20:00, untold; the gateway could not be told: HTTP 200: not now
    asked +00:00:00: main refresh 0, Granted
    event main refreshed generation 1
    notice keyfresh: main refreshed

    at +00:01:00
    main: resting, due +00:39:20, generation 1, expires +01:00:00, holds main refresh 1
      channel 1: status 1, main access 1; current at generation 1, watched until +00:20:00
    asked +00:00:00: main refresh 0, Granted
    event main refreshed generation 1
    notice keyfresh: main refreshed

    PUT /api/channel/, Bearer fixtureaccesstokendave0000000001, user 5, {"id":1}
    PUT /api/channel/, Bearer fixtureaccesstokendave0000000001, user 5, {"id":1}
    "#);
}

#[tokio::test]
async fn new_api_is_told_by_whom() {
    let mut world = World::new("new-api-2026-08.db").await;
    let console = Console::start(&mut world, "fixture/access+token/bob+000003=").await;
    world.once().await;
    assert_snapshot!(format!("{}\n{}", world.picture().await, console.heard()), @r#"
    at +00:00:00
    main: resting, due +00:39:20, generation 1, expires +01:00:00, holds main refresh 1
      channel 1: status 1, main access 1; current at generation 1, watched until +00:02:00
    asked +00:00:00: main refresh 0, Granted
    event main refreshed generation 1
    notice keyfresh: main refreshed

    PUT /api/channel/, Bearer fixture/access+token/bob+000003=, user 3, {"id":1}
    "#);
}

#[tokio::test]
async fn an_access_token_of_nobody_is_said_so() {
    let mut world = World::new("one-hub.db").await;
    let console = Console::start(&mut world, "nobody-has-this-access-token").await;
    world.once().await;
    assert_snapshot!(format!("{}\n{}", world.picture().await, console.heard()), @"
    at +00:00:00
    main: resting, due +00:39:20, generation 1, expires +01:00:00, holds main refresh 1
      channel 1: status 1, main access 1; pending at generation 1, watched until +00:20:00, untold; the gateway could not be told: gateway.access_token is no user's access token in the gateway's database: make one as an administrator in the gateway's personal settings
    asked +00:00:00: main refresh 0, Granted
    event main refreshed generation 1
    notice keyfresh: main refreshed
    ");
}

#[tokio::test]
async fn one_api_is_never_called() {
    let mut world = World::new("one-api.db").await;
    let console = Console::start(&mut world, "fixtureaccesstokendave0000000001").await;
    world.once().await;
    world.after(hours(1)).await;
    assert_eq!(console.heard(), "");
}
