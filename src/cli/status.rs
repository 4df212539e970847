//! `keyfresh status`: every credential, for people or as JSON.

use anyhow::Result;
use serde::Serialize;

use super::TELL;
use crate::clock::{Clock, Timestamp};
use crate::config::Config;
use crate::credential::{Credential, Phase};
use crate::store::link::{Link, State};
use crate::store::{self, Lock, Store};

/// What `status --json` prints; times are RFC 3339 UTC.
#[derive(Serialize)]
struct Report {
    credentials: Vec<CredentialReport>,
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
struct DaemonReport {
    running: bool,
    pid: Option<u32>,
}

/// The rows that a report is made of.
pub(super) struct Rows {
    pub(super) credentials: Vec<Credential>,
    links: Vec<Link>,
}

impl Rows {
    pub(super) async fn read(store: &Store) -> Result<Self, store::Error> {
        store
            .read(|db| {
                Ok(Self {
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
        links.peek().is_some()
            && links.all(|link| matches!(link.state, State::Conflict | State::Gone))
    }

    /// Whether a person has to do something about `row`.
    pub(super) fn needs_a_person(&self, row: &Credential) -> bool {
        !row.parked
            && (row.phase == Phase::Dead
                || self.links_of(row).any(|link| {
                    matches!(link.state, State::Conflict | State::Gone)
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
    let holder = Lock::holder(&config.state_dir)?;
    if json {
        let report = Report {
            credentials: rows
                .credentials
                .iter()
                .map(|row| report(&rows, row))
                .collect(),
            daemon: DaemonReport {
                running: holder.is_some(),
                pid: holder.map(|holder| holder.pid),
            },
        };
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print(config, &rows, Clock::system().now());
        match holder {
            Some(holder) => println!("running: {holder}"),
            None => println!("not running"),
        }
    }
    Ok(!rows.credentials.iter().any(|row| rows.needs_a_person(row)))
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

fn print(config: &Config, rows: &Rows, now: Timestamp) {
    let time = |moment: Option<Timestamp>| {
        moment.map_or_else(
            || "–".to_owned(),
            |moment| {
                moment
                    .with_timezone(&config.schedule.timezone)
                    .format("%Y-%m-%d %H:%M %Z")
                    .to_string()
            },
        )
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
        if let Some(error) = &row.last_error {
            println!("  last error    {error} ({} in a row)", row.failures);
        }
    }
}
