//! Whatever happens, however the service answers, whenever the process dies: each event is told or
//! counted in exactly one accepted message, and the service's limits hold.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// One thing that happens.
#[derive(Clone, Debug)]
enum Move {
    /// To a credential, or to one of its channels.
    Happens(u8, Option<i64>, EventKind),
    /// The courier looks; this is what the service would answer.
    Turn(Delivery),
    /// It looks, and is killed after the request has left.
    Kill,
    /// Seconds go by.
    Pass(i64),
    /// All but the newest events are removed.
    Forget(i64),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let kind = prop::sample::select(EventKind::WORST_FIRST.to_vec());
    let channel = prop::option::of(1..3_i64);
    let reason = String::new();
    let refused = [
        later(),
        Delivery::Later {
            reason: reason.clone(),
            after: Some(Duration::from_mins(90)),
        },
        Delivery::StopToday {
            reason: reason.clone(),
        },
        Delivery::StopUntilChanged { reason },
    ];
    let one = prop_oneof![
        8 => (0..4_u8, channel, kind).prop_map(|(name, channel, kind)| {
            let of_channels = [EventKind::Failing, EventKind::Recovered, EventKind::Conflict];
            let channel = channel.filter(|_| of_channels.contains(&kind));
            Move::Happens(name, channel, kind)
        }),
        4 => Just(Move::Turn(accepted())),
        2 => prop::sample::select(refused.to_vec()).prop_map(Move::Turn),
        1 => Just(Move::Kill),
        4 => (0..90_i64).prop_map(Move::Pass),
        2 => (0..40 * 3600_i64).prop_map(Move::Pass),
        1 => (0..20 * 86_400_i64).prop_map(Move::Pass),
        1 => (0..10_i64).prop_map(Move::Forget),
    ];
    prop::collection::vec(one, 0..150)
}

/// A world in which what was accepted is added up.
struct Books {
    world: World,
    happened: usize,
    told: usize,
}

impl Books {
    fn make(&mut self, one: &Move) {
        let world = &mut self.world;
        match one {
            Move::Happens(name, channel, kind) => {
                let detail = Detail {
                    channel: *channel,
                    ..Detail::default()
                };
                let name = format!("c{name}");
                notice::record(&world.db, world.now, Some(&name), *kind, &detail).unwrap();
                self.happened += 1;
            }
            Move::Turn(answer) => self.turn(answer),
            Move::Kill => {
                if let Some(Step::Send { message, .. }) = world.step() {
                    let mut row = world.row();
                    if row.sending(&message, &world.plan, world.now).is_ok() {
                        world.save(&row);
                        world.sent.push((world.now, message));
                    }
                }
            }
            Move::Pass(seconds) => world.pass(TimeDelta::seconds(*seconds)),
            Move::Forget(most) => {
                notice::forget(&world.db, *most).unwrap();
            }
        }
    }

    fn turn(&mut self, answer: &Delivery) {
        let (before, sent) = (self.world.row(), self.world.sent.len());
        let backlog = notice::backlog(&self.world.db, &before).unwrap();
        self.world.turn(answer);
        let (after, backlog) = (self.world.row(), backlog.unwrap_or_default());
        let is_told = self.world.sent.len() > sent && *answer == accepted();
        assert_eq!(after.cursor > before.cursor, is_told);
        if is_told {
            assert_eq!(after.memory.missed, None);
            self.told += covered(&backlog, &self.world);
        }
    }
}

/// How many events the message of this backlog tells or counts.
fn covered(backlog: &Backlog, world: &World) -> usize {
    let wanted = &world.plan.events;
    let digest = fold::digest(&backlog.events, &backlog.earlier, wanted, world.now).unwrap();
    let is_fresh = |event: &&Event| event.at >= world.now - fold::STALE;
    let fresh: Vec<_> = backlog.events.iter().filter(is_fresh).collect();
    for event in &fresh {
        let mut entries = digest.entries.iter();
        let is_told = entries.any(|entry| {
            entry.event.credential == event.credential
                && entry.event.detail.channel == event.detail.channel
                && (entry.event.id >= event.id || entry.kind == event.kind || entry.since.is_some())
        });
        assert!(is_told, "{event:?}");
    }
    fresh.len() + digest.older.values().sum::<usize>()
}

fn check_limits(world: &World) {
    let limits = &world.plan.style.limits;
    let at = |place: usize| world.sent[place].0;
    for last in limits.per_minute..world.sent.len() {
        assert!(at(last) - at(last - limits.per_minute) >= TimeDelta::minutes(1));
    }
    let mut days = BTreeMap::<_, usize>::new();
    let mut same = BTreeMap::<_, Vec<Timestamp>>::new();
    for (at, message) in &world.sent {
        let day = at.with_timezone(&limits.day).date_naive();
        *days.entry(day).or_default() += 1;
        let content = limits::content_hash(message);
        same.entry(content).or_default().push(*at);
    }
    assert!(days.values().all(|count| *count <= limits.per_day));
    let windows = same
        .values()
        .flat_map(|times| times.windows(limits.same_per_hour + 1));
    for window in windows {
        assert!(*window.last().unwrap() - window[0] >= TimeDelta::hours(1));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn each_event_is_told_or_counted_once(moves in moves()) {
        let mut books = Books { world: World::new(), happened: 0, told: 0 };
        for one in &moves {
            books.make(one);
        }
        // The account is mended, the service takes everything, time goes by.
        books.world.plan.settings = "mended".into();
        for _ in 0..100 {
            books.turn(&accepted());
            books.world.pass(TimeDelta::hours(1));
        }
        prop_assert_eq!(books.world.step(), None);
        prop_assert_eq!(books.told, books.happened);
        check_limits(&books.world);
    }
}
