//! The wall clock jumps, the machine sleeps or is started anew: nothing is sent early, twice or never.

use std::fs;
use std::sync::Arc;

use chrono::TimeDelta;
use chrono_tz::Europe::Berlin;
use insta::assert_snapshot;
use keyfresh::credential::Phase;
use keyfresh::demo::authority::{Fault, Settings};
use keyfresh::demo::sink::Manner;
use keyfresh::schedule::Plan;
use keyfresh::store::notice;

use crate::support::gate::Stop;
use crate::support::world::{World, hours, minutes};

const DAY: TimeDelta = TimeDelta::days(1);
const DECADE: TimeDelta = TimeDelta::days(3652);

/// The second refresh of an hour-long token is cut after the provider rotated it, and so is the one that
/// is made at once within a grace.
async fn in_doubt(habits: Settings) -> World {
    let grace = habits.grace;
    let mut world = World::with("one-api.db", habits).await;
    world.settings("main").client.grace = grace;
    world.once().await;
    world.wait_until_due().await;
    let cuts = if grace.is_zero() { 1 } else { 2 };
    world.authority.fault(&Fault::Cut { handled: true }, cuts);
    world
}

/// Sent at +39:20, the token may be sent again at +52:30, whatever the wall clock was set to before or
/// after that.
#[tokio::test]
async fn a_jump_of_the_clock_replays_no_token_early() {
    for (before, after) in [
        (DAY, TimeDelta::zero()),
        (DAY, -DAY),
        (TimeDelta::zero(), DAY),
        (TimeDelta::zero(), -DAY),
        (TimeDelta::zero(), DECADE),
        (DECADE, TimeDelta::zero()),
        (DECADE, -DECADE),
    ] {
        let mut world = in_doubt(Settings::default()).await;
        world.jump(before);
        world.once().await;
        world.jump(after);
        world.minutes(13).await;
        assert_eq!(world.asked_at().len(), 2, "{before}, {after}: too early");
        world.minutes(1).await;
        assert_eq!(world.asked_at().len(), 3, "{before}, {after}: too late");
    }
}

/// A wall clock that was set back shows a time at which the window was still open.
#[tokio::test]
async fn a_grace_that_is_over_stays_over_by_a_clock_set_back() {
    let habits = Settings {
        grace: minutes(2),
        ..Settings::default()
    };
    for back in [minutes(5), hours(24)] {
        let mut world = in_doubt(habits.clone()).await;
        world.once().await;
        world.wait(minutes(5));
        world.jump(-TimeDelta::from_std(back).unwrap());
        world.minutes(7).await;
        assert_eq!(world.asked_at().len(), 3, "set back by {back:?}");
        world.minutes(2).await;
        assert_eq!(world.asked_at().len(), 4, "set back by {back:?}");
    }
}

#[tokio::test]
async fn after_a_reboot_a_token_of_unknown_fate_waits_for_the_wall_clock() {
    let mut world = in_doubt(Settings::default()).await;
    world.once().await;
    world.reboot().await;
    world.minutes(13).await;
    assert_eq!(world.asked_at().len(), 2);
    world.minutes(1).await;
    assert_eq!(world.asked_at().len(), 3);
}

/// A clock that ran ten years ahead is put right by a reboot, the token's fate unknown.
#[tokio::test]
async fn a_reboot_to_the_right_time_makes_nobody_wait_for_years() {
    let mut world = in_doubt(Settings::default()).await;
    world.jump(DECADE);
    world.once().await;
    world.jump(-DECADE);
    world.reboot().await;
    world.minutes(13).await;
    assert_eq!(world.asked_at().len(), 2);
    world.minutes(1).await;
    assert_eq!(world.asked_at().len(), 3);
}

