//! The daemon beside a notifier's service that is slow or refuses, with the real program.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::time::Duration;

use keyfresh::clock::Clock;
use keyfresh::demo::authority::{Fault, Settings};
use keyfresh::demo::sink::Manner;
use keyfresh::store;
use nix::sys::signal::Signal;
use support::installation::Installation;
use support::{comes, until};

/// Waits until `name` was refreshed and channel `channel` holds its key.
fn delivered(world: &Installation, name: &str, channel: i64) {
    until(&format!("{name} is delivered"), || {
        let key = world.tokens(name).1?;
        (world.key(channel) == key).then_some(())
    });
}

fn refreshed(world: &Installation) -> usize {
    let rows = store::credential::all(&world.state()).unwrap();
    rows.iter().filter(|row| row.generation > 0).count()
}

/// Waits until the service was sent so many messages.
fn arrives(world: &Installation, count: usize) {
    let what = format!("notice {count}");
    let notice = comes(&what, world.sink.arrival(count));
    world.runtime.block_on(notice);
}

#[test]
fn a_slow_service_holds_up_no_refresh_no_reload_and_no_stop() {
    let world = Installation::new("one-api.db");
    world.sink.behave(Manner::Withhold);
    let mut daemon = world.serve();
    arrives(&world, 1);

    for number in 1..50 {
        let channels = match number {
            2..=5 => format!("channels = [{number}]"),
            _ => String::new(),
        };
        world.credential(&format!("c{number}"), &channels);
    }
    let watch = Clock::system().stopwatch();
    daemon.signal(Signal::SIGHUP);
    daemon.hear("READY=1");
    for number in 2..=5 {
        delivered(&world, &format!("c{number}"), number);
    }
    until("all are refreshed", || {
        (refreshed(&world) == 50).then_some(())
    });
    let slow = Duration::from_secs(20);
    assert!(watch.elapsed() < slow, "{:?}", watch.elapsed());
    assert_eq!(world.sink.titles(), ["keyfresh: main refreshed"]);

    let watch = Clock::system().stopwatch();
    let ran = daemon.stop();
    assert!(watch.elapsed() < slow, "{:?}", watch.elapsed());
    ran.says(0, &["its notices follow after the next start"]);

    world.sink.behave(Manner::Accept);
    let daemon = world.serve();
    arrives(&world, 2);
    daemon.stop();
    let told = ["keyfresh: main refreshed", "keyfresh: 50 refreshed"];
    assert_eq!(world.sink.titles(), told);
}

#[test]
fn a_wave_that_takes_its_time_is_one_message() {
    let world = Installation::with(
        "one-api.db",
        Settings {
            latency: Duration::from_millis(400),
            ..Settings::default()
        },
    );
    for number in 1..60 {
        world.credential(&format!("c{number}"), "");
    }
    world
        .authority
        .fault(&Fault::Error(400, "invalid_grant"), 60);
    let daemon = world.serve();
    arrives(&world, 1);
    daemon.stop();
    assert_eq!(world.sink.titles(), ["keyfresh: 60 dead"]);
}

#[test]
fn a_refused_account_shows_in_status_and_goes_on_after_a_test() {
    let world = Installation::new("one-api.db");
    world.sink.behave(Manner::Refuse(905));
    let daemon = world.serve();
    daemon.logs("a notifier has stopped");
    world.make_due(Clock::system().now());
    until("it is refreshed again", || {
        (world.row().generation == 2).then_some(())
    });
    delivered(&world, "main", 1);
    world.run(&["status"]).says(
        1,
        &[
            "notifier wechat: stopped, 2 events not told",
            "PushPlus 905: 演示拒绝",
            "run `keyfresh notify test wechat`",
        ],
    );
    world.run(&["notify", "test"]).says(1, &["PushPlus 905"]);
    assert_eq!(world.sink.titles().len(), 2);

    world.sink.behave(Manner::Accept);
    world.done(&["notify", "test"]);
    arrives(&world, 4);
    daemon.stop();
    assert_eq!(
        world.sink.titles()[2..],
        ["keyfresh: test", "keyfresh: main refreshed"]
    );
    assert!(
        world
            .done(&["status"])
            .contains("notifier wechat: ready, 0 events not told")
    );
}

#[test]
fn a_limited_account_is_left_alone_until_its_next_day() {
    let world = Installation::new("one-api.db");
    world.sink.behave(Manner::Refuse(900));
    let daemon = world.serve();
    daemon.logs("a notice was not accepted");
    world.make_due(Clock::system().now());
    until("it is refreshed again", || {
        (world.row().generation == 2).then_some(())
    });
    let parts = [
        "notifier wechat: waiting, 2 events not told",
        "PushPlus 900",
    ];
    world.run(&["status"]).says(0, &parts);
    world.run(&["notify", "test"]).says(1, &["PushPlus 900"]);
    daemon.stop();
    assert_eq!(world.sink.titles().len(), 1);
}
