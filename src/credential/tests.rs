//! The rules, told as short lives.

mod jumps;

use super::*;
use crate::clock::Clock;
use crate::provider::{Overrides, preset};
use secrecy::SecretString;

const START: &str = "2026-11-21T00:00:00Z";

/// What a clock shows then that nobody sets otherwise.
fn at(text: &str) -> Reading {
    Clock::manual(text.parse().unwrap()).read()
}

fn terms(rotation: Rotation, grace: u64) -> Terms {
    let mut client = preset("openai-codex")
        .unwrap()
        .client(Overrides::default())
        .unwrap();
    client.rotation = rotation;
    client.grace = Duration::from_secs(grace);
    Terms {
        client,
        plan: Arc::new(Plan::parse("0 5 * * 1", chrono_tz::Tz::UTC).unwrap()),
        refresh_before: Duration::from_hours(24),
    }
}

/// A credential whose access token of ten days came at the start.
fn rested() -> Credential {
    Credential {
        id: CredentialId(1),
        name: "chatgpt".to_owned(),
        parked: false,
        phase: Phase::Resting,
        since: at(START),
        due_at: at(START).wall,
        not_before: None,
        attempt: 0,
        failures: 0,
        generation: 1,
        obtained_at: Some(at(START).wall),
        obtained_uptime: at(START).uptime,
        expires_at: Some(at(START).wall + TimeDelta::days(10)),
        last_error: None,
    }
}

fn granted() -> Verdict {
    Verdict::Granted {
        access_token: SecretString::from("access"),
        lifetime: Duration::from_hours(240),
    }
}

fn retry(after: Option<u64>) -> Verdict {
    Verdict::Retry {
        reason: "refused".to_owned(),
        retry_after: after.map(Duration::from_secs),
    }
}

fn unconfirmed() -> Verdict {
    Verdict::Unconfirmed {
        reason: "cut".to_owned(),
    }
}

fn kinds(told: &[Told]) -> Vec<EventKind> {
    told.iter().map(|(kind, _)| *kind).collect()
}

/// Claims and settles at `now`, returning the kinds of event.
fn exchange(
    row: &mut Credential,
    verdict: &Verdict,
    terms: &Terms,
    now: Reading,
) -> Vec<EventKind> {
    row.claim(0, now);
    kinds(&row.settle(verdict, false, terms, now))
}

#[test]
fn a_grant_rests_until_monday_and_ends_an_incident() {
    let terms = terms(Rotation::Rotates, 0);
    let mut row = rested();
    let now = at(START);
    assert_eq!(
        exchange(&mut row, &granted(), &terms, now),
        [EventKind::Refreshed]
    );
    assert_eq!((row.generation, row.phase), (2, Phase::Resting));
    let monday = at("2026-11-23T05:00:00Z").wall;
    assert!(row.due_at >= monday && row.due_at < monday + schedule::SPREAD);

    assert_eq!(
        exchange(&mut row, &retry(None), &terms, now),
        [EventKind::Failing]
    );
    assert_eq!(exchange(&mut row, &retry(None), &terms, now), []);
    assert_eq!(
        exchange(&mut row, &granted(), &terms, now),
        [EventKind::Recovered, EventKind::Refreshed]
    );
    assert_eq!((row.failures, row.last_error), (0, None));
}

#[test]
fn failures_call_at_most_twelve_times_in_the_first_hour_and_hourly_after() {
    let terms = terms(Rotation::Unknown, 0);
    for name in ["a", "b", "c", "chatgpt"] {
        let mut row = rested();
        row.name = name.to_owned();
        let mut now = at(START);
        let mut calls = Vec::new();
        let begin = now.wall;
        while now.wall < begin + TimeDelta::days(2) {
            calls.push(now.wall);
            exchange(&mut row, &retry(None), &terms, now);
            now = now + (row.ready_at(now).unwrap() - now.wall);
        }
        let hour = TimeDelta::hours(1);
        let first = calls.iter().filter(|call| **call < begin + hour);
        assert!(first.count() <= 12);
        let later: Vec<_> = calls.iter().filter(|call| **call >= begin + hour).collect();
        assert!(later.windows(2).all(|pair| *pair[1] - *pair[0] >= hour));
        assert!(later.len() > 20);
    }
}