/// After that reboot the gateway cannot be used at first: the postponed token's grace is still over.
#[tokio::test]
async fn a_grace_of_which_nobody_knows_the_age_is_not_opened_by_postponing() {
    let habits = Settings {
        grace: minutes(6),
        ..Settings::default()
    };
    let mut world = in_doubt(habits).await;
    world.jump(DECADE);
    world.once().await;
    world.wait(minutes(7));
    world.jump(-DECADE);
    let elsewhere = world.path("elsewhere.db");
    fs::rename(&world.gateway, &elsewhere).unwrap();
    world.reboot().await;
    assert!(world.try_once().await.is_err());
    fs::rename(&elsewhere, &world.gateway).unwrap();
    world.minutes(5).await;
    assert_eq!(world.asked_at().len(), 3);
    world.minutes(2).await;
    assert_eq!(world.asked_at().len(), 4);
}

/// Five credentials at rest, and what hours of passes make of a clock that is set, there and back.
#[tokio::test]
async fn a_jump_of_the_clock_asks_once_for_each_credential_and_tells_it_once() {
    for jump in [DAY, -DAY, DECADE] {
        let mut world = World::with("one-api.db", long_lived()).await;
        for (name, channel) in [("b", 4), ("c", 5), ("d", 10), ("e", 11)] {
            world.credential(name, &[channel]);
        }
        world.wait(hours(1));
        world.once().await;
        let told = world.sink.received().len();
        for part in [jump, -jump] {
            let asked = world.asked_at().len();
            let told = world.sink.received().len();
            world.jump(part);
            world.minutes(60).await;
            assert!(world.asked_at().len() <= asked + 5, "{jump}, {part}");
            assert!(world.sink.received().len() <= told + 1, "{jump}, {part}");
        }
        assert_eq!(told, 1);
        for name in ["main", "b", "c", "d", "e"] {
            let row = world.row(name).await;
            assert_eq!((row.phase, row.failures), (Phase::Resting, 0));
            let wait = row.due_at - world.clock.now();
            assert!(
                wait > TimeDelta::zero() && wait < TimeDelta::days(8),
                "{wait}"
            );
        }
    }
}

fn long_lived() -> Settings {
    Settings {
        lifetime: hours(240),
        ..Settings::default()
    }
}

#[tokio::test]
async fn a_jump_during_the_exchange_keeps_the_answer_and_asks_no_second_time() {
    for jump in [DAY, -DAY, DECADE, -DECADE] {
        let mut world = World::new("one-api.db").await;
        let gate = world.gate().await;
        gate.stop(Stop::Request);
        world.begin_pass().await;
        gate.arrival(1).await;
        world.jump(jump);
        gate.stop(Stop::Nowhere);
        world.end_pass().await;
        let (row, now) = (world.row("main").await, world.clock.now());
        assert_eq!(row.obtained_at, Some(now), "{jump}");
        assert_eq!(row.expires_at, Some(now + hours(1)), "{jump}");
        assert_eq!((row.phase, row.generation), (Phase::Resting, 1), "{jump}");
        world.minutes(30).await;
        assert_eq!(world.asked_at().len(), 1, "{jump}");
        let key = world.key(1);
        assert_eq!(world.text(&key), "main access 1", "{jump}");
    }
}

/// Nothing is exchanged by a clock that shows a time before the program was made.
#[tokio::test]
async fn a_clock_ten_years_behind_waits_until_it_is_put_right() {
    let mut world = World::new("one-api.db").await;
    world.once().await;
    world.jump(-DECADE);
    world.minutes(50).await;
    let behind = world.asked_at().len();
    world.jump(DECADE);
    world.minutes(30).await;
    assert_eq!((behind, world.asked_at().len()), (1, 2));
}

#[tokio::test]
async fn a_claim_grows_old_during_a_suspend_and_not_by_a_jump() {
    let mut world = World::new("one-api.db").await;
    let row = world.row("main").await;
    world.stop();
    let store = world.store();
    let owner = store.own().unwrap();
    let claim = store.claim(&owner, row, String::new(), "generic", &world.clock);
    let claim = claim.await.unwrap();
    for jump in [DAY, -DAY, DECADE] {
        world.jump(jump);
        assert!(!claim.is_stale(world.clock.read()), "{jump}");
    }
    world.clock.set(world.clock.now() + TimeDelta::seconds(6));
    assert!(claim.is_stale(world.clock.read()));
}

