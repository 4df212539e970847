//! A service's limits and the requests counted against them.
//!
//! Pure: the tally is part of the notifier's row, so a restart forgets no request. Every request
//! counts, also a wrong one, from the moment before it is sent. Windows slide, except the service's
//! day. Called by `step.rs` alone.

use chrono::{NaiveDate, NaiveTime, TimeDelta, TimeZone as _};
use chrono_tz::Tz;
use ring::digest;
use serde::{Deserialize, Serialize};

use super::Message;
use crate::clock::Timestamp;

const MINUTE: TimeDelta = TimeDelta::minutes(1);
const HOUR: TimeDelta = TimeDelta::hours(1);

/// How many messages of a day go at once though they ask nobody to act; later ones come hourly, so that
/// a credential that fails and recovers all day is not a hundred messages.
const AT_ONCE: usize = 12;

/// What a service allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests in any minute.
    pub per_minute: usize,
    /// Requests in a day of the service.
    pub per_day: usize,
    /// Requests with the same content in any hour.
    pub same_per_hour: usize,
    /// Where the service's day begins at midnight.
    pub day: Tz,
    /// The longest title, in characters.
    pub title: usize,
    /// The longest content, in characters.
    pub content: usize,
}

/// The requests made so far, as far as they still count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tally {
    /// The service's day that `today` counts.
    day: NaiveDate,
    /// Requests in that day.
    today: usize,
    /// Messages accepted in that day.
    told: usize,
    /// The requests of the last hour, oldest first: when, and what content.
    hour: Vec<(Timestamp, String)>,
}

impl Tally {
    /// Whether one more request with this content is allowed now; if not, when it is worth another look.
    ///
    /// Once half of a day's requests are spent, the rest is spread over what is left of the day: a
    /// flood in the morning leaves room for the news of the evening.
    ///
    /// # Errors
    /// The moment to wait for.
    pub fn may_send(
        &self,
        limits: &Limits,
        content: &str,
        now: Timestamp,
    ) -> Result<(), Timestamp> {
        let today = if self.day == day(limits, now) {
            self.today
        } else {
            0
        };
        let midnight = next_midnight(limits, now);
        let last = self.recent(HOUR, now).last();
        let left = limits.per_day.saturating_sub(today);
        let pace = match (i32::try_from(left), last) {
            (Ok(0), _) => Some(midnight),
            (Ok(left), Some((at, _))) if today >= limits.per_day.div_ceil(2) => {
                Some(*at + (midnight - now) / left)
            }
            _ => None,
        };
        let minute = free_at(self.recent(MINUTE, now), limits.per_minute, MINUTE);
        let same = self.recent(HOUR, now).filter(|(_, sent)| sent == content);
        let same = free_at(same, limits.same_per_hour, HOUR);
        match [pace, minute, same].into_iter().flatten().max() {
            Some(until) if until > now => Err(until),
            _ => Ok(()),
        }
    }

    /// The moment that a message has to wait for if it asks nobody to act, if there is one.
    #[must_use]
    pub fn calm_until(&self, limits: &Limits, now: Timestamp) -> Option<Timestamp> {
        let is_late = self.day == day(limits, now) && self.told >= AT_ONCE;
        let (at, _) = self.recent(HOUR, now).last().filter(|_| is_late)?;
        Some(*at + HOUR).filter(|until| *until > now)
    }

    /// Counts a request that is about to be sent.
    pub fn sending(&mut self, limits: &Limits, content: &str, now: Timestamp) {
        let today = day(limits, now);
        if self.day != today {
            self.day = today;
            self.today = 0;
            self.told = 0;
        }
        self.today += 1;
        self.hour = self.recent(HOUR, now).cloned().collect();
        self.hour.push((now, content.to_owned()));
    }

    /// The last request was answered at `now`: it may have arrived as late as this.
    pub fn answered(&mut self, now: Timestamp) {
        if let Some((at, _)) = self.hour.last_mut() {
            *at = now.max(*at);
        }
    }

    /// The last request brought its message home.
    pub fn accepted(&mut self) {
        self.told += 1;
    }

    /// The requests of the last `window`; those dated later than `now` only as far as a window ahead,
    /// so that a clock that was set back silences nobody for longer.
    fn recent(
        &self,
        window: TimeDelta,
        now: Timestamp,
    ) -> impl Iterator<Item = &(Timestamp, String)> {
        self.hour
            .iter()
            .filter(move |(at, _)| (now - *at).abs() < window)
    }
}

/// When one more of `allowed` requests in a window is free, if it is not free already.
fn free_at<'a>(
    requests: impl Iterator<Item = &'a (Timestamp, String)>,
    allowed: usize,
    window: TimeDelta,
) -> Option<Timestamp> {
    let times: Vec<Timestamp> = requests.map(|(at, _)| *at).collect();
    let oldest = times.len().checked_sub(allowed)?;
    times.get(oldest).map(|at| *at + window)
}

/// What counts as the same content: a short hash, so that the row stays small.
#[must_use]
pub fn content_hash(message: &Message) -> String {
    let text = format!("{}\n{}", message.title, message.body);
    let digest = digest::digest(&digest::SHA256, text.as_bytes());
    let mut word = [0; 8];
    word.copy_from_slice(&digest.as_ref()[..8]);
    format!("{:016x}", u64::from_be_bytes(word))
}

