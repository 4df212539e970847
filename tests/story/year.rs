//! A year in seconds: the clock is turned from one due moment to the next, through two changes of the
//! clocks in Berlin, a week without a provider, a suspend of three days and a reboot.

use std::sync::Arc;
use std::time::Duration;

use chrono::{SubsecRound as _, TimeDelta};
use chrono_tz::Europe::Berlin;
use keyfresh::clock::{Timestamp, jitter};
use keyfresh::config::CredentialSettings;
use keyfresh::credential::Credential;
use keyfresh::demo::authority::{Authority, Fault, Issued, Ruling, Settings};
use keyfresh::provider::Rotation;
use keyfresh::schedule::{Plan, due_at};
use keyfresh::secret::SecretString;
use keyfresh::store::{self, notice};

use crate::support::world::{World, hours, whole};

const CRON: &str = "0 5 * * 1";

/// How often the provider of `spring` says that it is to be asked again in half a day: for a week.
const FAILURES: usize = 14;
const HALF_A_DAY: &str = "43200";

/// The most events of a month here, of some three hundred in the year.
const EVENTS: i64 = 150;

struct Year {
    world: World,
    authorities: Vec<(&'static str, i64, Authority)>,
    /// When each notice was told.
    told: Vec<Timestamp>,
    pruned: Timestamp,
}

impl Year {
    /// `weekly`, `keeps`, `spring` and `hourly`, each with a provider of its own.
    async fn new() -> Self {
        let mut world = World::new("one-api.db").await;
        world.config.schedule.timezone = Berlin;
        world.config.schedule.plan = Arc::new(Plan::parse(CRON, Berlin).unwrap());
        let pattern = world.config.credentials.remove(0);
        let mut authorities = Vec::new();
        for (name, channel, lifetime, rotates) in [
            ("weekly", 1, hours(240), true),
            ("keeps", 4, hours(240), false),
            ("spring", 5, hours(240), true),
            ("hourly", 10, hours(1), true),
        ] {
            let habits = Settings {
                lifetime,
                rotates,
                ..Settings::default()
            };
            let authority = Authority::start(habits, world.clock.clone()).await.unwrap();
            let mut settings = CredentialSettings {
                name: name.to_owned(),
                seed: Some(authority.seed().unwrap()),
                channels: whole(&[channel]),
                ..pattern.clone()
            };
            settings.client.token_url = authority.url().clone();
            if !rotates {
                settings.client.rotation = Rotation::Keeps;
            }
            world.config.credentials.push(settings);
            authorities.push((name, channel, authority));
        }
        let pruned = world.clock.now();
        Self {
            world,
            authorities,
            told: Vec::new(),
            pruned,
        }
    }

    fn authority(&self, name: &str) -> &Authority {
        let mut all = self.authorities.iter();
        &all.find(|(found, ..)| *found == name).unwrap().2
    }

    async fn rows(&mut self) -> Vec<Credential> {
        let store = &self.world.parts().await.store;
        store.read(store::credential::all).await.unwrap()
    }

    /// Works off what becomes due until `end`; of the credentials but `ailing` no key expires meanwhile.
    async fn until(&mut self, end: Timestamp, ailing: &str) {
        loop {
            let (now, rows) = (self.world.clock.read(), self.rows().await);
            let ready = rows
                .iter()
                .filter_map(|row| row.ready_at(now))
                .min()
                .unwrap();
            let next = ready.max(now.wall).min(end);
            for row in rows.iter().filter(|row| !row.parked && row.name != ailing) {
                assert_eq!(row.failures, 0, "{}", row.name);
                let lives = row.expires_at.is_none_or(|expiry| next < expiry);
                assert!(lives || next == now.wall, "{} until {next}", row.name);
            }
            self.world.clock.set(next);
            self.pass().await;
            if next == end {
                return;
            }
        }
    }

    /// One pass, after which every channel holds its newest key; and what the daemon does daily.
    async fn pass(&mut self) {
        let before = self.world.sink.received().len();
        self.world.once().await;
        let now = self.world.clock.now();
        for _ in before..self.world.sink.received().len() {
            self.told.push(now);
        }
        for row in self.rows().await.into_iter().filter(|row| !row.parked) {
            let mut all = self.authorities.iter();
            let (_, channel, authority) = all.find(|(name, ..)| *name == row.name).unwrap();
            let key = SecretString::from(self.world.key(*channel));
            let grant = usize::try_from(row.generation).unwrap();
            assert_eq!(
                authority.what_is(&key),
                Some(Issued::Access { family: 0, grant })
            );
        }
        if now - self.pruned < TimeDelta::days(1) {
            return;
        }
        self.pruned = now;
        let count = "SELECT count(*) FROM event";
        let kept = self.world.parts().await.store.write(move |db| {
            notice::prune(db, now)?;
            Ok(db.query_row(count, [], |row| row.get::<_, i64>(0))?)
        });
        let kept = kept.await.unwrap();
        assert!(kept < EVENTS, "{kept} events at {now}");
    }

    /// When `name`'s provider was asked, and every token was sent once.
    fn asked(&self, name: &str) -> Vec<Timestamp> {
        let requests = self.authority(name).requests();
        assert!(
            requests
                .iter()
                .all(|seen| matches!(seen.ruling, Ruling::Granted | Ruling::Untouched))
        );
        requests.iter().map(|seen| seen.at).collect()
    }

