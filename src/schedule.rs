//! When a credential is due by the calendar or by expiry, and the wake-up that makes somebody look.
//!
//! [`Plan`] and [`due_at`] are pure: `config.rs` and `credential.rs` call them, time is an argument.
//! [`ticker()`] is the only user of tokio-cron-scheduler and knows nothing of either. Back-off after
//! failures is not here but among the rules in `credential.rs`.

mod plan;
mod ticker;

use std::time::Duration;

use chrono::TimeDelta;

use crate::clock::Timestamp;

pub use plan::Plan;
pub use ticker::{Error, Ticker, ticker};

/// Refreshes of one cron occurrence are spread over this long after it.
pub const SPREAD: Duration = Duration::from_mins(1);

/// A refresh ahead of expiry happens up to this part of its lead earlier.
pub const LEAD_SPREAD: u32 = 10;

/// When a credential is due again whose last success, at `success`, brought an access token that lives
/// for `lifetime`.
///
/// The earlier of the next cron occurrence after `success`, moved up to [`SPREAD`] later, and the
/// token's expiry less its lead, moved up to a [`LEAD_SPREAD`]th of the lead earlier. The lead is
/// `refresh_before`, but a third of `lifetime` at most. `jitter` gives a reproducible share of a span
/// in `[0, span)`: [`crate::clock::jitter`] of the credential and its attempt.
#[must_use]
pub fn due_at(
    plan: &Plan,
    success: Timestamp,
    lifetime: Duration,
    refresh_before: Duration,
    jitter: impl Fn(Duration) -> Duration,
) -> Timestamp {
    let lead = refresh_before.min(lifetime / 3);
    let before_expiry = later(
        success,
        lifetime.saturating_sub(lead + jitter(lead / LEAD_SPREAD)),
    );
    match plan.next_after(success) {
        Some(occurrence) => later(occurrence, jitter(SPREAD)).min(before_expiry),
        None => before_expiry,
    }
}

/// `moment + span`, standing still at the end of the calendar.
fn later(moment: Timestamp, span: Duration) -> Timestamp {
    TimeDelta::from_std(span)
        .ok()
        .and_then(|span| moment.checked_add_signed(span))
        .unwrap_or(Timestamp::MAX_UTC)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono_tz::Tz;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn check_due(lifetime_hours: u64, before_hours: u64, share: f64, expected: &str) {
        let plan = Plan::parse("0 5 * * 1", Tz::UTC).unwrap();
        let success = at("2026-11-23T05:00:30Z");
        let due = due_at(
            &plan,
            success,
            Duration::from_secs(3600 * lifetime_hours),
            Duration::from_secs(3600 * before_hours),
            |span| span.mul_f64(share),
        );
        assert_eq!(due, at(expected), "{lifetime_hours} h, {before_hours} h");
    }

    #[test]
    fn due_is_the_earlier_of_calendar_and_expiry() {
        // Ten days of life: the calendar comes first, up to a minute late.
        check_due(240, 24, 0.0, "2026-11-30T05:00:00Z");
        check_due(240, 24, 0.5, "2026-11-30T05:00:30Z");
        // Three days of life: a day before expiry, up to a tenth of that day earlier.
        check_due(72, 24, 0.0, "2026-11-25T05:00:30Z");
        check_due(72, 24, 0.5, "2026-11-25T03:48:30Z");
        // An hour of life: the lead shrinks to a third.
        check_due(1, 24, 0.0, "2026-11-23T05:40:30Z");
        check_due(1, 0, 0.9, "2026-11-23T06:00:30Z");
    }
}
