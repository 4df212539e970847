//! `keyfresh status`: every credential and every notifier, for people or as JSON.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;

use super::TELL;
use crate::clock::{Clock, Reading, Timestamp};
use crate::config::{Config, NotifierSettings};
use crate::credential::{Credential, Phase};
use crate::link;
use crate::notify::Cause;
use crate::notify::step::{Row, Step};
use crate::store::link::{Link, State};
use crate::store::{self, Lock, Store, notice};

/// What `status --json` prints; times are RFC 3339 UTC.
#[derive(Serialize)]
struct Report {
    credentials: Vec<CredentialReport>,
    notifiers: Vec<NotifierReport>,
    daemon: DaemonReport,
}

#[derive(Serialize)]
struct CredentialReport {
    name: String,
    phase: &'static str,
    generation: u64,
    obtained_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    due_at: Option<Timestamp>,
    resend_at: Option<Timestamp>,
    failures: u32,
    last_error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    obstacle: Option<String>,
    channels: Vec<ChannelReport>,
}

#[derive(Serialize)]
struct ChannelReport {
    id: i64,
    line: Option<usize>,
    state: &'static str,
    generation: u64,
    status: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
}

#[derive(Serialize)]
struct NotifierReport {
    name: String,
    /// `ready`, `waiting` or `stopped`.
    state: &'static str,
    until: Option<Timestamp>,
    reason: Option<String>,
    failures: u32,
    untold: usize,
}

#[derive(Serialize)]
struct DaemonReport {
    running: bool,
    pid: Option<u32>,
}

/// The rows that a report is made of.
pub(super) struct Rows {
    pub(super) credentials: Vec<Credential>,
    links: Vec<Link>,
    /// By name, with how many events each has not told.
    notifiers: BTreeMap<String, (usize, Row)>,
}

impl Rows {
    pub(super) async fn read(store: &Store) -> Result<Self, store::Error> {
        store
            .read(|db| {
                let counted = |(name, row)| Ok((name, (notice::untold(db, &row)?, row)));
                let notifiers = notice::rows(db)?.into_iter().map(counted);
                let notifiers: Result<_, store::Error> = notifiers.collect();
                Ok(Self {
                    notifiers: notifiers?,
                    credentials: store::credential::all(db)?,
                    links: store::link::all(db)?,
                })
            })
            .await
    }

    pub(super) fn links_of<'a>(&'a self, row: &'a Credential) -> impl Iterator<Item = &'a Link> {
        self.links.iter().filter(|link| link.credential == row.id)
    }

    /// Whether every channel of `row` is another's: then nothing is sent for it.
    pub(super) fn is_estranged(&self, row: &Credential) -> bool {
        let mut links = self.links_of(row).peekable();
        links.peek().is_some() && links.all(Link::is_estranged)
    }

    /// Why nothing is sent for `row` and what to do, where neither its phase nor its channels say so.
    pub(super) fn obstacle(&self, row: &Credential) -> Option<String> {
        let is_foreign =
            |link: &Link| link.last_error.as_ref() == Some(&link::foreign(link.channel));
        let is_held_back = !row.parked
            && row.phase != Phase::Dead
            && self.is_estranged(row)
            && self.links_of(row).any(is_foreign);
        is_held_back.then(|| Cause::Estranged.explain(&row.name))
    }

    /// Whether a person has to do something about `row`.
    pub(super) fn needs_a_person(&self, row: &Credential) -> bool {
        !row.parked
            && (row.phase == Phase::Dead
                || self.links_of(row).any(|link| {
                    link.is_estranged()
                        || (link.state == State::Pending && link.untold)
                        || link.last_error.is_some()
                }))
    }
}

/// Prints the status; `Ok(false)` if a person is needed.
pub(super) fn run(config: &Config, name: Option<&str>, json: bool) -> Result<bool> {
    let store = Store::open(&config.state_dir)?;
    let mut rows = super::runtime()?.block_on(Rows::read(&store))?;
    if let Some(name) = name {
        rows.credentials.retain(|row| row.name == name);
        if rows.credentials.is_empty() {
            return Err(store::Error::Unknown(name.to_owned()).into());
        }
    }
    let now = Clock::system().read();
    let notifiers = notifiers(config, &store, &rows, now.wall);
    let is_mute = notifiers.iter().any(|notifier| notifier.state == "stopped");
    let holder = Lock::holder(&config.state_dir)?;
    if json {
        let report = Report {
            credentials: rows
                .credentials
                .iter()
                .map(|row| report(&rows, row))
                .collect(),
            notifiers,
            daemon: DaemonReport {
                running: holder.is_some(),
                pid: holder.map(|holder| holder.pid),
            },
        };
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print(config, &rows, now);
        for notifier in &notifiers {
            notifier.print(config);
        }
        match holder {
            Some(holder) => println!("running: {holder}"),
            None => println!("not running"),
        }
    }
    Ok(!is_mute && !rows.credentials.iter().any(|row| rows.needs_a_person(row)))
}

