//! A cron pattern in a time zone: pure, time is an argument.
//!
//! croner only searches among local times; what a local time means while the clocks change is decided
//! here, since croner's reading of a repeated hour can lie before the moment it was asked about.
//! `config.rs` parses, [`super::due_at`] asks; nothing here knows a credential.

use chrono::{Datelike, LocalResult, NaiveDate, NaiveDateTime, TimeDelta, TimeZone, Utc};
use chrono_tz::{GapInfo, Tz};
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};

use crate::clock::Timestamp;

/// How many days a pattern has to fire in: a fifth Monday in February comes every 28 years.
const HORIZON_DAYS: i64 = 29 * 366;

const EXPECTED: &str = "expected five fields: minute hour day-of-month month day-of-week";

/// The words that may stand in each field besides digits.
const WORDS: [&[&str]; 5] = [
    &[],
    &[],
    &["L", "W"],
    &[
        "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
    ],
    &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT", "L"],
];

/// A cron pattern in a time zone.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    cron: Cron,
    zone: Tz,
}

impl Plan {
    /// Reads a five-field pattern: `*`, lists, ranges, steps, three-letter names, `L`, `W` and `#`; 0 and
    /// 7 are Sunday, 1 is Monday.
    ///
    /// # Errors
    /// What is wrong with `pattern` and what to write instead. Refused besides what croner refuses:
    /// seconds and years, nicknames such as `@daily`, a name in the wrong field (croner reads `MON` as 1
    /// everywhere), day-of-month together with weekday (cron means "or", croner "and"), and a pattern
    /// that never fires.
    pub fn parse(pattern: &str, timezone: Tz) -> Result<Self, String> {
        let pattern = pattern.trim();
        let upper = pattern.to_uppercase();
        let fields: Vec<&str> = upper.split_whitespace().collect();
        let [_, _, day, _, weekday] = fields[..] else {
            return Err(match fields.len() {
                6 | 7 => format!(
                    "`{pattern}` has {} fields; {EXPECTED} (leave out seconds and year)",
                    fields.len()
                ),
                _ => format!("`{pattern}` is not a cron pattern; {EXPECTED}"),
            });
        };
        for (field, words) in fields.iter().zip(WORDS) {
            if let Some(word) = foreign_word(field, words) {
                return Err(format!(
                    "`{pattern}`: `{word}` cannot stand in `{field}`; \
                     months and weekdays are three letters (JAN, MON) in fields four and five"
                ));
            }
        }
        if !is_star(day) && !is_star(weekday) {
            return Err(format!(
                "`{pattern}` names both a day of the month and a weekday, which programs read \
                 differently; leave one of them `*`"
            ));
        }
        let cron = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .build()
            .parse(&upper)
            .map_err(|error| format!("`{pattern}` is not a cron pattern ({error}); {EXPECTED}"))?;
        if !fires(&cron) {
            return Err(format!(
                "`{pattern}` never fires; name a day that its months have"
            ));
        }
        Ok(Self {
            cron,
            zone: timezone,
        })
    }

    /// The first occurrence later than `t`; `None` only at the end of the calendar.
    ///
    /// A local time that the clocks skip happens when they have skipped it; one that they repeat happens
    /// the first time only.
    #[must_use]
    pub fn next_after(&self, t: Timestamp) -> Option<Timestamp> {
        let mut local = t.with_timezone(&self.zone).naive_local();
        loop {
            local = next_local(&self.cron, local)?;
            let moment = self.moment(local)?;
            if moment > t {
                return Some(moment);
            }
        }
    }

    /// The pattern and its zone in English: `At 05:00, on Monday. (Asia/Shanghai)`.
    #[must_use]
    pub fn describe(&self) -> String {
        format!("{} ({})", self.cron.describe(), self.zone)
    }

    fn moment(&self, local: NaiveDateTime) -> Option<Timestamp> {
        let moment = match self.zone.from_local_datetime(&local) {
            LocalResult::Single(moment) | LocalResult::Ambiguous(moment, _) => moment,
            LocalResult::None => GapInfo::new(&local, &self.zone)?.end?,
        };
        Some(moment.with_timezone(&Utc))
    }
}

fn foreign_word<'f>(field: &'f str, words: &[&str]) -> Option<&'f str> {
    field
        .split(|letter: char| !letter.is_alphabetic())
        .find(|word| !word.is_empty() && !words.contains(word))
}

fn is_star(field: &str) -> bool {
    matches!(field, "*" | "?")
}

