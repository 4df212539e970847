//! The verdict after each round, by the provider's books: whoever rests holds the newest refresh token,
//! whoever does not was told, and no spent token was sent.

use std::collections::BTreeMap;

use keyfresh::credential::{Credential, Phase};
use keyfresh::demo::authority::{Issued, Ruling};
use keyfresh::secret::{ExposeSecret, SecretString};
use keyfresh::store::{self, Store};
use rusqlite::Connection;

use crate::booking::{is_booked, paid};
use crate::stage::{channel, name};
use crate::support::database::{Dump, difference, dump};
use crate::support::installation::Installation;
use crate::support::until;

/// A credential before a round.
pub(crate) struct Entry {
    pub(crate) number: usize,
    pub(crate) name: String,
    pub(crate) attempt: u64,
    phase: Phase,
    failures: u32,
}

impl Entry {
    /// Whether it is exchanged again before long, chosen or not.
    pub(crate) fn is_failing(&self) -> bool {
        self.failures > 0
    }

    /// Whether nothing is sent for it before a person logs in anew.
    pub(crate) fn needs_a_login(&self) -> bool {
        matches!(self.phase, Phase::Dead | Phase::Unconfirmed { .. })
    }
}

/// A credential and its tokens, as the state holds them.
struct Held {
    row: Credential,
    refresh: SecretString,
    access: Option<SecretString>,
}

/// What was seen so far.
pub(crate) struct Judge {
    /// The login of each credential: the provider's number for it.
    logins: Vec<usize>,
    issued: usize,
    /// How many requests were looked at.
    asked: usize,
    requests: BTreeMap<String, usize>,
    judged: BTreeMap<&'static str, usize>,
}

impl Judge {
    pub(crate) fn new(credentials: usize) -> Self {
        Self {
            // The provider's first login is the one of the credential that was taken out.
            logins: (1..=credentials).collect(),
            issued: credentials,
            asked: 0,
            requests: BTreeMap::new(),
            judged: BTreeMap::new(),
        }
    }

    pub(crate) fn granted(&self) -> usize {
        self.requests.get("Granted").copied().unwrap_or_default()
    }

    pub(crate) fn report(&self) -> String {
        let replaced = self.issued - self.logins.len();
        format!(
            "requests {:?}\nlogins {}, replaced {replaced}\nverdicts {:?}",
            self.requests,
            self.logins.len(),
            self.judged
        )
    }

    /// A new login of credential `number`.
    pub(crate) fn login(&mut self, world: &Installation, number: usize) -> SecretString {
        self.issued += 1;
        self.logins[number - 1] = self.issued;
        world.authority.seed().unwrap()
    }

    /// Every credential as it is now.
    pub(crate) fn entries(&self, world: &Installation) -> Vec<Entry> {
        let credentials = self.logins.len();
        until("the state can be read", || {
            let rows = store::credential::all(&world.state()).ok()?;
            let entries = rows.into_iter().zip(1..).map(|(row, number)| Entry {
                number,
                name: row.name,
                attempt: row.attempt,
                phase: row.phase,
                failures: row.failures,
            });
            let entries: Vec<Entry> = entries.collect();
            (entries.len() == credentials).then_some(entries)
        })
    }

    /// Whether every channel has the newest key that its credential holds.
    pub(crate) fn keys(&self, world: &Installation) -> Option<()> {
        let gateway = world.other();
        let held = held(world, self.logins.len());
        let current = held.iter().zip(1..).all(|(held, number)| {
            let key = key(&gateway, channel(number));
            let access = held.access.as_ref().map(ExposeSecret::expose_secret);
            access.is_none() || key.as_deref() == access
        });
        current.then_some(())
    }

    pub(crate) fn judge(&mut self, world: &Installation) {
        self.judge_requests(world);
        for (held, number) in held(world, self.logins.len()).iter().zip(1..) {
            let login = self.logins[number - 1];
            let row = &held.row;
            assert!(
                world.authority.alive(login),
                "{row:?}: a spent token was sent"
            );
            let verdict = match row.phase {
                Phase::Resting => {
                    let newest = world.authority.newest(login).unwrap();
                    let is_newest = held.refresh.expose_secret() == newest.expose_secret();
                    assert!(is_newest, "{row:?}: its newest token is lost");
                    "held"
                }
                Phase::Unconfirmed { .. } => {
                    let known = world.authority.what_is(&held.refresh);
                    let own =
                        matches!(known, Some(Issued::Refresh { family, .. }) if family == login);
                    assert!(own, "{row:?}: another login's token");
                    assert!(is_told(world, row, "unconfirmed"), "{row:?}");
                    "unconfirmed and told"
                }
                Phase::Dead => {
                    let reason = row.last_error.as_deref().unwrap();
                    assert!(reason.contains("invalid_grant"), "{row:?}");
                    assert!(is_told(world, row, "dead"), "{row:?}");
                    "rejected and told"
                }
                Phase::Exchanging { .. } => panic!("{row:?}: the exchange never ended"),
            };
            *self.judged.entry(verdict).or_default() += 1;
        }
    }

    fn judge_requests(&mut self, world: &Installation) {
        let requests = world.authority.requests();
        for seen in &requests[self.asked..] {
            let sound = matches!(seen.ruling, Ruling::Granted | Ruling::Untouched);
            assert!(sound, "a spent token was sent: {seen:?}");
            let count = self.requests.entry(format!("{:?}", seen.ruling));
            *count.or_default() += 1;
        }
        self.asked = requests.len();
    }

    /// Nothing changed in the gateway's file but our channels' keys and what was booked.
    pub(crate) fn judge_gateway(&self, world: &Installation, before: &Dump, booked: usize) {
        let ours: Vec<String> = (1..=self.logins.len())
            .map(|number| format!("channels[{}].key: ", channel(number)))
            .collect();
        let changes = difference(before, &dump(&world.gateway));
        let paid = paid(booked);
        assert!(changes.contains(&paid), "{paid} is not in\n{changes}");
        let others = changes.lines().filter(|line| {
            let name = line.split_inclusive(": ").next().unwrap_or_default();
            !is_booked(line) && !ours.iter().any(|our| our == name)
        });
        assert_eq!(others.collect::<Vec<_>>(), Vec::<&str>::new());
    }
}

/// Every credential with its tokens.
fn held(world: &Installation, credentials: usize) -> Vec<Held> {
    let store = Store::open(&world.path("state")).unwrap();
    let key = store.key();
    let read = store.read(move |db| {
        let held = |number| {
            let row = store::credential::by_name(db, &name(number))?;
            let refresh = store::credential::refresh_token(db, &key, row.id)?;
            Ok(Held {
                refresh: refresh.unwrap_or_default(),
                access: store::credential::access_token(db, &key, row.id)?,
                row,
            })
        };
        (1..=credentials).map(held).collect()
    });
    world.runtime.block_on(read).unwrap()
}

/// Whether an event for the administrator says what became of `row`.
fn is_told(world: &Installation, row: &Credential, kind: &str) -> bool {
    let sql = "SELECT count(*) FROM event WHERE credential = ?1 AND kind = ?2 AND at >= ?3";
    let since = row.since.wall.timestamp_millis();
    let found = world
        .state()
        .query_row(sql, (&row.name, kind, since), |row| row.get(0));
    found.is_ok_and(|count: i64| count > 0)
}

fn key(gateway: &Connection, channel: i64) -> Option<String> {
    let sql = "SELECT key FROM channels WHERE id = ?1";
    gateway.query_row(sql, [channel], |row| row.get(0)).ok()
}
