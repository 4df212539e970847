//! Tables: what happened, and what is told of it.

use std::fmt::Write as _;

use EventKind::{Conflict, Dead, Failing, Recovered, Refreshed, Starting, Stopping, Unconfirmed};

use super::*;
use crate::notify::Detail;

const ALL: &[EventKind] = &EventKind::WORST_FIRST;

/// Events an hour apart, the last one an hour ago; `a/1` stands for channel 1 of `a`.
fn story(events: &[(&str, EventKind)], now: Timestamp) -> Vec<Event> {
    let at = |ago: usize| now - TimeDelta::hours(i64::try_from(ago).unwrap());
    let number = |index: usize| i64::try_from(index).unwrap();
    let event = |(index, (whose, kind)): (usize, &(&str, EventKind))| {
        let (name, channel) = whose.split_once('/').unzip();
        let name = name.unwrap_or(whose);
        Event {
            id: number(index) + 1,
            at: at(events.len() - index),
            credential: (!name.is_empty()).then(|| name.to_owned()),
            kind: *kind,
            detail: Detail {
                channel: channel.map(|id| id.parse().unwrap()),
                ..Detail::default()
            },
        }
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
        told += name;
        if let Some(channel) = entry.event.detail.channel {
            write!(told, "/{channel}").unwrap();
        }
        write!(told, " {} #{}", entry.kind.word(), entry.event.id).unwrap();
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
fn a_channel_and_its_login_fare_each_for_itself() {
    let check = |events: &[(&str, EventKind)], expected| {
        assert_eq!(told(events, ALL), expected, "{events:?}");
    };
    check(
        &[("a", Dead), ("a/1", Recovered)],
        "a dead #1 -2h; a/1 recovered #2; ",
    );
    check(
        &[("a", Unconfirmed), ("a/1", Failing), ("a/1", Recovered)],
        "a unconfirmed #1 -3h; a/1 recovered #3 -2h; ",
    );
    check(
        &[("a/1", Failing), ("a", Refreshed)],
        "a/1 failing #1 -2h; a refreshed #2; ",
    );
    check(
        &[("a/1", Failing), ("a", Failing), ("a", Recovered)],
        "a/1 failing #1 -3h; a recovered #3 -2h; ",
    );
    check(
        &[("a", Refreshed), ("a/1", Failing), ("a/1", Recovered)],
        "a/1 recovered #3 -2h; a refreshed #1; ",
    );
    let two = [("a/1", Failing), ("a/2", Failing), ("a/1", Recovered)];
    check(&two, "a/2 failing #2 -2h; a/1 recovered #3 -3h; ");
    check(
        &[("a/1", Recovered), ("a/1", Failing), ("a/2", Failing)],
        "a/1 failing #2 again 1 -2h; a/2 failing #3 -1h; ",
    );
    check(
        &[("a/1", Failing), ("b/1", Recovered)],
        "a/1 failing #1 -2h; b/1 recovered #2; ",
    );
    assert_eq!(told(&two, &[Failing]), "a/2 failing #2 -2h; ");
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
