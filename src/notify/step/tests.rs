//! A notifier against a service that a test makes up, with the rows in a real database and the time
//! in the test's hand.

mod properties;

use chrono::TimeDelta;
use rusqlite::Connection;

use super::*;
use crate::notify::limits::Limits;
use crate::notify::{Detail, Format, Locale};
use crate::store::notice;

const NAME: &str = "wechat";

struct World {
    db: Connection,
    now: Timestamp,
    plan: Plan,
    /// The requests that the service got, and when.
    sent: Vec<(Timestamp, Message)>,
}

impl World {
    fn new() -> Self {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(include_str!("../../store/schema.sql"))
            .unwrap();
        notice::enrol(&db, &[NAME.to_owned()]).unwrap();
        let limits = Limits {
            per_minute: 5,
            per_day: 200,
            same_per_hour: 3,
            day: chrono_tz::Asia::Shanghai,
            title: 100,
            content: 20_000,
        };
        let plan = Plan {
            name: NAME.into(),
            events: EventKind::WORST_FIRST.to_vec(),
            style: Style {
                locale: Locale::English,
                timezone: chrono_tz::UTC,
                format: Format::Text,
                limits,
            },
            settings: "first".into(),
        };
        Self {
            db,
            now: "2026-11-20T08:00:00Z".parse().unwrap(),
            plan,
            sent: Vec::new(),
        }
    }

    fn pass(&mut self, span: TimeDelta) {
        self.now += span;
    }

    fn happens(&self, name: &str, kind: EventKind) {
        let detail = Detail::default();
        notice::record(&self.db, self.now, Some(name), kind, &detail).unwrap();
    }

    fn row(&self) -> Row {
        notice::row(&self.db, NAME).unwrap().unwrap()
    }

    fn save(&self, row: &Row) {
        notice::save(&self.db, NAME, row).unwrap();
    }

    fn step(&self) -> Option<Step> {
        let row = self.row();
        let backlog = notice::backlog(&self.db, &row).unwrap()?;
        Some(row.next(&backlog, &self.plan, self.now))
    }

    /// One turn of the courier's loop; `answer` is the service's. Returns what it waits for.
    fn turn(&mut self, answer: &Delivery) -> Option<Step> {
        let step = self.step()?;
        let mut row = self.row();
        match step {
            Step::Send { message, cursor } => {
                if let Err(until) = row.sending(&message, &self.plan, self.now) {
                    return Some(Step::Wait(until));
                }
                self.save(&row);
                self.sent.push((self.now, message));
                let mut row = self.row();
                row.settled(answer, cursor, &self.plan, self.now);
                self.save(&row);
                None
            }
            Step::Skip { cursor } => {
                row.passed(cursor);
                self.save(&row);
                None
            }
            waits => Some(waits),
        }
    }

    fn titles(&self) -> Vec<&str> {
        self.sent
            .iter()
            .map(|(_, message)| message.title.as_str())
            .collect()
    }
}

fn accepted() -> Delivery {
    Delivery::Accepted { serial: None }
}

fn later() -> Delivery {
    Delivery::Later {
        reason: "HTTP 502".into(),
        after: None,
    }
}

#[test]
fn a_thousand_events_in_a_minute_keep_the_limits_and_lose_nothing() {
    let mut world = World::new();
    for number in 0..1000 {
        world.happens(&format!("c{number}"), EventKind::Refreshed);
        let waits = world.turn(&accepted());
        assert!(!matches!(waits, Some(Step::Stopped { .. })));
        world.pass(TimeDelta::milliseconds(60));
    }
    assert_eq!(world.sent.len(), 5);
    while let Some(Step::Wait(until)) = world.turn(&accepted()) {
        world.now = until;
    }
    assert_eq!(world.step(), None);
    let told: usize = world
        .titles()
        .iter()
        .map(|title| title.split(' ').nth(1).unwrap().parse().unwrap_or(1))
        .sum();
    assert_eq!(told, 1000);
    for window in world.sent.windows(6) {
        assert!(window[5].0 - window[0].0 >= TimeDelta::minutes(1));
    }
}

