//! The wall clock is set, or the machine started anew, while a credential waits.

use super::*;
use crate::clock::Boot;

/// `now` when somebody has set the wall clock `by` that much.
fn set(now: Reading, by: TimeDelta) -> Reading {
    Reading {
        wall: now.wall + by,
        ..now
    }
}

/// `now` after a restart of the machine that took no time.
fn rebooted(now: Reading) -> Reading {
    let uptime = Uptime {
        boot: Boot([1; 16]),
        since_boot: TimeDelta::zero(),
    };
    Reading {
        uptime: Some(uptime),
        ..now
    }
}

#[test]
fn a_clock_set_back_refreshes_once_and_keeps_promised_spans() {
    let terms = terms(Rotation::Rotates, 0);
    let ten_years = TimeDelta::days(3650);
    let ahead = set(at(START), ten_years);
    let back = at(START) + TimeDelta::seconds(1);
    let mut row = rested();
    exchange(&mut row, &granted(), &terms, ahead);
    assert!(row.is_due(back));
    exchange(&mut row, &granted(), &terms, back);
    assert!(!row.is_due(back));

    exchange(&mut row, &retry(Some(600)), &terms, ahead);
    for later in [0, 599] {
        assert!(!row.is_due(at(START) + TimeDelta::seconds(later)));
    }
    assert!(row.is_due(at(START) + TimeDelta::seconds(600)));
}

/// A token of unknown fate whose access token lives ten days: it may be sent after that, less an hour.
fn in_doubt(terms: &Terms, now: Reading) -> Credential {
    let mut row = rested();
    exchange(&mut row, &unconfirmed(), terms, now);
    row
}

/// Whether `row` is exchanged at `now`; where it is looked at and waits, it waits from now on.
fn is_sent(row: &mut Credential, terms: &Terms, now: Reading) -> bool {
    row.is_due(now) && row.wait_out(terms, now).is_none()
}

#[test]
fn a_wall_clock_that_jumps_sends_no_unconfirmed_token_early_or_late() {
    let safe = TimeDelta::days(10) - TimeDelta::hours(1);
    let check = |jump: TimeDelta, grace| {
        let terms = terms(Rotation::Rotates, grace);
        // Before the exchange, between it and the resending, and there and back.
        for (first, second) in [
            (jump, jump),
            (TimeDelta::zero(), jump),
            (jump, TimeDelta::zero()),
        ] {
            let mut row = in_doubt(&terms, set(at(START), first) + TimeDelta::seconds(1));
            if grace > 0 {
                assert!(is_sent(
                    &mut row,
                    &terms,
                    set(at(START), first) + TimeDelta::seconds(2)
                ));
            }
            for (after, sent) in [
                (TimeDelta::minutes(1), false),
                (safe / 2, false),
                (safe, true),
            ] {
                let now = set(at(START), second) + after;
                assert_eq!(
                    is_sent(&mut row, &terms, now),
                    sent,
                    "{jump} {second} {after}"
                );
            }
        }
    };
    for days in [1, 40, 3650] {
        check(TimeDelta::days(days), 0);
        check(TimeDelta::days(days), 30);
    }
    // Back before the first day is no time to exchange anything.
    check(-TimeDelta::days(1), 0);
    check(-TimeDelta::days(19), 30);
}

#[test]
fn after_a_restart_the_wall_clock_decides_and_makes_nobody_wait_for_years() {
    let terms = terms(Rotation::Rotates, 30);
    let safe = TimeDelta::days(10) - TimeDelta::hours(1);
    let sent = at(START) + TimeDelta::seconds(1);
    let restart = |row: &mut Credential, jump| {
        let start = rebooted(set(sent + TimeDelta::minutes(5), jump));
        assert!(!is_sent(row, &terms, start));
        row.ready_at(start).unwrap() - start.wall
    };
    let mut row = in_doubt(&terms, sent);
    let rest = safe - TimeDelta::seconds(1) - TimeDelta::minutes(5);
    assert_eq!(restart(&mut row.clone(), TimeDelta::zero()), rest);
    // One that was ten years ahead: its grace is over, and a whole life is waited for, once.
    let ahead = set(sent, TimeDelta::days(3650));
    let mut row_ahead = rested();
    exchange(&mut row_ahead, &granted(), &terms, ahead);
    exchange(&mut row_ahead, &unconfirmed(), &terms, ahead);
    assert_eq!(restart(&mut row_ahead, TimeDelta::zero()), safe);
    let later = rebooted(sent + TimeDelta::minutes(5)) + safe;
    assert!(is_sent(&mut row_ahead, &terms, later));
    // Two hours behind, as a board without a battery starts, and put right by the network.
    assert!(restart(&mut row, TimeDelta::hours(-2)) <= safe);
    let right = rebooted(sent + TimeDelta::minutes(5));
    assert!(!is_sent(&mut row, &terms, right + TimeDelta::days(9)));
    assert!(is_sent(&mut row, &terms, right + safe));
}

#[test]
fn a_clock_set_back_lets_no_key_expire() {
    let mut terms = terms(Rotation::Rotates, 0);
    terms.refresh_before = Duration::from_mins(20);
    let mut row = rested();
    let hour = Verdict::Granted {
        access_token: SecretString::from("access"),
        lifetime: Duration::from_hours(1),
    };
    exchange(&mut row, &hour, &terms, at(START));
    let check = |minutes: i64, back: i64, due| {
        let now = set(at(START), TimeDelta::minutes(-back)) + TimeDelta::minutes(minutes);
        assert_eq!(row.is_due(now), due, "after {minutes}, set back by {back}");
    };
    check(37, 0, false);
    check(41, 0, true);
    check(41, 50, false);
    check(53, 50, true);
    check(1, 62, true);
}

/// The machine lost its power after the token was sent, and comes up with its clock behind.
#[test]
fn a_grace_is_not_opened_by_settling_after_a_reboot_into_the_past() {
    let terms = terms(Rotation::Rotates, 30);
    let sent = at(START);
    for verdict in [unconfirmed(), retry(None)] {
        let mut row = in_doubt(&terms, sent);
        row.claim(0, sent);
        let up = set(rebooted(sent + TimeDelta::minutes(5)), TimeDelta::hours(-2));
        row.settle(&verdict, false, &terms, up);
        assert!(
            !is_sent(&mut row, &terms, up + TimeDelta::minutes(2)),
            "{verdict:?}"
        );
    }
}