#[tokio::test]
async fn a_suspend_ends_with_one_refresh_of_what_became_due() {
    let mut world = World::new("one-api.db").await;
    world.once().await;
    world.wait(hours(72));
    world.minutes(30).await;
    assert_snapshot!(world.asked_at().join("\n"), @"
    +00:00:00
    +3d 00:01:00
    ");
}

/// When `main` is asked in six days around a change of the clocks in Berlin, by the clocks there.
async fn asked_in_berlin(three_days_before: &str) -> String {
    let mut world = World::with("one-api.db", long_lived()).await;
    world.config.schedule.plan = Arc::new(Plan::parse("30 2 * * *", Berlin).unwrap());
    world.clock.set(three_days_before.parse().unwrap());
    world.once().await;
    for _ in 0..6 {
        world.when_due().await;
    }
    let requests = world.authority.requests();
    let asked = requests.iter().map(|seen| seen.at.with_timezone(&Berlin));
    let asked = asked.map(|at| at.format("%a %d %H:%M %Z").to_string());
    asked.collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn a_daily_refresh_comes_daily_while_the_clocks_change() {
    let (spring, autumn) = ("2027-03-26T12:00:00Z", "2027-10-29T12:00:00Z");
    let (spring, autumn) = (asked_in_berlin(spring).await, asked_in_berlin(autumn).await);
    assert_snapshot!(format!("{spring}\n\n{autumn}"), @"
    Fri 26 13:00 CET
    Sat 27 02:30 CET
    Sun 28 03:00 CEST
    Mon 29 02:30 CEST
    Tue 30 02:30 CEST
    Wed 31 02:30 CEST
    Thu 01 02:30 CEST

    Fri 29 14:00 CEST
    Sat 30 02:30 CEST
    Sun 31 02:30 CEST
    Mon 01 02:30 CET
    Tue 02 02:30 CET
    Wed 03 02:30 CET
    Thu 04 02:30 CET
    ");
}

/// The provider asked for two hours, counted by the uptime; a new login is told no longer wait than any.
#[tokio::test]
async fn a_retry_after_lasts_as_long_as_was_asked_for() {
    let limited = Fault::Status {
        status: 429,
        retry_after: Some("7200".to_owned()),
        handled: false,
    };
    for jump in [DAY, -DAY, DECADE] {
        let mut world = World::new("one-api.db").await;
        world.authority.fault(&limited, 1);
        world.once().await;
        world.jump(jump);
        world.after(minutes(119)).await;
        assert_eq!(world.asked_at().len(), 1, "{jump}");
        world.after(minutes(1)).await;
        assert_eq!(world.asked_at().len(), 2, "{jump}");
    }
}

#[tokio::test]
async fn a_new_login_waits_no_ten_years_for_a_retry_after_of_a_wrong_clock() {
    let limited = Fault::Status {
        status: 429,
        retry_after: Some("7200".to_owned()),
        handled: false,
    };
    let mut world = World::new("one-api.db").await;
    world.jump(DECADE);
    world.authority.fault(&limited, 1);
    world.once().await;
    world.jump(-DECADE);
    let token = world.login("again");
    world.replace("main", token).await;
    world.once().await;
    assert_eq!(world.asked_at().len(), 2);
}

/// The service refuses for the day while the clock is ten years ahead.
#[tokio::test]
async fn a_notice_is_neither_forgotten_nor_kept_back_by_a_jump() {
    for jump in [DAY, -DAY, DECADE, -DECADE] {
        let mut world = World::with("one-api.db", long_lived()).await;
        world.sink.behave(Manner::Refuse(900));
        world.once().await;
        world.sink.behave(Manner::Accept);
        world.jump(jump);
        let now = world.clock.now();
        let store = world.parts().await.store.clone();
        let pruned = store.write(move |db| notice::prune(db, now)).await.unwrap();
        assert_eq!(pruned, 0, "{jump}");
        for _ in 0..25 {
            world.after(hours(1)).await;
        }
        let received = world.sink.received();
        assert!(
            (2..=3).contains(&received.len()),
            "{jump}: {}",
            received.len()
        );
        let told = received[1]["content"].as_str().unwrap();
        assert!(
            told.contains("main") || told.contains("1 refreshed"),
            "{jump}: {told}"
        );
    }
}