/// Whether the pattern fires at all. croner itself would look as far as the year 5000, which takes
/// seconds; so the days ahead are asked one by one.
fn fires(cron: &Cron) -> bool {
    let first = NaiveDateTime::default().and_utc();
    (0..HORIZON_DAYS).any(|days| {
        let day = (first + TimeDelta::days(days)).date_naive();
        matches_day(cron, day)
    })
}

fn matches_day(cron: &Cron, day: NaiveDate) -> bool {
    let (year, month, day) = (day.year(), day.month(), day.day());
    cron.pattern.month_match(month).unwrap_or(false)
        && cron.pattern.day_match(year, month, day).unwrap_or(false)
}

/// The first matching local time later than `local`; local times are searched as if they were UTC,
/// where none is skipped or repeated.
fn next_local(cron: &Cron, local: NaiveDateTime) -> Option<NaiveDateTime> {
    let second = TimeDelta::nanoseconds(i64::from(local.and_utc().timestamp_subsec_nanos()));
    cron.find_next_occurrence(&(local - second).and_utc(), false)
        .ok()
        .map(|next| next.naive_utc())
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::NaiveTime;
    use chrono_tz::{America, Asia, Australia, Europe, Pacific};
    use proptest::prelude::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// The occurrences of `pattern` in `zone` after `from`, in UTC.
    fn check(pattern: &str, zone: Tz, from: &str, expected: &[&str]) {
        let plan = Plan::parse(pattern, zone).unwrap();
        let mut now = at(from);
        for next in expected {
            now = plan.next_after(now).unwrap();
            assert_eq!(now, at(next), "{pattern} in {zone} from {from}");
        }
    }

    #[test]
    fn monday_is_one_and_names_work() {
        let mondays = ["2026-11-22T21:00:00Z", "2026-11-29T21:00:00Z"];
        for pattern in ["0 5 * * 1", "0 5 * * mon", " 0  5 ? * Mon ", "0 5 * * 1-1"] {
            check(pattern, Asia::Shanghai, "2026-11-21T00:00:00Z", &mondays);
        }
        let year = "2026-01-01T00:00:00Z";
        check("0 0 29 feb *", Tz::UTC, year, &["2028-02-29T00:00:00Z"]);
        check("0 0 L 2 *", Tz::UTC, year, &["2026-02-28T00:00:00Z"]);
        check("0 0 * 2 1#5", Tz::UTC, year, &["2044-02-29T00:00:00Z"]);
    }

    #[test]
    fn an_occurrence_is_later_than_what_was_asked() {
        for (asked, next) in [
            ("2026-01-01T04:59:59.999Z", "2026-01-01T05:00:00Z"),
            ("2026-01-01T05:00:00Z", "2026-01-02T05:00:00Z"),
            ("2026-01-01T05:00:00.001Z", "2026-01-02T05:00:00Z"),
        ] {
            check("0 5 * * *", Tz::UTC, asked, &[next]);
        }
    }

    #[test]
    fn local_hours_hold_across_the_weeks_the_clocks_change() {
        let (berlin, york) = (Europe::Berlin, America::New_York);
        let autumn = ["2026-10-25T04:00:00Z", "2026-10-26T04:00:00Z"];
        check("0 5 * * *", berlin, "2026-10-24T03:00:00Z", &autumn);
        let spring = ["2026-03-29T03:00:00Z", "2026-03-30T03:00:00Z"];
        check("0 5 * * *", berlin, "2026-03-28T04:00:00Z", &spring);
        let spring = ["2026-03-09T09:00:00Z", "2026-03-16T09:00:00Z"];
        check("0 5 * * 1", york, "2026-03-02T10:00:00Z", &spring);
        let autumn = ["2026-11-02T10:00:00Z", "2026-11-09T10:00:00Z"];
        check("0 5 * * 1", york, "2026-10-26T09:00:00Z", &autumn);
    }

    #[test]
    fn a_skipped_time_happens_once_after_the_gap() {
        let (berlin, york) = (Europe::Berlin, America::New_York);
        let next = ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"];
        check("30 2 * * *", berlin, "2026-03-28T01:30:00Z", &next);
        let next = ["2026-03-08T07:00:00Z", "2026-03-09T06:30:00Z"];
        check("30 2 * * *", york, "2026-03-07T07:30:00Z", &next);
        let next = ["2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z"];
        check("*/20 2 * * *", berlin, "2026-03-28T22:00:00Z", &next);
        // A gap of half an hour, and one of a whole day.
        let next = ["2026-10-03T15:30:00Z", "2026-10-04T15:15:00Z"];
        check(
            "15 2 * * *",
            Australia::Lord_Howe,
            "2026-10-03T12:00:00Z",
            &next,
        );
        let next = ["2011-12-30T10:00:00Z", "2011-12-30T15:00:00Z"];
        check("0 5 * * *", Pacific::Apia, "2011-12-29T15:00:00Z", &next);
    }

    #[test]
    fn a_repeated_hour_happens_once() {
        let (berlin, york) = (Europe::Berlin, America::New_York);
        let next = ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"];
        check("30 2 * * *", berlin, "2026-10-24T12:00:00Z", &next);
        let next = ["2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"];
        check("30 1 * * *", york, "2026-10-31T12:00:00Z", &next);
        // Asked during the second pass through the hour.
        let next = ["2026-10-25T02:00:00Z", "2026-10-25T02:30:00Z"];
        check("*/30 * * * *", berlin, "2026-10-25T01:05:00Z", &next);
    }

    /// Between two local midnights, around every change of the clocks: each day's occurrence, or each
    /// week's, comes once, whoever asks how often in between.
    #[test]
    fn a_week_in_which_the_clocks_change_has_every_occurrence_once() {
        let changes = ["2026-03-08", "2026-03-29", "2026-10-25", "2026-11-01"];
        for zone in [Europe::Berlin, America::New_York, Asia::Shanghai] {
            for (pattern, weekly) in [
                ("30 2 * * *", 7),
                ("30 1 * * *", 7),
                ("0 3 * * *", 7),
                ("0 5 * * 1", 1),
                ("30 2 * * 0", 1),
            ] {
                let plan = Plan::parse(pattern, zone).unwrap();
                for change in changes {
                    let change: NaiveDate = change.parse().unwrap();
                    let midnight = |days| {
                        let local = (change + TimeDelta::days(days)).and_time(NaiveTime::MIN);
                        local.and_local_timezone(zone).unwrap().to_utc()
                    };
                    let (mut now, end) = (midnight(-3) - TimeDelta::seconds(1), midnight(4));
                    let mut met = std::collections::BTreeSet::new();
                    while now < end {
                        met.extend(plan.next_after(now).filter(|next| *next < end));
                        now += TimeDelta::minutes(7);
                    }
                    assert_eq!(met.len(), weekly, "{pattern} in {zone} around {change}");
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (pattern, complaint) in [
            ("", "expected five fields"),
            ("@daily", "expected five fields"),
            ("0 5 * *", "expected five fields"),
            ("0 0 5 * * 1", "leave out seconds"),
            ("0 0 5 * * 1 2027", "leave out seconds"),
            ("0 5 1 * Mon", "leave one of them `*`"),
            ("0 5 */2 * 1-5", "leave one of them `*`"),
            ("0 5 31 2 *", "never fires"),
            ("0 5 30 feb *", "never fires"),
            ("0 5 31 4,6 *", "never fires"),
            ("0 5 * * monday", "`MONDAY` cannot stand"),
            ("0 5 * mon *", "`MON` cannot stand"),
            ("jan 5 * * *", "`JAN` cannot stand"),
            ("60 5 * * *", "expected five fields"),
            ("5-1 5 * * *", "expected five fields"),
            ("*/0 5 * * *", "expected five fields"),
            ("0 5 * * 8", "expected five fields"),
            ("0 5 * * #", "expected five fields"),
        ] {
            let refusal = Plan::parse(pattern, Tz::UTC).unwrap_err();
            assert!(refusal.contains(complaint), "{pattern}: {refusal}");
        }
    }

    #[test]
    fn a_plan_describes_itself() {
        let plan = Plan::parse("0 5 * * 1", Asia::Shanghai).unwrap();
        assert_eq!(plan.describe(), "At 05:00, on Monday. (Asia/Shanghai)");
    }

    proptest! {
        #[test]
        fn no_text_panics(pattern in "[0-9*/,LW#?MONJA +-]{0,20}", seconds in 0_i64..4_000_000_000) {
            if let Ok(plan) = Plan::parse(&pattern, Europe::Berlin) {
                let t = Timestamp::from_timestamp(seconds, 0).unwrap();
                prop_assert!(plan.next_after(t).is_some_and(|next| next > t));
            }
        }

        #[test]
        fn occurrences_are_what_the_calendar_says(
            minute in 0_u32..60,
            hour in 0_u32..24,
            seconds in 1_700_000_000_i64..2_000_000_000,
        ) {
            let plan = Plan::parse(&format!("{minute} {hour} * * *"), Europe::Berlin).unwrap();
            let t = Timestamp::from_timestamp(seconds, 0).unwrap();
            let first = plan.next_after(t).unwrap();
            let second = plan.next_after(first).unwrap();
            prop_assert!(first > t);
            let span = second - first;
            prop_assert!(span >= TimeDelta::hours(23) && span <= TimeDelta::hours(25));
        }
    }
}