#[test]
fn three_days_down_make_one_message_and_older_ones_are_counted() {
    let mut world = World::new();
    let start = world.now;
    world.happens("a", EventKind::Refreshed);
    let mut tries = 0;
    while world.now < start + TimeDelta::hours(80) {
        match world.turn(&later()) {
            None => tries += 1,
            Some(Step::Wait(until)) => world.now = until,
            other => panic!("{other:?}"),
        }
        if tries == 20 {
            world.happens("b", EventKind::Failing);
            world.happens("a", EventKind::Dead);
            tries += 1;
        }
    }
    // One an hour at most, besides the first few.
    assert!((70..=120).contains(&tries), "{tries}");
    world.sent.clear();
    world.happens("b", EventKind::Recovered);
    while let Some(Step::Wait(until)) = world.turn(&accepted()) {
        world.now = until;
    }
    assert_eq!(world.titles(), ["keyfresh: 1 dead, 1 recovered"]);
    assert!(world.sent[0].1.body.contains("only counted: 1 refreshed"));
    assert_eq!((world.step(), world.row().tries), (None, 0));
}

#[test]
fn a_kill_before_the_answer_is_kept_repeats_one_message() {
    let mut world = World::new();
    world.happens("a", EventKind::Dead);
    let Some(Step::Send { message, .. }) = world.step() else {
        panic!("there is something to send");
    };
    let mut row = world.row();
    row.sending(&message, &world.plan, world.now).unwrap();
    world.save(&row);
    // Here the process dies: the service may have the message or not.
    assert_eq!(world.turn(&accepted()), None);
    assert_eq!(world.sent[0].1, message);
    assert_eq!(world.step(), None);
    // The lost request counts: of three with the same content two were made.
    let mut row = world.row();
    row.sending(&message, &world.plan, world.now).unwrap();
    assert!(row.sending(&message, &world.plan, world.now).is_err());
}

#[test]
fn code_900_silences_until_shanghai_s_midnight() {
    let mut world = World::new();
    world.happens("a", EventKind::Dead);
    let refusal = Delivery::StopToday {
        reason: "too many".into(),
    };
    assert_eq!(world.turn(&refusal), None);
    let midnight = "2026-11-20T16:00:00Z".parse().unwrap();
    assert_eq!(world.step(), Some(Step::Wait(midnight)));
    assert_eq!(world.row().banned("first", world.now), Some(midnight));
    assert_eq!(world.row().banned("second", world.now), None);
    // Nor does a ban of a clock that was ten years ahead keep a person's test back.
    let right = world.now - TimeDelta::days(3650);
    assert_eq!(world.row().banned("first", right), None);

    world.now = midnight;
    assert_eq!(world.turn(&accepted()), None);
    assert_eq!((world.sent.len(), world.step()), (2, None));
    assert_eq!(world.row().memory.stop, None);
}

#[test]
fn a_refused_account_waits_for_other_settings() {
    let mut world = World::new();
    world.happens("a", EventKind::Dead);
    let reason = "PushPlus 903".to_owned();
    let refusal = Delivery::StopUntilChanged {
        reason: reason.clone(),
    };
    assert_eq!(world.turn(&refusal), None);
    world.pass(TimeDelta::days(2));
    world.happens("b", EventKind::Dead);
    assert_eq!(world.step(), Some(Step::Stopped { reason }));
    assert_eq!(world.row().banned("first", world.now), None);

    world.plan.settings = "second".into();
    assert_eq!(world.turn(&accepted()), None);
    assert_eq!(world.titles().last(), Some(&"keyfresh: 2 dead"));
}

#[test]
fn a_failure_waits_longer_each_time_and_as_long_as_the_service_asks() {
    let mut world = World::new();
    world.happens("a", EventKind::Dead);
    let mut waits = Vec::new();
    for _ in 0..9 {
        let mut row = world.row();
        row.settled(&later(), 1, &world.plan, world.now);
        waits.push((row.not_before.unwrap() - world.now).num_seconds());
        world.save(&row);
    }
    let most = [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600];
    for (wait, most) in waits.iter().zip(most) {
        assert!((most * 3 / 4..=most).contains(wait), "{waits:?}");
    }
    let asked = |seconds| {
        let mut row = Row::default();
        let after = Some(Duration::from_secs(seconds));
        let reason = String::new();
        row.settled(
            &Delivery::Later { reason, after },
            1,
            &world.plan,
            world.now,
        );
        row.not_before.unwrap() - world.now
    };
    assert_eq!(asked(600), TimeDelta::minutes(10));
    assert_eq!(asked(1_000_000), TimeDelta::days(1));
    assert_eq!(world.row().cursor, 0);

    // A clock set back by years does not silence it.
    world.now -= TimeDelta::days(1000);
    assert!(matches!(world.step(), Some(Step::Send { .. })));
}

