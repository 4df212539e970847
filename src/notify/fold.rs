//! Many events into what a person needs to hear once.
//!
//! Pure; called by `step.rs`. Per credential the end of the story counts: an incident that is over is
//! told as its recovery, several refreshes as the last of them, one that comes and goes with how often.
//! Events older than [`STALE`] and those beyond what one reading holds are only counted. What a notifier does not want still takes part in
//! the folding: an unwanted success ends a wanted incident.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use super::{Event, EventKind};
use crate::clock::Timestamp;

/// After this an event is history and only counted.
pub const STALE: TimeDelta = TimeDelta::hours(72);

/// How many events there are of each kind.
pub type Counts = BTreeMap<EventKind, usize>;

/// What one message tells.
#[derive(Clone, Debug, Default)]
pub struct Digest<'a> {
    /// Worst first, then in the order of their events.
    pub entries: Vec<Entry<'a>>,
    /// Wanted events that are told by their number alone.
    pub older: Counts,
}

/// One item of a message.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// What it is told as.
    pub kind: EventKind,
    /// The event that gives the particulars.
    pub event: &'a Event,
    /// When the incident began, if it is or was one.
    pub since: Option<Timestamp>,
    /// When it ended; [`event`](Self::event) may be a later refresh.
    pub ended: Option<Timestamp>,
    /// How many events of this kind it stands for.
    pub count: usize,
    /// How often an incident followed a recovery.
    pub relapses: usize,
}

impl Digest<'_> {
    /// Whether something is told that a person has to act on.
    #[must_use]
    pub fn is_pressing(&self) -> bool {
        self.entries.iter().any(|entry| entry.kind.is_pressing())
    }
}

/// Folds `events`, oldest first, and the counts of those before them; none if nothing is wanted.
#[must_use]
pub fn digest<'a>(
    events: impl IntoIterator<Item = &'a Event>,
    earlier: &Counts,
    wanted: &[EventKind],
    now: Timestamp,
) -> Option<Digest<'a>> {
    let mut older = earlier.clone();
    let mut courses: BTreeMap<Option<&str>, Course<'a>> = BTreeMap::new();
    for event in events {
        if event.at < now - STALE {
            *older.entry(event.kind).or_default() += 1;
        } else {
            let course = courses.entry(event.credential.as_deref()).or_default();
            course.take(event, wanted);
        }
    }
    older.retain(|kind, _| wanted.contains(kind));
    let mut entries: Vec<_> = courses
        .into_values()
        .flat_map(|course| course.entries(wanted))
        .filter(|entry| wanted.contains(&entry.kind))
        .collect();
    entries.sort_by_key(|entry| (entry.kind.rank(), entry.event.id));
    (!entries.is_empty() || !older.is_empty()).then_some(Digest { entries, older })
}

/// What happened to one credential, or to the daemon.
#[derive(Default)]
struct Course<'a> {
    incident: Option<Entry<'a>>,
    refreshed: Option<Entry<'a>>,
    recovered: Option<Entry<'a>>,
    is_ill: bool,
    has_recovered: bool,
    relapses: usize,
    conflicts: BTreeMap<Option<i64>, Entry<'a>>,
    daemon: BTreeMap<EventKind, Entry<'a>>,
}