#[test]
fn a_retry_after_outlasts_the_ladder_and_force() {
    let terms = terms(Rotation::Unknown, 0);
    let mut row = rested();
    let now = at(START);
    exchange(&mut row, &retry(Some(7200)), &terms, now);
    assert_eq!(row.ready_at(now), Some(now.wall + TimeDelta::hours(2)));
    assert!(!row.may_be_forced(now + TimeDelta::minutes(119)));
    assert!(row.may_be_forced(now + TimeDelta::hours(2)));
}

#[test]
fn an_unconfirmed_token_is_sent_again_only_when_nothing_is_left_to_lose() {
    let check = |rotation, grace, resend: TimeDelta| {
        let terms = terms(rotation, grace);
        let mut row = rested();
        let now = at(START);
        assert_eq!(
            exchange(&mut row, &unconfirmed(), &terms, now),
            [EventKind::Unconfirmed]
        );
        let Phase::Unconfirmed { resend_at } = row.phase else {
            panic!("{:?}", row.phase)
        };
        assert_eq!(resend_at - now.wall, resend);
        assert_eq!(row.is_due(now), resend.is_zero());
        assert!(!row.may_be_forced(now));
    };
    let day = TimeDelta::days(10) - TimeDelta::hours(1);
    check(Rotation::Rotates, 0, day);
    check(Rotation::Unknown, 0, day);
    check(Rotation::Rotates, 30, TimeDelta::zero());
    check(Rotation::Keeps, 0, TimeDelta::zero());
}

#[test]
fn a_first_token_of_unknown_fate_spares_the_key_in_service() {
    let mut terms = terms(Rotation::Unknown, 0);
    terms.client.lifetime = Duration::from_hours(8);
    let mut row = Credential {
        generation: 0,
        obtained_at: None,
        expires_at: None,
        ..rested()
    };
    let now = at(START);
    exchange(&mut row, &unconfirmed(), &terms, now);
    assert_eq!(row.ready_at(now), Some(now.wall + TimeDelta::hours(7)));
}

#[test]
fn a_grace_window_that_closed_meanwhile_is_not_relied_on() {
    let terms = terms(Rotation::Rotates, 30);
    let check = |meanwhile: &dyn Fn(&mut Credential, Reading)| {
        let mut row = rested();
        let sent = at(START);
        exchange(&mut row, &unconfirmed(), &terms, sent);
        assert!(row.is_due(sent) && row.clone().wait_out(&terms, sent).is_none());
        meanwhile(&mut row, sent + TimeDelta::seconds(10));
        let late = sent + TimeDelta::hours(1);
        assert!(row.is_due(late) && !row.may_be_forced(late));
        let told = row.wait_out(&terms, late).unwrap();
        assert_eq!(kinds(&told), [EventKind::Unconfirmed]);
        assert!(!row.is_due(late));
        let nothing_left = sent + TimeDelta::days(10) + TimeDelta::hours(-1);
        assert!(row.is_due(nothing_left) && row.wait_out(&terms, nothing_left).is_none());
    };
    check(&|_, _| {});
    check(&|row, now| drop(row.postpone("the gateway is locked", now)));
    check(&|row, now| drop(exchange(row, &retry(None), &terms, now)));
}

#[test]
fn an_unconfirmed_token_with_an_expired_key_is_sent_again_at_once_then_by_the_ladder() {
    let terms = terms(Rotation::Rotates, 0);
    let mut row = rested();
    let now = at(START) + TimeDelta::days(11);
    exchange(&mut row, &unconfirmed(), &terms, now);
    assert!(row.is_due(now));
    exchange(&mut row, &unconfirmed(), &terms, now);
    assert!(!row.is_due(now));
    assert!(row.is_due(now + TimeDelta::minutes(4)));
}