    /// Never more than PushPlus takes, one alert and one recovery among it.
    fn assert_told(&self) {
        let (minute, day) = (TimeDelta::minutes(1), TimeDelta::days(1));
        for (most, span) in [(5, minute), (200, day)] {
            let mut told = self.told.windows(most + 1);
            assert!(told.all(|some| some[most] - some[0] >= span));
        }
        let received = self.world.sink.received();
        let titles = |word: &str| {
            let title = |message: &serde_json::Value| message["title"].to_string().contains(word);
            received.iter().filter(|message| title(message)).count()
        };
        assert_eq!((titles("cannot be refreshed"), titles("recovered")), (1, 1));
    }
}

/// The exchanges that the plan wants from the one at `from` on, the `attempt`th, until `end`; who sleeps
/// in `asleep` is late.
fn planned(
    name: &str,
    lifetime: Duration,
    (from, mut attempt): (Timestamp, u64),
    end: Timestamp,
    asleep: (Timestamp, Timestamp),
) -> Vec<Timestamp> {
    let plan = Plan::parse(CRON, Berlin).unwrap();
    let mut moments = vec![from];
    loop {
        let last = *moments.last().unwrap();
        let share = |span| jitter(name, attempt, span);
        let due = due_at(&plan, last, lifetime, hours(24), share).trunc_subsecs(3);
        let next = if due > asleep.0 {
            due.max(asleep.1)
        } else {
            due
        };
        if next > end {
            return moments;
        }
        moments.push(next);
        attempt += 1;
    }
}

fn at(text: &str) -> Timestamp {
    format!("{text}T12:00:00Z").parse().unwrap()
}

/// What happens besides what becomes due.
enum Deed {
    /// `hourly` leaves the configuration.
    Leave,
    /// It returns.
    Return,
    /// `spring`'s provider is overloaded for a week.
    Overload,
    /// The machine sleeps until then.
    Suspend(Timestamp),
    /// The machine is started anew.
    Reboot,
    /// Nothing.
    Rest,
}

impl Year {
    async fn happens(&mut self, deed: Deed, away: &mut Vec<CredentialSettings>) {
        let configured = &mut self.world.config.credentials;
        match deed {
            Deed::Leave => away.extend(configured.pop()),
            Deed::Return => configured.append(away),
            Deed::Overload => {
                let refusal = Fault::Status {
                    status: 429,
                    retry_after: Some(HALF_A_DAY.to_owned()),
                    handled: false,
                };
                self.authority("spring").fault(&refusal, FAILURES);
            }
            Deed::Suspend(until) => {
                self.world.clock.set(until);
                self.pass().await;
            }
            Deed::Reboot => self.world.reboot().await,
            Deed::Rest => {}
        }
        self.world.reload().await;
    }
}

#[tokio::test]
async fn a_year_keeps_every_key_fresh_and_asks_as_often_as_planned() {
    let mut year = Year::new().await;
    let begin = year.world.clock.now();
    let end = begin + TimeDelta::days(365);
    let spells = [
        (begin, at("2026-11-22")),
        (at("2027-03-27"), at("2027-03-29")),
        (at("2027-10-30"), at("2027-11-01")),
    ];
    let (failing, asleep) = (at("2027-04-11"), (at("2027-07-11"), at("2027-07-14")));
    let mut away = Vec::new();
    for (moment, ailing, deed) in [
        (spells[0].1, "", Deed::Leave),
        (spells[1].0, "", Deed::Return),
        (spells[1].1, "", Deed::Leave),
        (failing, "", Deed::Overload),
        (at("2027-04-25"), "spring", Deed::Rest),
        (asleep.0, "", Deed::Suspend(asleep.1)),
        (at("2027-09-01"), "", Deed::Reboot),
        (spells[2].0, "", Deed::Return),
        (spells[2].1, "", Deed::Leave),
        (end, "", Deed::Rest),
    ] {
        year.until(moment, ailing).await;
        year.happens(deed, &mut away).await;
    }
    for name in ["weekly", "keeps"] {
        let planned = planned(name, hours(240), (begin, 1), end, asleep);
        assert_eq!(year.asked(name), planned, "{name}");
    }
    let mut hourly = Vec::new();
    for (from, to) in spells {
        let attempt = u64::try_from(hourly.len()).unwrap() + 1;
        hourly.extend(planned("hourly", hours(1), (from, attempt), to, asleep));
    }
    assert_eq!(year.asked("hourly"), hourly);
    assert_spring(&year, (begin, failing, end), asleep);
    year.assert_told();
}

/// Until its provider fails and again after that, `spring` is asked as planned.
fn assert_spring(
    year: &Year,
    (begin, failing, end): (Timestamp, Timestamp, Timestamp),
    asleep: (Timestamp, Timestamp),
) {
    let asked = year.asked("spring");
    let before = planned("spring", hours(240), (begin, 1), failing, asleep);
    let again = before.len() + FAILURES;
    assert_eq!(asked[..before.len()], before);
    let (first, recovered) = (asked[before.len()], asked[again]);
    let outage = recovered - first;
    assert!(
        (TimeDelta::days(6)..TimeDelta::days(9)).contains(&outage),
        "{outage}"
    );
    let attempt = u64::try_from(again).unwrap() + 1;
    let after = planned("spring", hours(240), (recovered, attempt), end, asleep);
    assert_eq!(asked[again..], after);
}
