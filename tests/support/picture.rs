//! A world as text: who holds what, what was asked of whom, what was told. Tokens stand by their names
//! in the provider's books, moments by the time since the story began; nothing else differs from run to
//! run.

use std::fmt::Write as _;
use std::time::Duration;

use keyfresh::credential::{Credential, Phase};
use keyfresh::demo::authority::Issued;
use keyfresh::secret::{ExposeSecret as _, SecretString, mask};
use keyfresh::store::link::{Link, State};
use keyfresh::store::{self, Error};
use rusqlite::{Connection, OpenFlags};

use super::world::{World, since_begin};

/// What our own state says, read at one moment.
struct Rows {
    credentials: Vec<(Credential, Option<SecretString>)>,
    links: Vec<Link>,
    events: Vec<String>,
}

impl World {
    /// Everything, one thing a line.
    pub(crate) async fn picture(&mut self) -> String {
        self.parts().await;
        let rows = self.rows().await;
        let mut picture = format!("at {}\n", since_begin(self.clock.now()));
        for (row, refresh_token) in &rows.credentials {
            picture += &self.credential_line(row, refresh_token.as_ref());
            for link in &rows.links {
                if link.credential == row.id {
                    picture += &self.link_line(link);
                }
            }
        }
        for seen in self.authority.requests() {
            let token = match (seen.family, seen.generation) {
                (Some(family), Some(generation)) => {
                    self.named(Issued::Refresh { family, generation })
                }
                _ => "something else".to_owned(),
            };
            let at = since_begin(seen.at);
            writeln!(picture, "asked {at}: {token}, {:?}", seen.ruling).unwrap();
        }
        for event in &rows.events {
            writeln!(picture, "event {event}").unwrap();
        }
        for notice in self.sink.received() {
            writeln!(picture, "notice {}", notice["title"].as_str().unwrap()).unwrap();
        }
        picture
    }

    /// The last notice's content.
    pub(crate) fn last_notice(&self) -> String {
        let received = self.sink.received();
        let content = received.last().unwrap()["content"].as_str().unwrap();
        self.steady(&self.text(content))
    }

    /// When each request came.
    pub(crate) fn asked_at(&self) -> Vec<String> {
        let requests = self.authority.requests();
        requests.iter().map(|seen| since_begin(seen.at)).collect()
    }

    async fn rows(&self) -> Rows {
        let store = &self.running.as_ref().unwrap().store;
        let key = store.key();
        let read = move |db: &rusqlite::Connection| {
            let credentials = store::credential::all(db)?
                .into_iter()
                .map(|row| {
                    let token = store::credential::refresh_token(db, &key, row.id)?;
                    Ok((row, token))
                })
                .collect::<Result<_, Error>>()?;
            let mut statement = db.prepare(
                "SELECT coalesce(credential, 'daemon') || ' ' || kind || coalesce(' generation ' || (detail ->> 'generation'), '')
                 || coalesce(' channel ' || (detail ->> 'channel'), '') FROM event ORDER BY id",
            )?;
            let events = statement.query_map([], |row| row.get(0))?;
            Ok(Rows {
                credentials,
                links: store::link::all(db)?,
                events: events.collect::<Result<_, _>>()?,
            })
        };
        store.read(read).await.unwrap()
    }

    fn credential_line(&self, row: &Credential, refresh_token: Option<&SecretString>) -> String {
        let phase = match row.phase {
            Phase::Resting => format!("resting, due {}", since_begin(row.due_at)),
            Phase::Exchanging { .. } => "exchanging".to_owned(),
            Phase::Unconfirmed { resend_at } => {
                format!("unconfirmed, resend {}", since_begin(resend_at))
            }
            Phase::Dead => "dead".to_owned(),
        };
        let mut line = format!("{}: ", row.name);
        if row.parked {
            line += "parked, ";
        }
        write!(line, "{phase}, generation {}", row.generation).unwrap();
        if let Some(expires_at) = row.expires_at {
            write!(line, ", expires {}", since_begin(expires_at)).unwrap();
        }
        if let Some(wait) = row.not_before {
            write!(line, ", not before {}", since_begin(wait)).unwrap();
        }
        match refresh_token {
            Some(token) => write!(line, ", holds {}", self.token(token)).unwrap(),
            None => line += ", holds nothing",
        }
        if let Some(error) = &row.last_error {
            let plural = if row.failures == 1 { "" } else { "s" };
            let failures = row.failures;
            write!(
                line,
                "\n  {failures} failure{plural}: {}",
                self.steady(error)
            )
            .unwrap();
        }
        line + "\n"
    }

    fn link_line(&self, link: &Link) -> String {
        let mut told = format!("  channel {}", link.channel);
        if let Some(place) = link.line {
            write!(told, " line {place}").unwrap();
        }
        match self.stored(link) {
            Some((status, key)) => write!(told, ": status {status}, {key}").unwrap(),
            None => told += ": nothing to be seen",
        }
        write!(told, "; {}", link.state.name()).unwrap();
        if link.state != State::Pending || link.generation > 0 {
            write!(told, " at generation {}", link.generation).unwrap();
        }
        if let Some(until) = link.watch_until.filter(|until| *until > self.clock.now()) {
            write!(told, ", watched until {}", since_begin(until)).unwrap();
        }
        if let Some(at) = link.settle_at {
            write!(told, ", settles {}", since_begin(at)).unwrap();
        }
        if link.stripped {
            told += ", keeps a refresh token";
        }
        if link.untold {
            told += ", untold";
        }
        if let Some(error) = &link.last_error {
            write!(told, "; {}", self.steady(error)).unwrap();
        }
        told + "\n"
    }

    /// Status and key of the channel, or of its line, as they stand in the gateway's database; nothing
    /// while that cannot be read.
    fn stored(&self, link: &Link) -> Option<(i64, String)> {
        let sql = "SELECT status, CAST(key AS TEXT) FROM channels WHERE id = ?1";
        let gateway = Connection::open_with_flags(&self.gateway, OpenFlags::SQLITE_OPEN_READ_ONLY);
        let row = gateway.and_then(|gateway| {
            gateway.busy_timeout(Duration::ZERO)?;
            gateway.query_row(sql, [link.channel], |row| Ok((row.get(0)?, row.get(1)?)))
        });
        let (status, key): (i64, String) = row.ok()?;
        let key = match link.line {
            Some(place) => key.lines().nth(place)?.to_owned(),
            None => key,
        };
        Some((status, self.text(&key)))
    }

    /// `text` with every token of the provider's by its name.
    pub(crate) fn text(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for token in self.authority.issued() {
            let name = self.token(&token);
            text = text.replace(token.expose_secret(), &name);
            text = text.replace(&mask(token.expose_secret()), &format!("masked {name}"));
        }
        text
    }

    fn token(&self, token: &SecretString) -> String {
        match self.authority.what_is(token) {
            Some(issued) => self.named(issued),
            None => "an unknown token".to_owned(),
        }
    }

    fn named(&self, issued: Issued) -> String {
        match issued {
            Issued::Refresh { family, generation } => {
                format!("{} refresh {generation}", self.logins[family])
            }
            Issued::Access { family, grant } => format!("{} access {grant}", self.logins[family]),
        }
    }

    /// `text` without what differs from run to run.
    pub(crate) fn steady(&self, text: &str) -> String {
        let text = text.replace(self.path("").to_str().unwrap(), "/folder/");
        let mut parts = text.split("127.0.0.1:");
        let mut steady = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            steady += "loopback";
            steady += part.trim_start_matches(|letter: char| letter.is_ascii_digit());
        }
        steady
    }
}