/// Those that are configured and were ever started.
fn notifiers(config: &Config, store: &Store, rows: &Rows, now: Timestamp) -> Vec<NotifierReport> {
    let report = |settings: &NotifierSettings| {
        let (untold, row) = rows.notifiers.get(&settings.name)?;
        let identity = settings.notifier().identity();
        let barred = row.barred(&store.key().fingerprint(&identity).to_string(), now);
        let stop = row.memory.stop.as_ref().filter(|_| barred.is_some());
        let (state, until) = match barred {
            Some(Step::Stopped { .. }) => ("stopped", None),
            Some(Step::Wait(until)) => ("waiting", Some(until)),
            _ => ("ready", None),
        };
        Some(NotifierReport {
            name: settings.name.clone(),
            state,
            until,
            reason: stop.map(|stop| stop.reason.clone()),
            failures: row.tries,
            untold: *untold,
        })
    };
    config.notifiers.iter().filter_map(report).collect()
}

impl NotifierReport {
    fn print(&self, config: &Config) {
        println!(
            "notifier {}: {}, {} events not told",
            self.name, self.state, self.untold
        );
        if let Some(until) = self.until {
            println!("  until         {}", time(config, until));
        }
        if self.failures > 0 {
            println!("  failures      {} in a row", self.failures);
        }
        if let Some(reason) = &self.reason {
            println!("  last error    {reason}");
        }
        if self.state == "stopped" {
            println!(
                "                mend its account or settings, then run `keyfresh notify test {}`",
                self.name
            );
        }
    }
}

fn time(config: &Config, moment: Timestamp) -> String {
    moment
        .with_timezone(&config.schedule.timezone)
        .format("%Y-%m-%d %H:%M %Z")
        .to_string()
}

pub(super) fn phase(row: &Credential) -> &'static str {
    match row.phase {
        _ if row.parked => "parked",
        Phase::Resting => "resting",
        Phase::Exchanging { .. } => "exchanging",
        Phase::Unconfirmed { .. } => "unconfirmed",
        Phase::Dead => "dead",
    }
}

fn report(rows: &Rows, row: &Credential) -> CredentialReport {
    CredentialReport {
        name: row.name.clone(),
        phase: phase(row),
        generation: row.generation,
        obtained_at: row.obtained_at,
        expires_at: row.expires_at,
        due_at: (row.phase == Phase::Resting && !row.parked).then_some(row.due_at),
        resend_at: match row.phase {
            Phase::Unconfirmed { resend_at } => Some(resend_at),
            _ => None,
        },
        failures: row.failures,
        last_error: row.last_error.clone(),
        obstacle: rows.obstacle(row),
        channels: rows
            .links_of(row)
            .map(|link| ChannelReport {
                id: link.channel,
                line: link.line,
                state: link.state.name(),
                generation: link.generation,
                status: link.status,
                last_error: link.last_error.clone(),
            })
            .collect(),
    }
}

fn print(config: &Config, rows: &Rows, now: Reading) {
    let time = |moment: Option<Timestamp>| {
        moment.map_or_else(|| "–".to_owned(), |moment| time(config, moment))
    };
    if rows.credentials.is_empty() {
        println!("no credentials: add [credentials.NAME] to the configuration");
    }
    for row in &rows.credentials {
        println!("{}: {}", row.name, phase(row));
        println!(
            "  generation    {}, obtained {}",
            row.generation,
            time(row.obtained_at)
        );
        println!("  expires       {}", time(row.expires_at));
        println!("  next refresh  {}", time(row.ready_at(now)));
        for link in rows.links_of(row) {
            let line = link
                .line
                .map(|line| format!(" line {line}"))
                .unwrap_or_default();
            let status = match link.status {
                0 => "not read yet",
                1 => "enabled",
                2 => "disabled by hand",
                3 => "disabled by the gateway",
                _ => "of an unknown status",
            };
            println!(
                "  channel {}{line}     {}, {status}",
                link.channel,
                link.state.name()
            );
            if let Some(error) = &link.last_error {
                println!("                {error}");
            }
            if link.untold {
                println!("                the gateway was not told: {TELL}");
            }
        }
        if let Some(obstacle) = rows.obstacle(row) {
            println!("  obstacle      {obstacle}");
        }
        match &row.last_error {
            Some(error) if row.failures == 0 => println!("  last error    {error}"),
            Some(error) => println!("  last error    {error} ({} in a row)", row.failures),
            None => {}
        }
    }
}