/// When the service's next day begins.
#[must_use]
pub fn next_midnight(limits: &Limits, now: Timestamp) -> Timestamp {
    let tomorrow = day(limits, now) + chrono::Days::new(1);
    let midnight = tomorrow.and_time(NaiveTime::MIN);
    limits
        .day
        .from_local_datetime(&midnight)
        .earliest()
        .map_or(now + TimeDelta::days(1), |at| at.to_utc())
}

fn day(limits: &Limits, now: Timestamp) -> NaiveDate {
    now.with_timezone(&limits.day).date_naive()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        per_minute: 5,
        per_day: 200,
        same_per_hour: 3,
        day: chrono_tz::Asia::Shanghai,
        title: 100,
        content: 20_000,
    };

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn five_a_minute() {
        let mut tally = Tally::default();
        let start = at("2026-11-20T08:00:00Z");
        for second in 0..5 {
            let now = start + TimeDelta::seconds(second);
            tally.may_send(&LIMITS, &second.to_string(), now).unwrap();
            tally.sending(&LIMITS, &second.to_string(), now);
        }
        let check = |second, free| {
            let now = start + TimeDelta::seconds(second);
            let waits = tally.may_send(&LIMITS, "new", now);
            assert_eq!(waits, if free { Ok(()) } else { Err(start + MINUTE) });
        };
        check(5, false);
        check(59, false);
        check(60, true);
    }

    #[test]
    fn an_answer_that_came_late_counts_from_then() {
        let mut tally = Tally::default();
        let start = at("2026-11-20T08:00:00Z");
        let once = Limits {
            per_minute: 1,
            ..LIMITS
        };
        tally.sending(&once, "a", start);
        tally.answered(start + TimeDelta::seconds(20));
        let free = start + TimeDelta::seconds(80);
        assert_eq!(tally.may_send(&once, "b", start + MINUTE), Err(free));
        assert_eq!(tally.may_send(&once, "b", free), Ok(()));
    }

    #[test]
    fn the_same_content_three_times_an_hour() {
        let mut tally = Tally::default();
        let start = at("2026-11-20T08:00:00Z");
        for minute in [0, 10, 20] {
            tally.sending(&LIMITS, "same", start + TimeDelta::minutes(minute));
        }
        let now = start + TimeDelta::minutes(30);
        assert_eq!(tally.may_send(&LIMITS, "other", now), Ok(()));
        assert_eq!(tally.may_send(&LIMITS, "same", now), Err(start + HOUR));
        assert_eq!(tally.may_send(&LIMITS, "same", start + HOUR), Ok(()));
    }

    #[test]
    fn a_day_is_shanghai_s_and_never_exceeds_its_requests() {
        let mut now = at("2026-11-19T16:00:00Z");
        let midnight = at("2026-11-20T16:00:00Z");
        assert_eq!(next_midnight(&LIMITS, now), midnight);
        let mut tally = Tally::default();
        let (mut sent, mut evening) = (0, 0);
        while now < midnight {
            match tally.may_send(&LIMITS, &sent.to_string(), now) {
                Ok(()) => {
                    tally.sending(&LIMITS, &sent.to_string(), now);
                    sent += 1;
                    evening += usize::from(midnight - now < TimeDelta::hours(6));
                    now += TimeDelta::seconds(3);
                }
                Err(until) => {
                    assert!(until > now);
                    now = until;
                }
            }
        }
        assert_eq!(sent, 200);
        assert!(evening >= 20, "{evening}");
        assert_eq!(tally.may_send(&LIMITS, "new day", now), Ok(()));

        let full = Tally {
            day: day(&LIMITS, midnight - MINUTE),
            today: 200,
            ..Tally::default()
        };
        let waits = full.may_send(&LIMITS, "a", midnight - MINUTE);
        assert_eq!(waits, Err(midnight));
    }

    #[test]
    fn after_a_dozen_messages_what_asks_for_nothing_comes_hourly() {
        let mut tally = Tally::default();
        let mut now = at("2026-11-20T08:00:00Z");
        for number in 0..12 {
            assert_eq!(tally.calm_until(&LIMITS, now), None);
            tally.sending(&LIMITS, &number.to_string(), now);
            tally.accepted();
            now += MINUTE;
        }
        let free = now - MINUTE + HOUR;
        assert_eq!(tally.calm_until(&LIMITS, now), Some(free));
        assert_eq!(tally.may_send(&LIMITS, "pressing", now), Ok(()));
        assert_eq!(tally.calm_until(&LIMITS, free), None);
        // What was not accepted disturbed nobody.
        let mut tally = Tally::default();
        for number in 0..50 {
            tally.sending(&LIMITS, &number.to_string(), now);
        }
        assert_eq!(tally.calm_until(&LIMITS, now), None);
    }

    #[test]
    fn a_clock_set_back_silences_for_a_minute_at_most() {
        let mut tally = Tally::default();
        let start = at("2026-11-20T08:00:00Z");
        for content in ["a", "b", "c", "d", "e"] {
            tally.sending(&LIMITS, content, start);
        }
        let earlier = start - TimeDelta::hours(3);
        assert_eq!(tally.may_send(&LIMITS, "f", earlier), Ok(()));
    }

    #[test]
    fn the_tally_survives_its_row() {
        let mut tally = Tally::default();
        tally.sending(&LIMITS, "a", at("2026-11-20T08:00:00Z"));
        let row = serde_json::to_string(&tally).unwrap();
        assert_eq!(serde_json::from_str::<Tally>(&row).unwrap(), tally);
        assert_eq!(
            serde_json::from_str::<Tally>("{}").unwrap(),
            Tally::default()
        );
    }
}