impl<'a> Course<'a> {
    fn take(&mut self, event: &'a Event, wanted: &[EventKind]) {
        let entry = Entry {
            kind: event.kind,
            event,
            since: None,
            ended: None,
            count: 1,
            relapses: 0,
        };
        match event.kind {
            EventKind::Failing | EventKind::Unconfirmed | EventKind::Dead => {
                self.relapses += usize::from(self.has_recovered && !self.is_ill);
                self.is_ill = true;
                if wanted.contains(&event.kind) {
                    let begun = self.incident.and_then(|incident| incident.since);
                    self.incident = Some(Entry {
                        since: begun.or(Some(event.at)),
                        ..entry
                    });
                    self.recovered = None;
                }
            }
            EventKind::Refreshed => {
                self.refreshed = Some(again(self.refreshed, entry));
                self.end_incident(entry);
            }
            EventKind::Recovered => {
                self.has_recovered = true;
                self.end_incident(entry);
                let told = self.recovered.unwrap_or(entry);
                self.recovered = Some(Entry {
                    since: told.since,
                    ended: told.ended,
                    ..entry
                });
            }
            EventKind::Conflict => {
                let channel = event.detail.channel;
                let before = self.conflicts.get(&channel).copied();
                self.conflicts.insert(channel, again(before, entry));
            }
            EventKind::Starting | EventKind::Stopping => {
                let before = self.daemon.get(&event.kind).copied();
                self.daemon.insert(event.kind, again(before, entry));
            }
        }
    }

    /// A success after an incident is a recovery even before its own event comes.
    fn end_incident(&mut self, success: Entry<'a>) {
        self.has_recovered |= self.is_ill;
        self.is_ill = false;
        if let Some(incident) = self.incident.take() {
            self.recovered = Some(Entry {
                kind: EventKind::Recovered,
                since: incident.since,
                ended: Some(success.event.at),
                ..success
            });
        }
    }

    fn entries(self, wanted: &[EventKind]) -> impl Iterator<Item = Entry<'a>> + use<'a> {
        let recovered = self.recovered.filter(|told| wanted.contains(&told.kind));
        let (recovered, refreshed) = match (recovered, self.refreshed) {
            // The refresh has the newest particulars; one item is enough for both.
            (Some(recovered), Some(refreshed)) => {
                let Entry { event, count, .. } = refreshed;
                (
                    Some(Entry {
                        event,
                        count,
                        ..recovered
                    }),
                    None,
                )
            }
            one => one,
        };
        let several = self
            .conflicts
            .into_values()
            .chain(self.daemon.into_values());
        let relapses = self.relapses;
        let course = [self.incident, recovered].into_iter().flatten();
        course
            .map(move |entry| Entry { relapses, ..entry })
            .chain(refreshed)
            .chain(several)
    }
}