#[test]
fn an_outcome_that_stays_unknown_is_told_once_and_again_when_a_grace_is_over() {
    let told_of_50 = |rotation, grace| {
        let (terms, mut row, mut now) = (terms(rotation, grace), rested(), at(START));
        let mut told = Vec::new();
        for _ in 0..50 {
            told.extend(exchange(&mut row, &unconfirmed(), &terms, now));
            now = now + (row.ready_at(now).unwrap() - now.wall);
        }
        told.extend(exchange(&mut row, &granted(), &terms, now));
        told
    };
    let unknown = EventKind::Unconfirmed;
    let well = [EventKind::Recovered, EventKind::Refreshed];
    let once = [vec![unknown], well.to_vec()].concat();
    assert_eq!(told_of_50(Rotation::Keeps, 0), once);
    assert_eq!(told_of_50(Rotation::Rotates, 0), once);
    let twice = [vec![unknown], once].concat();
    assert_eq!(told_of_50(Rotation::Rotates, 600), twice);
}

#[test]
fn a_rejected_token_is_never_sent_again_but_a_new_one_is() {
    let terms = terms(Rotation::Rotates, 0);
    let rejected = Verdict::Rejected {
        code: "invalid_grant".to_owned(),
    };
    let mut row = rested();
    let now = at(START);
    assert_eq!(
        exchange(&mut row, &rejected, &terms, now),
        [EventKind::Dead]
    );
    assert_eq!(row.ready_at(now + TimeDelta::days(1000)), None);
    row.renew(now.wall);
    assert!(row.is_due(now));

    row.claim(0, now);
    row.settle(&rejected, true, &terms, now);
    assert_eq!(row.phase, Phase::Resting, "a new token came with it");
}

#[test]
fn nothing_is_exchanged_before_the_program_was_made_or_while_parked() {
    let mut row = rested();
    row.since = at("2020-01-01T00:00:00Z");
    row.due_at = row.since.wall;
    assert!(!row.is_due(at("2026-10-31T23:59:59Z")));
    assert!(row.is_due(at(START)));
    row.since = at("2020-01-01T00:00:00Z");
    let early = row.since;
    assert!(row.ready_at(early).unwrap() > early.wall + TimeDelta::days(365));
    row.parked = true;
    assert!(!row.is_due(at(START)));
}

/// A refusal says no more than is known of it.
#[test]
fn a_dead_token_is_explained_by_its_code_and_by_what_was_sent_before() {
    let check = |before: Option<Verdict>, code: &str, cause: Option<Cause>| {
        let terms = terms(Rotation::Rotates, 0);
        let mut row = rested();
        let now = at(START) + TimeDelta::days(11);
        if let Some(verdict) = &before {
            exchange(&mut row, verdict, &terms, now);
        }
        row.claim(0, now);
        let code = code.to_owned();
        let told = row.settle(&Verdict::Rejected { code }, false, &terms, now);
        let [(EventKind::Dead, detail)] = &told[..] else {
            panic!("{told:?}");
        };
        assert_eq!(detail.cause, cause);
        let (short, long) = (detail.error.as_ref().unwrap(), row.last_error.unwrap());
        let explained = long.strip_prefix(short.as_str()).unwrap();
        assert_eq!(!explained.is_empty(), cause.is_some(), "{long}");
    };
    check(None, "refresh_token_reused", Some(Cause::Reused));
    check(None, "invalid_grant", Some(Cause::Refused));
    check(None, "invalid_refresh_token", Some(Cause::Refused));
    check(None, "invalid_client", None);
    check(None, "refresh_token_expired", None);
    check(Some(retry(None)), "invalid_grant", Some(Cause::Refused));
    check(Some(unconfirmed()), "invalid_grant", Some(Cause::Lost));
    check(
        Some(unconfirmed()),
        "refresh_token_reused",
        Some(Cause::Lost),
    );
    check(Some(unconfirmed()), "invalid_client", None);
}
