//! Many events into what a person needs to hear once.
//!
//! Pure; called by `step.rs`. Per credential the end of the story counts: an incident that is over is
//! told as its recovery, several refreshes as the last of them, one that comes and goes with how often.
//! A channel that fails is an incident of its own, which neither hides the login's nor ends with it.
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
    login: Health<'a>,
    refreshed: Option<Entry<'a>>,
    channels: BTreeMap<i64, Health<'a>>,
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
        let channel = event.detail.channel;
        match event.kind {
            EventKind::Failing | EventKind::Unconfirmed | EventKind::Dead => {
                let is_wanted = wanted.contains(&event.kind);
                self.health(channel).failed(entry, is_wanted);
            }
            EventKind::Refreshed => {
                self.refreshed = Some(again(self.refreshed, entry));
                self.login.succeeded(entry);
            }
            EventKind::Recovered => self.health(channel).recovered(entry),
            EventKind::Conflict => {
                let before = self.conflicts.get(&channel).copied();
                self.conflicts.insert(channel, again(before, entry));
            }
            EventKind::Starting | EventKind::Stopping => {
                let before = self.daemon.get(&event.kind).copied();
                self.daemon.insert(event.kind, again(before, entry));
            }
        }
    }

    /// That of the channel, if it is one's, or of the login.
    fn health(&mut self, channel: Option<i64>) -> &mut Health<'a> {
        match channel {
            Some(channel) => self.channels.entry(channel).or_default(),
            None => &mut self.login,
        }
    }

    fn entries(mut self, wanted: &[EventKind]) -> impl Iterator<Item = Entry<'a>> + use<'a> {
        let recovered = &mut self.login.recovered;
        recovered.take_if(|told| !wanted.contains(&told.kind));
        if let Some(recovered) = recovered
            && let Some(Entry { event, count, .. }) = self.refreshed.take()
        {
            // The refresh has the newest particulars; one item is enough for both.
            recovered.event = event;
            recovered.count = count;
        }
        self.login
            .entries()
            .chain(self.refreshed)
            .chain(self.channels.into_values().flat_map(Health::entries))
            .chain(self.conflicts.into_values())
            .chain(self.daemon.into_values())
    }
}

/// How a login, or the way of its key into one channel, fares.
#[derive(Default)]
struct Health<'a> {
    incident: Option<Entry<'a>>,
    recovered: Option<Entry<'a>>,
    is_ill: bool,
    has_recovered: bool,
    relapses: usize,
}

impl<'a> Health<'a> {
    fn failed(&mut self, entry: Entry<'a>, is_wanted: bool) {
        self.relapses += usize::from(self.has_recovered && !self.is_ill);
        self.is_ill = true;
        if is_wanted {
            let begun = self.incident.and_then(|incident| incident.since);
            self.incident = Some(Entry {
                since: begun.or(Some(entry.event.at)),
                ..entry
            });
            self.recovered = None;
        }
    }

    /// A success after an incident is a recovery even before its own event comes.
    fn succeeded(&mut self, success: Entry<'a>) {
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

    fn recovered(&mut self, entry: Entry<'a>) {
        self.has_recovered = true;
        self.succeeded(entry);
        let told = self.recovered.unwrap_or(entry);
        self.recovered = Some(Entry {
            since: told.since,
            ended: told.ended,
            ..entry
        });
    }

    fn entries(self) -> impl Iterator<Item = Entry<'a>> + use<'a> {
        let relapses = self.relapses;
        let told = [self.incident, self.recovered].into_iter().flatten();
        told.map(move |entry| Entry { relapses, ..entry })
    }
}

fn again<'a>(before: Option<Entry<'a>>, entry: Entry<'a>) -> Entry<'a> {
    let count = before.map_or(0, |before| before.count) + 1;
    Entry { count, ..entry }
}

#[cfg(test)]
mod tests;