fn again<'a>(before: Option<Entry<'a>>, entry: Entry<'a>) -> Entry<'a> {
    let count = before.map_or(0, |before| before.count) + 1;
    Entry { count, ..entry }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use EventKind::{
        Conflict, Dead, Failing, Recovered, Refreshed, Starting, Stopping, Unconfirmed,
    };

    use super::*;
    use crate::notify::Detail;

    const ALL: &[EventKind] = &EventKind::WORST_FIRST;

    /// Events an hour apart, the last one an hour ago.
    fn story(events: &[(&str, EventKind)], now: Timestamp) -> Vec<Event> {
        let at = |ago: usize| now - TimeDelta::hours(i64::try_from(ago).unwrap());
        let number = |index: usize| i64::try_from(index).unwrap();
        let event = |(index, (name, kind)): (usize, &(&str, EventKind))| Event {
            id: number(index) + 1,
            at: at(events.len() - index),
            credential: (!name.is_empty()).then(|| (*name).to_owned()),
            kind: *kind,
            detail: Detail::default(),
        };
        events.iter().enumerate().map(event).collect()
    }

    fn told(events: &[(&str, EventKind)], wanted: &[EventKind]) -> String {
        let now = "2026-11-20T08:00:00Z".parse().unwrap();
        let events = story(events, now);
        let Some(digest) = digest(&events, &Counts::new(), wanted, now) else {
            return "nothing".into();
        };
        let mut told = String::new();
        for entry in digest.entries {
            let name = entry.event.credential.as_deref().unwrap_or("daemon");
            let since = entry.since.map(|at| (now - at).num_hours());
            write!(told, "{name} {} #{}", entry.kind.word(), entry.event.id).unwrap();
            if entry.count > 1 {
                write!(told, " x{}", entry.count).unwrap();
            }
            if entry.relapses > 0 {
                write!(told, " again {}", entry.relapses).unwrap();
            }
            if let Some(hours) = since {
                write!(told, " -{hours}h").unwrap();
            }
            told.push_str("; ");
        }
        for (kind, count) in digest.older {
            write!(told, "{count} {}; ", kind.word()).unwrap();
        }
        told
    }

    #[test]
    fn the_end_of_the_story_counts() {
        let check = |events: &[(&str, EventKind)], expected| {
            assert_eq!(told(events, ALL), expected, "{events:?}");
        };
        check(&[], "nothing");
        check(&[("a", Refreshed)], "a refreshed #1; ");
        check(
            &[("a", Refreshed), ("a", Refreshed), ("a", Refreshed)],
            "a refreshed #3 x3; ",
        );
        check(&[("a", Failing)], "a failing #1 -1h; ");
        check(&[("a", Failing), ("a", Dead)], "a dead #2 -2h; ");
        check(
            &[("a", Failing), ("a", Refreshed), ("a", Recovered)],
            "a recovered #2 -3h; ",
        );
        check(&[("a", Failing), ("a", Recovered)], "a recovered #2 -2h; ");
        check(
            &[("a", Failing), ("a", Recovered), ("a", Failing)],
            "a failing #3 again 1 -1h; ",
        );
        let wave = [("a", Failing), ("a", Recovered), ("a", Refreshed)];
        check(&wave.repeat(20), "a recovered #60 x20 again 19 -3h; ");
        check(
            &[("a", Recovered), ("a", Failing), ("a", Dead)],
            "a dead #3 again 1 -2h; ",
        );
        check(
            &[("a", Refreshed), ("a", Unconfirmed)],
            "a unconfirmed #2 -1h; a refreshed #1; ",
        );
        check(&[("a", Refreshed), ("a", Recovered)], "a recovered #1; ");
        check(&[("a", Conflict), ("a", Conflict)], "a conflict #2 x2; ");
    }

    #[test]
    fn the_worst_comes_first_and_nobody_is_mixed_up() {
        let events = [
            ("", Stopping),
            ("", Starting),
            ("e", Refreshed),
            ("d", Failing),
            ("c", Unconfirmed),
            ("d", Recovered),
            ("f", Failing),
            ("b", Conflict),
            ("a", Dead),
            ("", Stopping),
            ("", Starting),
        ];
        assert_eq!(
            told(&events, ALL),
            "a dead #9 -3h; b conflict #8; c unconfirmed #5 -7h; f failing #7 -5h; \
             d recovered #6 -8h; e refreshed #3; daemon starting #11 x2; daemon stopping #10 x2; "
        );
    }

    #[test]
    fn what_is_unwanted_still_ends_what_is_wanted() {
        let wave = [("a", Failing), ("a", Refreshed), ("a", Recovered)];
        assert_eq!(told(&wave, &[Failing, Dead]), "nothing");
        assert_eq!(told(&wave, &[Refreshed]), "a refreshed #2; ");
        assert_eq!(told(&wave, &[Recovered]), "a recovered #2; ");
        assert_eq!(told(&wave[..1], &[Dead]), "nothing");
        let worse = [("a", Unconfirmed), ("a", Failing)];
        assert_eq!(told(&worse, &[Unconfirmed]), "a unconfirmed #1 -2h; ");
    }

    #[test]
    fn what_is_older_than_72_hours_is_counted() {
        let mut events = vec![("a", Refreshed); 100];
        events.extend([("b", Dead); 3]);
        // 73 to 103 hours ago: 31 of the refreshes.
        assert_eq!(
            told(&events, ALL),
            "b dead #103 -3h; a refreshed #100 x69; 31 refreshed; "
        );
        let expected = "b dead #103 -3h; ";
        assert_eq!(told(&events, &[Dead]), expected);
    }
}