#[test]
fn what_is_unwanted_is_passed_over_without_a_word() {
    let mut world = World::new();
    world.plan.events = vec![EventKind::Dead];
    world.happens("a", EventKind::Refreshed);
    assert_eq!(world.turn(&accepted()), None);
    assert_eq!(
        (world.sent.len(), world.row().cursor, world.step()),
        (0, 1, None)
    );
}

#[test]
fn a_new_notifier_begins_with_what_comes_and_old_events_go() {
    let mut world = World::new();
    world.happens("a", EventKind::Refreshed);
    let names = [NAME, "mail"].map(str::to_owned);
    notice::enrol(&world.db, &names).unwrap();
    notice::enrol(&world.db, &names).unwrap();
    let cursor = |name| notice::row(&world.db, name).unwrap().unwrap().cursor;
    assert_eq!((cursor(NAME), cursor("mail")), (0, 1));

    let prune = |world: &World| notice::prune(&world.db, world.now).unwrap();
    // However far the clock jumps, what was not told stays.
    world.pass(TimeDelta::days(3650));
    assert_eq!(prune(&world), 0);
    assert_eq!(world.turn(&accepted()), None);
    assert_eq!(prune(&world), 1);

    notice::enrol(&world.db, &["mail".to_owned()]).unwrap();
    assert_eq!(notice::row(&world.db, NAME).unwrap(), None);
    // Ids are never used again, so the cursor of the other one still stands before what comes.
    world.happens("b", EventKind::Dead);
    let mail = notice::row(&world.db, "mail").unwrap().unwrap();
    assert!(notice::backlog(&world.db, &mail).unwrap().is_some());
}

#[test]
fn of_forgotten_events_the_number_is_told() {
    let mut world = World::new();
    let forget = |world: &World, most| notice::forget(&world.db, most).unwrap();
    world.happens("a", EventKind::Refreshed);
    assert_eq!(world.turn(&accepted()), None);
    assert_eq!(forget(&world, 0), 1);
    assert_eq!((world.row().memory.missed, world.step()), (None, None));

    for kind in [EventKind::Failing, EventKind::Dead, EventKind::Dead] {
        world.happens("a", kind);
    }
    assert_eq!(forget(&world, 1), 2);
    assert_eq!((forget(&world, 0), forget(&world, 0)), (1, 0));
    assert_eq!(notice::untold(&world.db, &world.row()).unwrap(), 3);

    assert_eq!(world.turn(&later()), None);
    world.pass(TimeDelta::hours(1));
    assert_eq!(world.turn(&accepted()), None);
    let Message { title, body } = &world.sent[2].1;
    assert_eq!(title, "keyfresh: 3 earlier events");
    assert!(body.contains("only counted: 2 dead, 1 failing"), "{body}");
    assert_eq!((world.row().memory.missed, world.step()), (None, None));
}

#[test]
fn what_comes_and_goes_all_day_is_some_thirty_messages() {
    let mut world = World::new();
    world.now = limits::next_midnight(&world.plan.style.limits, world.now);
    for round in 0..142 {
        if round % 2 == 0 {
            world.happens("a", EventKind::Failing);
        } else {
            world.happens("a", EventKind::Recovered);
            world.happens("a", EventKind::Refreshed);
        }
        world.turn(&accepted());
        world.pass(TimeDelta::minutes(10));
    }
    let (_, last) = world.sent.last().unwrap();
    assert!(
        (24..=36).contains(&world.sent.len()),
        "{}",
        world.sent.len()
    );
    let words = "It comes and goes: recovered and failed again 2× meanwhile";
    assert!(last.body.contains(words), "{}", last.body);

    // What a person has to act on does not wait.
    world.happens("b", EventKind::Refreshed);
    assert!(matches!(world.turn(&accepted()), Some(Step::Wait(_))));
    world.happens("a", EventKind::Dead);
    assert_eq!(world.turn(&accepted()), None);
    assert_eq!(
        world.titles().last(),
        Some(&"keyfresh: 1 dead, 2 refreshed")
    );
}

#[test]
fn of_more_events_than_a_page_the_refreshes_are_counted() {
    let mut world = World::new();
    world.happens("a", EventKind::Dead);
    for number in 0..5000 {
        world.happens(&format!("c{number}"), EventKind::Refreshed);
    }
    assert_eq!(world.turn(&accepted()), None);
    let Message { title, body } = &world.sent[0].1;
    assert_eq!(title, "keyfresh: 1 dead, 4999 refreshed");
    assert!(body.contains("only counted: 1 refreshed"), "{body}");
    assert_eq!(world.step(), None);
}
